import type { FieldError, PenstockError } from '../errors.ts';
import type { BadRowHandler, Codec } from './format.ts';
import type { Format } from './schema/schema.ts';
import { badData, badRow, withNote } from './values/bad.ts';

/**
 * The header that Confluent's serializers write before a message of Avro, Protobuf or JSON: a zero byte, and the id of
 * the schema in their registry as four bytes.
 */

const headerSize = 5;

type Headed = Extract<Format, { confluent_header?: boolean }>;

const mayHaveHeader = (format: Format): format is Headed =>
  format.type === 'avro' || format.type === 'json' || format.type === 'protobuf';

export function validateHeader(format: Format): FieldError[] {
  if (!mayHaveHeader(format)) return [];
  const errors: FieldError[] = [];
  if (format.confluent_schema_registry) {
    const message =
      'Schema registries are not supported: put the schema into the definition, and set confluent_header';
    errors.push({ path: '/format/confluent_schema_registry', message });
  }
  if (!format.confluent_header && typeof format.schema_id === 'number') {
    const message =
      'schema_id is the id in the header of a message: set confluent_header, or remove schema_id';
    errors.push({ path: '/format/schema_id', message });
  }
  return errors;
}

/** Adds the header to a codec that the format demands; without it, bad messages that seem to have one say so. */
export function behindHeader(codec: Codec, format: Format): Codec {
  if (!mayHaveHeader(format)) return codec;
  return format.confluent_header ? headed(codec, format.schema_id ?? undefined) : guessing(codec, format);
}

function headed(codec: Codec, schemaId: number | undefined): Codec {
  const { decodeAll } = codec;
  const header = Buffer.alloc(headerSize);
  header.writeUInt32BE(schemaId ?? 0, 1);
  const body = (payload: Buffer): Buffer => {
    if (payload.length < headerSize || payload[0] !== 0)
      throw badData('', "does not begin with Confluent's header, a zero byte and a schema id");
    const found = payload.readUInt32BE(1);
    if (schemaId !== undefined && found !== schemaId)
      throw badData('', `was written with the schema id ${found} instead of ${schemaId}`);
    return payload.subarray(headerSize);
  };
  return {
    decode: (payload) => codec.decode(body(payload)),
    ...(decodeAll && { decodeAll: (payload, bad) => decodeAll(body(payload), bad) }),
    encode(row) {
      if (schemaId === undefined)
        throw badRow('', "cannot be written without the schema_id that Confluent's header has");
      return Buffer.concat([header, codec.encode(row)]);
    },
  };
}

/** The same codec, whose errors guess that a message has a header. */
function guessing(codec: Codec, format: Headed): Codec {
  const explained = (error: unknown, payload: Buffer): unknown => {
    if (payload[0] !== 0 || payload.length <= headerSize) return error;
    if (format.type === 'json' && payload[headerSize] !== 0x7b && payload[headerSize] !== 0x5b) return error;
    const id = payload.readUInt32BE(1);
    return withNote(
      error,
      `it begins like the messages of Confluent's serializers, with a zero byte and the schema id ${id}: set confluent_header if that is so`,
    );
  };
  const { decodeAll } = codec;
  return {
    ...codec,
    decode(payload) {
      try {
        return codec.decode(payload);
      } catch (error) {
        throw explained(error, payload);
      }
    },
    ...(decodeAll && {
      decodeAll(payload: Buffer, bad?: BadRowHandler) {
        // Only the first row can tell.
        const noted =
          bad &&
          ((error: PenstockError, row: number) => {
            bad(row === 0 ? (explained(error, payload) as PenstockError) : error, row);
          });
        try {
          return decodeAll(payload, noted);
        } catch (error) {
          throw explained(error, payload);
        }
      },
    }),
  };
}
