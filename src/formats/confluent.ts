import { type FieldError, PenstockError } from '../errors.ts';
import type { BadRowHandler, Codec } from './format.ts';
import { lengthOf, type RegisteredSchema, type RegisteredSchemas, schemaTypes } from './registered.ts';
import type { Format } from './schema/schema.ts';
import { badData, badRow, withNote } from './values/bad.ts';

/**
 * The header that Confluent's serializers write before a message of Avro, Protobuf or JSON: a zero byte, and the id of
 * the schema in their registry as four bytes.
 */

export const headerSize = 5;

type Headed = Extract<Format, { confluent_header?: boolean }>;

const mayHaveHeader = (format: Format): format is Headed =>
  format.type === 'avro' || format.type === 'json' || format.type === 'protobuf';

export function validateHeader(format: Format): FieldError[] {
  if (!mayHaveHeader(format)) return [];
  const errors: FieldError[] = [];
  const add = (option: string, message: string) => void errors.push({ path: `/format/${option}`, message });
  const registry = usesRegistry(format);
  if (!registry && !format.confluent_header && typeof format.schema_id === 'number')
    add(
      'schema_id',
      'schema_id is the id in the header of a message: set confluent_schema_registry or confluent_header, or remove schema_id',
    );
  for (const option of registry ? [] : (['subject', 'subject_strategy', 'register_schema'] as const))
    if (format[option] !== undefined && format[option] !== null && format[option] !== '')
      add(option, `${option} is of a schema registry: set confluent_schema_registry, or remove ${option}`);
  if (registry && format.subject && format.subject_strategy)
    add('subject_strategy', 'subject_strategy makes the subject, which is given: remove one of the two');
  if (registry && format.type === 'json' && format.include_schema)
    add(
      'include_schema',
      'The schema is in the registry: remove include_schema or confluent_schema_registry',
    );
  return errors;
}

/** Whether the schemas of messages are in a schema registry, and each message has the id of its own. */
export const usesRegistry = (format: Format | null | undefined): boolean =>
  !!format && mayHaveHeader(format) && format.confluent_schema_registry === true;

/** Reader of the messages with one schema of the registry. */
export interface Registered {
  schemas: RegisteredSchemas;
  /** Throws `bad_data` for a schema that the table cannot be read with. Left out if the table's codec reads all. */
  reader?: ((writer: RegisteredSchema) => Codec) | undefined;
}

/** Adds the header to a codec that the format demands; without it, bad messages that seem to have one say so. */
export function behindHeader(codec: Codec, format: Format, registered?: Registered): Codec {
  if (!mayHaveHeader(format)) return codec;
  if (usesRegistry(format)) return withSchemas(codec, format, registered);
  return format.confluent_header ? headed(codec, format.schema_id ?? undefined) : guessing(codec, format);
}

const noRegistry = () =>
  new PenstockError(
    'invalid_schema',
    'The format needs a schema registry, but the connection profile has none',
    {
      hint: 'Set the schema registry in the connection profile, or remove confluent_schema_registry.',
    },
  );

/** Maximum number of schemas whose readers are kept, and of characters in them: a reader is larger than its schema. */
const maxReaders = 1000;
const maxReadersLength = 8 * 1024 * 1024;

interface SchemaReader {
  reader: Codec | PenstockError;
  length: number;
}

/** Codecs that read the messages of each schema, prepared when they are first needed. */
class SchemaReaders {
  readonly #readers = new Map<number, SchemaReader>();
  readonly #codec: Codec;
  readonly #format: Headed;
  readonly #registered: Registered | undefined;
  #length = 0;

  constructor(codec: Codec, format: Headed, registered: Registered | undefined) {
    this.#codec = codec;
    this.#format = format;
    this.#registered = registered;
  }

  /** Throws `bad_data`, or another error if that is not due to the message. */
  of(payload: Buffer): Codec {
    const id = schemaIdOf(payload);
    if (id === undefined) throw notHeaded();
    const { reader } = this.#readers.get(id) ?? this.#add(id);
    if (reader instanceof PenstockError) throw reader;
    return reader;
  }

