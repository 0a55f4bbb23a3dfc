import { Findings } from './diagnostic.ts';
import { type Token, tokenise } from './tokens.ts';

/** A value of an option of a table that is created in a query, such as its password. */
export interface OptionValue {
  table: string;
  option: string;
  /** What it means: quotes are taken off. */
  value: string;
}

/**
 * Answers the query in which each value of the options called `names` has become what `change` makes of it. All the
 * rest stays byte for byte. Throws `invalid_query` for text that is no SQL at all.
 */
export function mapOptionValues(
  query: string,
  names: ReadonlySet<string>,
  change: (found: OptionValue) => string,
): string {
  const parts: string[] = [];
  let done = 0;
  for (const { table, option, value } of optionValues(tokenise(query, new Findings(query)))) {
    if (!names.has(option)) continue;
    const changed = change({ table, option, value: value.text });
    if (changed === value.text) continue;
    parts.push(query.slice(done, value.from), `'${changed.replaceAll("'", "''")}'`);
    done = value.to;
  }
  parts.push(query.slice(done));
  return parts.join('');
}

interface Found {
  table: string;
  option: string;
  value: Token;
}

/** Every `name = 'value'` in the WITH (…) of every CREATE TABLE. */
function* optionValues(tokens: readonly Token[]): Generator<Found> {
  let table: string | undefined;
  let inOptions = false;
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    if (isSymbol(token, ';')) [table, inOptions] = [undefined, false];
    else if (isWord(token, 'table') && table === undefined) table = nameAfter(tokens, index);
    else if (isWord(token, 'with') && isSymbol(next, '(')) inOptions = table !== undefined;
    else if (inOptions && isSymbol(token, '=') && next?.kind === 'string')
      yield { table: table as string, option: nameBefore(tokens, index), value: next };
  }
}

/** The name of the table that is created; `IF NOT EXISTS` may stand before it. */
function nameAfter(tokens: readonly Token[], index: number): string {
  const at = isWord(tokens[index + 1], 'if') ? index + 4 : index + 1;
  return tokens[at]?.text ?? '';
}

/** The name of an option: a string, or words with dots between them. */
function nameBefore(tokens: readonly Token[], equals: number): string {
  let from = equals - 1;
  while (isSymbol(tokens[from - 1], '.')) from -= 2;
  return tokens
    .slice(Math.max(from, 0), equals)
    .map(({ text }) => text)
    .join('');
}

const isSymbol = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'symbol' && token.text === text;
const isWord = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'word' && token.text.toLowerCase() === text;
