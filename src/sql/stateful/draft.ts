import { describe, withTimeLimit } from '../engine/connection.ts';
import { functionKinds } from '../expressions.ts';
import { children, isPresent, type Places, type TreeNode } from '../parse-tree.ts';
import type { Leaf, WindowSpec } from '../plan.ts';
import { aggregateStream } from './aggregate-stream.ts';
import { joinOf } from './join.ts';
import { LeafBuilder, type LeafTools, windowColumn } from './leaf.ts';
import {
  grouped,
  holdsAggregate,
  isWindowColumn,
  lastOf,
  meantBy,
  partitionByWindow,
  type Scope,
  scopeOf,
  shownKey,
  usesOf,
} from './scope.ts';
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
    const scope = await scopeOf(node, (root) => this.#describe(root));
    const uses = await usesOf(node, this.#tools.connection);
    const origin = await this.#from(node);
    const { relation } = origin;
    this.#checkModifiers(node, relation);
    if (relation.domain === 'stream') {
      const groups = await this.#groupsOf(node, scope);
      if (uses.windowFunction && !groups.some(isWindowCall))
        this.#stop(
          'Window functions need the rows of a window: group by tumble, hop or session in a SELECT below',
          uses.windowFunction,
        );
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

  /** Reads a side of a join through a leaf of all its columns. */
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

  async #groupsOf(node: TreeNode, scope: Scope): Promise<TreeNode[]> {
    const { aggregates } = await functionKinds(this.#tools.connection);
    if (Array.isArray(node.group_sets) && node.group_sets.length > 1)
      this.#findings.stop('GROUPING SETS, ROLLUP and CUBE are not supported', this.#places.keyword('group'));
    const given =
      node.aggregate_handling === 'FORCE_AGGREGATES'
        ? scope.items.filter((item) => !holdsAggregate(item, aggregates))
        : children(node.group_expressions).map((group) => meantBy(group, scope));
    return given.map((group) => named(group, ''));
  }

  async #aggregateStream(node: TreeNode, scope: Scope, groups: readonly TreeNode[]): Promise<Relation> {
    const calls = groups.filter(isWindowCall);
    for (const call of calls) await this.#useWindow(call);
    if (calls.length === 0) this.#useUpdates();
    const name = `__leaf${this.leaves.length}`;
    const { leaf, key } = await aggregateStream(node, { scope, groups, name }, this.#tools);
    this.leaves.push(leaf);
    if (calls.length === 0) return { domain: 'updates', key };
    const windows = new Set(scope.items.filter(isWindowCall).map((item) => String(item.alias).toLowerCase()));
    partitionByWindow(node, { windows, window: columnRef(windowColumn) }, (text, at) => this.#stop(text, at));
    return { domain: 'windows', windows, key };
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
      return { domain: 'updates', key: shownKey(groups, scope) };
    }
    for (const call of groups.filter(isWindowCall)) await this.#useWindow(call);
    const isWindow = (group: TreeNode) => isWindowCall(group) || isWindowColumn(group, relation.windows);
    if (!groups.some(isWindow)) {
      const message =
        'GROUP BY must have the window of the rows: its column, or the same tumble, hop or session';
      this.#findings.stop(message, this.#places.keyword('group'));
    }
    const windows = new Set<string>();
    for (const item of scope.items)
      if (isWindow(item)) windows.add(String(item.alias || lastOf(item)).toLowerCase());
    const key = shownKey(groups, scope);
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
    partitionByWindow(node, { windows: relation.windows, window }, (text, at) => this.#stop(text, at));
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
      if (isWindowColumn(item, relation.windows))
        windows.add(String(item.alias || lastOf(item)).toLowerCase());
    }
    hideFromStars(node.select_list, windowColumn);
    node.select_list = [...children(node.select_list), named(copyOf(window), windowColumn)];
    partitionByWindow(node, { windows: relation.windows, window }, (text, at) => this.#stop(text, at));
    return { domain: 'windows', windows, key: kept };
  }
}
