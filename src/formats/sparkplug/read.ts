import { maxRowsOfMessage, type Row, type Value } from '../format.ts';
import { exactNumber, numberText, parseExactly } from '../json/text.ts';
import { rowReader } from '../protobuf/read.ts';
import { type Field, isMetadata } from '../schema/schema.ts';
import { badData, pathOf } from '../values/bad.ts';
import { rowFromSequence } from '../values/row.ts';
import { textOf } from '../values/text-check.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { type Datatype, datatypes, payloadFields, payloadType } from './payload.ts';

const readPayload = rowReader(payloadType, payloadFields);

interface Metric {
  payload: Row;
  members: Row;
  datatype: Datatype | undefined;
  column: string | undefined;
  value: Value;
}

/** Compiles the reader of a payload into the rows of its metrics. */
export function metricsReader(fields: readonly Field[]): (payload: Buffer) => Row[] {
  const make = rowFromSequence<Metric>(
    fields.map((field) => ({
      name: field.name,
      read: isMetadata(field) ? () => null : orMissing(columnReader(field.name), field),
    })),
  );
  return (bytes) => {
    const payload = readPayload(bytes);
    const metrics = payload.metrics as Row[];
    if (metrics.length > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} rows`);
    return metrics.map((members) => make(metricOf(payload, members)));
  };
}

function orMissing(read: (metric: Metric) => Value, field: Field): (metric: Metric) => Value {
  if (!field.required) return read;
  return (metric) => {
    const value = read(metric);
    if (value === null) throw badData(pathOf('', field.name), 'is required but missing');
    return value;
  };
}

/** The column of a value without a datatype, which only a BIRTH must have: its integers are unsigned. */
const columnOfMember = {
  int_value: 'int_value',
  long_value: 'uint64_value',
  float_value: 'double_value',
  double_value: 'double_value',
  boolean_value: 'bool_value',
  string_value: 'string_value',
  bytes_value: 'bytes_value',
  dataset_value: 'value',
  template_value: 'value',
} as const;
const valueMembers = Object.keys(columnOfMember) as (keyof typeof columnOfMember)[];

function metricOf(payload: Row, members: Row): Metric {
  const number = members.datatype as number | null;
  const datatype = number === null ? undefined : datatypes[number];
  const metric: Metric = { payload, members, datatype, column: undefined, value: null };
  const member = valueMembers.find((name) => members[name] !== null);
  if (member === undefined || members.is_null === true) return metric;
  if (datatype && datatype.member !== member)
    throw badData('/value', `is not in the member that ${datatype.name} has it in`);
  metric.column = datatype?.column ?? columnOfMember[member];
  metric.value = columnValue(members[member] as Value, metric.column, datatype);
  return metric;
}

/** Converts two's complement in an unsigned member into a signed integer. */
function columnValue(value: Value, column: string, datatype: Datatype | undefined): Value {
  if (column === 'time_value') return BigInt.asIntN(64, value as bigint);
  if (column !== 'int_value') return value;
  if (!datatype?.bits) return BigInt(value as number);
  const { bits, signed } = datatype;
  return signed
    ? BigInt.asIntN(bits, BigInt(value as number))
    : BigInt.asUintN(bits, BigInt(value as number));
}

function columnReader(name: string): (metric: Metric) => Value {
  switch (name) {
    case 'timestamp':
      return ({ members, payload }) => timeOf(members.timestamp ?? payload.timestamp ?? null);
    case 'datatype':
      return ({ members, datatype }) =>
        datatype?.name ?? (members.datatype === null ? null : String(members.datatype));
    case 'is_historical':
    case 'is_transient':
    case 'is_null':
      return ({ members }) => members[name] ?? false;
    case 'value':
      return ({ value, column, datatype }) => jsonOf(value, column ?? '', datatype);
    case 'name':
    case 'alias':
    case 'properties':
    case 'metadata':
      return ({ members }) => members[name] ?? null;
    case 'payload_timestamp':
      return ({ payload }) => timeOf(payload.timestamp ?? null);
    case 'payload_seq':
    case 'payload_uuid':
    case 'payload_body': {
      const member = name.slice('payload_'.length);
      return ({ payload }) => payload[member] ?? null;
    }
    default:
      return ({ column, value }) => (column === name ? value : null);
  }
}

function timeOf(value: Value): Value {
  return typeof value === 'bigint' ? BigInt.asIntN(64, value) : null;
}

/** Maximum number of items of an array: one bit becomes up to six characters. */
const maxItems = 100_000;

/** The value of a metric as JSON, by its datatype (Eclipse Sparkplug 3.0.0, section 6.4.16). */
function jsonOf(value: Value, column: string, datatype: Datatype | undefined): Value {
  if (value === null) return null;
  if (datatype?.name === 'DataSet') return JSON.stringify(tableOf(value as string));
  if (column === 'value') return value;
  if (column === 'time_value') return JSON.stringify(timeText(value as bigint));
  if (typeof value === 'bigint') return JSON.stringify(exactNumber(value));
  if (!Buffer.isBuffer(value)) return JSON.stringify(value);
  const items = datatype && itemsOf(value, datatype.name);
  return JSON.stringify(items ?? value.toString('base64'));
}

function timeText(value: bigint): string {
  const text = formatTimestamp(value, 'millisecond');
  if (text === undefined) throw badData('/value', 'is a time outside the years 0000 to 9999');
  return text;
}

/** Readers of array items of a fixed size, little-endian. */
const readers: Readonly<Record<string, { size: number; read: (bytes: Buffer, at: number) => unknown }>> = {
  Int8Array: { size: 1, read: (bytes, at) => bytes.readInt8(at) },
  Int16Array: { size: 2, read: (bytes, at) => bytes.readInt16LE(at) },
  Int32Array: { size: 4, read: (bytes, at) => bytes.readInt32LE(at) },
  Int64Array: { size: 8, read: (bytes, at) => exactNumber(bytes.readBigInt64LE(at)) },
  UInt8Array: { size: 1, read: (bytes, at) => bytes.readUInt8(at) },
  UInt16Array: { size: 2, read: (bytes, at) => bytes.readUInt16LE(at) },
  UInt32Array: { size: 4, read: (bytes, at) => bytes.readUInt32LE(at) },
  UInt64Array: { size: 8, read: (bytes, at) => exactNumber(bytes.readBigUInt64LE(at)) },
  FloatArray: { size: 4, read: (bytes, at) => bytes.readFloatLE(at) },
  DoubleArray: { size: 8, read: (bytes, at) => bytes.readDoubleLE(at) },
  DateTimeArray: { size: 8, read: (bytes, at) => timeText(bytes.readBigInt64LE(at)) },
};

/** Returns the items of a packed array; undefined if the datatype is not an array. */
function itemsOf(bytes: Buffer, name: string): unknown[] | undefined {
  if (name === 'BooleanArray') return bitsOf(bytes);
  if (name === 'StringArray') return stringsOf(bytes);
  const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
  if (!reader) return undefined;
  const { size, read } = reader;
  if (bytes.length % size !== 0) throw badArray(name);
  return Array.from({ length: bounded(bytes.length / size) }, (_, index) => read(bytes, index * size));
}

/** A count of 32 bits, then eight items per byte, the first in the highest bit. */
function bitsOf(bytes: Buffer): boolean[] {
  if (bytes.length < 4) throw badArray('BooleanArray');
  const count = bytes.readUInt32LE();
  if (bytes.length - 4 !== Math.ceil(count / 8)) throw badArray('BooleanArray');
  return Array.from(
    { length: bounded(count) },
    (_, index) => (((bytes[4 + (index >> 3)] as number) >> (7 - (index & 7))) & 1) === 1,
  );
}

/** Strings end with a null byte. */
function stringsOf(bytes: Buffer): string[] {
  const strings: string[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    const text = end < 0 ? undefined : textOf(bytes, from, end);
    if (text === undefined) throw badArray('StringArray');
    strings.push(text);
    bounded(strings.length);
    from = end + 1;
  }
  return strings;
}

const badArray = (name: string) => badData('/value', `is not the bytes of a ${name}`);

function bounded(count: number): number {
  if (count > maxItems) throw badData('/value', `is an array of more than ${maxItems} items`);
  return count;
}

interface DataSet {
  columns?: string[];
  types?: number[];
  rows?: { elements?: Record<string, unknown>[] }[];
}

/** Converts a DataSet: types become names, rows lists, and two's complement signed integers. */
function tableOf(text: string): object {
  const { columns = [], types = [], rows = [] } = parseExactly(text) as DataSet;
  return {
    columns,
    types: types.map((type) => datatypes[type]?.name ?? String(type)),
    rows: rows.map(({ elements = [] }) =>
      elements.map((element, index) =>
        cellOf(Object.values(element)[0] ?? null, datatypes[types[index] ?? 0]),
      ),
    ),
  };
}

function cellOf(value: unknown, datatype: Datatype | undefined): unknown {
  const digits = numberText(value);
  if (digits === undefined || !datatype || !/^\d{1,20}$/.test(digits)) return value;
  if (datatype.name === 'DateTime') return timeText(BigInt.asIntN(64, BigInt(digits)));
  if (!datatype.bits || !datatype.signed) return value;
  return exactNumber(BigInt.asIntN(datatype.bits, BigInt(digits)));
}
