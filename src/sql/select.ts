import type { DuckDBConnection } from '@duckdb/node-api';
import { validateSchema } from '../formats/codec.ts';
import { checkColumnUses } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, Field, ListItem } from '../formats/schema/schema.ts';
import { sqlType } from '../formats/schema/sql-type.ts';
import { type Analysis, analyse, type Query } from './analysis.ts';
import type { Findings, Range } from './diagnostic.ts';
import { fieldTypeOf } from './engine/values.ts';
import { findColumn } from './expressions.ts';
import { engineTypeName, isAssignable, isSameType } from './field-types.ts';
import { checkFieldNames, findNamed } from './names.ts';
import { children, isPresent, type TreeNode } from './parse-tree.ts';
import type { InsertPlan, PreviewPlan, ProjectedColumn, Select, TableDefinition } from './plan.ts';
import { computedSelect } from './rewrite.ts';
import type { Insert, SelectText } from './statements.ts';
import type { Identifier } from './token-reader.ts';

/**
 * Plans one INSERT; a sink without columns gets those of the SELECT. `connection` is for this call alone, which
 * leaves temporary tables behind. `known` is the sink, if it is known already.
 */
export async function planSelect(
  connection: DuckDBConnection,
  insert: Insert & { sink: Identifier },
  query: Query,
  known?: TableDefinition,
): Promise<Omit<InsertPlan, 'operatorIds'>> {
  const { findings } = query;
  const named = known ?? (await writable(insert.sink, query));
  const analysis = await analyse(connection, insert, query);
  const sink = withColumns(named, analysis, insert.sink, findings);
  const fields = sink.schema.fields ?? [];
  for (const { path, message } of checkColumnUses(sink.uses ?? [], fields))
    findings.add(`${path.slice(1)} of ${sink.name} ${message}`, insert.sink);
  findings.settle();
  checkOutput(fields, analysis, findings);
  return {
    source: analysis.source,
    sink,
    select: await chooseSelect(connection, analysis, fields, findings),
  };
}

export async function planPreview(
  connection: DuckDBConnection,
  statement: SelectText,
  query: Query,
): Promise<Omit<PreviewPlan, 'operatorIds'>> {
  const analysis = await analyse(connection, statement, query);
  const columns = outputFields(analysis, query.findings);
  const select = await chooseSelect(connection, analysis, columns, query.findings);
  return { source: analysis.source, columns, select };
}

const chooseSelect = async (
  connection: DuckDBConnection,
  analysis: Analysis,
  columns: readonly Field[],
  findings: Findings,
): Promise<Select> =>
  simpleSelect(analysis, columns) ?? (await computedSelect(connection, analysis, columns, findings));

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

function outputFields({ output, columns, places }: Analysis, findings: Findings): Field[] {
  return output.map(({ name, type }, index) => {
    const found: ListItem | undefined = columns[index]?.isMember ? { type: 'string' } : fieldTypeOf(type);
    if (!found) {
      const message = `The column ${name} has the type ${type}, which a table cannot hold; add a CAST`;
      return findings.stop(message, places.at(undefined));
    }
    const field: Field = { ...found, name, required: false };
    return { ...field, sql_name: sqlType(field) };
  });
}

/** Compares the output of the SELECT with the columns of the sink, by position, as INSERT … SELECT does. */
function checkOutput(
  columns: readonly Field[],
  { output, root, places }: Analysis,
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
    if (from && isAssignable(from, column)) continue;
    const types = `${name} is ${from ? sqlType(from) : type}, but the column ${column.name} of the sink is ${sqlType(column)}`;
    findings.add(`${types}; write CAST(… AS ${engineTypeName(column)})`, range);
  }
  findings.settle();
}

/** The select in plain JavaScript, if it only picks columns. */
function simpleSelect({ root, source, view }: Analysis, outputs: readonly Field[]): Select | undefined {
  if (isPresent(root.where_clause) || view) return undefined;
  const fields = source.schema.fields ?? [];
  const qualifiers = [source.name, String((root.from_table as TreeNode).alias ?? '')];
  const picked = children(root.select_list).flatMap((item) => pick(item, { qualifiers, columns: fields }));
  const columns: ProjectedColumn[] = [];
  for (const [index, to] of outputs.entries()) {
    const from = picked[index];
    const convert = from && conversion(from, to);
    if (!convert) return undefined;
    columns.push({ from: from.name, to: to.name, convert });
  }
  const same = columns.length === fields.length;
  if (same && columns.every(({ from, to, convert }) => from === to && convert === 'none'))
    return { kind: 'passthrough' };
  return { kind: 'project', columns };
}

/** The columns that an item of the select list expands to; undefined for an expression. */
function pick(
  item: TreeNode,
  scope: { qualifiers: readonly string[]; columns: readonly Field[] },
): readonly (Field | undefined)[] {
  if (item.class === 'STAR') {
    const lists = ['exclude_list', 'qualified_exclude_list', 'replace_list', 'rename_list'];
    return lists.some((list) => isPresent(item[list])) ? [undefined] : scope.columns;
  }
  if (item.class !== 'COLUMN_REF') return [undefined];
  const names = item.column_names as string[];
  const found = findColumn(names, scope);
  return [found && found.part === names.length - 1 ? found.column : undefined];
}

function conversion(from: ListItem, to: ListItem): ProjectedColumn['convert'] | undefined {
  if (isSameType(from, to)) return 'none';
  const { type } = from;
  if (to.type === 'int64' && (type === 'int32' || type === 'uint32')) return 'to_bigint';
  if (to.type === 'uint64' && type === 'uint32') return 'to_bigint';
  if (to.type === 'float64' && (type === 'int32' || type === 'uint32' || type === 'float32')) return 'none';
  return to.type === 'string' && type === 'json' ? 'none' : undefined;
}
