import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field, ListItem } from '../formats/schema/schema.ts';
import type { Analysis } from './analysis.ts';
import { isSameType } from './column-types.ts';
import type { Findings } from './diagnostic.ts';
import {
  askEngine,
  bounded,
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
} from './engine/engine.ts';
import { checkExpressions, findColumn, type Scope } from './expressions.ts';
import { refuseNames } from './field-names.ts';
import { functionKinds } from './function-kinds.ts';
import { checkOutput, checkUses, outputFields, withColumns } from './output.ts';
import { children, isPresent, Places, parseSelect, type TreeNode } from './parse-tree.ts';
import type { PreviewPlan, ProjectedColumn, Select, TableDefinition } from './plan.ts';
import { computedSelect, createTable } from './rewrite.ts';
import { checkShape } from './shape.ts';
import type { CreateView, Insert, SelectText } from './statements.ts';
import type { Tables } from './tables.ts';
import type { Identifier } from './token-reader.ts';
import { chain, createViews, type View, type Views } from './views.ts';
import { weightless } from './weight.ts';

export interface SelectPlan {
  source: TableDefinition;
  /** The sink; with the columns of the SELECT if it declared none. */
  sink: TableDefinition;
  select: Select;
}

/** What a SELECT may refer to. */
interface Known {
  query: string;
  tables: Tables;
  views: Views;
}

/** Understands the SELECT of a view, and adds it to those known. */
export async function planView(
  connection: DuckDBConnection,
  statement: CreateView,
  known: Known,
  findings: Findings,
): Promise<void> {
  const analysis = await analyse(connection, statement, known, findings);
  const { source, output, view, weight, places } = analysis;
  const twin = output.find(
    ({ name }, index) => output.findIndex((other) => sameName(other.name, name)) < index,
  );
  if (twin) {
    findings.stop(`The view has two columns called ${twin.name}; rename one with AS`, places.at(0));
  }
  const text = known.query.slice(statement.select.from, statement.select.to);
  const below = chain(view);
  known.views.add(
    { name: statement.name.text, text, columns: output, weight, below, source },
    statement,
    findings,
  );
}

const sameName = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** Decides what one INSERT does. `connection` is for this call alone: it leaves temporary tables behind. */
export async function planSelect(
  connection: DuckDBConnection,
  insert: Insert & { sink: Identifier },
  known: Known,
  findings: Findings,
): Promise<SelectPlan> {
  const named = await writable(insert.sink, known, findings);
  const analysis = await analyse(connection, insert, known, findings);
  const sink = withColumns(named, analysis, insert.sink, findings);
  checkUses(sink, insert.sink, findings);
  checkOutput(sink.schema.fields ?? [], analysis, findings);
  const select = await chooseSelect(connection, analysis, sink.schema.fields ?? []);
  return { source: analysis.source, sink, select };
}

/** Decides what a SELECT without a sink does, and which columns it has. */
export async function planPreview(
  connection: DuckDBConnection,
  statement: SelectText,
  known: Known,
  findings: Findings,
): Promise<Omit<PreviewPlan, 'operatorIds'>> {
  const analysis = await analyse(connection, statement, known, findings);
  const columns = outputFields(analysis, findings);
  return { source: analysis.source, columns, select: await chooseSelect(connection, analysis, columns) };
}

async function chooseSelect(
  connection: DuckDBConnection,
  analysis: Analysis,
  columns: readonly Field[],
): Promise<Select> {
  return simpleSelect(analysis, columns) ?? (await computedSelect(connection, analysis, columns));
}

async function writable(
  name: Identifier,
  { tables, views }: Known,
  findings: Findings,
): Promise<TableDefinition> {
  if (views.find(name)) findings.stop(`${name.text} is a view: it cannot be written to`, name);
  const table = await tables.named(name);
  if (table.direction !== 'sink') {
    findings.stop(`${table.name} is a source: it cannot be written to; name a sink table`, name);
  }
  return table;
}

async function analyse(
  connection: DuckDBConnection,
  statement: SelectText,
  known: Known,
  findings: Findings,
): Promise<Analysis> {
  const text = known.query.slice(statement.select.from, statement.select.to);
  const places = new Places(text, statement.select, statement.tokens);
  const parsed = await bounded(connection, () => parseSelect(connection, text));
  if ('failure' in parsed) return refuseText(parsed.failure, statement, places, findings);
  const { tree, root } = parsed;
  const from = checkShape(root, places, findings);
  const { source, view } = await readable(from, places, known, findings);
  const scope: Scope = {
    qualifiers: [view?.name ?? source.name, String(from.alias ?? '')],
    columns: view?.columns ?? source.schema.fields ?? [],
    below: view?.weight ?? weightless,
    aliases: new Set(),
    parameters: new Set(),
    functions: await functionKinds(connection),
  };
  const weight = checkExpressions(root, scope, places, findings);
  findings.settle();
  refuseNames(source, places.of(from), findings);
  const output = await typeCheck(connection, { source, view, text }, places, findings);
  return { source, view, tree, root, weight, output, places };
}

function refuseText(
  failure: { message: string; position: number | undefined },
  { tokens }: SelectText,
  places: Places,
  findings: Findings,
): never {
  if (failure.position !== undefined) findings.stop(sentence(failure.message), places.at(failure.position));
  // DuckDB read it, but as another kind of statement.
  return findings.stop('Only a SELECT can follow here', tokens[0]);
}

async function readable(
  from: TreeNode,
  places: Places,
  { tables, views }: Known,
  findings: Findings,
): Promise<{ source: TableDefinition; view: View | undefined }> {
  const range = places.of(from);
  const token = typeof from.query_location === 'number' ? places.token(from.query_location) : undefined;
  const name = { ...range, text: String(from.table_name), exact: token?.kind === 'name' };
  const view = views.find(name);
  if (view) return { source: view.source, view };
  const source = await tables.named(name, views.names());
  if (source.direction !== 'source') {
    findings.stop(`${source.name} is a sink: it cannot be read from; name a source table`, range);
  }
  return { source, view: undefined };
}

const manyRows = /AGGREGATE|GROUP_BY|WINDOW|TOP_N|LIMIT|SAMPLE|ORDER_BY/;

async function typeCheck(
  connection: DuckDBConnection,
  { source, view, text }: { source: TableDefinition; view: View | undefined; text: string },
  places: Places,
  findings: Findings,
): Promise<OutputColumn[]> {
  await connection.run(createTable(source, []));
  try {
    await createViews(connection, chain(view));
    const output = await bounded(connection, () => describe(connection, text));
    // Macros such as geomean hide an aggregate that the parse tree does not show.
    const plan = await bounded(connection, () => askEngine(connection, `EXPLAIN (FORMAT json) ${text}`));
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
    if (kind === 'INTERRUPT')
      findings.stop('The query takes too long to check; make it simpler', places.at(0));
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
  if (same && columns.every(({ from, to, convert }) => from === to && convert === 'none')) {
    return { kind: 'passthrough' };
  }
  return { kind: 'project', columns };
}

/** The columns an item of the select list stands for; undefined stands for an expression. */
function pick(
  item: TreeNode,
  scope: { qualifiers: readonly string[]; columns: readonly Field[] },
): (Field | undefined)[] {
  if (item.class === 'STAR') {
    const lists = ['exclude_list', 'qualified_exclude_list', 'replace_list', 'rename_list'];
    const plain = lists.every((list) => !isPresent(item[list]));
    return plain ? [...scope.columns] : [undefined];
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
