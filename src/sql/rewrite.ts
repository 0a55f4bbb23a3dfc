import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field } from '../formats/schema/schema.ts';
import type { Analysis } from './analysis.ts';
import { bindSelect } from './bound-plan.ts';
import { engineTypeName } from './column-types.ts';
import { compilePlan } from './compiled/compile-plan.ts';
import { NotCompiled } from './compiled/evaluate.ts';
import { bounded } from './engine/engine.ts';
import { children, isPresent, parseSelect, type TreeNode, writeSelect } from './parse-tree.ts';
import type { Select, TableDefinition } from './plan.ts';
import { quoteName } from './quote.ts';
import { chain } from './views.ts';

/** The statement that makes the source's table, with further columns. */
export function createTable(source: TableDefinition, extra: readonly string[]): string {
  const columns = (source.schema.fields ?? []).map(
    (field) => `${quoteName(field.name)} ${engineTypeName(field)}`,
  );
  return `CREATE TEMP TABLE ${quoteName(source.name)} (${[...columns, ...extra].join(', ')})`;
}

/** A statement that answers each output row with the number of its input row, from `rowColumn`, before it. */
interface NumberedSelect {
  sql: string;
  rowColumn: string;
}

/** The select in JavaScript if all of it can be compiled, otherwise as DuckDB runs it. */
export async function computedSelect(
  connection: DuckDBConnection,
  analysis: Analysis,
  fields: readonly Field[],
): Promise<Select> {
  const numbered = await numberedSelect(connection, analysis, fields);
  const columns = [`${quoteName(numbered.rowColumn)} INTEGER`];
  await connection.run(createTable(analysis.source, columns).replace('CREATE', 'CREATE OR REPLACE'));
  const plan = await bounded(connection, () => bindSelect(connection, numbered.sql));
  if (!plan) return { kind: 'sql', ...numbered, because: 'more than expressions over one row' };
  try {
    compilePlan(plan, fields);
    return { kind: 'compiled', ...numbered, plan };
  } catch (error) {
    if (!(error instanceof NotCompiled)) throw error;
    return { kind: 'sql', ...numbered, because: error.what };
  }
}

async function numberedSelect(
  connection: DuckDBConnection,
  { tree, root, source, view }: Analysis,
  columns: readonly Field[],
): Promise<NumberedSelect> {
  const rowColumn = freeName([
    ...(source.schema.fields ?? []),
    ...columns,
    ...chain(view).flatMap((v) => v.columns),
  ]);
  let below: Level | undefined;
  for (const level of chain(view)) {
    const parsed = await parseSelect(connection, level.text);
    // It has been read before.
    if ('failure' in parsed) throw new Error(parsed.failure.message);
    below = { name: level.name, tree: number(parsed, rowColumn, below) };
  }
  const inner = await writeSelect(connection, number({ tree, root }, rowColumn, below));
  const names = [rowColumn, ...columns.map(({ name }) => name)].map(quoteName);
  const casts = columns.map((column) => `CAST(q.${quoteName(column.name)} AS ${engineTypeName(column)})`);
  const sql = `SELECT ${[`q.${quoteName(rowColumn)}`, ...casts].join(', ')} FROM (${inner}) AS q(${names.join(', ')})`;
  return { sql, rowColumn };
}

/** A view written in place. */
interface Level {
  name: string;
  tree: TreeNode;
}

/** Puts the number of the row before the columns of a SELECT, and the view it reads in place of its name. */
function number(
  { tree, root }: { tree: TreeNode; root: TreeNode },
  rowColumn: string,
  below: Level | undefined,
): TreeNode {
  const reference = {
    class: 'COLUMN_REF',
    type: 'COLUMN_REF',
    alias: '',
    query_location: 0,
    column_names: [rowColumn],
  };
  hideFromStars(root.select_list, rowColumn);
  root.select_list = [reference, ...children(root.select_list)];
  if (below) {
    const { alias } = root.from_table as TreeNode;
    const [statement] = children(below.tree.statements);
    root.from_table = {
      type: 'SUBQUERY',
      alias: isPresent(alias) ? alias : below.name,
      sample: null,
      query_location: 0,
      subquery: statement,
      column_name_alias: [],
    };
  }
  return tree;
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

function freeName(fields: readonly { name: string }[]): string {
  const taken = new Set(fields.map((field) => field.name.toLowerCase()));
  let name = '__row';
  while (taken.has(name)) name += '_';
  return name;
}
