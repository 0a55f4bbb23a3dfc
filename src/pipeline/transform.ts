import type { PenstockError } from '../errors.ts';
import type { Row, Value } from '../formats/format.ts';
import { getterOf, setterOf } from '../formats/own-property.ts';
import type { InsertPlan, ProjectedColumn, TableDefinition } from './plan.ts';

/** What became of a batch. Every input row is in `origin` any number of times, or in `bad` once. */
export interface Transformed {
  /** Rows of the sink, in the order of the rows they come from. */
  rows: Row[];
  /** For each output row the index of its input row. */
  origin: number[];
  /** The rows that failed, by index and in order, each with a `bad_row`. */
  bad: { index: number; error: PenstockError }[];
}

/** Turns rows of a source into rows of a sink. */
export interface Transform {
  /**
   * Transforms a batch of any size. The answer for a row does not depend on which other rows are in the batch. Calls
   * may overlap; they are done one after the other. Throws only when nothing can be said about the rows:
   * `query_too_slow` when a batch takes for ever, `internal` when the engine fails.
   */
  run(rows: readonly Row[]): Promise<Transformed>;
  /** Waits for what is running and releases everything. Safe to call twice. */
  close(): Promise<void>;
}

export interface TransformOptions {
  /** How long DuckDB may work on one batch before it is split; 10 s if left out. */
  batchTimeoutMs?: number;
  /** How long one call of `run` may take in all; 60 s if left out. */
  runTimeoutMs?: number;
}

/** An insert, or a preview with the columns of its SELECT. */
type Transformable = Pick<InsertPlan, 'source' | 'select'> & { sink: Pick<TableDefinition, 'schema'> };

/** Opens the transform of one insert; throws `internal` when the engine cannot be started. */
export async function openTransform(
  insert: Transformable,
  options: TransformOptions = {},
): Promise<Transform> {
  const { select } = insert;
  switch (select.kind) {
    case 'passthrough':
      return inJavaScript((row) => row);
    case 'project':
      return inJavaScript(projection(select.columns));
    case 'compiled': {
      const { CompiledTransform } = await import('./compiled/compiled-transform.ts');
      return new CompiledTransform(insert.source, insert.sink, select, options);
    }
    case 'sql': {
      const { EngineTransform } = await import('./engine-transform.ts');
      return EngineTransform.open(insert.source, insert.sink, select, options);
    }
  }
}

function inJavaScript(map: (row: Row) => Row): Transform {
  return {
    async run(rows) {
      return { rows: rows.map(map), origin: rows.map((_, index) => index), bad: [] };
    },
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
