import { reserved } from '../formats/schema/sql-type.ts';
import { hasKey } from './engine/dialect.ts';
import { isSymbol, isWord, type Token, windowWord } from './tokens.ts';

const unsigned: Readonly<Record<string, string>> = {
  tinyint: 'UTINYINT',
  smallint: 'USMALLINT',
  int: 'UINTEGER',
  integer: 'UINTEGER',
  bigint: 'UBIGINT',
};

/**
 * Writes a text that begins at `from` for DuckDB, with everything at its place: the operator `?`, and types such as
 * BIGINT UNSIGNED. A `?` that is not between two operands stays, and is a parameter.
 */
export function inDuckDb(text: string, tokens: readonly Token[], from: number): string {
  let written = text;
  const put = (token: Token, to: number, by: string) => {
    written = written.slice(0, token.from - from) + by.padEnd(to - token.from) + written.slice(to - from);
  };
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    const type = token.kind === 'word' ? unsigned[token.text.toLowerCase()] : undefined;
    if (isSymbol(token, '?') && ends(tokens[index - 1]) && begins(next)) put(token, token.to, hasKey);
    if (type && next && isWord(next, 'unsigned')) put(token, next.to, type);
    if (isWord(token, 'window') && !beginsClause(tokens, index)) put(token, token.to, windowWord);
  }
  return written;
}

/** Whether it is the clause `WINDOW name AS (…)`. */
const beginsClause = (tokens: readonly Token[], at: number): boolean =>
  isWord(tokens[at + 2], 'as') && isSymbol(tokens[at + 3], '(');

const isReserved = (token: Token): boolean => token.kind === 'word' && reserved.has(token.text.toLowerCase());

const ends = (token: Token | undefined): boolean =>
  token !== undefined && (token.kind === 'symbol' ? ')]'.includes(token.text) : !isReserved(token));

const begins = (token: Token | undefined): boolean =>
  token !== undefined && (token.kind === 'symbol' ? token.text === '(' : !isReserved(token));
