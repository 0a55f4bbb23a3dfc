import { BIGINT, type DuckDBConnection, DuckDBTypeId, UBIGINT } from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';
import type { Field } from '../../formats/schema/schema.ts';
import { type Analysis, analyse, type Query, textOf as statementText } from '../analysis.ts';
import { noCost } from '../cost.ts';
import {
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
  withTimeLimit,
} from '../engine/connection.ts';
import { checkExpressions, functionKinds } from '../expressions.ts';
import { createTableStatement } from '../field-types.ts';
import { inDuckDb } from '../in-duckdb.ts';
import { findNamed, quoteName } from '../names.ts';
import { isPresent, Places, parseSelect, type TreeNode } from '../parse-tree.ts';
import type { Clock, Leaf, StatefulSelect, TableDefinition } from '../plan.ts';
import { castTo } from '../rewrite.ts';
import { chooseSelect, outputFields } from '../row-select.ts';
import type { SelectText } from '../statements.ts';
import { Draft, type Relation } from './draft.ts';
import { Inliner, renamed } from './inline.ts';
import { analysisOf, type LeafTools, windowColumn } from './leaf.ts';
import { explained } from './messages.ts';
import { Times, timesOf } from './streams.ts';
import { copyOf, selectOf, subquery, tableRef, textOf, treeOf, walk } from './tree.ts';
import { isWindowCall } from './window-call.ts';

/** SELECTs over many rows: aggregates, windows and joins. */

/** A checked SELECT over many rows. Its tree reads leaves. */
interface StatefulAnalysis extends Analysis {
  draft: Draft;
  clocks: readonly Clock[];
  relation: Relation & { key: readonly string[] | undefined };
  sources: readonly TableDefinition[];
  /** The SELECT as it was written, with names that the query gives. */
  given: string;
}

type AnyAnalysis = (Analysis & { draft?: undefined }) | StatefulAnalysis;

/** Checks a SELECT of any kind. */
export async function analyseAny(
  connection: DuckDBConnection,
  statement: SelectText,
  query: Query,
): Promise<AnyAnalysis> {
  const text = inDuckDb(statementText(statement, query), statement.tokens, statement.select.from);
  const parsed = await withTimeLimit(connection, () => parseSelect(connection, text));
  if ('failure' in parsed || !(await readsManyRows(connection, parsed.root, query)))
    return analyse(connection, statement, query);
  const places = new Places(text, statement.select, statement.tokens);
  return new Checker(connection, statement, query, places).check(parsed.root);
}

/** Whether a SELECT, or one that it reads, needs more than one row at a time. */
async function readsManyRows(connection: DuckDBConnection, root: TreeNode, query: Query): Promise<boolean> {
  const { aggregates } = await functionKinds(connection);
  let found = false;
  walk(root, (node) => {
    const name = String(node.function_name ?? '').toLowerCase();
    const isAggregate = node.class === 'FUNCTION' && (aggregates.has(name) || renamed.has(name));
    if (node.class === 'WINDOW' || isAggregate || isWindowCall(node)) found = true;
    if (node.type === 'JOIN') found = true;
    if (node.type === 'SELECT_NODE' && isPresent(node.group_expressions)) found = true;
    if (node.type === 'BASE_TABLE') {
      const view = findNamed(query.views, { text: String(node.table_name), exact: false });
      if (view?.manyRows) found = true;
    }
    return undefined;
  });
  return found;
}

class Checker {
  readonly #connection: DuckDBConnection;
  readonly #statement: SelectText;
  readonly #query: Query;
  readonly #places: Places;

  constructor(connection: DuckDBConnection, statement: SelectText, query: Query, places: Places) {
    this.#connection = connection;
    this.#statement = statement;
    this.#query = query;
    this.#places = places;
  }

