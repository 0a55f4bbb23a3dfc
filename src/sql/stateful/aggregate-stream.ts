import { functionKinds } from '../expressions.ts';
import { children, isNode, type TreeNode } from '../parse-tree.ts';
import type { Leaf } from '../plan.ts';
import { LeafBuilder, type LeafTools, windowColumn } from './leaf.ts';
import { grouped, idOf, isAggregate, meantBy, type Scope } from './scope.ts';
import { columnRef, copyOf, named, replaced, tableRef } from './tree.ts';
import { isWindowCall } from './window-call.ts';

interface Grouping {
  scope: Scope;
  groups: readonly TreeNode[];
  /** Name of the leaf. */
  name: string;
}

/** Changes a SELECT with aggregates over a stream so that it reads a leaf. `key` are the columns that identify its results. */
export async function aggregateStream(
  node: TreeNode,
  { scope, groups, name }: Grouping,
  tools: LeafTools,
): Promise<{ leaf: Leaf; key: string[] | undefined }> {
  const hasWindow = groups.some(isWindowCall);
  const { aggregates } = await functionKinds(tools.connection);
  const builder = new LeafBuilder(name, tools);
  const keys = new Map<string, TreeNode>();
  for (const group of groups) {
    const id = idOf(group, scope);
    keys.set(id, isWindowCall(group) ? columnRef(windowColumn) : builder.column(group, id, true));
  }
  const found: TreeNode[] = [];
  const over = (part: TreeNode): TreeNode | undefined => {
    const key = keys.get(idOf(part, scope));
    if (key) return named(copyOf(key), String(part.alias ?? ''));
    if (isAggregate(part, aggregates)) {
      const call = overLeaf(part, builder, scope);
      found.push(call);
      return call;
    }
    if (isWindowCall(part)) return columnRef(windowColumn);
    const meant = meantBy(part, scope);
    return meant !== part && part.class === 'COLUMN_REF' ? replaced(named(meant, ''), over) : undefined;
  };
  const list = children(node.select_list).map((item) => replaced(item, over));
  const [having, qualify, modifiers] = [node.having, node.qualify, node.modifiers].map((part) =>
    replaced(part, over),
  );
  const { leaf, results, where } = await builder.build(
    { from: node.from_table as TreeNode, where: node.where_clause },
    found,
    hasWindow,
  );
  const typed = <T>(part: T): T =>
    isNode(part) || Array.isArray(part) ? typedIn(part, builder, results) : part;
  const keyed = builder.keys.map((name) => columnRef(name));
  if (hasWindow) keyed.push(columnRef(windowColumn));
  Object.assign(node, {
    select_list: [
      ...list.map((item) => named(typed(item), String(item.alias ?? ''))),
      ...(hasWindow ? [columnRef(windowColumn)] : []),
    ],
    having: typed(having),
    qualify: typed(qualify),
    modifiers: typed(modifiers),
    from_table: tableRef(leaf.name, leaf.name),
    where_clause: where,
    ...grouped(keyed),
  });
  const ids = [...keys.keys()];
  const shown = new Map<string, string>();
  for (const item of scope.items) {
    const id = idOf(item, scope);
    if (ids.includes(id)) shown.set(id, String(item.alias));
  }
  const key = ids.every((id) => shown.has(id)) ? ids.map((id) => shown.get(id) as string) : undefined;
  return { leaf, key };
}

/** An aggregate whose arguments are columns of a leaf. */
function overLeaf(call: TreeNode, builder: LeafBuilder, scope: Scope): TreeNode {
  const column = (node: TreeNode): TreeNode =>
    node.class === 'CONSTANT' ? node : builder.column(node, idOf(node, scope));
  const orders = isNode(call.order_bys) ? children(call.order_bys.orders) : [];
  return {
    ...call,
    children: children(call.children).map(column),
    filter: isNode(call.filter) ? column(call.filter) : null,
    order_bys: {
      type: 'ORDER_MODIFIER',
      orders: orders.map((order) => ({ ...order, expression: column(order.expression as TreeNode) })),
    },
  };
}

function typedIn<T>(part: T, builder: LeafBuilder, results: ReadonlyMap<TreeNode, TreeNode>): T {
  if (Array.isArray(part)) return part.map((one) => typedIn(one, builder, results)) as T;
  return isNode(part) ? (builder.typed(part, results) as T) : part;
}
