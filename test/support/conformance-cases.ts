import type { Row, Value } from '../../src/formats/format.ts';
import type { ConnectionSchema, Field, Format, ListItem } from '../../src/formats/schema/schema.ts';
import { setterOf } from '../../src/formats/values/own-property.ts';

/** For `conformance.test.ts`: how each format is tried. Not for production code. */
export interface CodecCase {
  name: string;
  format: Format;
  framing?: ConnectionSchema['framing'];
  /** Set when the message is one column, `value`. */
  whole?: true;
  /** A definition for these columns, in a format that needs one. */
  define?(fields: readonly Field[]): ConnectionSchema['definition'];
  /** The columns, where they cannot be any. */
  fields?: Field[];
  /** Whether the format can express the row at all. */
  expressible?(row: Row, schema: ConnectionSchema): boolean;
  /** Returns a row as the format keeps it: the same but for values that it cannot tell apart. */
  normal?(row: Row, schema: ConnectionSchema): Row;
}

const newline = { method: 'newline' } as const;

export const codecCases: readonly CodecCase[] = [
  { name: 'json', format: { type: 'json' } },
  { name: 'json with gzip', format: { type: 'json', compression: 'gzip' } },
  { name: 'json lines', format: { type: 'json' }, framing: newline },
  { name: 'json lines with gzip', format: { type: 'json', compression: 'gzip' }, framing: newline },
  {
    name: 'json in a Debezium envelope',
    format: { type: 'json', debezium: true, decimal_encoding: 'bytes' },
  },
  {
    name: 'json with the schema of Kafka Connect',
    format: { type: 'json', include_schema: true, decimal_encoding: 'string' },
  },
  {
    name: 'json with both envelopes',
    format: { type: 'json', include_schema: true, debezium: true, decimal_encoding: 'bytes' },
  },
  {
    name: 'json with times in milliseconds',
    format: { type: 'json', timestamp_format: 'unix_millis' },
    normal: inMilliseconds,
  },
  { name: 'unstructured json', format: { type: 'json', unstructured: true }, whole: true },
  {
    name: 'unstructured json lines',
    format: { type: 'json', unstructured: true },
    framing: newline,
    whole: true,
  },
  { name: 'raw_string', format: { type: 'raw_string' }, whole: true },
  {
    name: 'raw_string lines',
    format: { type: 'raw_string' },
    framing: newline,
    whole: true,
    expressible: ({ value }) => !/\n|\r$/.test(value as string),
  },
  { name: 'raw_bytes', format: { type: 'raw_bytes' }, whole: true },
  { name: 'raw_bytes with gzip', format: { type: 'raw_bytes', compression: 'gzip' }, whole: true },
  { name: 'csv', format: { type: 'csv' }, expressible: notEmptyLine },
  { name: 'csv lines', format: { type: 'csv' }, framing: newline, expressible: notEmptyLine },
  {
    name: 'csv with every option',
    format: { type: 'csv', header: true, delimiter: '\t', quote: "'", null_value: '0' },
  },
  {
    name: 'csv with decimal commas',
    format: { type: 'csv', delimiter: ';', decimal_separator: ',' },
    expressible: notEmptyLine,
  },
  { name: 'avro containers', format: { type: 'avro' } },
  { name: 'avro raw datums', format: { type: 'avro', raw_datums: true } },
  { name: 'avro single objects', format: { type: 'avro', single_object: true } },
  { name: 'cbor', format: { type: 'cbor' } },
  { name: 'unstructured cbor', format: { type: 'cbor', into_unstructured_json: true }, whole: true },
  { name: 'msgpack', format: { type: 'msgpack' } },
  { name: 'msgpack with gzip', format: { type: 'msgpack', compression: 'gzip' } },
  { name: 'unstructured msgpack', format: { type: 'msgpack', into_unstructured_json: true }, whole: true },
  {
    name: 'protobuf',
    format: { type: 'protobuf', message_name: 'Row' },
    define: protobufOf,
    normal: withoutNullItems,
  },
  {
    name: 'protobuf behind its length',
    format: { type: 'protobuf', message_name: 'Row', length_delimited: true },
    define: protobufOf,
    normal: withoutNullItems,
  },
  {
    name: 'senml in json',
    format: { type: 'senml', encoding: 'json' },
    fields: [
      { name: 'name', type: 'string', required: true },
      { name: 'unit', type: 'string' },
      { name: 'string_value', type: 'string', required: true },
    ],
    expressible: ({ name }) => name !== '',
  },
  {
    name: 'senml in cbor',
    format: { type: 'senml', encoding: 'cbor' },
    fields: [
      { name: 'name', type: 'string', required: true },
      { name: 'unit', type: 'string' },
      { name: 'string_value', type: 'string', required: true },
    ],
    expressible: ({ name }) => name !== '',
  },
  {
    name: 'sparkplug_b',
    format: { type: 'sparkplug_b' },
    fields: [
      { name: 'name', type: 'string', required: true },
      { name: 'alias', type: 'uint64' },
      { name: 'payload_seq', type: 'uint64' },
      { name: 'uint64_value', type: 'uint64', required: true },
    ],
  },
];

