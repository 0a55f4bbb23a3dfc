import { describe, withTimeLimit } from '../engine/connection.ts';
import { findColumn, functionKinds } from '../expressions.ts';
import { children, isNode, isPresent, type Places, type TreeNode } from '../parse-tree.ts';
import type { Leaf, WindowSpec } from '../plan.ts';
import { joinOf } from './join.ts';
import { LeafBuilder, type LeafTools, windowColumn } from './leaf.ts';
import {
  columnRef,
  copyOf,
  hideFromStars,
  named,
  replaced,
  selectOf,
  star,
  subquery,
  tableRef,
  textOf,
  walk,
} from './tree.ts';
import { isWindowCall, readWindow, sameWindow } from './window-call.ts';

/**
 * What the rows of a SELECT are. `stream`: computed one by one. `windows`: results of windows, which then have the column `__w`
 * last; `windows` are the names of columns that hold the window. `updates`: results over all rows, which change.
 */
export type Relation =
  | { domain: 'stream' }
  | { domain: 'windows'; windows: ReadonlySet<string>; key: readonly string[] | undefined }
  | { domain: 'updates'; key: readonly string[] | undefined };

type Stateful = Exclude<Relation, { domain: 'stream' }>;

/** A FROM: what it is, and the expression of its window. */
interface Origin {
  relation: Relation;
  window: TreeNode;
}

/** Names that the expressions of a SELECT may use. */
interface Scope {
  columns: readonly { name: string }[];
  qualifiers: readonly string[];
  /** The items of the select list by their names. */
  aliases: ReadonlyMap<string, TreeNode>;
  items: readonly TreeNode[];
}

/** Changes the tree of a SELECT so that it reads leaves instead of source tables. */
export class Draft {
  readonly leaves: Leaf[] = [];
  window: WindowSpec | undefined;
  readonly #tools: LeafTools;
  readonly #places: Places;
  #updates = false;
  #sides = 0;

  constructor(tools: LeafTools, places: Places) {
    this.#tools = tools;
    this.#places = places;
  }