  async check(root: TreeNode): Promise<StatefulAnalysis> {
    const { findings } = this.#query;
    const given = await textOf(this.#connection, root);
    await this.#checkExpressions(root);
    const tree = copyOf(root);
    const inliner = new Inliner(this.#connection, this.#query, this.#places);
    await inliner.inline(tree);
    const { sources } = inliner;
    const output = (await this.#typeCheck(tree, root, sources)).map(held);
    const [connection, query] = [this.#connection, this.#query];
    const tools = { connection, query, statement: this.#statement, sources };
    const draft = new Draft(tools, this.#places);
    const relation = await this.#guarded(() => draft.select(tree));
    const clocks = await this.#guarded(() => clocksOf(draft.leaves, tools));
    findings.settle();
    const [source] = sources.values();
    if (relation.domain === 'stream' || !source)
      return findings.stop('This SELECT cannot be run over a stream', this.#places.at(0));
    return {
      source,
      sources: [...sources.values()],
      view: undefined,
      tree: { error: false, statements: [{ node: tree, named_param_map: [] }] },
      root,
      text: await textOf(this.#connection, tree),
      given,
      cost: noCost,
      output,
      columns: output.map(({ name }) => ({ name })),
      places: this.#places,
      draft,
      clocks,
      relation,
    };
  }

  /** Refuses functions that reach beyond the rows, and values without bounds. DuckDB checks the rest. */
  async #checkExpressions(root: TreeNode): Promise<void> {
    const functions = await functionKinds(this.#connection);
    const scope = { qualifiers: [], columns: [], below: noCost, functions, manyRows: true };
    walk(root, (node) => {
      if (node.type !== 'SELECT_NODE') return undefined;
      checkExpressions(node, scope, this.#places, this.#query.findings);
      return undefined;
    });
    this.#query.findings.settle();
  }

  async #typeCheck(
    tree: TreeNode,
    root: TreeNode,
    sources: ReadonlyMap<string, TableDefinition>,
  ): Promise<OutputColumn[]> {
    for (const { name, schema } of sources.values())
      await this.#connection.run(createTableStatement(name, schema.fields ?? []));
    const text = await textOf(this.#connection, tree);
    const columns = [...sources.values()].flatMap(({ schema }) =>
      (schema.fields ?? []).map(({ name }) => name),
    );
    const work = () => withTimeLimit(this.#connection, () => describe(this.#connection, text));
    return this.#guarded(work, { text, root, columns });
  }

  /** Turns an error of DuckDB about the query into a finding. */
  async #guarded<T>(
    work: () => Promise<T>,
    { text, root, columns }: { text: string; root: TreeNode; columns: readonly string[] } = noText,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof PenstockError) throw error;
      const { kind, message, position } = engineError(error);
      if (kind === 'INTERRUPT')
        this.#query.findings.stop('Checking the query takes too long; make it simpler', this.#places.at(0));
      if (kind === 'INTERNAL' || kind === 'FATAL' || kind === 'Unknown')
        throw engineFailed('check a query', error);
      const place = position === undefined ? this.#places.at(0) : this.#places.like(text, position);
      const shown = explained(message, { root, places: this.#places, columns });
      // DuckDB gives no place, or only that of the SELECT.
      const isVague = position === undefined || /^Table /.test(message);
      return this.#query.findings.stop(shown.message, (isVague && shown.range) || place);
    }
  }
}

const noText = { text: '', root: {} as TreeNode, columns: [] };

/** The clocks of sources whose rows are not all in one of the leaves. */
async function clocksOf(leaves: readonly Leaf[], tools: LeafTools): Promise<Clock[]> {
  const { connection, query, sources } = tools;
  const inputs = leaves.flatMap((leaf) => leaf.inputs);
  const clocks: Clock[] = [];
  for (const [index, source] of [...sources.values()].entries()) {
    const times = timesOf([source]);
    if (times.length === 0 || inputs.some((input) => input.whole && input.source === index)) continue;
    const view = query.computed.get(source.name);
    const table = tableRef(source.name, source.name);
    const from = view ? subquery(await treeOf(connection, view.text), source.name) : table;
    const root = selectOf([], from);
    await new Times(connection, query, source, times).add(root);
    const analysis = await analysisOf(root, tools);
    const columns = outputFields(analysis, query.findings);
    const select = await chooseSelect(connection, analysis, columns, query.findings);
    clocks.push({ source: index, columns, select });
  }
  return clocks;
}

/** Sums of integers have 128 bits in DuckDB, and as many as the largest integer of a table here. */
const held = ({ name, type }: OutputColumn): OutputColumn => {
  if (type.typeId === DuckDBTypeId.HUGEINT) return { name, type: BIGINT };
  return type.typeId === DuckDBTypeId.UHUGEINT ? { name, type: UBIGINT } : { name, type };
};

/** The select of a checked SELECT, for these columns of its sink. */
export async function statefulSelect(
  connection: DuckDBConnection,
  { text, output, draft, clocks, relation }: StatefulAnalysis,
  columns: readonly Field[],
  { limits }: Query,
): Promise<StatefulSelect> {
  const { window, leaves } = draft;
  const hidden = window ? [windowColumn] : [];
  // Two columns may have one name.
  const plain = columns.map((column, index) => ({ ...column, name: `c${index}` }));
  const names = [...plain.map(({ name }) => name), ...hidden].map(quoteName);
  const casts = plain.map((column, index) => castTo(column, String(output[index]?.type), 'value'));
  const list = [...hidden.map((name) => `q.${quoteName(name)}`), ...casts];
  const sql = `SELECT ${list.join(', ')} FROM (${text}) AS q(${names.join(', ')})`;
  const places = relation.key?.map((name) => output.findIndex((column) => column.name === name));
  const key = places?.every((index) => index >= 0)
    ? places.map((index) => columns[index]?.name as string)
    : undefined;
  const statement = await connection.prepare(sql);
  statement.destroySync();
  return { kind: 'stateful', window, leaves, clocks, sql, key, limits };
}

export type { AnyAnalysis };
