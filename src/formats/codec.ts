import { PenstockError } from '../errors.ts';
import { gzipped } from './compression.ts';
import type { Codec, Row } from './format.ts';
import { byLines } from './framing.ts';
import { formatOf } from './registry.ts';
import type { ConnectionSchema } from './schema.ts';
import { validateSchema } from './validate-schema.ts';

export { expandSchema } from './expand-schema.ts';
export { sqlType } from './sql-type.ts';
export { type KnownMetadata, validateSchema } from './validate-schema.ts';

/**
 * Prepares the codec of a schema: the work that depends on the schema alone is done here, once. The schema must be
 * expanded (`expandSchema`); throws `invalid_schema`, with the same `errors` as `validateSchema`, when it is not valid.
 */
export function codecFor(schema: ConnectionSchema): Codec {
  const errors = validateSchema(schema);
  const { format } = schema;
  const definition = format && formatOf(format);
  if (errors.length > 0 || !definition) {
    const [first] = errors;
    throw new PenstockError('invalid_schema', first?.message ?? 'The schema has no known format', { errors });
  }
  const { framing } = schema;
  const codec = definition.codec({ ...schema, format });
  const framed =
    framing && definition.newlines !== 'own'
      ? byLines(codec, framing, definition.newlines === 'values')
      : codec;
  return format.compression === 'gzip' ? gzipped(framed) : framed;
}

/**
 * The rows of a message that can be read. What cannot, the message or only some of its rows, goes to `bad`, which may
 * throw: nothing is read after it.
 */
export function readRows(codec: Codec, payload: Buffer, bad: (error: unknown) => void): Row[] {
  const errors: unknown[] = [];
  let rows: Row[] = [];
  try {
    rows = codec.decodeAll?.(payload, (error) => errors.push(error)) ?? [codec.decode(payload)];
  } catch (error) {
    errors.push(error);
  }
  for (const error of errors) bad(error);
  return rows;
}

/** The rows of a message, of which there may be any number; throws the first error. */
export const rowsOf = (codec: Codec, payload: Buffer): Row[] =>
  codec.decodeAll?.(payload) ?? [codec.decode(payload)];