  get #findings() {
    return this.#tools.query.findings;
  }

  async select(node: TreeNode): Promise<Relation> {
    if (node.type === 'SET_OPERATION_NODE') return this.#union(node);
    const scope = await this.#scopeOf(node);
    const uses = await this.#usesOf(node);
    const origin = await this.#from(node);
    const { relation } = origin;
    this.#checkModifiers(node, relation);
    if (relation.domain === 'stream') {
      if (uses.windowFunction)
        this.#stop(
          'Window functions need the rows of a window: group by tumble, hop or session in a SELECT below',
          uses.windowFunction,
        );
      const groups = await this.#groupsOf(node, scope);
      if (uses.windowCall && !groups.some(isWindowCall))
        this.#stop(
          `${String(uses.windowCall.function_name)} belongs into GROUP BY; is GROUP BY missing?`,
          uses.windowCall,
        );
      return uses.groups ? this.#aggregateStream(node, scope, groups) : relation;
    }
    if (uses.windowFunction && relation.domain === 'updates')
      this.#stop('Window functions need the rows of a window, and these results change', uses.windowFunction);
    if (uses.groups) return this.#aggregate(node, scope, { ...origin, relation });
    return this.#project(node, scope, { ...origin, relation });
  }

  #stop(message: string, node?: TreeNode): never {
    return this.#findings.stop(message, node ? this.#places.of(node) : this.#places.at(undefined));
  }

  async #describe(root: TreeNode) {
    const { connection } = this.#tools;
    const text = await textOf(connection, root);
    return withTimeLimit(connection, () => describe(connection, text));
  }

  /** The names of a SELECT before it is changed. Gives every item of its list the name that it has without one. */
  async #scopeOf(node: TreeNode): Promise<Scope> {
    const from = node.from_table as TreeNode;
    const columns = await this.#describe(selectOf([star()], from));
    const output = await this.#describe(node);
    const items = children(node.select_list);
    const hasStar = items.some(({ class: kind }) => kind === 'STAR');
    const aliases = new Map<string, TreeNode>();
    if (!hasStar && items.length === output.length)
      for (const [index, item] of items.entries()) {
        if (isPresent(item.alias)) aliases.set(String(item.alias).toLowerCase(), item);
        else item.alias = output[index]?.name ?? '';
      }
    const qualifiers = [String(from.alias ?? ''), String(from.table_name ?? '')].filter(
      (name) => name !== '',
    );
    return { columns, qualifiers, aliases, items };
  }

  async #usesOf(node: TreeNode) {
    const { aggregates } = await functionKinds(this.#tools.connection);
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

  #checkModifiers(node: TreeNode, { domain }: Relation): void {
    for (const { type, distinct_on_targets: targets } of children(node.modifiers)) {
      if (type === 'LIMIT_MODIFIER' || type === 'LIMIT_PERCENT_MODIFIER')
        this.#findings.stop(
          'LIMIT is not supported: number the rows of a window with ROW_NUMBER() OVER (PARTITION BY window ORDER BY …), and filter by it',
          this.#places.keyword('limit'),
        );
      if (type !== 'DISTINCT_MODIFIER' || domain === 'windows') continue;
      this.#findings.stop(
        isPresent(targets)
          ? 'DISTINCT ON is not supported'
          : 'DISTINCT is not supported here; write GROUP BY',
        this.#places.keyword('distinct'),
      );
    }
  }

  async #union(node: TreeNode): Promise<Relation> {
    const left = await this.select(node.left as TreeNode);
    const right = await this.select(node.right as TreeNode);
    if (left.domain !== right.domain)
      this.#stop('The SELECTs of a union must be of one kind: all rows, or all results of windows');
    if (left.domain === 'windows') return { ...left, key: undefined };
    if (node.setop_type === 'UNION' && node.setop_all === true)
      return left.domain === 'stream' ? left : { domain: 'updates', key: undefined };
    const keyword = String(node.setop_type).toLowerCase().split('_')[0] as string;
    return this.#findings.stop(
      'UNION, EXCEPT and INTERSECT of rows without windows are not supported; UNION ALL is',
      this.#places.keyword(keyword),
    );
  }

  async #from(node: TreeNode): Promise<Origin> {
    const origin = await this.#origin(node.from_table as TreeNode);
    if (origin.relation.domain === 'updates') this.#useUpdates();
    return origin;
  }

  async #origin(from: TreeNode): Promise<Origin> {
    if (from.type === 'BASE_TABLE')
      return { relation: { domain: 'stream' }, window: columnRef(windowColumn) };
    if (from.type === 'JOIN') return this.#join(from);
    const relation = await this.select((from.subquery as TreeNode).node as TreeNode);
    if (!isPresent(from.alias)) from.alias = `__s${this.#sides++}`;
    return { relation, window: columnRef(String(from.alias), windowColumn) };
  }

  async #join(from: TreeNode): Promise<Origin> {
    const [left, right] = [from.left as TreeNode, from.right as TreeNode];
    const one = await this.#origin(left);
    const other = await this.#origin(right);
    const domains = [one.relation.domain, other.relation.domain];
    if (one.relation.domain === 'windows' && other.relation.domain === 'windows') {
      const windows = new Set([...one.relation.windows, ...other.relation.windows]);
      const window = joinOf(from, one.window, other.window, (message) => this.#stop(message, right));
      return { relation: { domain: 'windows', windows, key: undefined }, window };
    }
    if (domains.includes('windows'))
      this.#stop('A join needs the results of the same windows on both sides', right);
    if (domains.includes('updates'))
      this.#stop('A join cannot read results that change: group by a window on both sides', right);
    if (from.join_type !== 'INNER' || from.ref_type === 'CROSS')
      this.#stop(
        'Without windows only an inner join with ON or USING is supported; group by a window on both sides',
        right,
      );
    from.left = await this.#whole(left);
    from.right = await this.#whole(right);
    this.#useUpdates();
    return { relation: { domain: 'updates', key: undefined }, window: columnRef(windowColumn) };
  }

  /** A leaf of all columns of a side of a join. */
  async #whole(from: TreeNode): Promise<TreeNode> {
    if (from.type === 'JOIN') return from;
    const builder = new LeafBuilder(`__leaf${this.leaves.length}`, this.#tools);
    const list = (await this.#describe(selectOf([star()], from))).map(({ name }) =>
      named(builder.column(columnRef(name), name), name),
    );
    const { leaf, results } = await builder.build({ from, where: null }, [], false);
    this.leaves.push(leaf);
    const items = list.map((item) => named(builder.typed(item, results), String(item.alias)));
    const alias = String(from.alias ?? '') || String(from.table_name ?? '');
    return subquery(selectOf(items, tableRef(leaf.name, leaf.name)), alias);
  }

  #useUpdates(): void {
    this.#updates = true;
    if (this.window) this.#mixed();
  }

  #mixed(): never {
    return this.#stop(
      'A statement cannot have both windows and results without a window; write an INSERT for each',
    );
  }

  async #useWindow(call: TreeNode): Promise<void> {
    const { connection } = this.#tools;
    const spec = await readWindow(connection, call, this.#places, this.#findings);
    if (this.#updates) this.#mixed();
    if (this.window && !sameWindow(this.window, spec))
      this.#stop(
        'All windows of a statement must be the same; write the results to a table, and read that',
        call,
      );
    this.window = spec;
  }

  /** The same text for expressions that mean the same. */
  #id(node: TreeNode, scope: Scope): string {
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
  #meant(node: TreeNode, { columns, qualifiers, aliases, items }: Scope): TreeNode {
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

  async #groupsOf(node: TreeNode, scope: Scope): Promise<TreeNode[]> {
    const { aggregates } = await functionKinds(this.#tools.connection);
    if (Array.isArray(node.group_sets) && node.group_sets.length > 1)
      this.#findings.stop('GROUPING SETS, ROLLUP and CUBE are not supported', this.#places.keyword('group'));
    const given =
      node.aggregate_handling === 'FORCE_AGGREGATES'
        ? scope.items.filter((item) => !holdsAggregate(item, aggregates))
        : children(node.group_expressions).map((group) => this.#meant(group, scope));
    return given.map((group) => named(group, ''));
  }

  async #aggregateStream(node: TreeNode, scope: Scope, groups: readonly TreeNode[]): Promise<Relation> {
    const calls = groups.filter(isWindowCall);
    for (const call of calls) await this.#useWindow(call);
    const hasWindow = calls.length > 0;
    if (!hasWindow) this.#useUpdates();
    const { aggregates } = await functionKinds(this.#tools.connection);
    const builder = new LeafBuilder(`__leaf${this.leaves.length}`, this.#tools);
    // The place of the leaf: a SELECT inside this one was read before.
    const keys = new Map<string, TreeNode>();
    for (const group of groups) {
      const id = this.#id(group, scope);
      keys.set(id, isWindowCall(group) ? columnRef(windowColumn) : builder.column(group, id, true));
    }
    const found: TreeNode[] = [];
    const over = (part: TreeNode): TreeNode | undefined => {
      const key = keys.get(this.#id(part, scope));
      if (key) return named(copyOf(key), String(part.alias ?? ''));
      if (isAggregate(part, aggregates)) {
        const call = this.#overLeaf(part, builder, scope);
        found.push(call);
        return call;
      }
      if (isWindowCall(part)) return columnRef(windowColumn);
      const member = this.#windowMember(part, scope);
      if (member) return member;
      const meant = this.#meant(part, scope);
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
    this.leaves.push(leaf);
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
      const id = this.#id(item, scope);
      if (ids.includes(id)) shown.set(id, String(item.alias));
    }
    const key = ids.every((id) => shown.has(id)) ? ids.map((id) => shown.get(id) as string) : undefined;
    if (!hasWindow) return { domain: 'updates', key };
    const windows = new Set(scope.items.filter(isWindowCall).map((item) => String(item.alias).toLowerCase()));
    this.#partition(node, windows, columnRef(windowColumn));
    return { domain: 'windows', windows, key };
  }

  /** `window.start`, where `window` is the name of a window in the same SELECT. */
  #windowMember(node: TreeNode, scope: Scope): TreeNode | undefined {
    if (node.class !== 'COLUMN_REF') return undefined;
    const [first = '', ...rest] = node.column_names as string[];
    const item = rest.length > 0 ? scope.aliases.get(first.toLowerCase()) : undefined;
    if (!item || !isWindowCall(item) || findColumn([first], scope)) return undefined;
    return named(columnRef(windowColumn, ...rest), String(node.alias ?? ''));
  }

  /** An aggregate whose arguments are columns of a leaf. */
  #overLeaf(call: TreeNode, builder: LeafBuilder, scope: Scope): TreeNode {
    const column = (node: TreeNode): TreeNode =>
      node.class === 'CONSTANT' ? node : builder.column(node, this.#id(node, scope));
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

  /** Aggregates results of windows again, for each window, or results that change. */
  async #aggregate(
    node: TreeNode,
    scope: Scope,
    { relation, window }: Origin & { relation: Stateful },
  ): Promise<Relation> {
    const groups = await this.#groupsOf(node, scope);
    if (relation.domain === 'updates') {
      if (groups.some(isWindowCall)) this.#mixed();
      Object.assign(node, grouped(groups));
      return { domain: 'updates', key: this.#shownKey(groups, scope) };
    }
    for (const call of groups.filter(isWindowCall)) await this.#useWindow(call);
    const isWindow = (group: TreeNode) => isWindowCall(group) || this.#isWindow(group, relation.windows);
    if (!groups.some(isWindow)) {
      const message =
        'GROUP BY must have the window of the rows: its column, or the same tumble, hop or session';
      this.#findings.stop(message, this.#places.keyword('group'));
    }
    const windows = new Set<string>();
    for (const item of scope.items)
      if (isWindow(item)) windows.add(String(item.alias || lastOf(item)).toLowerCase());
    const key = this.#shownKey(groups, scope);
    const same = <T>(part: T): T =>
      replaced(part, (one) =>
        isWindowCall(one) ? named(copyOf(window), String(one.alias ?? '')) : undefined,
      );
    Object.assign(node, grouped([...same(groups), copyOf(window)]), {
      select_list: [...same(children(node.select_list)), named(copyOf(window), windowColumn)],
      having: same(node.having),
      qualify: same(node.qualify),
      modifiers: same(node.modifiers),
    });
    this.#partition(node, relation.windows, window);
    return { domain: 'windows', windows, key };
  }

  async #project(
    node: TreeNode,
    scope: Scope,
    { relation, window }: Origin & { relation: Stateful },
  ): Promise<Relation> {
    const key = relation.key?.map((name) => {
      const item = scope.items.find(
        (one) => one.class === 'COLUMN_REF' && lastOf(one).toLowerCase() === name.toLowerCase(),
      );
      if (item) return String(item.alias || lastOf(item));
      return scope.items.some(({ class: kind }) => kind === 'STAR') ? name : undefined;
    });
    const kept = key?.every((name) => name !== undefined) ? (key as string[]) : undefined;
    if (relation.domain === 'updates') return { domain: 'updates', key: kept };
    const windows = new Set<string>();
    for (const item of scope.items) {
      if (item.class === 'STAR') for (const name of relation.windows) windows.add(name);
      if (this.#isWindow(item, relation.windows))
        windows.add(String(item.alias || lastOf(item)).toLowerCase());
    }
    hideFromStars(node.select_list, windowColumn);
    node.select_list = [...children(node.select_list), named(copyOf(window), windowColumn)];
    this.#partition(node, relation.windows, window);
    return { domain: 'windows', windows, key: kept };
  }

  #isWindow(node: TreeNode, windows: ReadonlySet<string>): boolean {
    return node.class === 'COLUMN_REF' && windows.has(lastOf(node).toLowerCase());
  }

  /** Window functions number the rows of a window, so their partitions must have it. */
  #partition(node: TreeNode, windows: ReadonlySet<string>, window: TreeNode): void {
    walk([node.select_list, node.qualify], (part) => {
      if (part.class !== 'WINDOW') return undefined;
      const partitions = children(part.partitions);
      const has = partitions.some(
        (one) => this.#isWindow(one, windows) || (one.class === 'COLUMN_REF' && lastOf(one) === windowColumn),
      );
      if (!has) this.#stop('PARTITION BY must have the window of the rows', part);
      part.partitions = [...partitions, copyOf(window)];
      return undefined;
    });
  }

  #shownKey(groups: readonly TreeNode[], scope: Scope): string[] | undefined {
    const names = groups.map((group) => {
      const item = scope.items.find((one) => this.#id(one, scope) === this.#id(group, scope));
      return item && String(item.alias || lastOf(item));
    });
    return names.every((name) => name !== undefined && name !== '') ? (names as string[]) : undefined;
  }
}

const lastOf = (node: TreeNode): string =>
  node.class === 'COLUMN_REF' ? String((node.column_names as string[]).at(-1)) : '';

const grouped = (groups: readonly TreeNode[]) => ({
  group_expressions: groups,
  group_sets: groups.length > 0 ? [groups.map((_, index) => index)] : [],
  aggregate_handling: 'STANDARD_HANDLING',
});

const isAggregate = (node: TreeNode, aggregates: ReadonlySet<string>): boolean =>
  node.class === 'FUNCTION' && aggregates.has(String(node.function_name).toLowerCase());

function holdsAggregate(node: TreeNode, aggregates: ReadonlySet<string>): boolean {
  let holds = false;
  walk(node, (part) => {
    if (isAggregate(part, aggregates)) holds = true;
    return undefined;
  });
  return holds;
}

function typedIn<T>(part: T, builder: LeafBuilder, results: ReadonlyMap<TreeNode, TreeNode>): T {
  if (Array.isArray(part)) return part.map((one) => typedIn(one, builder, results)) as T;
  return isNode(part) ? (builder.typed(part, results) as T) : part;
}
