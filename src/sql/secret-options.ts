import { Findings } from './diagnostic.ts';
import { isSymbol, isWord, type Token, tokenise } from './tokens.ts';

/** The value of a table's option in a query, such as a password. */
export interface OptionValue {
  table: string;
  option: string;
  /** Without its quotes. */
  value: string;
}

/**
 * Returns the query with each value of the options called `names` replaced by the result of `change`. The rest stays
 * byte for byte. Throws `invalid_query` for a text that cannot be split into tokens.
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

/** Every `name = 'value'` in the WITH (…) of every CREATE TABLE. */
function* optionValues(tokens: readonly Token[]): Generator<Omit<OptionValue, 'value'> & { value: Token }> {
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

/** The name of the created table, after an optional `IF NOT EXISTS`. */
function nameAfter(tokens: readonly Token[], index: number): string {
  const at = isWord(tokens[index + 1], 'if') ? index + 4 : index + 1;
  return tokens[at]?.text ?? '';
}

/** The name of an option: a string, or words separated by dots. */
function nameBefore(tokens: readonly Token[], equals: number): string {
  let from = equals - 1;
  while (isSymbol(tokens[from - 1], '.')) from -= 2;
  const parts = tokens.slice(Math.max(from, 0), equals);
  return parts.map(({ text }) => text).join('');
}
