import { createHash } from 'node:crypto';
import { inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { asPenstockError, type FieldError, PenstockError } from '../../errors.ts';
import { usesRegistry } from '../confluent.ts';
import {
  type Codec,
  type FormatDefinition,
  type FormatOf,
  maxRowsOfMessage,
  type Row,
  type SchemaIn,
} from '../format.ts';
import { onlyRow } from '../framing.ts';
import { type Field, isMetadata } from '../schema/schema.ts';
import { badData, badRow } from '../values/bad.ts';
import { messageOfRow, rowFromMessage } from '../values/row.ts';
import { AvroInput, AvroOutput } from './bytes.ts';
import { avroName, avroSchemaOf, fieldsFromAvro } from './fields.ts';
import { jsonReader, rowReader } from './read.ts';
import { withReferences } from './references.ts';
import { type ParsedSchema, parseAvroSchema } from './schema.ts';
import { jsonTextWriter, rowWriter } from './write.ts';

type AvroSchema = SchemaIn<'avro'>;
type RowOf = (input: AvroInput) => Row;

const definitionPath = '/definition/schema';

/**
 * Avro (specification 1.12): container files, raw datums, or the single-object encoding. The schema is the `definition`
 * or derived from the fields. A container brings the writer's schema, whose fields are matched by name.
 */
export const avro: FormatDefinition<'avro'> = {
  type: 'avro',
  wholeMessage: (format) => (format.into_unstructured_json ? 'json' : undefined),
  definition: {
    type: 'avro_schema',
    fieldsFrom({ format, definition }) {
      const { type } = parseAvroSchema(definition.schema, definitionPath);
      const fields = fieldsFromAvro(type, definitionPath);
      return format.into_unstructured_json ? [{ name: 'value', type: 'json', required: true }] : fields;
    },
  },
  validate,
  codec(schema) {
    const text = schemaText(schema);
    const named = schema.format.union_branches === true;
    const own = text === undefined ? undefined : { text, ...parseAvroSchema(text, definitionPath, named) };
    return isBare(schema.format) ? datumCodec(schema, own) : containerCodec(schema, own);
  },
  registry: {
    reader(schema, { schema: text, references }) {
      const named = schema.format.union_branches === true;
      const own = schema.definition ? parseAvroSchema(schema.definition.schema, definitionPath) : undefined;
      const read = readerOf(writersSchema(text, named, Object.values(references)), schema, own);
      return { decode: (payload) => readDatum(payload, 0, read), encode: unwritable };
    },
    written(schema) {
      const text = schemaText(schema);
      if (text !== undefined)
        return { schema: text, references: [], name: parseAvroSchema(text, definitionPath).name };
      const message = 'A sink of whole documents needs the definition, an avro_schema, or the schema_id';
      throw new PenstockError('invalid_schema', message, { errors: [{ path: '/definition', message }] });
    },
    definitionOf: ({ schema, references }) => ({
      type: 'avro_schema',
      schema: withReferences(schema, Object.values(references)),
    }),
  },
};

function unwritable(): never {
  throw badRow('', 'cannot be written with the schema of a message that was read');
}

/** Whether a message is one datum, without its schema. */
const isBare = (format: FormatOf<'avro'>): boolean =>
  format.raw_datums === true ||
  format.single_object === true ||
  format.confluent_header === true ||
  usesRegistry(format);

/** Undefined for documents whose schema is only in the container. */
function schemaText({ definition, format, fields = [] }: AvroSchema): string | undefined {
  if (definition) return definition.schema;
  return format.into_unstructured_json ? undefined : avroSchemaOf(fields);
}

function validate({ format, definition, fields = [] }: AvroSchema): FieldError[] {
  const errors: FieldError[] = [];
  const isHeaded = format.confluent_header || usesRegistry(format);
  if ((format.raw_datums || isHeaded) && format.single_object) {
    const message =
      'A message is a raw datum, behind the header of Confluent or not, or in the single-object encoding, not both';
    errors.push({ path: '/format/single_object', message });
  }
  if (format.into_unstructured_json && isBare(format) && !usesRegistry(format) && !definition) {
    const message = 'The messages do not bring their schema: give it as the definition, an avro_schema';
    errors.push({ path: '/definition', message });
  }
  if (!definition && !format.into_unstructured_json) validateNames(fields, '/fields', errors);
  return errors;
}

/** Without a definition, Avro names are derived from those of the fields, and must differ. */
function validateNames(fields: readonly Field[], path: string, errors: FieldError[]): void {
  const seen = new Map<string, string>();
  fields.forEach((field, index) => {
    const at = `${path}/${index}`;
    if (isMetadata(field)) return;
    const before = seen.get(avroName(field.name));
    if (before !== undefined) {
      const message = `Avro would call it ${avroName(field.name)}, as it does ${before}; rename one of the two`;
      errors.push({ path: `${at}/name`, message });
    }
    seen.set(avroName(field.name), field.name);
    let item: { fields?: Field[]; items?: typeof field.items } = field;
    let below = at;
    for (; item.items; below += '/items') item = item.items;
    if (item.fields) validateNames(item.fields, `${below}/fields`, errors);
  });
}

function readerOf({ type }: ParsedSchema, { format, fields = [] }: AvroSchema, own?: ParsedSchema): RowOf {
  if (!format.into_unstructured_json) return rowReader(type, fields, '', own?.type);
  const read = jsonReader(type, '');
  const make = rowFromMessage(fields);
  return (input) => make(JSON.stringify(read(input)));
}

function writerOf(
  own: ParsedSchema | undefined,
  { format, fields = [] }: AvroSchema,
): ((row: Row) => Buffer) | undefined {
  if (!own) return undefined;
  const output = new AvroOutput();
  const write = format.into_unstructured_json ? documentWriter(own) : rowWriter(own.type, fields);
  return (row) => {
    write(row, output.start());
    return output.finish();
  };
}

function documentWriter({ type }: ParsedSchema): (row: Row, output: AvroOutput) => void {
  const write = jsonTextWriter(type, '/value');
  return (row, output) => write(messageOfRow(row), output);
}

const singleObject = Buffer.from([0xc3, 0x01]);

/** `own` may only be undefined if the schemas are in a registry. */
function datumCodec(schema: AvroSchema, own: ParsedSchema | undefined): Codec {
  const header =
    own && schema.format.single_object ? Buffer.concat([singleObject, own.fingerprint]) : Buffer.alloc(0);
  const read = own && readerOf(own, schema);
  const write = writerOf(own, schema);
  return {
    decode(payload) {
      if (!read) throw badData('', 'has no schema');
      checkHeader(payload, header);
      return readDatum(payload, header.length, read);
    },
    encode(row) {
      if (!write) throw badRow('', 'cannot be written without the definition, an avro_schema');
      const datum = write(row);
      return header.length === 0 ? datum : Buffer.concat([header, datum]);
    },
  };
}

function readDatum(payload: Buffer, from: number, read: RowOf): Row {
  const input = new AvroInput(payload, from);
  const row = read(input);
  input.end();
  return row;
}

function checkHeader(payload: Buffer, header: Buffer): void {
  if (header.length === 0) return;
  if (!payload.subarray(0, 2).equals(singleObject)) throw badData('', 'is not in the single-object encoding');
  if (!payload.subarray(2, 10).equals(header.subarray(2)))
    throw badData('', 'was written with another schema than that of the table');
}

const maxSchemas = 16;

function containerCodec(schema: AvroSchema, own: (ParsedSchema & { text: string }) | undefined): Codec {
  const readers = new Map<string, RowOf>();
  const write = writerOf(own, schema);
  const wrap = own && containerOf(own.text);
  const given = schema.definition ? own : undefined;

  const readerFor = (text: string): RowOf => {
    const before = readers.get(text);
    if (before) return before;
    const reader = readerOf(writersSchema(text, schema.format.union_branches === true), schema, given);
    const [oldest] = readers.keys();
    if (readers.size >= maxSchemas && oldest !== undefined) readers.delete(oldest);
    readers.set(text, reader);
    return reader;
  };

  const decodeAll = (payload: Buffer): Row[] => {
    const container = readContainer(payload);
    const read = readerFor(container.schema);
    const rows: Row[] = [];
    for (const { count, input } of container.blocks) {
      if (rows.length + count > maxRowsOfMessage)
        throw badData('', `holds more than ${maxRowsOfMessage} rows`);
      for (let left = count; left > 0; left -= 1) rows.push(read(input));
      input.end();
    }
    return rows;
  };

  return {
    decodeAll,
    decode: (payload) => onlyRow(decodeAll(payload)),
    encode(row) {
      if (!write || !wrap) throw badRow('', 'cannot be written without the definition, an avro_schema');
      return wrap(write(row));
    },
  };
}

/** An invalid schema in a message makes the message bad. */
function writersSchema(text: string, named: boolean, references: readonly string[] = []): ParsedSchema {
  try {
    return parseAvroSchema(text, '', named, references);
  } catch (error) {
    throw asPenstockError(error).code === 'invalid_schema'
      ? badData('', 'has an invalid Avro schema')
      : error;
  }
}

/** Object container files (Avro specification, "Object Container Files"), one to a message. */
const magic = Buffer.from('Obj\x01');

/** Maximum size of the decompressed blocks of a message in bytes. */
const maxInflated = 64 * 1024 * 1024;

/** Maximum length of a schema in a message. */
const maxSchema = 200_000;

interface Container {
  schema: string;
  blocks: { count: number; input: AvroInput }[];
}

/** Splits a container into its decompressed blocks; throws `bad_data`. */
function readContainer(payload: Buffer): Container {
  if (!payload.subarray(0, 4).equals(magic)) throw badData('', 'is not an Avro container file');
  const input = new AvroInput(payload, 4);
  const header = new Map<string, Buffer>();
  input.blocks(() => {
    header.set(input.string(''), input.view(input.int()));
  });
  const schema = header.get('avro.schema');
  if (!schema || schema.length > maxSchema) throw badData('', 'has no Avro schema, or one that is too long');
  const decompress = decompressor(header.get('avro.codec')?.toString() ?? 'null');
  const sync = input.view(16);
  const blocks: Container['blocks'] = [];
  let left = maxInflated;
  while (input.at < payload.length) {
    const count = input.int();
    const block = decompress(input.view(input.int()), left);
    left -= block.length;
    if (count < 0 || !input.view(16).equals(sync)) throw badData('', 'is a damaged Avro container file');
    blocks.push({ count, input: new AvroInput(block) });
  }
  return { schema: schema.toString(), blocks };
}

function decompressor(codec: string): (block: Buffer, maxOutputLength: number) => Buffer {
  if (codec === 'null') return (block) => block;
  const known = { deflate: inflateRawSync, zstandard: zstdDecompressSync };
  if (codec !== 'deflate' && codec !== 'zstandard')
    throw badData('', 'is compressed with a codec other than deflate and zstandard');
  return (block, left) => {
    try {
      return known[codec](block, { maxOutputLength: Math.max(1, left) });
    } catch {
      throw badData('', 'has a block that cannot be decompressed, or exceeds 64 MiB decompressed');
    }
  };
}

/** Compiles a function that wraps one datum in an uncompressed container. */
function containerOf(schema: string): (datum: Buffer) => Buffer {
  // Any 16 bytes that are unlikely in the data will do; these make the same row the same message.
  const sync = createHash('sha256').update(schema).digest().subarray(0, 16);
  const output = new AvroOutput();
  output.fixed(magic);
  output.int(2);
  output.string('avro.schema');
  output.string(schema);
  output.string('avro.codec');
  output.string('null');
  output.int(0);
  output.fixed(sync);
  const header = output.finish();
  return (datum) => {
    output.start();
    output.fixed(header);
    output.int(1);
    output.buffer(datum);
    output.fixed(sync);
    return output.finish();
  };
}
