import type { DuckDBConnection } from '@duckdb/node-api';
import { checkColumnUses } from '../formats/schema/column-use.ts';
import { reserved } from '../formats/schema/sql-type.ts';
import type { Query } from './analysis.ts';
import { type Diagnostic, diagnosticsOf, Findings, type Range } from './diagnostic.ts';
import { isSameType } from './field-types.ts';
import { graphOf, operatorId } from './graph.ts';
import { checkFieldNames } from './names.ts';
import type { Catalog, InsertPlan, Plan, PreviewPlan, TableDefinition } from './plan.ts';
import type { UnnamedInsert } from './select.ts';
import { type Insert, readStatements, type SelectText } from './statements.ts';
import { Tables } from './tables.ts';
import type { Identifier } from './token-reader.ts';
import { isSymbol, isWord, type Token } from './tokens.ts';

/**
 * Query text -> plan or diagnostics. Compilation runs in the main thread. Worker threads get finished plans, and open
 * their transforms with open-transform.ts.
 */

/**
 * Compiles a query. Throws `invalid_query` with one entry of `errors` for each mistake, all with the path `/query`;
 * `diagnosticsOf` returns the same mistakes with their places. Errors of the catalog that are not the query's fault,
 * such as a database that is unavailable, pass through unchanged.
 */
export async function compileQuery(query: string, catalog: Catalog): Promise<Plan> {
  const { inserts: statements, ...reading } = await readQuery(query, catalog);
  const inserts: InsertPlan[] = [];
  for (const insert of statements) inserts.push(await planInsert(insert, reading, inserts));
  const tables = inserts.flatMap((insert) =>
    isPreviewSink(insert.sink) ? sourcesOf(insert) : [...sourcesOf(insert), insert.sink],
  );
  const unique = new Map(tables.map((table) => [table.name, table]));
  return { tables: [...unique.values()], inserts, graph: graphOf(inserts), warnings: reading.warnings.all() };
}

/**
 * Compiles a query for a preview: each of its SELECTs, with the columns it returns. The sink of an INSERT is ignored.
 * Throws as `compileQuery` does.
 */
export async function compilePreview(query: string, catalog: Catalog): Promise<PreviewPlan[]> {
  const { inserts, ...reading } = await readQuery(query, catalog);
  const previews: PreviewPlan[] = [];
  for (const insert of inserts) {
    const { planPreview } = await import('./select.ts');
    const { others, ...plan } = await withEngine((connection) => planPreview(connection, insert, reading));
    const operatorIds = {
      source: operatorId('source', plan.source.name),
      transform: operatorId('transform', `preview ${previews.length}`),
    };
    previews.push({ ...plan, operatorIds, ...further(others, (name) => operatorId('source', name)) });
  }
  return previews;
}

export async function diagnose(
  query: string,
  catalog: Catalog,
): Promise<{ plan: Plan } | { diagnostics: Diagnostic[] }> {
  try {
    return { plan: await compileQuery(query, catalog) };
  } catch (error) {
    const diagnostics = diagnosticsOf(error);
    if (!diagnostics) throw error;
    return { diagnostics };
  }
}

async function readQuery(text: string, catalog: Catalog): Promise<Query & { inserts: readonly Insert[] }> {
  const findings = new Findings(text);
  const { tables, selects, limits } = readStatements(text, findings);
  const made = new Tables(catalog, findings);
  const warnings = new Findings(text);
  const maps = { views: new Map(), computed: new Map() };
  const query = { text, findings, warnings, tables: made, limits, ...maps };
  for (const statement of tables) {
    const computed = await made.create(statement);
    if (!computed) continue;
    const { planComputed } = await import('./views.ts');
    await withEngine((connection) => planComputed(connection, computed, query));
  }
  const inserts: Insert[] = [];
  // DuckDB is loaded for the first view: a query of whole rows does without.
  for (const select of selects) {
    const { sink } = 'sink' in select ? select : {};
    if (!('sink' in select)) {
      const { planView } = await import('./views.ts');
      await withEngine((connection) => planView(connection, select, query));
    } else if (sink && made.isMemory(sink)) {
      const { planMemory } = await import('./views.ts');
      await withEngine((connection) => planMemory(connection, { ...select, sink }, query));
    } else inserts.push(select);
  }
  if (inserts.length === 0) findings.stop('The query has no SELECT or INSERT INTO … SELECT statement');
  return { ...query, inserts };
}

async function planInsert(insert: Insert, query: Query, before: readonly InsertPlan[]): Promise<InsertPlan> {
  const { sink, ...select } = insert;
  const { others, ...plan } = sink
    ? ((await planWholeRows({ sink, ...select }, query)) ??
      (await planInEngine({ sink, ...select }, query, before.at(-1)?.sink)))
    : await planAlone(select, query, before.filter((other) => isPreviewSink(other.sink)).length);
  if (sink) checkTransactional(plan, sink, query.findings);
  const writer = uniqueWriter(plan, before);
  const read = new Set(before.flatMap(sourcesOf).map(({ name }) => name));
  const reader = (name: string) => operatorId('source', read.has(name) ? `${name} for ${writer}` : name);
  const operatorIds = {
    source: reader(plan.source.name),
    transform: operatorId('transform', writer),
    sink: operatorId('sink', writer),
  };
  return { ...plan, operatorIds, ...further(others, reader) };
}