  #add(id: number): SchemaReader {
    const added = this.#make(id);
    this.#readers.set(id, added);
    this.#length += added.length;
    for (const [oldest, { length }] of this.#readers) {
      if (this.#readers.size <= maxReaders && this.#length <= maxReadersLength) break;
      if (oldest === id) break;
      this.#readers.delete(oldest);
      this.#length -= length;
    }
    return added;
  }

  #make(id: number): SchemaReader {
    if (!this.#registered) throw noRegistry();
    if (id > maxId)
      throw badData('', `has the schema id ${id}, but the largest that there can be is ${maxId}`);
    const { schemas, reader } = this.#registered;
    const found = schemas.get(id);
    if (!found)
      throw new PenstockError('schema_registry_unavailable', `The schema with the id ${id} is not loaded`);
    // An unknown schema may be known later.
    if (found instanceof PenstockError) throw found;
    const { type } = this.#format;
    const note = `its schema has the id ${id} in the registry`;
    try {
      if (found.type !== schemaTypes[type]) throw badData('', `is ${found.type}, not ${type}`);
      return reader ? { reader: reader(found), length: lengthOf(found) } : { reader: this.#codec, length: 0 };
    } catch (error) {
      const bad = unusable(error);
      if (!bad) throw error;
      return { reader: withNote(bad, note) as PenstockError, length: 0 };
    }
  }
}

/** The error of messages whose schema others have written and that cannot be used, such as one that is nested too deep. */
function unusable(error: unknown): PenstockError | undefined {
  if (error instanceof RangeError) return badData('', 'was written with a schema that cannot be read');
  if (!(error instanceof PenstockError)) return undefined;
  if (error.code === 'invalid_schema')
    return badData('', `was written with a schema that cannot be read: ${error.message}`);
  return error.code === 'bad_data' ? error : undefined;
}

/** Finds the schema of each message by the id in its header. */
function withSchemas(codec: Codec, format: Headed, registered: Registered | undefined): Codec {
  const readers = new SchemaReaders(codec, format, registered);
  const decodeAll = (payload: Buffer, bad?: BadRowHandler) => {
    const reader = readers.of(payload);
    const body = payload.subarray(headerSize);
    return reader.decodeAll?.(body, bad) ?? [reader.decode(body)];
  };
  return {
    decode: (payload) => readers.of(payload).decode(payload.subarray(headerSize)),
    ...(codec.decodeAll && { decodeAll }),
    ...(registered && { prepare: (payloads) => prepare(payloads, registered.schemas) }),
    encode: headed(codec, format.schema_id ?? undefined).encode,
  };
}

function prepare(payloads: Iterable<Buffer>, schemas: RegisteredSchemas): Promise<void> | undefined {
  const ids = new Set<number>();
  for (const payload of payloads) {
    const id = registeredIdOf(payload);
    if (id !== undefined) ids.add(id);
  }
  return schemas.load(ids);
}

/** Registries count in signed 32-bit integers. */
const maxId = 0x7fff_ffff;

/** The schema id in the header of a message; undefined if there is no header. */
const schemaIdOf = (payload: Buffer): number | undefined =>
  payload.length >= headerSize && payload[0] === 0 ? payload.readUInt32BE(1) : undefined;

/** The same; undefined also if no registry can have the id. */
export function registeredIdOf(payload: Buffer): number | undefined {
  const id = schemaIdOf(payload);
  return id !== undefined && id <= maxId ? id : undefined;
}

const notHeaded = () => badData('', "does not begin with Confluent's header, a zero byte and a schema id");

function headed(codec: Codec, schemaId: number | undefined): Codec {
  const { decodeAll } = codec;
  const header = Buffer.alloc(headerSize);
  header.writeUInt32BE(schemaId ?? 0, 1);
  const body = (payload: Buffer): Buffer => {
    const found = schemaIdOf(payload);
    if (found === undefined) throw notHeaded();
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
