import type { DuckDBConnection } from '@duckdb/node-api';
import { boundExpressions } from './bound.ts';
import { type Cost, noCost } from './cost.ts';
import type { Findings } from './diagnostic.ts';
import { type OutputColumn, withTimeLimit } from './engine/connection.ts';
import { checkExpressions, functionKinds, noWindow, streamWindows } from './expressions.ts';
import { checkForm } from './form.ts';
import { inDuckDb } from './in-duckdb.ts';
import { type JsonColumn, jsonColumns } from './json-columns.ts';
import { checkFieldNames, findDuplicate, findNamed } from './names.ts';
import { refuseNeverRight } from './never-right.ts';
import { children, isNode, Places, parseSelect, type TreeNode, writeSelect } from './parse-tree.ts';
import type { StateLimits, TableDefinition } from './plan.ts';
import type { SelectText } from './statements.ts';
import { warnOfSurprises } from './surprises.ts';
import type { Tables } from './tables.ts';
import { isWord, windowWord } from './tokens.ts';
import { firstSentence, typeCheck } from './type-check.ts';

export interface Query {
  text: string;
  findings: Findings;
  /** Unexpected effects of a valid query. */
  warnings: Findings;
  tables: Tables;
  views: Map<string, View>;
  /** Views that add the columns that a source computes, by the name of the source. */
  computed: Map<string, View>;
  /** Limits of what a SELECT over many rows keeps. */
  limits: StateLimits;
}

/** A view: a SELECT over one source table, possibly through further views. */
export interface View {
  name: string;
  text: string;
  columns: readonly JsonColumn[];
  cost: Cost;
  /** The views between it and the source, nearest to the source first. */
  below: readonly View[];
  source: TableDefinition;
  /** The name that a query gives it, if `name` is another. */
  shownAs?: string;
  /** Whether it, or a view below it, needs more than one row at a time. */
  manyRows?: boolean;
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
  /** The SELECT, with a view in place of each SELECT inside it. */
  text: string;
  cost: Cost;
  output: OutputColumn[];
  /** The output, as columns of a view. */
  columns: readonly JsonColumn[];
  places: Places;
}

export const textOf = ({ select }: Pick<SelectText, 'select'>, query: Query): string =>
  query.text.slice(select.from, select.to);

/**
 * Checks a SELECT and finds the columns that it returns. Leaves temporary tables and views behind. `text` is what is
 * read instead of the statement's own text, which begins after the first `skipped` characters.
 */
export async function analyse(
  connection: DuckDBConnection,
  statement: SelectText,
  query: Query,
  { text: given, skipped }: { text: string; skipped: number } = {
    text: textOf(statement, query),
    skipped: 0,
  },
): Promise<Analysis> {
  const { findings } = query;
  const text = inDuckDb(given, statement.tokens, statement.select.from - skipped);
  const places = new Places(text, statement.select, statement.tokens, skipped);
  const parsed = await withTimeLimit(connection, () => parseSelect(connection, text));
  if ('failure' in parsed) {
    const { message, position } = parsed.failure;
    const [first] = statement.tokens;
    // Arroyo's SQL names columns `window`, which is a reserved word.
    const window = statement.tokens.find(
      ({ text: word }, index) =>
        streamWindows.has(word.toLowerCase()) && statement.tokens[index + 1]?.text === '(',
    );
    if (window) return findings.stop(noWindow(window.text), window);
    if (position !== undefined) return findings.stop(firstSentence(message), places.at(position));
    if (isWord(first, 'select') || isWord(first, 'with'))
      return findings.stop(firstSentence(message), places.at(undefined));
    // DuckDB parsed it, but as another kind of statement.
    return findings.stop('Only a SELECT can follow here', first);
  }
  const { tree, root } = parsed;
  const reader = new SelectReader(connection, query, places);
  reader.isChanged = text.includes(windowWord);
  const level = await reader.read(root, new Map(), 1);
  const own = reader.isChanged ? await writeSelect(connection, tree) : text;
  const { source, view, cost } = level;
  const hasWindow = text.includes(windowWord);
  const checked = hasWindow ? { text: own, isOwn: false } : { text, isOwn: true };
  const output = await typeCheck(connection, reading(level), checked, places, findings);
  await checkMeaning(connection, { text: checked.text, isChanged: reader.isChanged, view }, places, query);
  const columns = jsonColumns(root, level, output);
  return { source, view, tree, root, text: own, cost, output, columns, places };
}

/** Refuses what can never be right, and warns of surprises. A SELECT in another one is known only without views. */
async function checkMeaning(
  connection: DuckDBConnection,
  { text, isChanged, view }: { text: string; isChanged: boolean; view: View | undefined },
  places: Places,
  { views, computed, findings, warnings }: Query,
): Promise<void> {
  if (isChanged && views.size + computed.size > 0) return;
  const readsView = !isChanged && view !== undefined;
  const bound = await withTimeLimit(connection, () => boundExpressions(connection, text, readsView));
  await refuseNeverRight(connection, bound, places, findings);
  findings.settle();
  warnOfSurprises(bound, places, warnings);
}

const reading = ({ source, view }: Level) => ({ source, views: chain(view) });

/** Sources and columns that a SELECT reads. */
interface Level extends Pick<Analysis, 'source' | 'view'> {
  qualifiers: readonly string[];
  /** Those that it can name. */
  columns: readonly JsonColumn[];
  cost: Cost;
}

/** A named SELECT of a WITH, with those that it may itself read. */
interface Named {
  root: TreeNode;
  others: ReadonlyMap<string, Named>;
  isRead: boolean;
}

const maxDepth = 30;
let made = 0;