/** A transaction has positions of one source of the same system, and no state. */
function checkTransactional(
  { sink, source, select }: Pick<InsertPlan, 'sink' | 'source' | 'select'>,
  range: Range,
  findings: Findings,
): void {
  const { transactional: otherwise, connector, name } = sink;
  if (otherwise === undefined) return;
  if (source.connector !== connector)
    findings.stop(
      `${name} writes each message exactly once, which needs a source of the connector ${connector}: ${source.name} is of ${source.connector}. Otherwise ${otherwise}`,
      range,
    );
  if (select.kind === 'stateful')
    findings.stop(
      `${name} writes each message exactly once, which a query with windows or aggregates cannot: ${otherwise}`,
      range,
    );
}

const further = (
  others: readonly TableDefinition[],
  reader: (name: string) => string,
): Pick<InsertPlan, 'others'> =>
  others.length === 0
    ? {}
    : { others: others.map((source) => ({ source, operatorId: reader(source.name) })) };

/** All sources of an INSERT. */
export const sourcesOf = ({
  source,
  others = [],
}: Pick<InsertPlan, 'source' | 'others'>): TableDefinition[] => [
  source,
  ...others.map((other) => other.source),
];

type Unnamed = UnnamedInsert;

/** Connector of the sink of a SELECT alone. It discards the rows, which can be seen in the output of the pipeline. */
const previewConnector = 'preview';

export const isPreviewSink = ({ connector, stored }: TableDefinition): boolean =>
  connector === previewConnector && !stored;

async function planAlone(select: SelectText, query: Query, nth: number): Promise<Unnamed> {
  const { planPreview, isUpdating } = await import('./select.ts');
  const plan = await withEngine((connection) => planPreview(connection, select, query));
  const sink: TableDefinition = {
    name: nth === 0 ? 'preview' : `preview ${nth + 1}`,
    connector: previewConnector,
    direction: 'sink',
    schema: {
      format: { type: 'json', ...(isUpdating(plan.select) && { debezium: true }) },
      fields: plan.columns,
    },
    profile: {},
    config: {},
  };
  return { source: plan.source, sink, select: plan.select, others: plan.others };
}

/** The sink's name, made unique for a further insert: a broker disconnects one of two clients of the same name. */
function uniqueWriter({ sink, source }: Omit<Unnamed, 'others'>, before: readonly InsertPlan[]): string {
  const others = before.filter((other) => other.sink.name === sink.name);
  if (others.length === 0) return sink.name;
  const same = others.filter((other) => other.source.name === source.name).length;
  return `${sink.name} from ${source.name}${same > 0 ? ` ${same + 1}` : ''}`;
}

/** The first SELECT of a UNION ALL gives the columns of a sink that has none: `last` is that sink. */
async function planInEngine(
  insert: Insert & { sink: Identifier },
  query: Query,
  last: TableDefinition | undefined,
): Promise<Unnamed> {
  const { planSelect } = await import('./select.ts');
  const named = insert.continues ? last : undefined;
  return withEngine((connection) => planSelect(connection, insert, query, named));
}

/** Loads DuckDB for the first query that needs it. The connection is closed afterwards, with its temporary tables. */
async function withEngine<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const { connectEngine } = await import('./engine/connection.ts');
  const connection = await connectEngine();
  try {
    return await work(connection);
  } finally {
    connection.closeSync();
  }
}

/**
 * Plans `INSERT INTO sink SELECT * FROM source` between tables with the same columns: the one query that needs no
 * DuckDB, which takes 55 MB. Returns undefined for anything else, and for any mistake, which DuckDB then explains.
 */
async function planWholeRows(
  insert: Insert & { sink: Identifier },
  { tables, views, computed, findings }: Query,
): Promise<Unnamed | undefined> {
  const from = onlyTable(insert.tokens);
  // A view may have the name of a table.
  if (!from || views.size > 0) return undefined;
  const sink = await tables.named(insert.sink);
  if (sink.direction !== 'sink' || tables.isMemory(from)) return undefined;
  const source = await tables.named(from);
  if (source.direction !== 'source' || computed.has(source.name)) return undefined;
  const [inputs, columns] = [source.schema.fields ?? [], sink.schema.fields ?? []];
  if (columns.length === 0 || inputs.length !== columns.length) return undefined;
  const same = columns.every((column, index) => {
    const input = inputs[index];
    return input?.name === column.name && isSameType(input, column);
  });
  if (!same || checkColumnUses(sink.uses ?? [], columns).length > 0) return undefined;
  checkFieldNames(source, from, findings);
  return { source, sink, select: { kind: 'passthrough' }, others: [] };
}

/** The table of `SELECT * FROM table`, if these are all the tokens. */
function onlyTable(tokens: readonly Token[]): Identifier | undefined {
  const [select, star, from, table] = tokens;
  if (tokens.length !== 4 || !table || !isWord(select, 'select') || !isWord(from, 'from')) return undefined;
  if (!isSymbol(star, '*')) return undefined;
  const plain = table.kind === 'word' && /^[a-z_]\w*$/i.test(table.text);
  const exact = table.kind === 'name' && table.text !== '';
  if (!exact && (!plain || reserved.has(table.text.toLowerCase()))) return undefined;
  return { text: table.text, exact, from: table.from, to: table.to };
}
