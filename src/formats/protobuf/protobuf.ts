import protobufjs from 'protobufjs';
import { type FieldError, PenstockError } from '../../errors.ts';
import {
  type BadRowHandler,
  type Codec,
  type FormatDefinition,
  maxRowsOfMessage,
  type Row,
  type SchemaIn,
} from '../format.ts';
import { onlyRow } from '../framing.ts';
import { badData } from '../values/bad.ts';
import { messageOfRow, rowFromMessage } from '../values/row.ts';
import { messageTypeOf, type ProtobufSchema } from './definition.ts';
import { fieldsFromMessage } from './fields.ts';
import { behindIndexes } from './message-indexes.ts';
import { documentReader, rowReader } from './read.ts';
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
  validate({ definition }): FieldError[] {
    if (definition) return [];
    const message = 'Protobuf needs a definition, a protobuf_schema: fields alone do not say their numbers';
    return [{ path: '/definition', message }];
  },
  codec(schema) {
    const type = messageTypeOf(schema.definition as ProtobufSchema, schema.format.message_name);
    const decode = readerOf(type, schema);
    const encode = writerOf(type, schema);
    const codec = schema.format.length_delimited ? delimitedCodec(decode, encode) : { decode, encode };
    return schema.format.confluent_header
      ? behindIndexes(codec, type, schema.definition as ProtobufSchema)
      : codec;
  },
};

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
