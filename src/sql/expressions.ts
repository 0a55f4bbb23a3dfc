import type { DuckDBConnection } from '@duckdb/node-api';
import { type Cost, checkConstants, costOf, isGrowing, unboundedGrowth } from './cost.ts';
import type { Findings } from './diagnostic.ts';
import { isSameName, suggestion } from './names.ts';
import { children, isNode, type Places, type TreeNode } from './parse-tree.ts';

export interface Scope {
  /** The qualifiers of a column: the table's name and its alias. */
  qualifiers: readonly string[];
  columns: readonly { name: string }[];
  /** The cost of the columns, if they are those of a view. */
  below: Cost;
  functions: FunctionKinds;
  /** The column of the source with the time of an event. */
  eventTime?: string | undefined;
  /** The SELECT reads many rows at once: aggregates and window functions are allowed, and DuckDB checks the columns. */
  manyRows?: boolean;
}

/** Arroyo's functions for windows in time. */
export const streamWindows: ReadonlySet<string> = new Set(['tumble', 'hop', 'session']);

export const noWindow = (name: string): string =>
  `${name} is for a GROUP BY with aggregates. A name for it belongs into the select list: SELECT ${name}(…) AS window, … GROUP BY window`;

/** Names of functions that a query over a stream may not use, or not everywhere. */
interface FunctionKinds {
  /** They need more than one row; includes macros that call such a function. */
  aggregates: ReadonlySet<string>;
  /** They return a different value at each call, such as `random`. */
  volatile: ReadonlySet<string>;
}

let kinds: Promise<FunctionKinds> | undefined;

/** Asks DuckDB for the kinds of its functions, once. */
export function functionKinds(connection: DuckDBConnection): Promise<FunctionKinds> {
  kinds ??= readKinds(connection).catch((error: unknown) => {
    // The next call tries again.
    kinds = undefined;
    throw error;
  });
  return kinds;
}

async function readKinds(connection: DuckDBConnection): Promise<FunctionKinds> {
  const read = async (columns: string, condition: string) => {
    const sql = `SELECT DISTINCT ${columns} FROM duckdb_functions() WHERE ${condition}`;
    return (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(String));
  };
  const aggregates = new Set((await read('function_name', "function_type = 'aggregate'")).flat());
  const volatile = new Set((await read('function_name', "stability = 'VOLATILE'")).flat());
  const macros = await read('function_name, macro_definition', "function_type = 'macro'");
  // A macro may call another one.
  for (const names of [aggregates, volatile])
    for (let known = 0; known !== names.size; ) {
      known = names.size;
      const calls = new RegExp(`\\b(?:${[...names].filter((name) => /^\w+$/.test(name)).join('|')})\\(`);
      for (const [name = '', definition = ''] of macros) if (calls.test(definition)) names.add(name);
    }
  return { aggregates, volatile };
}

/**
 * Reports every expression that needs more than one row, reads anything but the row, or names an unknown column.
 * Returns their cost.
 */
export function checkExpressions(root: TreeNode, scope: Scope, places: Places, findings: Findings): Cost {
  const aliases = new Set(children(root.select_list).map((item) => String(item.alias ?? '').toLowerCase()));
  aliases.delete('');
  const visitor = new Visitor({ ...scope, aliases, parameters: new Set() }, places, findings);
  visitor.visit(root.select_list);
  visitor.visit(root.where_clause);
  checkConstants(root.where_clause, places, findings);
  return costOf(children(root.select_list), scope.below, places, findings);
}

/** The column that a reference names, and its position in `names`; undefined if there is no such column. */
export function findColumn<T extends { name: string }>(
  names: readonly string[],
  scope: { qualifiers: readonly string[]; columns: readonly T[] },
): { column: T; part: number } | undefined {
  const [first = '', second] = names;
  const named = (name: string) => scope.columns.find((column) => isSameName(column.name, name));
  const qualified = second !== undefined && scope.qualifiers.some((name) => isSameName(name, first));
  const part = qualified && !named(first) ? 1 : 0;
  const column = named(names[part] ?? '');
  return column && { column, part };
}

/** Functions that read or change the engine, or wait. */
const engineFunctions =
  /^(?:pg_|has_|inet_|current_(?!date$|time$|timestamp$|localtime$|localtimestamp$)|sleep|set_?seed$|write_log$|getvariable$|getenv$|nextval$|currval$|txid_|stats$|json_serialize|json_deserialize|json_execute|in_search_path$|obj_description$|col_description$|shobj_description$|get_block_size$|user$|session_user$|parse_duckdb_log|generate_subscripts$)/;

/** Whether no query may call a function, wherever it stands. */
export const isNeverCalled = (name: string, { volatile }: FunctionKinds): boolean =>
  engineFunctions.test(name) || volatile.has(name);

/** The SQL standard's words for the time, which DuckDB's parse tree shows as columns. */
const clocks: Readonly<Record<string, string>> = {
  current_timestamp: 'now()',
  localtimestamp: 'now()',
  current_date: 'today()',
};

interface InnerScope extends Scope {
  aliases: ReadonlySet<string>;
  parameters: ReadonlySet<string>;
}

