import type { DuckDBConnection } from '@duckdb/node-api';
import { boundExpressions } from './bound.ts';
import { type Cost, noCost } from './cost.ts';
import type { Findings } from './diagnostic.ts';
import {
  askEngine,
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
  withTimeLimit,
} from './engine/connection.ts';
import { checkExpressions, functionKinds, type Scope } from './expressions.ts';
import { createTableStatement } from './field-types.ts';
import { checkFieldNames, findNamed, quoteName } from './names.ts';
import { inBrackets, refuseNeverRight } from './never-right.ts';
import { children, isNode, isPresent, Places, parseSelect, type TreeNode } from './parse-tree.ts';
import type { TableDefinition } from './plan.ts';
import type { SelectText } from './statements.ts';
import { warnOfSurprises } from './surprises.ts';
import type { Tables } from './tables.ts';

export interface Query {
  text: string;
  findings: Findings;
  /** What a valid query may do unexpectedly. */
  warnings: Findings;
  tables: Tables;
  views: Map<string, View>;
}

/** A view: a SELECT over one source table, possibly through further views. */
interface View {
  name: string;
  text: string;
  columns: readonly { name: string }[];
  cost: Cost;
  /** The views between it and the source, nearest to the source first. */
  below: readonly View[];
  source: TableDefinition;
}

/** The views that a SELECT from this one needs, in the order of their creation. */
export const chain = (view: View | undefined): View[] => (view ? [...view.below, view] : []);

/** A checked SELECT whose sink is not known yet. */
export interface Analysis {
  source: TableDefinition;
  /** The view that it reads; undefined if it reads the source itself. */
  view: View | undefined;
  tree: TreeNode;
  root: TreeNode;
  cost: Cost;
  output: OutputColumn[];
  places: Places;
}

export const textOf = ({ select }: SelectText, query: Query): string =>
  query.text.slice(select.from, select.to);

/** Checks a SELECT and finds the columns that it returns. Leaves temporary tables and views behind. */
export async function analyse(
  connection: DuckDBConnection,
  statement: SelectText,
  query: Query,
): Promise<Analysis> {
  const { findings } = query;
  const text = textOf(statement, query);
  const places = new Places(text, statement.select, statement.tokens);
  const parsed = await withTimeLimit(connection, () => parseSelect(connection, text));
  if ('failure' in parsed) {
    const { message, position } = parsed.failure;
    if (position !== undefined) return findings.stop(firstSentence(message), places.at(position));
    // DuckDB parsed it, but as another kind of statement.
    return findings.stop('Only a SELECT can follow here', statement.tokens[0]);
  }
  const { tree, root } = parsed;
  const from = checkForm(root, places, findings);
  const { source, view } = await readable(from, places, query);
  const scope: Scope = {
    qualifiers: [view?.name ?? source.name, String(from.alias ?? '')],
    columns: view?.columns ?? source.schema.fields ?? [],
    below: view?.cost ?? noCost,
    functions: await functionKinds(connection),
  };
  const cost = checkExpressions(root, scope, places, findings);
  findings.settle();
  checkFieldNames(source, places.of(from), findings);
  const output = await typeCheck(connection, { source, view, text }, places, findings);
  const bound = await withTimeLimit(connection, () => boundExpressions(connection, text, view !== undefined));
  await refuseNeverRight(connection, bound, places, findings);
  findings.settle();
  warnOfSurprises(bound, places, query.warnings);
  return { source, view, tree, root, cost, output, places };
}

async function readable(
  from: TreeNode,
  places: Places,
  { tables, views, findings }: Query,
): Promise<Pick<Analysis, 'source' | 'view'>> {
  const range = places.of(from);
  const token = typeof from.query_location === 'number' ? places.token(from.query_location) : undefined;
  const name = { ...range, text: String(from.table_name), exact: token?.kind === 'name' };
  const view = findNamed(views, name);
  if (view) return { source: view.source, view };
  const source = await tables.named(name, [...views.keys()]);
  if (source.direction !== 'source')
    findings.stop(`${source.name} is a sink and cannot be read from; name a source table`, range);
  return { source, view: undefined };
}

const manyRows = /AGGREGATE|GROUP_BY|WINDOW|TOP_N|LIMIT|SAMPLE|ORDER_BY/;

