import { PenstockError } from '../errors.ts';
import { gzipped } from './compression.ts';
import type { Codec, Row } from './format.ts';
import { byLines } from './framing.ts';
import { formatOf } from './registry.ts';
import type { ConnectionSchema } from './schema/schema.ts';
import { validateSchema } from './schema/validate.ts';

export { expandSchema } from './schema/expand.ts';
export { sqlType } from './schema/sql-type.ts';
export { type KnownMetadata, validateSchema } from './schema/validate.ts';

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
 * The rows of a message that can be read. What cannot goes to `bad`, which may throw: the whole message, or some of its
 * rows, each with its number among all of them, from 0.
 */
export function readRows(codec: Codec, payload: Buffer, bad: (error: unknown, row?: number) => void): Row[] {
  const errors: { error: unknown; row?: number }[] = [];
  let rows: Row[] = [];
  try {
    rows = codec.decodeAll?.(payload, (error, row) => errors.push({ error, row })) ?? [codec.decode(payload)];
  } catch (error) {
    errors.push({ error });
  }
  for (const { error, row } of errors) bad(error, row);
  return rows;
}

/** The rows of a message, of which there may be any number; throws the first error. */
export const rowsOf = (codec: Codec, payload: Buffer): Row[] =>
  codec.decodeAll?.(payload) ?? [codec.decode(payload)];
