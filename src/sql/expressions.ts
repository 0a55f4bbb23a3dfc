import { suggestion } from './closest.ts';
import type { Findings } from './diagnostic.ts';
import type { FunctionKinds } from './function-kinds.ts';
import { isGrowing, unboundedGrowth } from './growth.ts';
import { children, isNode, type Places, type TreeNode } from './parse-tree.ts';
import { type Weight, weigh } from './weight.ts';

/** What the expressions of a SELECT are judged by. */
export interface Scope {
  /** The table's name and its alias: what may stand before a column. */
  qualifiers: readonly string[];
  columns: readonly { name: string }[];
  /** Of what is behind the columns, when they are those of a view. */
  below: Weight;
  /** Names given with AS, which later expressions may use. */
  aliases: ReadonlySet<string>;
  /** Parameters of the lambdas around an expression. */
  parameters: ReadonlySet<string>;
  functions: FunctionKinds;
}

/**
 * Reports every expression that needs more than one row, looks outside the row, or names an unknown column. Answers
 * what they weigh.
 */
export function checkExpressions(root: TreeNode, scope: Scope, places: Places, findings: Findings): Weight {
  const aliases = new Set(children(root.select_list).map((item) => String(item.alias ?? '').toLowerCase()));
  aliases.delete('');
  const visitor = new Visitor({ ...scope, aliases }, places, findings);
  visitor.visit(root.select_list);
  visitor.visit(root.where_clause);
  return weigh(children(root.select_list), scope.below, places, findings);
}

/** The column that a reference names, with the part of `names` it is; undefined when there is no such column. */
export function findColumn<T extends { name: string }>(
  names: readonly string[],
  scope: { qualifiers: readonly string[]; columns: readonly T[] },
): { column: T; part: number } | undefined {
  const [first = '', second] = names;
  const qualified = second !== undefined && scope.qualifiers.some((name) => sameName(name, first));
  const part = qualified && !named(scope.columns, first) ? 1 : 0;
  const column = named(scope.columns, names[part] ?? '');
  return column && { column, part };
}

function named<T extends { name: string }>(columns: readonly T[], name: string): T | undefined {
  return columns.find((column) => sameName(column.name, name));
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** Functions that say something about the engine, act on it or wait: nothing a row depends on. */
const engineFunctions =
  /^(?:pg_|has_|inet_|current_(?!date$|time$|timestamp$|localtime$|localtimestamp$)|sleep|set_?seed$|write_log$|getvariable$|getenv$|nextval$|currval$|txid_|stats$|json_serialize|json_deserialize|json_execute|in_search_path$|obj_description$|col_description$|shobj_description$|get_block_size$|user$|session_user$|parse_duckdb_log|generate_subscripts$)/;

/** Words that the standard has for the time, which DuckDB's parse tree shows as columns. */
const clocks: Readonly<Record<string, string>> = {
  current_timestamp: 'now()',
  localtimestamp: 'now()',
  current_date: 'today()',
};

class Visitor {
  readonly #scope: Scope;
  readonly #places: Places;
  readonly #findings: Findings;
  /** How many growing functions are around the current node. */
  #growing = 0;
  #inLambda = false;

  constructor(scope: Scope, places: Places, findings: Findings) {
    this.#scope = scope;
    this.#places = places;
    this.#findings = findings;
  }

  /** Judges a part of the tree and everything below it. */
  visit(part: unknown): void {
    if (Array.isArray(part)) for (const item of part) this.visit(item);
    if (!isNode(part)) return;
    if (part.class === 'LAMBDA') this.#visitLambda(part);
    else if (this.#judge(part)) this.#visitInside(part);
  }

  #visitInside(node: TreeNode): void {
    const grows = isGrowing(node) ? 1 : 0;
    this.#growing += grows;
    for (const value of Object.values(node)) this.visit(value);
    this.#growing -= grows;
  }

  /** Whether to look below the node. */
  #judge(node: TreeNode): boolean {
    switch (node.class) {
      case 'SUBQUERY':
        return this.#refuse(node, 'A SELECT inside an expression is not supported');
      case 'WINDOW':
        return this.#refuse(
          node,
          `The window function ${node.function_name} is not possible: it needs other rows`,
        );
      case 'PARAMETER':
        return this.#refuse(node, 'Parameters such as ? or $1 have no value here; write the value itself');
      case 'STAR':
        return node.columns !== true || this.#refuse(node, 'COLUMNS(…) is not supported; name the columns');
      case 'FUNCTION':
        return this.#judgeFunction(node);
      case 'COLUMN_REF':
        return this.#judgeColumn(node);
      default:
        if (node.type === 'GROUPING_FUNCTION')
          return this.#refuse(node, 'GROUPING is not possible without groups');
        return true;
    }
  }

  #judgeFunction(node: TreeNode): boolean {
    const name = String(node.function_name).toLowerCase();
    if (this.#scope.functions.aggregates.has(name)) {
      const shown = name === 'count_star' ? 'count' : name;
      const message = `The aggregate ${shown} is not possible: a stream never ends, so it would never have a result`;
      return this.#refuse(node, message);
    }
    if (this.#scope.functions.volatile.has(name) && !engineFunctions.test(name)) {
      const message = `The function ${name} answers something else each time, so a message that is delivered again would become another row; take the value from the message`;
      return this.#refuse(node, message);
    }
    if (engineFunctions.test(name)) {
      return this.#refuse(node, `The function ${name} is not available in a query`);
    }
    const growth = unboundedGrowth(node, name, { growing: this.#growing > 0, lambda: this.#inLambda });
    return growth === undefined || this.#refuse(node, growth);
  }

  #judgeColumn(node: TreeNode): boolean {
    const names = (node.column_names as string[] | undefined) ?? [];
    const [first = ''] = names;
    if (this.#scope.parameters.has(first.toLowerCase())) return false;
    const found = findColumn(names, this.#scope);
    if (found && !this.#isMiscast(node, found.column, found.part)) return false;
    if (!found && this.#scope.aliases.has(first.toLowerCase())) return false;
    const clock = clocks[first.toLowerCase()];
    if (clock !== undefined && names.length === 1) {
      return this.#refuse(node, `${first} is not known here; write ${clock}`);
    }
    const wanted = names[found?.part ?? 0] ?? first;
    const known = this.#scope.columns.map((column) => column.name);
    return this.#refuse(node, `There is no column ${names.join('.')}${suggestion(wanted, known)}`);
  }

  /** Whether the column is named in double quotes but in another case. */
  #isMiscast(node: TreeNode, field: { name: string }, part: number): boolean {
    if (typeof node.query_location !== 'number') return false;
    const token = this.#places.token(node.query_location, part * 2);
    return token?.kind === 'name' && sameName(token.text, field.name) && token.text !== field.name;
  }

  /** `x -> …` has parameters on its left; the JSON operator of the same look has a column there. */
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