/** Checks a SELECT and those inside its FROM, and puts a view in place of each of these. */
class SelectReader {
  readonly #connection: DuckDBConnection;
  readonly #query: Query;
  readonly #places: Places;
  isChanged = false;

  constructor(connection: DuckDBConnection, query: Query, places: Places) {
    this.#connection = connection;
    this.#query = query;
    this.#places = places;
  }

  async read(root: TreeNode, outer: ReadonlyMap<string, Named>, depth: number): Promise<Level> {
    const { findings } = this.#query;
    if (depth > maxDepth)
      findings.stop(`SELECTs can be nested at most ${maxDepth} levels deep`, this.#places.at(0));
    const { named, all } = this.#readWith(root, outer);
    const from = checkForm(root, this.#places, findings);
    const { source, view } = await this.#readFrom(from, all, depth);
    for (const [name, { isRead }] of named)
      if (!isRead) findings.add(`WITH ${name} is never read; remove it`, this.#places.keyword('with'));
    const qualifiers = [view?.shownAs ?? view?.name ?? source.name, String(from.alias ?? '')];
    const columns: readonly JsonColumn[] = view?.columns ?? source.schema.fields ?? [];
    const functions = await functionKinds(this.#connection);
    const { eventTime } = source;
    const scope = { qualifiers, columns, below: view?.cost ?? noCost, functions, eventTime };
    const cost = checkExpressions(root, scope, this.#places, findings);
    findings.settle();
    checkFieldNames(source, this.#places.of(from), findings);
    return { source, view, qualifiers, columns, cost };
  }

  #readWith(root: TreeNode, outer: ReadonlyMap<string, Named>) {
    const named = new Map<string, Named>();
    const all = new Map(outer);
    const { cte_map: map } = root;
    for (const { key, value } of children(isNode(map) ? map.map : undefined)) {
      const query = isNode(value) && isNode(value.query) ? value.query.node : undefined;
      if (!isNode(query)) continue;
      if (children(isNode(value) ? value.aliases : undefined).length > 0 || hasNames(value))
        this.#query.findings.add(columnNames, this.#places.keyword('with'));
      const entry: Named = { root: query, others: new Map(all), isRead: false };
      named.set(String(key), entry);
      all.set(String(key).toLowerCase(), entry);
    }
    if (named.size > 0) {
      root.cte_map = { map: [] };
      this.isChanged = true;
    }
    return { named, all };
  }

  async #readFrom(
    from: TreeNode,
    named: ReadonlyMap<string, Named>,
    depth: number,
  ): Promise<Pick<Level, 'source' | 'view'>> {
    if (from.type === 'SUBQUERY') {
      const inner = isNode(from.subquery) ? (from.subquery.node as TreeNode) : {};
      return this.#putView(from, await this.#asView(inner, named, depth, 'unnamed_subquery'));
    }
    const name = String(from.table_name);
    const entry = named.get(name.toLowerCase());
    if (entry) {
      entry.isRead = true;
      return this.#putView(from, await this.#asView(entry.root, entry.others, depth, name));
    }
    const read = await readable(from, this.#places, this.#query);
    return read.view?.shownAs === undefined ? read : this.#putView(from, read.view);
  }

  /** Names a SELECT as a view. */
  async #asView(
    root: TreeNode,
    named: ReadonlyMap<string, Named>,
    depth: number,
    shownAs: string,
  ): Promise<View> {
    const level = await this.read(root, named, depth + 1);
    const statement = { error: false, statements: [{ node: root, named_param_map: [] }] };
    const text = await writeSelect(this.#connection, statement);
    const { findings } = this.#query;
    const output = await typeCheck(
      this.#connection,
      reading(level),
      { text, isOwn: false },
      this.#places,
      findings,
    );
    const duplicate = findDuplicate(output);
    if (duplicate)
      findings.stop(
        `A SELECT inside FROM or WITH has two columns called ${duplicate[1]}; rename one with AS`,
      );
    made += 1;
    const { source, cost, view } = level;
    const columns = jsonColumns(root, level, output);
    return { name: `__select_${made}`, shownAs, text, columns, cost, below: chain(view), source };
  }

  /** Makes a FROM read the view under the name it had. */
  #putView(from: TreeNode, view: View): Pick<Level, 'source' | 'view'> {
    const alias = String(from.alias ?? '') || (view.shownAs ?? view.name);
    delete from.subquery;
    Object.assign(from, { type: 'BASE_TABLE', alias, schema_name: '', catalog_name: '', at_clause: null });
    from.table_name = view.name;
    this.isChanged = true;
    return { source: view.source, view };
  }
}

const columnNames =
  'Column names after a name of WITH are not supported; rename columns with AS in its SELECT';

const hasNames = (value: unknown): boolean =>
  isNode(value) && Array.isArray(value.aliases) && value.aliases.length > 0;

export async function readable(
  from: TreeNode,
  places: Places,
  { tables, views, computed, findings }: Query,
): Promise<Pick<Level, 'source' | 'view'>> {
  const range = places.of(from);
  const token = typeof from.query_location === 'number' ? places.token(from.query_location) : undefined;
  const name = { ...range, text: String(from.table_name), exact: token?.kind === 'name' };
  const view = findNamed(views, name);
  if (view) return { source: view.source, view };
  if (tables.isMemory(name)) {
    const message = `Nothing is written to the memory table ${name.text} yet; write INSERT INTO ${name.text} before it`;
    findings.stop(message, range);
  }
  const source = await tables.named(name, [...views.keys()]);
  if (source.direction !== 'source')
    findings.stop(`${source.name} is a sink and cannot be read from; name a source table`, range);
  return { source, view: computed.get(source.name) };
}
