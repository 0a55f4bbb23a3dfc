import protobufjs from 'protobufjs';
import { asPenstockError, type FieldError, PenstockError } from '../../errors.ts';
import { usesRegistry } from '../confluent.ts';
import {
  type BadRowHandler,
  type Codec,
  type FormatDefinition,
  maxRowsOfMessage,
  type Row,
  type SchemaIn,
} from '../format.ts';
import { onlyRow } from '../framing.ts';
import type { RegisteredSchema } from '../registered.ts';
import { badData, badRow } from '../values/bad.ts';
import { messageOfRow, rowFromMessage } from '../values/row.ts';
import { importedBy, messageTypeOf, type ProtobufSchema, typesOf } from './definition.ts';
import { protoTexts } from './descriptor-text.ts';
import { fieldsFromMessage } from './fields.ts';
import { behindIndexes, IndexedFile, readIndexes } from './message-indexes.ts';
import { documentReader, fittingReader, rowReader } from './read.ts';
import { documentWriter, rowWriter } from './write.ts';

type ProtobufTable = SchemaIn<'protobuf'>;

/** Protobuf (protobuf.dev/programming-guides/encoding): one message, or length-delimited records. */
export const protobuf: FormatDefinition<'protobuf'> = {
  type: 'protobuf',
  wholeMessage: (format) => (format.into_unstructured_json ? 'json' : undefined),
  definition: {
    type: 'protobuf_schema',
    fieldsFrom({ format, definition }) {
      const type = messageTypeOf(definition as ProtobufSchema, format.message_name);
      if (format.into_unstructured_json) return [{ name: 'value', type: 'json', required: true }];
      return fieldsFromMessage(type);
    },
  },
  validate({ definition, format }): FieldError[] {
    // A registry has the numbers of what is read.
    if (definition || usesRegistry(format)) return [];
    const message = 'Protobuf needs a definition, a protobuf_schema: fields alone do not say their numbers';
    return [{ path: '/definition', message }];
  },
  codec(schema) {
    const { format } = schema;
    const definition = schema.definition as ProtobufSchema | null | undefined;
    if (!definition) return framed(refused, refused, format);
    const type = messageTypeOf(definition, format.message_name);
    const codec = framed(readerOf(type, schema), writerOf(type, schema), format);
    return format.confluent_header || usesRegistry(format) ? behindIndexes(codec, type, definition) : codec;
  },
  registry: {
    reader: registeredReader,
    written({ definition, format }) {
      if (!definition) {
        const message =
          'A sink needs the definition, a protobuf_schema: the columns alone do not say their numbers';
        throw new PenstockError('invalid_schema', message, { errors: [{ path: '/definition', message }] });
      }
      const { schema, dependencies = {} } = definition as ProtobufSchema;
      const type = messageTypeOf(definition as ProtobufSchema, format.message_name);
      return { name: type.fullName.slice(1), schema, references: importedBy(schema, dependencies) };
    },
    definitionOf(found) {
      const { schema, references } = readable(() => protoTexts(found));
      return { type: 'protobuf_schema', schema, dependencies: references };
    },
  },
};

function refused(): never {
  throw badRow('', 'cannot be written without the definition, a protobuf_schema');
}

const framed = (
  decode: (payload: Buffer) => Row,
  encode: (row: Row) => Buffer,
  { length_delimited }: ProtobufTable['format'],
): Codec => (length_delimited ? delimitedCodec(decode, encode) : { decode, encode });

/**
 * Reads messages of a file in a registry. Those of the message of the table's definition are read by its numbers, as Protobuf
 * does with schemas that have changed. Without a definition, and into whole documents, the writer's message is read.
 */
