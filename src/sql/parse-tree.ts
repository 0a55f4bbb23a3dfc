import type { DuckDBConnection } from '@duckdb/node-api';
import type { Range } from './diagnostic.ts';
import { askEngine } from './engine/connection.ts';
import { type Token, windowWord } from './tokens.ts';

/** A node of DuckDB's parse tree: an expression, a table reference or a part of one. */
export interface TreeNode {
  class?: string;
  type?: string;
  query_location?: unknown;
  [property: string]: unknown;
}

interface ParseFailure {
  message: string;
  /** Bytes into the text. */
  position: number | undefined;
}

/** Asks DuckDB for the parse tree of a text that should be a single SELECT. */
export async function parseSelect(
  connection: DuckDBConnection,
  text: string,
): Promise<{ tree: TreeNode; root: TreeNode } | { failure: ParseFailure }> {
  const json = await askEngine(connection, 'SELECT json_serialize_sql($1::VARCHAR)', text);
  const tree = readTree(text.includes(windowWord) ? json.replaceAll(windowWord, 'window') : json);
  if (tree.error === true) {
    const position = tree.position === undefined ? undefined : Number(tree.position);
    return { failure: { message: String(tree.error_message), position } };
  }
  const [statement] = children(tree.statements);
  return { tree, root: (statement?.node ?? {}) as TreeNode };
}

// TC39 "JSON.parse source text access", which TypeScript 7 does not declare yet.
const sourceAware = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): TreeNode;
  rawJSON(text: string): unknown;
};

/** Reads a tree that DuckDB wrote. A number that JavaScript writes differently, such as 1.0, is kept as written. */
export function readTree(json: string): TreeNode {
  return sourceAware.parse(json, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? sourceAware.rawJSON(source)
      : value,
  );
}

export function numberOf(value: unknown): string {
  if (isNode(value) && typeof value.rawJSON === 'string') return value.rawJSON;
  return Object.is(value, -0) ? '-0' : String(value);
}

export function writeSelect(connection: DuckDBConnection, tree: TreeNode): Promise<string> {
  return askEngine(connection, 'SELECT json_deserialize_sql($1::JSON)', JSON.stringify(tree));
}

export function children(property: unknown): TreeNode[] {
  return Array.isArray(property) ? property.filter(isNode) : [];
}

export function isNode(value: unknown): value is TreeNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a property of the tree is set: DuckDB writes an absent one as null, '' or []. */
export function isPresent(property: unknown): boolean {
  return Array.isArray(property)
    ? property.length > 0
    : property !== null && property !== undefined && property !== '';
}

/** Translates DuckDB's positions, in bytes from the start of the SELECT, to places in the query. */
export class Places {
  readonly #bytes: Buffer;
  readonly #select: Range;
  readonly #tokens: readonly Token[];
  readonly #skipped: number;

  /** `select` is the range of the SELECT in the query, where `text` has it after `skipped` characters. */
  constructor(text: string, select: Range, tokens: readonly Token[], skipped = 0) {
    this.#bytes = Buffer.from(text);
    this.#select = select;
    this.#tokens = tokens;
    this.#skipped = skipped;
  }

  /** The token at a position; the end of the SELECT for one after it; the whole SELECT if there is no position. */
  at(position: unknown): Range {
    if (typeof position !== 'number' || !Number.isSafeInteger(position)) return this.#select;
    return this.token(position) ?? { from: this.#select.to, to: this.#select.to };
  }

  of(node: TreeNode): Range {
    return this.at(node.query_location);
  }

  /** The first token that ends after a position, or the one `ahead` tokens later. */
  token(position: number, ahead = 0): Token | undefined {
    const offset = this.#select.from - this.#skipped + this.#bytes.subarray(0, position).toString().length;
    return this.#tokens[this.#tokens.findIndex((token) => token.to > offset) + ahead];
  }

  /** The place of the word at a position of another text, if it is here once; else the whole SELECT. */
  like(other: string, position: number): Range {
    const [word] = /^\w+|^"[^"]+"/.exec(Buffer.from(other).subarray(position).toString()) ?? [];
    const plain = word?.replaceAll('"', '').toLowerCase();
    const found = this.#tokens.filter(({ text }) => text.toLowerCase() === plain);
    return found.length === 1 && found[0] ? found[0] : this.#select;
  }

  /** The first occurrence of a keyword outside all brackets. */
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
