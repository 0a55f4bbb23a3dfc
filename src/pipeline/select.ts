import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field, ListItem } from '../formats/schema.ts';
import { isSameType } from './column-types.ts';
import type { Findings } from './diagnostic.ts';
import {
  aggregateNames,
  askEngine,
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
} from './engine.ts';
import { checkExpressions, findColumn, type Scope } from './expressions.ts';
import { refuseNames } from './field-names.ts';
import { checkOutput, checkUses, withColumns } from './output.ts';
import { children, isPresent, Places, parseSelect, type TreeNode } from './parse-tree.ts';
import type { ProjectedColumn, Select, TableDefinition } from './plan.ts';
import { createTable, engineSelect } from './rewrite.ts';
import { checkShape } from './shape.ts';
import type { Insert } from './statements.ts';
import type { Tables } from './tables.ts';

/** A SELECT that has been understood, before it is known where its rows go. */
export interface Analysis {
  source: TableDefinition;
  tree: TreeNode;
  root: TreeNode;
  scope: Scope;
  output: OutputColumn[];
  places: Places;
}

export interface SelectPlan {
  source: TableDefinition;
  /** The sink; with the columns of the SELECT if it declared none. */
  sink: TableDefinition;
  select: Select;
}

/** Decides what one INSERT does. `connection` is for this call alone: it leaves a temporary table behind. */
export async function planSelect(
  connection: DuckDBConnection,
  query: string,
  insert: Insert,
  tables: Tables,
  findings: Findings,
): Promise<SelectPlan> {
  const named = await tables.named(insert.sink);
  if (named.direction !== 'sink') {
    findings.stop(`${named.name} is a source: it cannot be written to`, insert.sink);
  }
  const analysis = await analyse(connection, query, insert, tables, findings);
  const sink = withColumns(named, analysis, insert.sink, findings);
  checkUses(sink, insert.sink, findings);
  checkOutput(sink.schema.fields ?? [], analysis, findings);
  const select = simpleSelect(analysis, sink) ?? (await engineSelect(connection, analysis, sink));
  return { source: analysis.source, sink, select };
}

async function analyse(
  connection: DuckDBConnection,
  query: string,
  insert: Insert,
  tables: Tables,
  findings: Findings,
): Promise<Analysis> {
  const text = query.slice(insert.select.from, insert.select.to);
  const places = new Places(text, insert.select, insert.tokens);
  const parsed = await parseSelect(connection, text);
  if ('failure' in parsed) return refuseText(parsed.failure, insert, places, findings);
  const { tree, root } = parsed;
  const from = checkShape(root, places, findings);
  const source = await readable(from, places, tables, findings);
  const scope: Scope = {
    qualifiers: [source.name, String(from.alias ?? '')],
    columns: source.schema.fields ?? [],
    aliases: new Set(),
    parameters: new Set(),
    aggregates: await aggregateNames(connection),
  };
  checkExpressions(root, scope, places, findings);
  findings.settle();
  refuseNames(source, places.of(from), findings);
  const output = await typeCheck(connection, source, text, places, findings);
  return { source, tree, root, scope, output, places };
}

function refuseText(
  failure: { message: string; position: number | undefined },
  insert: Insert,
  places: Places,
  findings: Findings,
): never {
  if (failure.position !== undefined) findings.stop(sentence(failure.message), places.at(failure.position));
  // DuckDB read it, but as another kind of statement.
  return findings.stop('Only a SELECT can follow INSERT INTO', insert.tokens[0]);
}

async function readable(
  from: TreeNode,
  places: Places,
  tables: Tables,
  findings: Findings,
): Promise<TableDefinition> {
  const range = places.of(from);
  const token = typeof from.query_location === 'number' ? places.token(from.query_location) : undefined;
  const source = await tables.named({
    ...range,
    text: String(from.table_name),
    exact: token?.kind === 'name',
  });
  if (source.direction !== 'source') findings.stop(`${source.name} is a sink: it cannot be read from`, range);
  return source;
}

const manyRows = /AGGREGATE|GROUP_BY|WINDOW|TOP_N|LIMIT|SAMPLE|ORDER_BY/;

async function typeCheck(
  connection: DuckDBConnection,
  source: TableDefinition,
  text: string,
  places: Places,
  findings: Findings,
): Promise<OutputColumn[]> {
  await connection.run(createTable(source, []));
  try {
    const output = await describe(connection, text);
    // Macros such as geomean hide an aggregate that the parse tree does not show.
    const plan = await askEngine(connection, `EXPLAIN (FORMAT json) ${text}`);
    if (manyRows.test(plan.replaceAll(/"extra_info":\s*\{[^{}]*\}/g, ''))) {
      findings.stop(
        'A function here needs more than one row, which is not possible on a stream',
        places.at(undefined),
      );
    }
    return output;
  } catch (error) {
    findings.settle();
    const { kind, message, position } = engineError(error);
    if (kind === 'INTERNAL' || kind === 'FATAL' || kind === 'Unknown')
      throw engineFailed('check a query', error);
    return findings.stop(sentence(message), places.at(position));
  }
}

/** DuckDB's message without what it adds for its own users. */
function sentence(message: string): string {
  return (message.split('\n')[0] ?? message).replace(/[!.]$/, '');
}

/** The select as plain JavaScript, if it only picks columns. */
function simpleSelect({ root, scope, source }: Analysis, sink: TableDefinition): Select | undefined {
  if (isPresent(root.where_clause)) return undefined;
  const picked = children(root.select_list).flatMap((item) => pick(item, scope));
  const columns: ProjectedColumn[] = [];
  for (const [index, to] of (sink.schema.fields ?? []).entries()) {
    const from = picked[index];
    const convert = from && conversion(from, to);
    if (!convert) return undefined;
    columns.push({ from: from.name, to: to.name, convert });
  }
  const same = columns.length === (source.schema.fields ?? []).length;
  if (same && columns.every(({ from, to, convert }) => from === to && convert === 'none')) {
    return { kind: 'passthrough' };
  }
  return { kind: 'project', columns };
}

/** The columns an item of the select list stands for; undefined stands for an expression. */
function pick(item: TreeNode, scope: Scope): (Field | undefined)[] {
  if (item.class === 'STAR') {
    const lists = ['exclude_list', 'qualified_exclude_list', 'replace_list', 'rename_list'];
    const plain = lists.every((list) => !isPresent(item[list]));
    return plain ? [...scope.columns] : [undefined];
  }
  if (item.class !== 'COLUMN_REF') return [undefined];
  const names = item.column_names as string[];
  const found = findColumn(names, scope);
  return [found && found.part === names.length - 1 ? found.field : undefined];
}

function conversion(from: ListItem, to: ListItem): ProjectedColumn['convert'] | undefined {
  if (isSameType(from, to)) return 'none';
  const { type } = from;
  if (to.type === 'int64' && (type === 'int32' || type === 'uint32')) return 'to_bigint';
  if (to.type === 'uint64' && type === 'uint32') return 'to_bigint';
  if (to.type === 'float64' && (type === 'int32' || type === 'uint32' || type === 'float32')) return 'none';
  return to.type === 'string' && type === 'json' ? 'none' : undefined;
}
