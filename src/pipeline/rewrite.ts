import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field } from '../formats/schema.ts';
import { engineTypeName } from './column-types.ts';
import { quoteName } from './engine.ts';
import { children, type TreeNode, writeSelect } from './parse-tree.ts';
import type { Select, TableDefinition } from './plan.ts';
import type { Analysis } from './select.ts';

/** The statement that makes the source's table, with further columns. */
export function createTable(source: TableDefinition, extra: readonly string[]): string {
  const columns = (source.schema.fields ?? []).map(
    (field) => `${quoteName(field.name)} ${engineTypeName(field)}`,
  );
  return `CREATE TEMP TABLE ${quoteName(source.name)} (${[...columns, ...extra].join(', ')})`;
}

/** The select as DuckDB runs it: each output row with the number of its input row before it. */
export async function engineSelect(
  connection: DuckDBConnection,
  { tree, root, source }: Analysis,
  sink: TableDefinition,
): Promise<Select> {
  const columns = sink.schema.fields ?? [];
  const rowColumn = freeName([...(source.schema.fields ?? []), ...columns]);
  const reference = {
    class: 'COLUMN_REF',
    type: 'COLUMN_REF',
    alias: '',
    query_location: 0,
    column_names: [rowColumn],
  };
  hideFromStars(root.select_list, rowColumn);
  root.select_list = [reference, ...children(root.select_list)];
  const inner = await writeSelect(connection, tree);
  const names = [rowColumn, ...columns.map(({ name }) => name)].map(quoteName);
  const casts = columns.map((column) => `CAST(q.${quoteName(column.name)} AS ${engineTypeName(column)})`);
  const sql = `SELECT ${[`q.${quoteName(rowColumn)}`, ...casts].join(', ')} FROM (${inner}) AS q(${names.join(', ')})`;
  return { kind: 'sql', sql, rowColumn };
}

function hideFromStars(part: unknown, column: string): void {
  if (Array.isArray(part)) for (const item of part) hideFromStars(item, column);
  else if (typeof part === 'object' && part !== null) {
    const node = part as TreeNode;
    const excluded = Array.isArray(node.exclude_list) ? node.exclude_list : [];
    if (node.class === 'STAR') node.exclude_list = [...excluded, column];
    for (const value of Object.values(node)) hideFromStars(value, column);
  }
}

function freeName(fields: readonly Field[]): string {
  const taken = new Set(fields.map((field) => field.name.toLowerCase()));
  let name = '__row';
  while (taken.has(name)) name += '_';
  return name;
}
