import type { Findings, Range } from './diagnostic.ts';

/** A token of SQL. `text` is its meaning: names and strings are unquoted. */
export interface Token extends Range {
  kind: 'word' | 'name' | 'string' | 'number' | 'symbol';
  text: string;
}

const maxQueryLength = 200_000;

// Sticky patterns, tried in this order.
const patterns: readonly { kind: Token['kind'] | 'space'; pattern: RegExp }[] = [
  { kind: 'space', pattern: /[\s\u00a0\ufeff]+|--[^\n\r]*/y },
  { kind: 'word', pattern: /[\p{L}_][\p{L}\p{N}\p{M}_$]*/uy },
  { kind: 'number', pattern: /(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y },
  { kind: 'symbol', pattern: /::|->>|->|<=|>=|<>|!=|\|\||[^\p{L}\p{N}\s]/uy },
];

/** Opens a `$$…$$` or `$tag$…$tag$` string. */
const dollarTag = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;

/** Splits a query into tokens, without comments and white space. Reports strings and comments that are not closed. */
export function tokenise(query: string, findings: Findings): Token[] {
  if (query.length > maxQueryLength)
    findings.stop(`The query is too long; the maximum is ${maxQueryLength} characters`);
  const tokens: Token[] = [];
  let offset = 0;
  while (offset < query.length) {
    const next = quoted(query, offset, findings) ?? matched(query, offset, findings);
    if (next.kind !== 'space') tokens.push(next as Token);
    offset = next.to;
  }
  return tokens;
}

type Piece = Omit<Token, 'kind'> & { kind: Token['kind'] | 'space' };

function matched(query: string, from: number, findings: Findings): Piece {
  for (const { kind, pattern } of patterns) {
    pattern.lastIndex = from;
    const text = pattern.exec(query)?.[0];
    if (text && text !== '`') return { kind, text, from, to: from + text.length };
  }
  const [character] = query.slice(from);
  const instead = character === '`' ? '; write names in double quotes' : '';
  return findings.stop(`Unexpected character ${character}${instead}`, { from, to: from + 1 });
}

function quoted(query: string, from: number, findings: Findings): Piece | undefined {
  const [first, second] = [query[from], query[from + 1]];
  if (first === "'") return delimited(query, from, "'", 'string', findings);
  if (first === '"') return delimited(query, from, '"', 'name', findings);
  if (first === '/' && second === '*') return comment(query, from, findings);
  if (first === '$') {
    dollarTag.lastIndex = from;
    const tag = dollarTag.exec(query)?.[0];
    return tag === undefined ? undefined : delimited(query, from, tag, 'string', findings);
  }
  if ((first === 'e' || first === 'E') && second === "'" && !/[\p{L}\p{N}_$]/u.test(query[from - 1] ?? '')) {
    const message = "Escape strings such as E'…' are not supported; write a plain '…' string";
    return findings.stop(message, { from, to: from + 2 });
  }
  return undefined;
}

/** A string or name between two equal delimiters. A quote inside is doubled. */
function delimited(
  query: string,
  from: number,
  delimiter: string,
  kind: 'string' | 'name',
  findings: Findings,
): Piece {
  const isQuote = delimiter.length === 1;
  const start = from + delimiter.length;
  let end = query.indexOf(delimiter, start);
  while (isQuote && end !== -1 && query[end + 1] === delimiter) end = query.indexOf(delimiter, end + 2);
  if (end === -1) {
    const what = kind === 'string' ? 'string' : 'quoted name';
    findings.stop(`This ${what} is not closed; add ${delimiter} at its end`, { from, to: start });
  }
  const inner = query.slice(start, end);
  const text = isQuote ? inner.replaceAll(delimiter + delimiter, delimiter) : inner;
  return { kind, text, from, to: end + delimiter.length };
}

/** Comments can be nested, as in DuckDB. */
function comment(query: string, from: number, findings: Findings): Piece {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  let depth = 0;
  for (let match = edge.exec(query); match; match = edge.exec(query)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return { kind: 'space', text: '', from, to: edge.lastIndex };
  }
  return findings.stop('This comment is not closed; add */ at its end', { from, to: from + 2 });
}

export const isSymbol = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'symbol' && token.text === text;
export const isWord = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'word' && token.text.toLowerCase() === text;

export function rangeOf(first: Token, last: Token = first): Range {
  return { from: first.from, to: last.to };
}

/**
 * Arroyo's SQL names columns `window`, which is a reserved word in DuckDB. This word of the same length stands for it until the
 * text is parsed.
 */
export const windowWord = '__wndw';