const protobufTypes: Partial<Record<Field['type'], string>> = {
  int32: 'sint32',
  int64: 'int64',
  uint32: 'uint32',
  uint64: 'fixed64',
  float32: 'float',
  float64: 'double',
  bool: 'bool',
  string: 'string',
  bytes: 'bytes',
};

/** A message with these columns. What Protobuf does not have becomes a type that there is not, and is refused. */
function protobufOf(fields: readonly Field[]): ConnectionSchema['definition'] {
  const nested: string[] = [];
  const message = (name: string, members: readonly Field[]): string => {
    const lines = members.map((member, index) => {
      const item = member.items ?? member;
      const struct = `S${nested.length}`;
      if (item.type === 'struct') nested.push(message(`${struct}_${index}`, item.fields ?? []));
      const nanoseconds = item.type === 'timestamp' && item.unit === 'nanosecond';
      const plain = nanoseconds ? 'google.protobuf.Timestamp' : (protobufTypes[item.type] ?? 'nothing');
      const type = item.type === 'struct' ? `${struct}_${index}` : plain;
      return `${member.items ? 'repeated' : 'optional'} ${type} ${member.name} = ${index + 1};`;
    });
    return `message ${name} { ${lines.join(' ')} }`;
  };
  const row = message('Row', fields);
  const schema = `syntax = "proto3"; import "google/protobuf/timestamp.proto"; ${nested.join(' ')} ${row}`;
  return { type: 'protobuf_schema', schema };
}

/** A repeated field cannot hold nulls, and is empty rather than null. */
function withoutNullItems(row: Row, { fields = [] }: ConnectionSchema): Row {
  const normal: Row = {};
  for (const field of fields) {
    const value = Object.hasOwn(row, field.name) ? (row[field.name] as Value) : null;
    setterOf(field.name)(normal, plainLists(value, field));
  }
  return normal;
}

function plainLists(value: Value, type: ListItem): Value {
  const { items } = type;
  if (items) {
    const list = (value ?? []) as Value[];
    return list.filter((item) => item !== null).map((item) => plainLists(item, items));
  }
  if (type.type !== 'struct' || value === null) return value;
  return withoutNullItems(value as Row, { fields: type.fields ?? [] });
}

/** A line without anything in it is no record. */
function notEmptyLine(row: Row, { fields = [] }: ConnectionSchema): boolean {
  return fields.length > 1 || Object.values(row).some((value) => value !== null);
}

const perMillisecond = { microsecond: 1_000n, nanosecond: 1_000_000n } as const;

/** Milliseconds are all that is left of finer times. */
function inMilliseconds(row: Row, { fields = [] }: ConnectionSchema): Row {
  return eachTime(row, fields, (time, unit) => {
    if (unit === 'second' || unit === 'millisecond') return time;
    const step = perMillisecond[unit];
    // Rounded down, as the writer does, where truncation would round times before 1970 up.
    const floor = time - (((time % step) + step) % step);
    return BigInt.asIntN(64, floor) === floor ? floor : floor + step;
  });
}

type Unit = NonNullable<ListItem['unit']>;

function eachTime(row: Row, fields: readonly Field[], change: (time: bigint, unit: Unit) => bigint): Row {
  const changed: Row = {};
  for (const field of fields) {
    const value = Object.hasOwn(row, field.name) ? (row[field.name] as Value) : null;
    setterOf(field.name)(changed, withTimes(value, field, change));
  }
  return changed;
}

function withTimes(value: Value, type: ListItem, change: (time: bigint, unit: Unit) => bigint): Value {
  if (value === null) return null;
  if (type.type === 'timestamp') return change(value as bigint, type.unit ?? 'millisecond');
  if (type.type === 'struct') return eachTime(value as Row, type.fields ?? [], change);
  const { items } = type;
  if (type.type !== 'list' || !items) return value;
  return (value as Value[]).map((item) => withTimes(item, items, change));
}
