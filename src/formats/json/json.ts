import { isUtf8 } from 'node:buffer';
import { PenstockError } from '../../errors.ts';
import type { Codec, FormatDefinition, FormatOf, SchemaIn } from '../format.ts';
import type { WrittenSchema } from '../registered.ts';
import { type Field, type ListItem, messageFields } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { messageOfRow, rowFromMessage } from '../values/row.ts';
import { objectReader } from './decode.ts';
import { jsonWriter, objectWriter } from './encode.ts';
import { notJson, notUtf8 } from './fault.ts';
import { fieldsFromJsonSchema, jsonSchemaOf, withDocuments } from './schema.ts';
import { isShallow, parseExactly, repeatsName, tooDeep } from './text.ts';

/**
 * One JSON document per message, in UTF-8: an object whose properties are the fields, possibly in an envelope of Kafka
 * Connect or Debezium, or unstructured the text of the column `value`. 64-bit integers and decimals are exact.
 */
export const json: FormatDefinition<'json'> = {
  type: 'json',
  newlines: 'lines',
  wholeMessage: ({ unstructured }) => (unstructured ? 'json' : undefined),
  definition: {
    type: 'json_schema',
    fieldsFrom({ format, definition }) {
      if (!format.unstructured) return fieldsFromJsonSchema(definition.schema, '/definition/schema');
      const message = 'Unstructured json has one fixed column; leave the definition or unstructured out';
      throw new PenstockError('invalid_schema', message, { errors: [{ path: '/definition', message }] });
    },
  },
  validate({ format }) {
    if (!format.unstructured) return [];
    const wrapped = (['debezium', 'include_schema'] as const).filter((option) => format[option]);
    return wrapped.map((option) => ({
      path: `/format/${option}`,
      message: `Unstructured json keeps the whole document; remove ${option} or unstructured`,
    }));
  },
  codec({ fields = [], format, framing }) {
    const codec = format.unstructured ? unstructuredCodec(fields) : structuredCodec(fields, format);
    return framing && fields.some(mayHoldNewlines) ? onOneLine(codec) : codec;
  },
  registry: {
    written,
    definitionOf: ({ schema, references }) => ({
      type: 'json_schema',
      schema: withDocuments(schema, references),
    }),
  },
};

function written({ fields = [], format, definition }: SchemaIn<'json'>): WrittenSchema {
  if (format.unstructured || (definition && format.debezium)) {
    const subject = format.unstructured ? 'whole documents' : "changes in Debezium's envelope";
    const message = `The schema of ${subject} is not known: set schema_id to that of one in the registry`;
    throw new PenstockError('invalid_schema', message, {
      errors: [{ path: '/format/schema_id', message }],
    });
  }
  if (definition) return { schema: definition.schema, references: [], name: titleOf(definition.schema) };
  const row = jsonSchemaOf(fields, format);
  const state = { anyOf: [{ type: 'null' }, row] };
  const change = { type: 'object', properties: { before: state, after: state, op: { type: 'string' } } };
  const schema = { title: 'row', ...(format.debezium ? change : row) };
  return { schema: JSON.stringify(schema), references: [], name: schema.title };
}

function titleOf(schema: string): string {
  const { title } = JSON.parse(schema) as { title?: unknown };
  return typeof title === 'string' && title !== '' ? title : 'row';
}

function structuredCodec(fields: readonly Field[], format: FormatOf<'json'>): Codec & TextCodec {
  const { path, open, head, tail } = envelopeOf(fields, format);
  const read = objectReader(fields, path, format);
  const write = objectWriter(fields, '', format);
  const parse = parserFor(fields, format);
  return ofText({
    decodeText: (text) => read(open(parseDocument(text, parse))),
    encodeText: (row) => head + write(row) + tail,
  });
}

export const parserFor = (fields: readonly Field[], format: FormatOf<'json'>): ((text: string) => unknown) =>
  fields.some((field) => needsExactNumbers(field, format)) ? parseExactly : (text) => JSON.parse(text);

