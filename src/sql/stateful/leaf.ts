import type { DuckDBConnection } from '@duckdb/node-api';
import type { Field } from '../../formats/schema/schema.ts';
import { type Analysis, analyse, type Query } from '../analysis.ts';
import { describe } from '../engine/connection.ts';
import { fieldTypeOf } from '../engine/values.ts';
import { createTableStatement, engineTypeName } from '../field-types.ts';
import { quoteName } from '../names.ts';
import { children, isNode, type TreeNode } from '../parse-tree.ts';
import type { Leaf, LeafInput, PartialAggregate, TableDefinition } from '../plan.ts';
import { chooseSelect, outputFields } from '../row-select.ts';
import { changeOrder, goneColumn } from '../state/windows.ts';
import type { SelectText } from '../statements.ts';
import { recipeOf } from './fold.ts';
import { alternatives, sourceOf, Times, timesOf } from './streams.ts';
import {
  columnRef,
  copyOf,
  expressionOf,
  expressionText,
  named,
  replaced,
  selectOf,
  tableRef,
  textOf,
} from './tree.ts';

export interface LeafTools {
  connection: DuckDBConnection;
  query: Query;
  statement: SelectText;
  sources: ReadonlyMap<string, TableDefinition>;
}

/** The type of `__w` in a table that stands for a leaf while the query is checked. */
const windowType = `STRUCT("start" TIMESTAMP, "end" TIMESTAMP)`;
export const windowColumn = '__w';

/** Collects the columns of a leaf. Each is an expression over a row of a stream. */
export class LeafBuilder {
  readonly name: string;
  readonly #tools: LeafTools;
  readonly #columns: { name: string; node: TreeNode }[] = [];
  readonly #keys: string[] = [];
  readonly #byExpression = new Map<string, string>();
  /** The types of columns that a table cannot hold, which are kept as text. */
  readonly #castBack = new Map<string, string>();
  readonly #casts = new Map<string, TreeNode>();

  constructor(name: string, tools: LeafTools) {
    this.name = name;
    this.#tools = tools;
  }

  /** A reference to the column of an expression; `id` is the same for expressions that are the same. */
  column(node: TreeNode, id: string, isKey = false): TreeNode {
    let name = this.#byExpression.get(id);
    if (name === undefined) {
      name = `${isKey ? 'g' : 'a'}${this.#columns.length}`;
      this.#columns.push({ name, node: named(node, name) });
      this.#byExpression.set(id, name);
      if (isKey) this.#keys.push(name);
    }
    return columnRef(name);
  }

  get keys(): readonly string[] {
    return this.#keys;
  }

