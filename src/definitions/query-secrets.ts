import { connectors } from '../connectors/catalog.ts';
import { PenstockError } from '../errors.ts';
import { mask, sensitivePaths } from '../security/config-secrets.ts';
import type { SecretBox } from '../security/secret-box.ts';
import { Findings } from '../sql/diagnostic.ts';
import { optionsFor } from '../sql/table-options.ts';
import { isSymbol, isWord, type Token, tokenise } from '../sql/tokens.ts';

/**
 * Secrets in the text of a query: `CREATE TABLE … WITH (password = '…')`. They are sealed in the database and masked in
 * responses; sending the mask back keeps the stored value. They are the options for the `sensitive` paths of the connectors'
 * schemas: `tls/key` is `tls.key`.
 */

const names: ReadonlySet<string> = new Set(
  connectors.flatMap(({ profile, table }) =>
    [profile, table].flatMap((schema) => sensitivePaths(schema).flatMap((path) => optionsFor(schema, path))),
  ),
);

const prefix = 'sealed:';
const isSealed = (value: string): boolean => value.startsWith(prefix);
/** Whether the value is only `{{ NAME }}`, which is not a secret. */
const isVariable = (value: string): boolean => /^\{\{[^{}]*\}\}$/.test(value.trim()) || value === '';

const belongsTo = (pipeline: string, table: string, option: string): string =>
  `pipeline/${pipeline}/query/${table}/${option}`;

/** Returns the query as it is stored. Throws `invalid_query` for a mask without a stored secret. */
export function sealQuery(box: SecretBox, pipeline: string, query: string): string {
  return mapOptionValues(query, names, ({ table, option, value }) => {
    if (value === mask) throw maskedForNothing(table, option);
    return isVariable(value) ? value : `${prefix}${box.seal(value, belongsTo(pipeline, table, option))}`;
  });
}

export function openQuery(box: SecretBox, pipeline: string, stored: string): string {
  return mapOptionValues(stored, names, ({ table, option, value }) =>
    isSealed(value) ? box.open(value.slice(prefix.length), belongsTo(pipeline, table, option)) : value,
  );
}

/** Returns the query, stored or sent, with its secrets masked. */
export const maskQuery = (query: string): string =>
  mapOptionValues(query, names, ({ value }) => (isVariable(value) ? value : mask));

/** Replaces each mask in `query` by the secret that `before` has for that table and option. */
export function keepMaskedInQuery(query: string, before: string): string {
  const kept = new Map<string, string>();
  mapOptionValues(before, names, ({ table, option, value }) => {
    kept.set(`${table}/${option}`, value);
    return value;
  });
  return mapOptionValues(query, names, ({ table, option, value }) =>
    value === mask ? (kept.get(`${table}/${option}`) ?? value) : value,
  );
}

export function sealedInQuery(stored: string): string[] {
  const found: string[] = [];
  mapOptionValues(stored, names, ({ value }) => {
    if (isSealed(value)) found.push(value.slice(prefix.length));
    return value;
  });
  return found;
}

function maskedForNothing(table: string, option: string): PenstockError {
  const message = `The option ${option} of ${table} is masked, and no secret is stored for it: send the secret itself`;
  return new PenstockError('invalid_query', message, { errors: [{ path: '/query', message }] });
}

interface OptionValue {
  table: string;
  option: string;
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
