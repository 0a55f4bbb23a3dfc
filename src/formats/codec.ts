import { PenstockError } from '../errors.ts';
import type { Codec, FormatDefinition } from './format.ts';
import { json } from './json.ts';
import { rawString } from './raw-string.ts';
import type { ConnectionSchema } from './schema.ts';
import { validateSchema } from './validate-schema.ts';

export { expandSchema } from './expand-schema.ts';
export { sqlType } from './sql-type.ts';
export { type KnownMetadata, validateSchema } from './validate-schema.ts';

/** The formats there are. A new one is one file and one entry here. */
const formats: readonly FormatDefinition[] = [json, rawString];

/**
 * Prepares the codec of a schema: the work that depends on the schema alone is done here, once. The schema must be
 * expanded (`expandSchema`); throws `invalid_schema`, with the same `errors` as `validateSchema`, when it is not valid.
 */
export function codecFor(schema: ConnectionSchema): Codec {
  const errors = validateSchema(schema);
  const format = formats.find((candidate) => candidate.type === schema.format?.type);
  if (errors.length > 0 || !format) {
    const [first] = errors;
    throw new PenstockError('invalid_schema', first?.message ?? 'The schema has no known format', { errors });
  }
  return format.codec(schema);
}