  /**
   * Plans the rows that come from a FROM with a WHERE, and creates the table that stands for the leaf in this connection.
   * `calls` are the aggregates over it, with the expression that each gets; `window` says whether rows have a window.
   */
  async build(
    { from, where }: { from: TreeNode; where: unknown },
    calls: readonly TreeNode[],
    hasWindow: boolean,
  ): Promise<{ leaf: Leaf; results: Map<TreeNode, TreeNode>; where: TreeNode | null }> {
    const { sources, connection, query } = this.#tools;
    if (this.#columns.length === 0) this.column(await expressionOf(connection, '1'), '1');
    const ways = alternatives(from).map((one) => ({ one, source: sourceOf(one, sources) }));
    const changes = ways.some(({ source }) => isChanges(source))
      ? await this.#changes(ways, where, hasWindow)
      : undefined;
    const kept = changes ? null : where;
    const inputs: LeafInput[] = [];
    let columns: Field[] | undefined;
    const timeColumns = timesOf(ways.map(({ source }) => source));
    for (const { one, source } of ways) {
      const times = new Times(connection, query, source, timeColumns);
      const root = copyOf(
        selectOf(
          this.#columns.map(({ node }) => node),
          one,
        ),
      );
      root.where_clause = kept;
      if (!(await times.add(root))) throw new Error('A SELECT reads a table whose columns are computed');
      await this.#holdable(root, source);
      const analysis = await analysisOf(root, this.#tools);
      columns ??= outputFields(analysis, query.findings);
      const select = await chooseSelect(connection, analysis, columns, query.findings);
      // It was given a further column.
      await connection.run(createTableStatement(source.name, source.schema.fields ?? []));
      const whole = kept === null && isWhole(one, query);
      inputs.push({ source: [...sources.keys()].indexOf(source.name), select, whole });
    }
    const fields = [...(columns ?? []), ...(changes ? changeFields : [])];
    const held = fields.filter(({ name }) => !name.startsWith('__'));
    const times = { event: fields.some(isTime('__time')), watermark: fields.some(isTime('__watermark')) };
    const leaf: Leaf = { name: this.name, inputs, columns: fields, times, keys: this.#keys };
    if (changes) leaf.changes = { key: changes.key };
    const { fold, results } = await this.#aggregates(held, calls, changes !== undefined);
    if (fold) leaf.fold = fold;
    await this.#stand(leaf, held, hasWindow);
    return { leaf, results, where: changes?.where ?? null };
  }

  /** The columns of changes: those of the key, and whether a row is one that the SELECT reads. */
  async #changes(
    ways: readonly { one: TreeNode; source: TableDefinition }[],
    where: unknown,
    hasWindow: boolean,
  ): Promise<{ key: string[]; where: TreeNode | null }> {
    const { query, connection } = this.#tools;
    const [way] = ways;
    const refuse = (message: string): never => query.findings.stop(message);
    if (!way || ways.length > 1 || way.one.type !== 'BASE_TABLE')
      return refuse(
        'A table of changes can only be aggregated where it is read: write its aggregates in the SELECT from it',
      );
    const { name, schema } = way.source;
    if (hasWindow)
      refuse(`${name} has changes of rows and not events: it can be aggregated without a window only`);
    if ((schema.primary_keys ?? []).length === 0 || schema.framing)
      refuse(`${name} needs a PRIMARY KEY and messages of one change each, so that an update finds its row`);
    const key = (schema.primary_keys ?? []).map((column) =>
      nameIn(this.column(columnRef(column), `key ${column}`)),
    );
    if (!isNode(where)) return { key, where: null };
    const isTrue = await expressionOf(connection, 'COALESCE(x, false)');
    const [, otherwise] = children(isTrue.children);
    const holds = { ...isTrue, children: [where, otherwise as TreeNode] };
    return { key, where: this.column(holds, 'where') };
  }

  /** An expression over the leaf: its columns have the types that they have in the stream. */
  typed(node: TreeNode, results: ReadonlyMap<TreeNode, TreeNode>): TreeNode {
    return replaced(node, (part) => {
      const result = results.get(part);
      if (result) return named(result, String(part.alias ?? ''));
      const [name = ''] = part.class === 'COLUMN_REF' ? (part.column_names as string[]) : [];
      const type = this.#castBack.get(name);
      return type === undefined ? undefined : this.#cast(part, type);
    });
  }

  #cast(node: TreeNode, type: string): TreeNode {
    const cast = this.#casts.get(type);
    if (!cast) throw new Error(`There is no cast to ${type}`);
    return { ...copyOf(cast), child: named(node, ''), alias: String(node.alias ?? '') };
  }

  /** Keeps values whose type no table can hold as text. */
  async #holdable(root: TreeNode, source: TableDefinition): Promise<void> {
    const { connection } = this.#tools;
    await connection.run(createTableStatement(source.name, source.schema.fields ?? []));
    const output = await describe(connection, await textOf(connection, root));
    const list = root.select_list as TreeNode[];
    for (const [index, { name, type }] of output.entries()) {
      const item = list[index];
      if (!item || name.startsWith('__')) continue;
      const text = String(type);
      const field = fieldTypeOf(type);
      if (field && engineTypeName(field) === text) continue;
      this.#castBack.set(name, text);
      this.#casts.set(text, await expressionOf(connection, `CAST(x AS ${text})`));
      if (field) continue;
      const varchar = await expressionOf(connection, 'CAST(x AS VARCHAR)');
      list[index] = { ...varchar, child: named(item, ''), alias: name };
    }
  }

