import type { DuckDBConnection } from '@duckdb/node-api';
import type { OutputColumn } from '../engine/connection.ts';
import { findColumn, functionKinds } from '../expressions.ts';
import { children, isNode, isPresent, type TreeNode } from '../parse-tree.ts';
import { copyOf, selectOf, star, walk } from './tree.ts';
import { isWindowCall } from './window-call.ts';

/** Names that the expressions of a SELECT may use. */
export interface Scope {
  columns: readonly { name: string }[];
  qualifiers: readonly string[];
  /** The items of the select list by their names. */
  aliases: ReadonlyMap<string, TreeNode>;
  items: readonly TreeNode[];
}

/** The names of a SELECT before it is changed. Gives every item of its list the name that it has without one. */
export async function scopeOf(
  node: TreeNode,
  described: (root: TreeNode) => Promise<OutputColumn[]>,
): Promise<Scope> {
  const from = node.from_table as TreeNode;
  const columns = await described(selectOf([star()], from));
  const output = await described(node);
  const items = children(node.select_list);
  const hasStar = items.some(({ class: kind }) => kind === 'STAR');
  const aliases = new Map<string, TreeNode>();
  if (!hasStar && items.length === output.length)
    for (const [index, item] of items.entries()) {
      if (isPresent(item.alias)) aliases.set(String(item.alias).toLowerCase(), item);
      else item.alias = output[index]?.name ?? '';
    }
  const qualifiers = [String(from.alias ?? ''), String(from.table_name ?? '')].filter((name) => name !== '');
  return { columns, qualifiers, aliases, items };
}

/** The same text for expressions that mean the same. */
export function idOf(node: TreeNode, scope: Scope): string {
  return JSON.stringify(node, (key, value) => {
    if (key === 'query_location' || key === 'alias') return undefined;
    if (isNode(value) && value.class === 'COLUMN_REF') {
      const names = value.column_names as string[];
      const found = findColumn(names, scope);
      return { column: (found ? names.slice(found.part) : names).map((name) => name.toLowerCase()) };
    }
    return value;
  });
}

/** The expression that a name of the select list or its number stands for. */
export function meantBy(node: TreeNode, { columns, qualifiers, aliases, items }: Scope): TreeNode {
  if (node.class === 'CONSTANT' && isNode(node.value)) {
    const { value } = node.value;
    const item = typeof value === 'number' ? items[value - 1] : undefined;
    return item ?? node;
  }
  if (node.class !== 'COLUMN_REF') return node;
  const names = node.column_names as string[];
  if (names.length !== 1 || findColumn(names, { columns, qualifiers })) return node;
  return aliases.get(String(names[0]).toLowerCase()) ?? node;
}

/** The names under which a SELECT shows all its groups; undefined if it does not. */
export function shownKey(groups: readonly TreeNode[], scope: Scope): string[] | undefined {
  const names = groups.map((group) => {
    const item = scope.items.find((one) => idOf(one, scope) === idOf(group, scope));
    return item && String(item.alias || lastOf(item));
  });
  return names.every((name) => name !== undefined && name !== '') ? (names as string[]) : undefined;
}

/** What a SELECT has that needs more than one row. */
export async function usesOf(node: TreeNode, connection: DuckDBConnection) {
  const { aggregates } = await functionKinds(connection);
  let windowFunction: TreeNode | undefined;
  let windowCall: TreeNode | undefined;
  let aggregate = false;
  const visit = (part: TreeNode): undefined => {
    if (part.class === 'WINDOW') windowFunction ??= part;
    if (isWindowCall(part)) windowCall ??= part;
    if (isAggregate(part, aggregates)) aggregate = true;
    return undefined;
  };
  for (const part of [node.select_list, node.having, node.qualify]) walk(part, visit);
  const groups =
    aggregate || isPresent(node.group_expressions) || node.aggregate_handling === 'FORCE_AGGREGATES';
  return { windowFunction, windowCall, groups };
}

/** Whether an expression is one of the columns that hold the window. */
export const isWindowColumn = (node: TreeNode, windows: ReadonlySet<string>): boolean =>
  node.class === 'COLUMN_REF' && windows.has(lastOf(node).toLowerCase());

/** Window functions number the rows of a window, so their partitions must have it. */
export function partitionByWindow(
  node: TreeNode,
  { windows, window }: { windows: ReadonlySet<string>; window: TreeNode },
  refuse: (message: string, at: TreeNode) => never,
): void {
  walk([node.select_list, node.qualify], (part) => {
    if (part.class !== 'WINDOW') return undefined;
    const partitions = children(part.partitions);
    const has = partitions.some(
      (one) => isWindowColumn(one, windows) || (one.class === 'COLUMN_REF' && lastOf(one) === '__w'),
    );
    if (!has) refuse('PARTITION BY must have the window of the rows', part);
    part.partitions = [...partitions, copyOf(window)];
    return undefined;
  });
}

export const lastOf = (node: TreeNode): string =>
  node.class === 'COLUMN_REF' ? String((node.column_names as string[]).at(-1)) : '';

export const grouped = (groups: readonly TreeNode[]) => ({
  group_expressions: groups,
  group_sets: groups.length > 0 ? [groups.map((_, index) => index)] : [],
  aggregate_handling: 'STANDARD_HANDLING',
});

export const isAggregate = (node: TreeNode, aggregates: ReadonlySet<string>): boolean =>
  node.class === 'FUNCTION' && aggregates.has(String(node.function_name).toLowerCase());

export function holdsAggregate(node: TreeNode, aggregates: ReadonlySet<string>): boolean {
  let holds = false;
  walk(node, (part) => {
    if (isAggregate(part, aggregates)) holds = true;
    return undefined;
  });
  return holds;
}
