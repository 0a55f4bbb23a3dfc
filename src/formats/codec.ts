import { gunzipSync, gzipSync } from 'node:zlib';
import { PenstockError } from '../errors.ts';
import type { Codec, Row } from './format.ts';
import { byLines } from './framing.ts';
import { formatOf } from './registry.ts';
import type { ConnectionSchema } from './schema/schema.ts';
import { validateSchema } from './schema/validate.ts';
import { badData } from './values/bad.ts';

export { sqlType } from './schema/sql-type.ts';
export { expandSchema, type KnownMetadata, validateSchema } from './schema/validate.ts';

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
 * Returns the rows of a message that can be read. An error of the whole message, or of one row with its number from 0,
 * goes to `bad`, which may throw.
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

/** Returns all rows of a message; throws the first error. */
export const rowsOf = (codec: Codec, payload: Buffer): Row[] =>
  codec.decodeAll?.(payload) ?? [codec.decode(payload)];

/** Maximum size of an unpacked message in bytes: a packet of a few kilobytes can hold gigabytes. */
const maxUnpacked = 16 * 1024 * 1024;

/** Packs what a codec writes with gzip, and unpacks what it reads. */
function gzipped(codec: Codec): Codec {
  const packed: Codec = {
    decode: (payload) => codec.decode(gunzip(payload)),
    encode: (row) => gzipSync(codec.encode(row)),
  };
  if (codec.decodeAll) {
    const decodeAll = codec.decodeAll.bind(codec);
    packed.decodeAll = (payload, bad) => decodeAll(gunzip(payload), bad);
  }
  return packed;
}

function gunzip(payload: Buffer): Buffer {
  try {
    return gunzipSync(payload, { maxOutputLength: maxUnpacked });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw badData('', `is more than ${maxUnpacked} bytes when it is unpacked`);
    throw badData('', 'is not gzip');
  }
}