function registeredReader(schema: ProtobufTable, writer: RegisteredSchema): Codec {
  const { format } = schema;
  const definition = schema.definition as ProtobufSchema | null | undefined;
  const own = definition && messageTypeOf(definition, format.message_name);
  const wanted =
    own?.fullName ?? (format.message_name ? `.${format.message_name.replace(/^\./, '')}` : undefined);
  const texts = readable(() => protoTexts(writer));
  const file = readable(() => new IndexedFile(texts.schema));
  const written = {
    type: 'protobuf_schema',
    schema: texts.schema,
    dependencies: texts.references,
  } as const;
  let types: ReturnType<typeof typesOf> | PenstockError | undefined;
  const make = (indexes: readonly number[]): Codec => {
    const name = wanted !== undefined && file.has(indexes, wanted) ? wanted : file.nameAt(indexes);
    if (name === undefined)
      throw badData('', `has the message indexes ${indexes}, which its schema does not have`);
    if (wanted !== undefined && name !== wanted)
      throw badData('', `is a ${name.slice(1)}; the table reads ${wanted.slice(1)}`);
    if (own && !format.into_unstructured_json) return framed(readerOf(own, schema), refused, format);
    types ??= made(() => readable(() => typesOf(written)));
    if (types instanceof PenstockError) throw types;
    const type = types(name);
    const decode = format.into_unstructured_json
      ? readerOf(type, schema)
      : fittingReader(type, schema.fields ?? []);
    return framed(decode, refused, format);
  };
  /** By indexes. Those of messages that cannot be read have the error. */
  const codecs = new Map<string, Codec | PenstockError>();
  const add = (key: string, indexes: readonly number[]): Codec | PenstockError => {
    const codec = made(() => readable(() => make(indexes)));
    const [oldest] = codecs.keys();
    if (codecs.size >= maxCodecs && oldest !== undefined) codecs.delete(oldest);
    codecs.set(key, codec);
    return codec;
  };
  const body = (payload: Buffer): { codec: Codec; content: Buffer } => {
    const { indexes, end } = readIndexes(payload);
    const key = indexes.join();
    const codec = codecs.get(key) ?? add(key, indexes);
    if (codec instanceof PenstockError) throw codec;
    return { codec, content: payload.subarray(end) };
  };
  const read = (payload: Buffer, bad?: BadRowHandler): Row[] => {
    const { codec, content } = body(payload);
    return codec.decodeAll?.(content, bad) ?? [codec.decode(content)];
  };
  return {
    decode(payload) {
      const { codec, content } = body(payload);
      return codec.decode(content);
    },
    ...(format.length_delimited && { decodeAll: read }),
    encode: refused,
  };
}

/** Maximum number of message types of a file whose readers are kept. */
const maxCodecs = 1000;

/** Returns the result of a function, or its error. */
function made<T>(make: () => T): T | PenstockError {
  try {
    return make();
  } catch (error) {
    return asPenstockError(error);
  }
}

/** An invalid schema in the registry makes its messages bad. */
function readable<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof PenstockError && error.code === 'bad_data') throw error;
    throw badData('', `was written with a Protobuf schema that cannot be read: ${message}`);
  }
}

function readerOf(type: protobufjs.Type, { format, fields = [] }: ProtobufTable): (payload: Buffer) => Row {
  if (!format.into_unstructured_json) return rowReader(type, fields);
  const read = documentReader(type);
  const make = rowFromMessage(fields);
  return (payload) => make(read(payload));
}

function writerOf(type: protobufjs.Type, { format, fields = [] }: ProtobufTable): (row: Row) => Buffer {
  if (!format.into_unstructured_json) return rowWriter(type, fields);
  const write = documentWriter(type, '/value');
  return (row) => write(messageOfRow(row));
}

/** Each record behind its length as a varint, one after the other. */
function delimitedCodec(decode: (payload: Buffer) => Row, encode: (row: Row) => Buffer): Codec {
  const decodeAll = (payload: Buffer, bad?: BadRowHandler): Row[] => {
    const rows: Row[] = [];
    let records = 0;
    for (const record of recordsOf(payload)) {
      records += 1;
      if (records > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} rows`);
      try {
        rows.push(decode(record));
      } catch (error) {
        if (!bad || !(error instanceof PenstockError)) throw error;
        bad(error, records - 1);
      }
    }
    return rows;
  };
  return {
    decodeAll,
    decode: (payload) => onlyRow(decodeAll(payload)),
    encode(row) {
      const record = encode(row);
      return Buffer.concat([protobufjs.Writer.create().uint32(record.length).finish(), record]);
    },
  };
}

function* recordsOf(payload: Buffer): Generator<Buffer> {
  const reader = protobufjs.Reader.create(payload);
  while (reader.pos < payload.length) {
    const length = lengthOf(reader);
    if (length > payload.length - reader.pos) throw badData('', 'ends in the middle of a record');
    yield payload.subarray(reader.pos, reader.pos + length);
    reader.pos += length;
  }
}

function lengthOf(reader: protobufjs.Reader): number {
  try {
    return reader.uint32();
  } catch {
    throw badData('', 'ends in the middle of a record');
  }
}
