import type { Row, Value } from '../formats/format.ts';
import { getterOf, setterOf } from '../formats/values/own-property.ts';
import type { ProjectedColumn, Select, TableDefinition } from './plan.ts';
import type { Transform, TransformOptions } from './transform.ts';

/** An insert, or a preview with the columns of its SELECT. */
interface Transformable {
  source: TableDefinition;
  select: Select;
  sink: Pick<TableDefinition, 'schema'>;
}

/** Opens the transform of one insert. Throws `internal` if DuckDB cannot be started. */
export async function openTransform(
  insert: Transformable,
  options: TransformOptions = {},
): Promise<Transform> {
  const { select } = insert;
  switch (select.kind) {
    case 'stateful':
      throw new Error('A stateful select is more than a transform');
    case 'passthrough':
      return inJavaScript((row) => row);
    case 'project':
      return inJavaScript(projection(select.columns));
    case 'compiled': {
      const { CompiledTransform } = await import('./compiled/compile-plan.ts');
      return new CompiledTransform({ ...insert, select }, options);
    }
    case 'sql': {
      const { EngineTransform } = await import('./engine/transform.ts');
      return EngineTransform.open({ ...insert, select }, options);
    }
  }
}

function inJavaScript(map: (row: Row) => Row): Transform {
  return {
    run: (rows) => ({ rows: rows.map(map), origin: rows.map((_, index) => index), bad: [] }),
    async close() {},
  };
}

function projection(columns: readonly ProjectedColumn[]): (row: Row) => Row {
  const steps = columns.map(({ from, to, convert }) => ({
    get: getterOf(from),
    set: setterOf(to),
    widen: convert === 'to_bigint',
  }));
  return (row) => {
    const projected: Row = {};
    for (const { get, set, widen } of steps) {
      const value = (get(row) ?? null) as Value;
      set(projected, widen && typeof value === 'number' ? BigInt(value) : value);
    }
    return projected;
  };
}