  /** The expressions of aggregates: over rows, or over partial aggregates if all can be made of these. */
  async #aggregates(
    held: readonly Field[],
    calls: readonly TreeNode[],
    needsRows: boolean,
  ): Promise<{ fold: Leaf['fold'] | undefined; results: Map<TreeNode, TreeNode> }> {
    const { connection } = this.#tools;
    const results = new Map<TreeNode, TreeNode>();
    if (calls.length === 0) return { fold: undefined, results };
    await connection.run(createTableStatement(this.name, held));
    const typedCalls = calls.map((call) => this.typed(call, new Map()));
    const from = tableRef(this.name, '');
    const typesOf = async (nodes: readonly TreeNode[]) =>
      nodes.length === 0
        ? []
        : (
            await describe(
              connection,
              await textOf(
                connection,
                selectOf(
                  nodes.map((node) => named(node, '')),
                  from,
                ),
              ),
            )
          ).map(({ type }) => String(type));
    const types = await typesOf(typedCalls);
    const recipes = [];
    for (const call of typedCalls)
      recipes.push(
        recipeOf(call, await typesOf(((call.children ?? []) as TreeNode[]).map((child) => child))),
      );
    if (needsRows || recipes.some((recipe) => recipe === undefined)) {
      for (const [index, call] of calls.entries()) results.set(call, typedCalls[index] as TreeNode);
      return { fold: undefined, results };
    }
    const partials: PartialAggregate[] = [];
    const known = new Map<string, string>();
    for (const [index, call] of calls.entries()) {
      const recipe = recipes[index];
      const typedCall = typedCalls[index] as TreeNode;
      if (!recipe) continue;
      const names: string[] = [];
      for (const { call: fn, merge } of recipe.partials) {
        const sql = await expressionText(connection, { ...typedCall, function_name: fn });
        let name = known.get(sql);
        if (name === undefined) {
          name = `p${partials.length}`;
          known.set(sql, name);
          partials.push({ name, sql, merge });
        }
        names.push(name);
      }
      const result = recipe.result.replace('$1', names[0] as string).replace('$2', names[1] ?? '');
      results.set(call, await expressionOf(connection, `CAST(${result} AS ${types[index]})`));
    }
    return { fold: { partials }, results };
  }

  /** Creates an empty table that has the columns that the SELECT over the leaf may name. */
  async #stand({ fold }: Leaf, held: readonly Field[], hasWindow: boolean): Promise<void> {
    const { connection } = this.#tools;
    const table = quoteName(this.name);
    await connection.run(createTableStatement(this.name, held));
    const keys = this.#keys.map(quoteName);
    const list = fold
      ? [...keys, ...fold.partials.map(({ name, sql }) => `${sql} AS ${quoteName(name)}`)]
      : ['*'];
    if (hasWindow) list.push(`CAST(NULL AS ${windowType}) AS ${quoteName(windowColumn)}`);
    const groups = fold && keys.length > 0 ? ` GROUP BY ${keys.join(', ')}` : '';
    const copy = quoteName(`${this.name}_columns`);
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE ${copy} AS SELECT ${list.join(', ')} FROM ${table}${groups} LIMIT 0`,
    );
    await connection.run(`DROP TABLE ${table}`);
    await connection.run(`ALTER TABLE ${copy} RENAME TO ${table}`);
  }
}

const isTime = (name: string) => (field: Field) => field.name === name;

/** Checks a SELECT that reads source tables only. */
export async function analysisOf(
  root: TreeNode,
  { connection, query, statement }: LeafTools,
): Promise<Analysis> {
  const plain: Query = { ...query, views: new Map(), computed: new Map() };
  const text = await textOf(connection, root);
  return analyse(connection, { select: statement.select, tokens: [] }, plain, { text, skipped: 0 });
}

/** Whether a FROM has all rows of its source: the source itself, or the SELECT that computes columns of it. */
function isWhole(from: TreeNode, { computed }: Query): boolean {
  if (from.type === 'BASE_TABLE') return true;
  const inner = (from.subquery as TreeNode).node as TreeNode;
  const below = inner.from_table as TreeNode;
  return below.type === 'BASE_TABLE' && computed.has(String(below.table_name));
}

/** Whether rows of a source change others. */
const isChanges = ({ schema: { format } }: TableDefinition): boolean =>
  format?.type === 'json' && format.debezium === true;

const changeFields: readonly Field[] = [
  { name: changeOrder, type: 'int64' },
  { name: goneColumn, type: 'bool' },
];

const nameIn = (reference: TreeNode): string => String((reference.column_names as string[])[0]);
