import type { DuckDBConnection } from '@duckdb/node-api';
import type { Range } from './diagnostic.ts';
import { askEngine } from './engine/engine.ts';
import type { Token } from './tokens.ts';

/** A node of DuckDB's parse tree: an expression, a table reference or a part of one. */
export interface TreeNode {
  class?: string;
  type?: string;
  query_location?: unknown;
  [property: string]: unknown;
}

// Not yet declared by TypeScript 7 (TC39 "JSON.parse source text access"). The tree holds constants of 128 bits.
const sourceAware = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

export interface ParseFailure {
  message: string;
  /** Bytes into the text. */
  position: number | undefined;
}

/** Asks DuckDB for the parse tree of what should be a single SELECT. */
export async function parseSelect(
  connection: DuckDBConnection,
  text: string,
): Promise<{ tree: TreeNode; root: TreeNode } | { failure: ParseFailure }> {
  const answer = await askEngine(connection, 'SELECT json_serialize_sql($1::VARCHAR)', text);
  const tree = readTree(answer);
  if (tree.error === true) {
    const position = tree.position === undefined ? undefined : Number(tree.position);
    return { failure: { message: String(tree.error_message), position } };
  }
  const [statement] = children(tree.statements);
  return { tree, root: (statement?.node ?? {}) as TreeNode };
}

/** Reads a tree that DuckDB wrote; a number that JavaScript cannot hold is kept as it is written. */
export function readTree(json: string): TreeNode {
  return sourceAware.parse(json, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? sourceAware.rawJSON(source)
      : value,
  ) as TreeNode;
}

/** The digits of a number in a tree. */
export function numberOf(value: unknown): string {
  if (isNode(value) && typeof value.rawJSON === 'string') return value.rawJSON;
  return Object.is(value, -0) ? '-0' : String(value);
}

/** Writes a parse tree as SQL again. */
export function writeSelect(connection: DuckDBConnection, tree: TreeNode): Promise<string> {
  return askEngine(connection, 'SELECT json_deserialize_sql($1::JSON)', JSON.stringify(tree));
}

/** The nodes in a property that holds a list of them. */
export function children(property: unknown): TreeNode[] {
  return Array.isArray(property) ? property.filter(isNode) : [];
}

export function isNode(value: unknown): value is TreeNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a property of the tree holds something: DuckDB writes out what is absent as null, '' or []. */
export function isPresent(property: unknown): boolean {
  return Array.isArray(property)
    ? property.length > 0
    : property !== null && property !== undefined && property !== '';
}

/** Finds the places in the query that DuckDB speaks of, which counts bytes from the start of the SELECT. */
export class Places {
  readonly #bytes: Buffer;
  readonly #select: Range;
  readonly #tokens: readonly Token[];

  /** `tokens` are those of the SELECT, which is the part `select` of the query and has the text `text`. */
  constructor(text: string, select: Range, tokens: readonly Token[]) {
    this.#bytes = Buffer.from(text);
    this.#select = select;
    this.#tokens = tokens;
  }

  /** The token at a position; the end of the SELECT for one behind it, all of it when there is no position. */
  at(position: unknown): Range {
    if (typeof position !== 'number' || !Number.isSafeInteger(position)) return this.#select;
    return this.token(position) ?? { from: this.#select.to, to: this.#select.to };
  }

  of(node: TreeNode): Range {
    return this.at(node.query_location);
  }

  /** The token that starts at or behind a position. */
  token(position: number, ahead = 0): Token | undefined {
    const offset = this.#select.from + this.#bytes.subarray(0, position).toString().length;
    return this.#tokens[this.#tokens.findIndex((token) => token.to > offset) + ahead];
  }

  /** Where a keyword outside all brackets is. */
  keyword(word: string): Range {
    let depth = 0;
    for (const token of this.#tokens) {
      if (token.kind === 'symbol' && '([{'.includes(token.text)) depth += 1;
      if (token.kind === 'symbol' && ')]}'.includes(token.text)) depth -= 1;
      if (depth === 0 && token.kind === 'word' && token.text.toLowerCase() === word) return token;
    }
    return this.#select;
  }
}