function unstructuredCodec(fields: readonly Field[]): Codec & TextCodec {
  const make = rowFromMessage(fields);
  const write = jsonWriter('/value');
  return ofText({
    decodeText(text) {
      const document = parseDocument(text, JSON.parse);
      if (!isShallow(document)) throw badData('', tooDeep);
      return make(repeatsName(text, document) ? JSON.stringify(parseExactly(text)) : text);
    },
    encodeText: (row) => write(messageOfRow(row)),
  });
}

/** A json column may have several lines; between values a space means the same. */
function onOneLine({ decodeText, encodeText }: TextCodec): Codec {
  return ofText({ decodeText, encodeText: (row) => encodeText(row).replaceAll(/[\n\r]/g, ' ') });
}

type TextCodec = Required<Pick<Codec, 'decodeText' | 'encodeText'>>;

function ofText({ decodeText, encodeText }: TextCodec): Codec & TextCodec {
  return {
    decodeText,
    encodeText,
    decode(payload) {
      if (!isUtf8(payload)) throw badData('', notUtf8(payload));
      return decodeText(payload.toString());
    },
    encode: (row) => Buffer.from(encodeText(row)),
  };
}

/** The error of JSON.parse is dropped: it quotes the payload. */
export function parseDocument(text: string, parse: (text: string) => unknown): unknown {
  if (text === '') throw badData('', 'is empty');
  try {
    return parse(text);
  } catch (error) {
    // The reviver needs stack for each level.
    throw badData('', error instanceof RangeError ? 'is nested too deep' : notJson(text));
  }
}

function needsExactNumbers(item: ListItem, format: FormatOf<'json'>): boolean {
  switch (item.type) {
    case 'int64':
    case 'uint64':
    case 'decimal128':
    case 'json':
      return true;
    case 'list':
      return item.items !== undefined && needsExactNumbers(item.items, format);
    case 'struct':
      return (item.fields ?? []).some((field) => needsExactNumbers(field, format));
    case 'timestamp':
      return (format.timestamp_format ?? 'rfc3339') !== 'rfc3339';
    default:
      return false;
  }
}

function mayHoldNewlines({ type, items, fields = [] }: ListItem): boolean {
  return type === 'json' || (items !== undefined && mayHoldNewlines(items)) || fields.some(mayHoldNewlines);
}

interface Envelope {
  path: string;
  open(document: unknown): unknown;
  head: string;
  tail: string;
}

/** The envelope of Kafka Connect, Debezium or both. The schema in a message is ignored: the table's fields rule. */
function envelopeOf(fields: readonly Field[], format: FormatOf<'json'>): Envelope {
  const outer = outerEnvelope(fields, format);
  return format.debezium ? debezium(outer) : outer;
}

const bare: Envelope = { path: '', open: (document) => document, head: '', tail: '' };

/** The envelope of Kafka Connect around that of Debezium, if the format has one. */
export const outerEnvelope = (fields: readonly Field[], format: FormatOf<'json'>): Envelope =>
  format.include_schema ? connect(fields, format) : bare;

function connect(fields: readonly Field[], format: FormatOf<'json'>): Envelope {
  const row = connectSchema(fields, format);
  const schema = format.debezium ? debeziumSchema(row) : row;
  return {
    path: '/payload',
    open: (document) => memberOf(document, 'payload', ''),
    head: `{"schema":${JSON.stringify(schema)},"payload":`,
    tail: '}',
  };
}

/**
 * Reading takes the state after an insert (c), a snapshot (r) or an update (u). A delete is bad data: no row can express
 * it. Writing makes every row an insert, as Arroyo does. Between two tables in this format see changes.ts.
 */
