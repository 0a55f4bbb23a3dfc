import type { DuckDBConnection } from '@duckdb/node-api';
import { validateSchema } from '../formats/codec.ts';
import { takesChanges } from '../formats/json/changes.ts';
import { checkColumnUses } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, Field, ListItem } from '../formats/schema/schema.ts';
import { sqlType } from '../formats/schema/sql-type.ts';
import type { Analysis, Query } from './analysis.ts';
import type { Findings, Range } from './diagnostic.ts';
import { fieldTypeOf } from './engine/values.ts';
import { engineTypeName, isAssignable } from './field-types.ts';
import { checkFieldNames, findNamed } from './names.ts';
import { children, type TreeNode } from './parse-tree.ts';
import type { InsertPlan, PreviewPlan, Select, TableDefinition } from './plan.ts';
import { chooseSelect, outputFields } from './row-select.ts';
import { type AnyAnalysis, analyseAny, statefulSelect } from './stateful/stateful.ts';
import type { Insert, SelectText } from './statements.ts';
import type { Identifier } from './token-reader.ts';

/** A plan without the names of its operators. `others` are further sources of a select over many rows. */
export type UnnamedInsert = Omit<InsertPlan, 'operatorIds' | 'others'> & Further;
type UnnamedPreview = Omit<PreviewPlan, 'operatorIds' | 'others'> & Further;
interface Further {
  others: readonly TableDefinition[];
}

/**
 * Plans one INSERT; a sink without columns gets those of the SELECT. `connection` is for this call alone, which
 * leaves temporary tables behind. `known` is the sink, if it is known already.
 */
export async function planSelect(
  connection: DuckDBConnection,
  insert: Insert & { sink: Identifier },
  query: Query,
  known?: TableDefinition,
): Promise<UnnamedInsert> {
  const { findings } = query;
  const named = known ?? (await writable(insert.sink, query));
  const analysis = await analyseAny(connection, insert, query);
  const sink = withColumns(named, analysis, insert.sink, findings);
  const fields = sink.schema.fields ?? [];
  for (const { path, message } of checkColumnUses(sink.uses ?? [], fields))
    findings.add(`${path.slice(1)} of ${sink.name} ${message}`, insert.sink);
  findings.settle();
  checkOutput(fields, analysis, analysis.draft !== undefined, findings);
  const plan = await chosen(connection, analysis, fields, query);
  if (isUpdating(plan.select) && !takesChanges(sink)) {
    const message = `${sink.name} cannot take results that change: use format = 'debezium_json', a postgres table with a primary key, or group by a window`;
    findings.stop(message, insert.sink);
  }
  return { sink, ...plan };
}

/** Whether results change, because they are over all rows. */
export const isUpdating = (select: Select): boolean =>
  select.kind === 'stateful' && select.window === undefined;

export async function planPreview(
  connection: DuckDBConnection,
  statement: SelectText,
  query: Query,
): Promise<UnnamedPreview> {
  const analysis = await analyseAny(connection, statement, query);
  const columns = outputFields(analysis, query.findings);
  return { columns, ...(await chosen(connection, analysis, columns, query)) };
}

async function chosen(
  connection: DuckDBConnection,
  analysis: AnyAnalysis,
  columns: readonly Field[],
  query: Query,
): Promise<Pick<InsertPlan, 'source' | 'select'> & Further> {
  const { source } = analysis;
  if (!analysis.draft) {
    const select = await chooseSelect(connection, analysis, columns, query.findings);
    return { source, select, others: [] };
  }
  const select = await statefulSelect(connection, analysis, columns, query);
  return { source, select, others: analysis.sources.slice(1) };
}

async function writable(name: Identifier, { tables, views, findings }: Query): Promise<TableDefinition> {
  if (findNamed(views, name))
    findings.stop(`${name.text} is a view and cannot be written to; name a sink table`, name);
  const table = await tables.named(name);
  if (table.direction !== 'sink')
    findings.stop(`${table.name} is a source and cannot be written to; name a sink table`, name);
  checkFieldNames(table, name, findings);
  return table;
}

/** Gives a sink without columns those of the SELECT. */
function withColumns(sink: TableDefinition, analysis: Analysis, range: Range, findings: Findings) {
  if ((sink.schema.fields ?? []).length > 0 || !sink.schema.inferred) return sink;
  const schema: ConnectionSchema = { ...sink.schema, fields: outputFields(analysis, findings) };
  for (const { message } of validateSchema(schema, undefined, sink.takesRows))
    findings.add(`${message}; name the columns of the SELECT with AS`, range);
  findings.settle();
  const inferred = { ...sink, schema };
  checkFieldNames(inferred, range, findings);
  return inferred;
}

/** Counts and sums may go to a smaller integer: a result that does not fit fails the job. */
const areIntegers = (from: ListItem, to: ListItem): boolean =>
  [from, to].every(({ type }) => integer.test(type));

const integer = /^u?int/;

/** Compares the output of the SELECT with the columns of the sink, by position, as INSERT … SELECT does. */
function checkOutput(
  columns: readonly Field[],
  { output, root, places }: Analysis,
  manyRows: boolean,
  findings: Findings,
): void {
  if (output.length !== columns.length) {
    const given = output.length === 1 ? '1 column' : `${output.length} columns`;
    const wanted = `${columns.length}: ${columns.map(({ name }) => name).join(', ')}`;
    findings.stop(`The SELECT has ${given}, but the sink has ${wanted}`, places.at(0));
  }
  const items = children(root.select_list);
  const aligned = items.length === output.length && items.every((item) => item.class !== 'STAR');
  for (const [index, { name, type }] of output.entries()) {
    const column = columns[index];
    if (!column) continue;
    const item = aligned ? items[index] : undefined;
    const range = item ? places.of(item) : places.at(0);
    if (item?.class === 'CONSTANT' && (item.value as TreeNode | undefined)?.is_null === true) {
      if (column.required) findings.add(`The column ${column.name} of the sink must not be null`, range);
      continue;
    }
    const from = fieldTypeOf(type);
    if (from && (isAssignable(from, column) || (manyRows && areIntegers(from, column)))) continue;
    const types = `${name} is ${from ? sqlType(from) : type}, but the column ${column.name} of the sink is ${sqlType(column)}`;
    findings.add(`${types}; write CAST(… AS ${engineTypeName(column)})`, range);
  }
  findings.settle();
}
