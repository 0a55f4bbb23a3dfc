import type { DuckDBConnection } from '@duckdb/node-api';
import { children, isNode, parseSelect, readTree, type TreeNode, writeSelect } from '../parse-tree.ts';

/** Making and changing DuckDB's parse trees. */

export const columnRef = (...names: string[]): TreeNode => ({
  class: 'COLUMN_REF',
  type: 'COLUMN_REF',
  alias: '',
  query_location: 0,
  column_names: names,
});

export const tableRef = (name: string, alias: string): TreeNode => ({
  type: 'BASE_TABLE',
  alias,
  sample: null,
  query_location: 0,
  schema_name: '',
  table_name: name,
  column_name_alias: [],
  catalog_name: '',
  at_clause: null,
});

export const subquery = (node: TreeNode, alias: string): TreeNode => ({
  type: 'SUBQUERY',
  alias,
  sample: null,
  query_location: 0,
  subquery: { node, named_param_map: [] },
  column_name_alias: [],
});

export const selectOf = (list: readonly TreeNode[], from: TreeNode): TreeNode => ({
  type: 'SELECT_NODE',
  modifiers: [],
  cte_map: { map: [] },
  select_list: [...list],
  from_table: from,
  where_clause: null,
  group_expressions: [],
  group_sets: [],
  aggregate_handling: 'STANDARD_HANDLING',
  having: null,
  sample: null,
  qualify: null,
});

export const star = (): TreeNode => ({
  class: 'STAR',
  type: 'STAR',
  alias: '',
  query_location: 0,
  relation_name: '',
  exclude_list: [],
  replace_list: [],
  columns: false,
  expr: null,
  qualified_exclude_list: [],
  rename_list: [],
});

/** A copy that keeps numbers that JavaScript writes differently. */
export const copyOf = (node: TreeNode): TreeNode => readTree(JSON.stringify(node));

export const named = (node: TreeNode, alias: string): TreeNode => ({ ...node, alias });

export const textOf = (connection: DuckDBConnection, root: TreeNode): Promise<string> =>
  writeSelect(connection, { error: false, statements: [{ node: root, named_param_map: [] }] });

/** Parses a SELECT that was written by a tree, or by code. */
export async function treeOf(connection: DuckDBConnection, text: string): Promise<TreeNode> {
  const parsed = await parseSelect(connection, text);
  if ('failure' in parsed) throw new Error(parsed.failure.message);
  return parsed.root;
}

export async function expressionOf(connection: DuckDBConnection, text: string): Promise<TreeNode> {
  const [item] = children((await treeOf(connection, `SELECT ${text}`)).select_list);
  return item as TreeNode;
}

/** The text of an expression. */
export async function expressionText(connection: DuckDBConnection, node: TreeNode): Promise<string> {
  const empty = { type: 'EMPTY', alias: '', sample: null, query_location: 0 };
  const text = await textOf(connection, selectOf([named(node, '')], empty));
  return text.replace(/^\s*SELECT\s+/i, '').replace(/;?\s*$/, '');
}

/** Visits a part of a tree and everything in it. `visit` returns false for a node that is not to be entered. */
export function walk(part: unknown, visit: (node: TreeNode) => boolean | undefined): void {
  if (Array.isArray(part)) for (const item of part) walk(item, visit);
  if (!isNode(part) || visit(part) === false) return;
  for (const value of Object.values(part)) walk(value, visit);
}

/** A copy in which `change` replaces nodes; it returns undefined for a node that is only entered. */
export function replaced<T>(part: T, change: (node: TreeNode) => TreeNode | undefined): T {
  if (Array.isArray(part)) return part.map((item) => replaced(item, change)) as T;
  if (!isNode(part) || 'rawJSON' in part) return part;
  const changed = change(part);
  if (changed) return changed as T;
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, replaced(value, change)])) as T;
}

/** Hides a column from every `*` of a select list. */
export function hideFromStars(part: unknown, column: string): void {
  walk(part, (node) => {
    if (node.class !== 'STAR') return undefined;
    const excluded = Array.isArray(node.exclude_list) ? node.exclude_list : [];
    if (!excluded.includes(column)) node.exclude_list = [...excluded, column];
    return undefined;
  });
}

/** Forgets the places of a tree that is not of the text of the query. */
export function withoutPlaces(root: TreeNode): TreeNode {
  walk(root, (node) => {
    if ('query_location' in node) node.query_location = noPlace;
    return undefined;
  });
  return root;
}

// DuckDB's own "no position", which no number of JavaScript is.
const noPlace = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('18446744073709551615');
