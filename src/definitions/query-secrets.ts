import { connectors } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import { mask, sensitivePaths } from '../security/config-secrets.ts';
import type { SecretBox } from '../security/secret-box.ts';
import { mapOptionValues } from '../sql/secret-options.ts';
import { optionName } from '../sql/table-options.ts';

/**
 * Secrets in the text of a query: `CREATE TABLE … WITH (password = '…')`. As in a profile they are sealed where the
 * query is stored and masked where it is answered; the mask sent back keeps them. The options are
 * those of the paths that a connector's schema lists as `sensitive`.
 */

const names: ReadonlySet<string> = new Set(
  connectors.flatMap(({ profile }) => sensitivePaths(profile).map(optionName)),
);

const prefix = 'sealed:';
const isSealed = (value: string): boolean => value.startsWith(prefix);
/** Nothing but `{{ NAME }}`: it says where the secret is, and holds none. */
const isVariable = (value: string): boolean => /^\{\{[^{}]*\}\}$/.test(value.trim()) || value === '';

const belongsTo = (pipeline: string, table: string, option: string): string =>
  `pipeline/${pipeline}/query/${table}/${option}`;

/** What is stored of a query. Throws `invalid_request` for a mask that stands for nothing. */
export function sealQuery(box: SecretBox, pipeline: string, query: string): string {
  return mapOptionValues(query, names, ({ table, option, value }) => {
    if (value === mask) throw maskedForNothing(table, option);
    return isVariable(value) ? value : `${prefix}${box.seal(value, belongsTo(pipeline, table, option))}`;
  });
}

/** A stored query as it was sent. */
export function openQuery(box: SecretBox, pipeline: string, stored: string): string {
  return mapOptionValues(stored, names, ({ table, option, value }) =>
    isSealed(value) ? box.open(value.slice(prefix.length), belongsTo(pipeline, table, option)) : value,
  );
}

/** What may be shown of a query, stored or sent. */
export const maskQuery = (query: string): string =>
  mapOptionValues(query, names, ({ value }) => (isVariable(value) ? value : mask));

/** Answers `query` with each secret that is the mask replaced by the one that `before` has for that table and option. */
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

/** The sealed values in a stored query. */
export function sealedInQuery(stored: string): string[] {
  const found: string[] = [];
  mapOptionValues(stored, names, ({ value }) => {
    if (isSealed(value)) found.push(value.slice(prefix.length));
    return value;
  });
  return found;
}

function maskedForNothing(table: string, option: string): PenstockError {
  const message = `The option ${option} of ${table} is the mask, and there is no stored secret it could stand for`;
  return new PenstockError('invalid_query', message, { errors: [{ path: '/query', message }] });
}
