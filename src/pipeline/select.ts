import type { DuckDBConnection } from '@duckdb/node-api';
import { sqlType, validateSchema } from '../formats/codec.ts';
import type { ConnectionSchema, Field, ListItem } from '../formats/schema.ts';
import { engineTypeName, fieldType, isAssignable, isSameType } from './column-types.ts';
import type { Findings, Range } from './diagnostic.ts';
import {
  aggregateNames,
  askEngine,
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
  quoteName,
} from './engine.ts';
import { checkExpressions, findColumn, type Scope } from './expressions.ts';
import { children, isPresent, Places, parseSelect, type TreeNode, writeSelect } from './parse-tree.ts';
import type { ProjectedColumn, Select, TableDefinition } from './plan.ts';
import { checkShape } from './shape.ts';
import type { Insert } from './statements.ts';
import type { Tables } from './tables.ts';

/** A SELECT that has been understood, before it is known where its rows go. */
interface Analysis {
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

/** Refuses names that a JSON object can have and SQL cannot. */
function refuseNames(table: TableDefinition, range: Range, findings: Findings): void {
  const fields = table.schema.fields ?? [];
  if (fields.some(hasProtoMember)) {
    findings.stop(`${table.name} has a struct with a member __proto__, which DuckDB cannot carry`, range);
  }
  const twins = twinNames(fields);
  if (twins)
    findings.stop(`${table.name} has the fields ${twins.join(' and ')}, which SQL cannot tell apart`, range);
}

function twinNames(fields: readonly Field[]): [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const field of fields) {
    const twin = seen.get(field.name.toLowerCase());
    if (twin !== undefined) return [twin, field.name];
    seen.set(field.name.toLowerCase(), field.name);
    const inner = twinMembers(field);
    if (inner) return inner;
  }
  return undefined;
}

/** The client library of DuckDB loses the value of such a member. */
function hasProtoMember(item: ListItem): boolean {
  const members = item.fields ?? [];
  const inner = item.items ? [...members, item.items] : members;
  return members.some(({ name }) => name === '__proto__') || inner.some(hasProtoMember);
}

function twinMembers(item: ListItem): [string, string] | undefined {
  return (item.fields && twinNames(item.fields)) ?? (item.items && twinMembers(item.items));
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

/** The statement that makes the source's table, with further columns. */
export function createTable(source: TableDefinition, extra: readonly string[]): string {
  const columns = (source.schema.fields ?? []).map(
    (field) => `${quoteName(field.name)} ${engineTypeName(field)}`,
  );
  return `CREATE TEMP TABLE ${quoteName(source.name)} (${[...columns, ...extra].join(', ')})`;
}

/** DuckDB's message without what it adds for its own users. */
function sentence(message: string): string {
  return (message.split('\n')[0] ?? message).replace(/[!.]$/, '');
}

/** Gives a sink without columns those of the SELECT. */
function withColumns(sink: TableDefinition, { output, places }: Analysis, range: Range, findings: Findings) {
  if ((sink.schema.fields ?? []).length > 0 || !sink.schema.inferred) return sink;
  const fields: Field[] = [];
  for (const { name, type } of output) {
    const found = fieldType(type);
    if (!found)
      findings.stop(
        `The column ${name} is ${type}, which no field can hold; add a CAST`,
        places.at(undefined),
      );
    const field: Field = { ...found, name, required: false };
    fields.push({ ...field, sql_name: sqlType(field) });
  }
  const schema: ConnectionSchema = { ...sink.schema, fields };
  for (const { message } of validateSchema(schema)) {
    findings.add(`${message}; name the columns of the SELECT with AS`, range);
  }
  findings.settle();
  const inferred = { ...sink, schema };
  refuseNames(inferred, range, findings);
  return inferred;
}

function checkOutput(
  columns: readonly Field[],
  { output, root, places }: Analysis,
  findings: Findings,
): void {
  if (output.length !== columns.length) {
    const wanted = `${columns.length}: ${columns.map(({ name }) => name).join(', ')}`;
    findings.stop(`The SELECT has ${count(output.length)}, but the sink has ${wanted}`, places.at(0));
  }
  const items = children(root.select_list);
  const aligned = items.length === output.length && items.every((item) => item.class !== 'STAR');
  for (const [index, { name, type }] of output.entries()) {
    const column = columns[index];
    if (!column) continue;
    const range = aligned && items[index] ? places.of(items[index]) : places.at(0);
    if (isNullConstant(items[index], aligned)) {
      if (column.required) findings.add(`The column ${column.name} of the sink may not be null`, range);
      continue;
    }
    const from = fieldType(type);
    if (from && isAssignable(from, column)) continue;
    const shown = from ? sqlType(from) : String(type);
    const wanted = sqlType(column);
    findings.add(
      `${name} is ${shown}, but the column ${column.name} of the sink is ${wanted}; write CAST(… AS ${engineTypeName(column)})`,
      range,
    );
  }
  findings.settle();
}

function isNullConstant(item: TreeNode | undefined, aligned: boolean): boolean {
  return aligned && item?.class === 'CONSTANT' && (item.value as TreeNode | undefined)?.is_null === true;
}

function count(columns: number): string {
  return columns === 1 ? '1 column' : `${columns} columns`;
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

/** The select as DuckDB runs it: each output row with the number of its input row before it. */
async function engineSelect(
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
    if (node.class === 'STAR')
      node.exclude_list = [...((node.exclude_list as string[] | undefined) ?? []), column];
    for (const value of Object.values(node)) hideFromStars(value, column);
  }
}

function freeName(fields: readonly Field[]): string {
  const taken = new Set(fields.map((field) => field.name.toLowerCase()));
  let name = '__row';
  while (taken.has(name)) name += '_';
  return name;
}
