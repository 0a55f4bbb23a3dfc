import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field } from '../formats/schema/schema.ts';
import { type Analysis, chain } from './analysis.ts';
import { compilePlan } from './compiled/compile-plan.ts';
import { NotCompiled } from './compiled/evaluate.ts';
import type { Findings } from './diagnostic.ts';
import { bindSelect } from './engine/bound-plan.ts';
import { withTimeLimit } from './engine/connection.ts';
import { rowMemory, sharedBytes } from './engine/memory.ts';
import { createTableStatement, engineTypeName } from './field-types.ts';
import { quoteName } from './names.ts';
import { children, isNode, isPresent, parseSelect, type TreeNode, writeSelect } from './parse-tree.ts';
import type { EngineSelect, RowSelect } from './plan.ts';

/** The select in JavaScript if all of it can be compiled, otherwise as DuckDB runs it. */
export async function computedSelect(
  connection: DuckDBConnection,
  analysis: Analysis,
  fields: readonly Field[],
  findings: Findings,
): Promise<RowSelect> {
  const { source } = analysis;
  const numbered = await numberedSelect(connection, analysis, fields);
  const rowNumber = `${quoteName(numbered.rowColumn)} INTEGER`;
  await connection.run(createTableStatement(source.name, source.schema.fields ?? [], [rowNumber]));
  const plan = await withTimeLimit(connection, () => bindSelect(connection, numbered.sql));
  const constantBytes = plan && rowMemory(plan)?.({});
  if (!plan || constantBytes === undefined || constantBytes > sharedBytes) {
    const message =
      'The memory that this SELECT needs for a row cannot be bounded; nest fewer lambdas and UNNEST';
    return findings.stop(message, analysis.places.at(0));
  }
  try {
    compilePlan(plan, fields);
    return { kind: 'compiled', ...numbered, plan };
  } catch (error) {
    if (!(error instanceof NotCompiled)) throw error;
    return { kind: 'sql', ...numbered, because: error.what };
  }
}

/** The statement with the number of the input row as a further first column. */
async function numberedSelect(
  connection: DuckDBConnection,
  { tree, root, source, view, columns: given, output }: Analysis,
  columns: readonly Field[],
): Promise<Pick<EngineSelect, 'sql' | 'rowColumn'>> {
  const views = chain(view);
  const taken = [source.schema.fields ?? [], columns, ...views.map((level) => level.columns)].flat();
  const rowColumn = freeName(taken);
  let below: NumberedView | undefined;
  for (const { name, text } of views) {
    const parsed = await parseSelect(connection, text);
    // It was parsed before.
    if ('failure' in parsed) throw new Error(parsed.failure.message);
    below = { name, tree: addNumber(parsed, rowColumn, below) };
  }
  const inner = await writeSelect(connection, addNumber({ tree, root }, rowColumn, below));
  const names = [rowColumn, ...columns.map(({ name }) => name)].map(quoteName);
  const types = output.map(({ type }) => String(type));
  const casts = columns.map((column, index) =>
    castTo(column, types[index], given[index]?.isMember ? 'member' : 'value'),
  );
  const list = [`q.${quoteName(rowColumn)}`, ...casts].join(', ');
  return { sql: `SELECT ${list} FROM (${inner}) AS q(${names.join(', ')})`, rowColumn };
}

/** The column of this name of `q`, as a column of a sink. */
export function castTo(column: Field, type: string | undefined, kind: 'member' | 'value'): string {
  const value = `q.${quoteName(column.name)}`;
  // Arroyo writes a member that is not there as the text null.
  if (column.type === 'string' && kind === 'member') return `COALESCE(CAST(${value} AS VARCHAR), 'null')`;
  return `CAST(${column.type === 'string' ? textOf(value, type) : value} AS ${engineTypeName(column)})`;
}

/** A timestamp as text is written as in JSON. */
function textOf(value: string, type: string | undefined): string {
  if (!type?.startsWith('TIMESTAMP')) return value;
  const utc = type === 'TIMESTAMP WITH TIME ZONE' ? `CAST(${value} AS TIMESTAMP)` : value;
  return `replace(CAST(${utc} AS VARCHAR), ' ', 'T') || 'Z'`;
}

interface NumberedView {
  name: string;
  tree: TreeNode;
}

/** Puts the number of the row before the columns of a SELECT, and the view it reads in place of its name. */
function addNumber(
  { tree, root }: { tree: TreeNode; root: TreeNode },
  rowColumn: string,
  below: NumberedView | undefined,
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
  else if (isNode(part)) {
    const excluded = Array.isArray(part.exclude_list) ? part.exclude_list : [];
    if (part.class === 'STAR') part.exclude_list = [...excluded, column];
    for (const value of Object.values(part)) hideFromStars(value, column);
  }
}

function freeName(fields: readonly { name: string }[]): string {
  const taken = new Set(fields.map((field) => field.name.toLowerCase()));
  let name = '__row';
  while (taken.has(name)) name += '_';
  return name;
}
