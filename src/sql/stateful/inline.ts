import type { DuckDBConnection } from '@duckdb/node-api';
import { type Query, readable, type View } from '../analysis.ts';
import { checkFieldNames } from '../names.ts';
import { children, isNode, isPresent, type Places, type TreeNode } from '../parse-tree.ts';
import type { TableDefinition } from '../plan.ts';
import { copyOf, subquery, tableRef, treeOf, walk, withoutPlaces } from './tree.ts';

/** Aggregates under the names of Arroyo (DataFusion) that DuckDB has under others. */
export const renamed: ReadonlyMap<string, string> = new Map([
  ['first_value', 'first'],
  ['last_value', 'last'],
  ['approx_distinct', 'approx_count_distinct'],
  ['var', 'var_samp'],
  ['var_sample', 'var_samp'],
  ['var_population', 'var_pop'],
  ['covar', 'covar_samp'],
]);

/** A named SELECT of a WITH, with those that it may itself read. */
interface Named {
  root: TreeNode;
  others: ReadonlyMap<string, Named>;
  isRead: boolean;
}

const maxDepth = 30;

/** Writes views, names of WITH and computed columns out, so that a SELECT reads source tables only. */
export class Inliner {
  /** The source tables, in order of their first use. */
  readonly sources = new Map<string, TableDefinition>();
  readonly #connection: DuckDBConnection;
  readonly #query: Query;
  readonly #places: Places;

  constructor(connection: DuckDBConnection, query: Query, places: Places) {
    this.#connection = connection;
    this.#query = query;
    this.#places = places;
  }

  /** Changes the tree of a SELECT. */
  async inline(root: TreeNode, outer: ReadonlyMap<string, Named> = new Map(), depth = 1): Promise<void> {
    const { findings } = this.#query;
    if (depth > maxDepth)
      findings.stop(`SELECTs can be nested at most ${maxDepth} levels deep`, this.#places.at(0));
    const { all, own } = this.#readWith(root, outer);
    if (root.type === 'SET_OPERATION_NODE') {
      await this.inline(root.left as TreeNode, all, depth + 1);
      await this.inline(root.right as TreeNode, all, depth + 1);
    } else if (root.type === 'SELECT_NODE') {
      if (isPresent(root.sample))
        findings.stop('USING SAMPLE is not supported; write WHERE', this.#places.keyword('using'));
      root.from_table = await this.#from(root.from_table, all, depth);
    } else {
      const message = 'WITH RECURSIVE is not supported: a stream never ends, so neither would the recursion';
      findings.stop(message, this.#places.keyword('recursive'));
    }
    for (const [name, { isRead }] of own)
      if (!isRead) findings.add(`WITH ${name} is never read; remove it`, this.#places.keyword('with'));
    findings.settle();
    rename(root);
  }

  #readWith(root: TreeNode, outer: ReadonlyMap<string, Named>) {
    const all = new Map(outer);
    const own = new Map<string, Named>();
    const map = isNode(root.cte_map) ? children(root.cte_map.map) : [];
    for (const { key, value } of map) {
      const inner = isNode(value) && isNode(value.query) ? value.query.node : undefined;
      if (!isNode(inner)) continue;
      if (isNode(value) && isPresent(value.aliases))
        this.#query.findings.stop(columnNames, this.#places.keyword('with'));
      const entry: Named = { root: inner, others: new Map(all), isRead: false };
      all.set(String(key).toLowerCase(), entry);
      own.set(String(key), entry);
    }
    root.cte_map = { map: [] };
    return { all, own };
  }

  async #from(from: unknown, named: ReadonlyMap<string, Named>, depth: number): Promise<TreeNode> {
    const { findings } = this.#query;
    const node = isNode(from) ? from : {};
    if (isPresent(node.column_name_alias))
      findings.stop(
        'Column names after the table are not supported; rename columns with AS in the SELECT',
        this.#places.of(node),
      );
    switch (node.type) {
      case 'SUBQUERY': {
        const inner = isNode(node.subquery) ? (node.subquery.node as TreeNode) : {};
        await this.inline(inner, named, depth + 1);
        return node;
      }
      case 'JOIN':
        node.left = await this.#from(node.left, named, depth);
        node.right = await this.#from(node.right, named, depth);
        return node;
      case 'BASE_TABLE':
        return this.#table(node, named, depth);
      case undefined:
      case 'EMPTY':
        return findings.stop('FROM and the name of a source table are missing', this.#places.at(undefined));
      default:
        return findings.stop('This cannot be read from; name a source table', this.#places.of(node));
    }
  }

  async #table(from: TreeNode, named: ReadonlyMap<string, Named>, depth: number): Promise<TreeNode> {
    const { findings, computed } = this.#query;
    if (isPresent(from.schema_name) || isPresent(from.catalog_name))
      findings.stop('Schemas are not supported; write the name of the table alone', this.#places.of(from));
    const name = String(from.table_name);
    const alias = String(from.alias ?? '') || name;
    const entry = named.get(name.toLowerCase());
    if (entry) {
      entry.isRead = true;
      const root = copyOf(entry.root);
      await this.inline(root, entry.others, depth + 1);
      return subquery(root, alias);
    }
    const { source, view } = await readable(from, this.#places, this.#query);
    if (!view) return this.#source(source, from, alias);
    if (view === computed.get(source.name)) return subquery(await this.#computed(view), alias);
    const root = await this.#parsed(view.text);
    await new Inliner(this.#connection, withViews(this.#query, view), this.#places).#intoThis(this, root);
    return subquery(root, alias);
  }

  async #intoThis(other: Inliner, root: TreeNode): Promise<void> {
    await this.inline(root);
    for (const [name, source] of this.sources) other.sources.set(name, source);
  }

  async #computed({ text, source }: View): Promise<TreeNode> {
    const root = await this.#parsed(text);
    this.#source(source, root.from_table as TreeNode, source.name);
    return root;
  }

  #source(source: TableDefinition, from: TreeNode, alias: string): TreeNode {
    checkFieldNames(source, this.#places.of(from), this.#query.findings);
    this.sources.set(source.name, source);
    return tableRef(source.name, alias);
  }

  async #parsed(text: string): Promise<TreeNode> {
    return withoutPlaces(await treeOf(this.#connection, text));
  }
}

const columnNames =
  'Column names after a name of WITH are not supported; rename columns with AS in its SELECT';

/** What a view may read: the views below it have names of their own, such as those that hold a SELECT inside another. */
function withViews(query: Query, view: View): Query {
  const views = new Map(query.views);
  for (const below of view.below) views.set(below.name, below);
  return { ...query, views };
}

function rename(root: TreeNode): void {
  walk(root, (node) => {
    const to = node.class === 'FUNCTION' ? renamed.get(String(node.function_name).toLowerCase()) : undefined;
    if (to !== undefined) node.function_name = to;
    return undefined;
  });
}