function debezium(outer: Envelope): Envelope {
  return {
    path: `${outer.path}/after`,
    open(document) {
      const change = outer.open(document);
      const op = memberOf(change, 'op', outer.path);
      if (op === 'c' || op === 'r' || op === 'u') return memberOf(change, 'after', outer.path);
      const problem = op === 'd' ? 'is a delete, which a row cannot express' : 'is not one of c, r, u and d';
      throw badData(`${outer.path}/op`, problem);
    },
    head: `${outer.head}{"before":null,"after":`,
    tail: `,"op":"c"}${outer.tail}`,
  };
}

export function memberOf(value: unknown, name: string, path: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badData(path, 'is not an object');
  if (!Object.hasOwn(value, name)) throw badData(`${path}/${name}`, 'is required but missing');
  return (value as Record<string, unknown>)[name];
}

interface ConnectSchema {
  type: string;
  optional: boolean;
  field?: string;
  name?: string;
  version?: number;
  parameters?: Record<string, string>;
  fields?: ConnectSchema[];
  items?: ConnectSchema;
}

const logical = 'org.apache.kafka.connect.data';

/** Kafka Connect has no unsigned integers: they become the next larger signed type. */
const plainTypes = {
  int32: 'int32',
  int64: 'int64',
  uint32: 'int64',
  uint64: 'int64',
  float32: 'float',
  float64: 'double',
  bool: 'boolean',
  string: 'string',
  bytes: 'bytes',
} as const;

function connectSchema(fields: readonly Field[], format: FormatOf<'json'>): ConnectSchema {
  return { ...structOf(fields, format), name: 'Penstock', optional: false };
}

function debeziumSchema(row: ConnectSchema): ConnectSchema {
  const fields = [
    { ...row, optional: true, field: 'before' },
    { ...row, optional: true, field: 'after' },
    { type: 'string', optional: false, field: 'op' },
  ];
  return { type: 'struct', name: 'Penstock.Envelope', optional: false, fields };
}

function structOf(fields: readonly Field[], format: FormatOf<'json'>) {
  const members = messageFields(fields).map((field) => ({ ...schemaOf(field, format), field: field.name }));
  return { type: 'struct', fields: members };
}

function schemaOf(item: ListItem, format: FormatOf<'json'>): ConnectSchema {
  return { ...typeOf(item, format), optional: item.required !== true };
}

function typeOf(item: ListItem, format: FormatOf<'json'>): Omit<ConnectSchema, 'optional'> {
  switch (item.type) {
    case 'timestamp':
      return timeType(item, format);
    case 'decimal128':
      return decimalType(item.scale ?? 0, format);
    case 'json':
      return { type: 'string', name: 'io.debezium.data.Json', version: 1 };
    case 'struct':
      return structOf(item.fields ?? [], format);
    case 'list':
      return { type: 'array', items: schemaOf(item.items ?? { type: 'string' }, format) };
    default:
      return { type: plainTypes[item.type] };
  }
}

/** Debezium has names for times that Kafka Connect has none for. */
function timeType(item: ListItem, format: FormatOf<'json'>): Omit<ConnectSchema, 'optional'> {
  switch (format.timestamp_format) {
    case 'unix_millis':
      return { type: 'int64', name: `${logical}.Timestamp`, version: 1 };
    case 'unix_micros':
      return { type: 'int64', name: 'io.debezium.time.MicroTimestamp', version: 1 };
    case 'unix_nanos':
      return { type: 'int64', name: 'io.debezium.time.NanoTimestamp', version: 1 };
    case 'unix_seconds':
      return { type: unitOf(item) === 'second' ? 'int64' : 'double' };
    default:
      return { type: 'string' };
  }
}

function decimalType(scale: number, { decimal_encoding }: FormatOf<'json'>): Omit<ConnectSchema, 'optional'> {
  if (decimal_encoding === 'string') return { type: 'string' };
  if (decimal_encoding !== 'bytes') return { type: 'double' };
  return { type: 'bytes', name: `${logical}.Decimal`, version: 1, parameters: { scale: String(scale) } };
}
