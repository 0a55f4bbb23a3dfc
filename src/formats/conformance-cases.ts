import type { Row, Value } from './format.ts';
import { setterOf } from './own-property.ts';
import type { ConnectionSchema, Field, Format, ListItem } from './schema.ts';

/** For `conformance.test.ts`: how each format is tried. Not for production code. */
export interface CodecCase {
  name: string;
  format: Format;
  framing?: ConnectionSchema['framing'];
  /** Set when the message is one column, `value`. */
  whole?: true;
  /** A definition for these columns, in a format that needs one. */
  define?(fields: readonly Field[]): ConnectionSchema['definition'];
  /** Whether the format can express the row at all. */
  expressible?(row: Row, schema: ConnectionSchema): boolean;
  /** What the format makes of a row: the same but for what it cannot tell apart. */
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
];

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