async function typeCheck(
  connection: DuckDBConnection,
  { source, view, text }: Pick<Analysis, 'source' | 'view'> & { text: string },
  places: Places,
  findings: Findings,
): Promise<OutputColumn[]> {
  await connection.run(createTableStatement(source.name, source.schema.fields ?? []));
  try {
    for (const { name, text: definition } of chain(view))
      await connection.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${definition}`);
    const output = await withTimeLimit(connection, () => describe(connection, text));
    // Macros such as geomean hide an aggregate that the parse tree does not show.
    const plan = await withTimeLimit(connection, () =>
      askEngine(connection, `EXPLAIN (FORMAT json) ${text}`),
    );
    if (manyRows.test(plan.replaceAll(/"extra_info":\s*\{[^{}]*\}/g, ''))) {
      const message = 'A function in this SELECT needs more than one row, which a stream cannot provide';
      findings.stop(message, places.at(undefined));
    }
    return output;
  } catch (error) {
    findings.settle();
    const { kind, message, position } = engineError(error);
    if (kind === 'INTERRUPT')
      findings.stop('Checking the query takes too long; make it simpler', places.at(0));
    if (kind === 'INTERNAL' || kind === 'FATAL' || kind === 'Unknown')
      throw engineFailed('check a query', error);
    const isArrow = /'json_extract(?:_string)?\(JSON, BOOLEAN\)'/.test(message);
    return findings.stop(isArrow ? inBrackets : firstSentence(message), places.at(position));
  }
}

/** DuckDB's message without the hints for its own users. */
function firstSentence(message: string): string {
  return (message.split('\n')[0] ?? message).replace(/[!.]$/, '');
}

/**
 * Refuses a SELECT whose form has no meaning on a stream that never ends, or needs more than one row at a time.
 * Returns the table that it reads.
 */
function checkForm(root: TreeNode, places: Places, findings: Findings): TreeNode {
  if (root.type === 'SET_OPERATION_NODE') {
    const [keyword = ''] = String(root.setop_type ?? '')
      .toLowerCase()
      .split('_');
    const message = 'UNION, EXCEPT and INTERSECT are not supported; write one INSERT INTO for each SELECT';
    findings.stop(message, places.keyword(keyword));
  }
  if (root.type !== 'SELECT_NODE' || isPresent((root.cte_map as TreeNode | undefined)?.map)) {
    const message = 'WITH queries are not supported; write CREATE VIEW … AS before the INSERT';
    findings.stop(message, places.keyword('with'));
  }
  const from = checkFrom(root.from_table, places, findings);
  for (const [property, keyword, message] of clauses) {
    if (isPresent(root[property])) findings.add(message, places.keyword(keyword));
  }
  if (root.aggregate_handling !== 'STANDARD_HANDLING') findings.add(grouping, places.keyword('group'));
  for (const { type = '' } of children(root.modifiers)) {
    const [keyword, message] = modifiers[type] ?? limit;
    findings.add(message, places.keyword(keyword));
  }
  return from;
}

const grouping = 'GROUP BY is not supported: a stream never ends, so a group is never complete';

const clauses = [
  ['group_expressions', 'group', grouping],
  ['having', 'having', 'HAVING is not supported: there are no groups; write WHERE'],
  ['qualify', 'qualify', 'QUALIFY is not supported; write WHERE'],
  ['sample', 'using', 'USING SAMPLE is not supported; write WHERE'],
] as const;

const modifiers: Readonly<Record<string, readonly [keyword: string, message: string]>> = {
  ORDER_MODIFIER: ['order', 'ORDER BY is not supported: rows leave in the order in which they arrive'],
  DISTINCT_MODIFIER: ['distinct', 'DISTINCT is not supported: it would have to remember every row'],
};
const limit = ['limit', 'LIMIT and OFFSET are not supported: a stream never ends; write WHERE'] as const;

const fromMessages: Readonly<Record<string, string>> = {
  JOIN: 'Joins are not supported; read from one table',
  SUBQUERY: 'A SELECT in FROM is not supported; create a view with CREATE VIEW … AS and read from it',
  TABLE_FUNCTION: 'Table functions are not supported; name a source table',
  EXPRESSION_LIST: 'VALUES is not supported; write a SELECT from a source table',
  EMPTY: 'FROM and the name of a source table are missing',
  SHOW_REF: 'Only a SELECT is allowed here',
  PIVOT: 'PIVOT and UNPIVOT are not supported: they need all rows at once',
};

function checkFrom(from: unknown, places: Places, findings: Findings): TreeNode {
  if (!isNode(from) || from.type === 'EMPTY')
    return findings.stop(String(fromMessages.EMPTY), places.at(undefined));
  if (from.type !== 'BASE_TABLE') {
    const message = fromMessages[from.type ?? ''] ?? 'This cannot be read from; name a source table';
    // A join has no position of its own: point to its right side.
    findings.stop(message, places.of(from.type === 'JOIN' && isNode(from.right) ? from.right : from));
  }
  if (isPresent(from.schema_name) || isPresent(from.catalog_name))
    findings.stop('Schemas are not supported; write the name of the table alone', places.of(from));
  if (isPresent(from.sample))
    findings.add('TABLESAMPLE is not supported; write WHERE', places.keyword('tablesample'));
  if (isPresent(from.at_clause)) findings.add('AT is not supported; remove it', places.keyword('at'));
  if (isPresent(from.column_name_alias)) {
    const message = 'Column names after the table are not supported; rename columns with AS in the SELECT';
    findings.add(message, places.of(from));
  }
  return from;
}