class Visitor {
  readonly #scope: InnerScope;
  readonly #places: Places;
  readonly #findings: Findings;
  /** Number of growing functions around the current node. */
  #growing = 0;
  #inLambda = false;

  constructor(scope: InnerScope, places: Places, findings: Findings) {
    this.#scope = scope;
    this.#places = places;
    this.#findings = findings;
  }

  visit(part: unknown): void {
    if (Array.isArray(part)) for (const item of part) this.visit(item);
    if (!isNode(part)) return;
    if (part.class === 'LAMBDA') this.#visitLambda(part);
    else if (this.#check(part)) this.#visitInside(part);
  }

  #visitInside(node: TreeNode): void {
    const grows = isGrowing(node) ? 1 : 0;
    this.#growing += grows;
    for (const value of Object.values(node)) this.visit(value);
    this.#growing -= grows;
  }

  #check(node: TreeNode): boolean {
    switch (node.class) {
      case 'SUBQUERY':
        return this.#refuse(node, 'A SELECT inside an expression is not supported');
      case 'WINDOW':
        if (this.#scope.manyRows) return true;
        return this.#refuse(
          node,
          `The window function ${node.function_name} is not supported: it needs other rows`,
        );
      case 'PARAMETER':
        return this.#refuse(node, 'Parameters such as ? or $1 are not supported; write the value itself');
      case 'STAR':
        return node.columns !== true || this.#refuse(node, 'COLUMNS(…) is not supported; name the columns');
      case 'FUNCTION':
        return this.#checkFunction(node);
      case 'COLUMN_REF':
        return this.#checkColumn(node);
      default:
        if (node.type === 'GROUPING_FUNCTION')
          return this.#refuse(node, 'GROUPING is not supported: there are no groups');
        return true;
    }
  }

  #checkFunction(node: TreeNode): boolean {
    const name = String(node.function_name).toLowerCase();
    const { manyRows } = this.#scope;
    if (!manyRows && this.#scope.functions.aggregates.has(name)) {
      const shown = name === 'count_star' ? 'count' : name;
      const message = `The aggregate ${shown} is not supported here: it needs many rows`;
      return this.#refuse(node, message);
    }
    if (!manyRows && streamWindows.has(name)) return this.#refuse(node, noWindow(name));
    if (name === 'row_time' && this.#scope.eventTime !== undefined) {
      const message = `row_time() is not supported for this table; write its column ${this.#scope.eventTime}`;
      return this.#refuse(node, message);
    }
    if (name === 'closed_early')
      return manyRows || this.#refuse(node, 'closed_early() is for the SELECT list over a window');
    if (this.#scope.functions.volatile.has(name) && !engineFunctions.test(name)) {
      const message = `The function ${name} returns a different value at each call, so a redelivered message would become a different row; use a value of the message`;
      return this.#refuse(node, message);
    }
    if (engineFunctions.test(name))
      return this.#refuse(node, `The function ${name} is not available in a query`);
    const growth = unboundedGrowth(node, { growing: this.#growing > 0, lambda: this.#inLambda });
    return growth === undefined || this.#refuse(node, growth);
  }

  #checkColumn(node: TreeNode): boolean {
    const names = (node.column_names as string[] | undefined) ?? [];
    const [first = ''] = names;
    if (this.#scope.parameters.has(first.toLowerCase())) return false;
    const found = findColumn(names, this.#scope);
    if (found && !this.#isMiscast(node, found.column, found.part)) return false;
    if (!found && (this.#scope.manyRows || this.#scope.aliases.has(first.toLowerCase()))) return false;
    const clock = clocks[first.toLowerCase()];
    if (clock !== undefined && names.length === 1)
      return this.#refuse(node, `${first} is not supported; write ${clock}`);
    const wanted = names[found?.part ?? 0] ?? first;
    const known = this.#scope.columns.map((column) => column.name);
    return this.#refuse(node, `There is no column ${names.join('.')}${suggestion(wanted, known)}`);
  }

  /** Whether the column is named in double quotes, but in another case. */
  #isMiscast(node: TreeNode, field: { name: string }, part: number): boolean {
    if (typeof node.query_location !== 'number') return false;
    const token = this.#places.token(node.query_location, part * 2);
    return token?.kind === 'name' && isSameName(token.text, field.name) && token.text !== field.name;
  }

  /** `x -> …` has parameters on its left; the JSON operator `->` has a column there. */
  #visitLambda(node: TreeNode): void {
    const parameters = new Set(this.#scope.parameters);
    const { lhs } = node;
    const names =
      isNode(lhs) && lhs.class === 'COLUMN_REF' ? [lhs] : isNode(lhs) ? children(lhs.children) : [];
    for (const { column_names: parts } of names) {
      if (Array.isArray(parts) && parts.length === 1) parameters.add(String(parts[0]).toLowerCase());
    }
    if (names.length === 0) this.visit(lhs);
    const inner = new Visitor({ ...this.#scope, parameters }, this.#places, this.#findings);
    inner.#growing = this.#growing;
    inner.#inLambda = true;
    inner.visit(node.expr);
  }

  #refuse(node: TreeNode, message: string): false {
    this.#findings.add(message, this.#places.of(node));
    return false;
  }
}
