import type { Value } from '../format.ts';
import { exactNumber, numberText, parseExactly } from '../json/text.ts';
import { badData } from '../values/bad.ts';
import { textOf } from '../values/text-check.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { type Datatype, datatypes } from './payload.ts';

/** The value of a metric as JSON, as Eclipse Sparkplug 3.0.0 (section 6.4.16) means it by its datatype. */

/** A bit of an array becomes six characters. */
const maxItems = 100_000;

/** Integers have all their digits; times are RFC 3339, bytes base64, arrays lists, and a DataSet a table. */
export function jsonOf(value: Value, column: string, datatype: Datatype | undefined): Value {
  if (value === null) return null;
  if (datatype?.name === 'DataSet') return JSON.stringify(tableOf(value as string));
  if (column === 'value') return value;
  if (column === 'time_value') return JSON.stringify(timeOf(value as bigint));
  if (typeof value === 'bigint') return JSON.stringify(exactNumber(value));
  if (!Buffer.isBuffer(value)) return JSON.stringify(value);
  const items = datatype && itemsOf(value, datatype.name);
  return JSON.stringify(items ?? value.toString('base64'));
}

function timeOf(value: bigint): string {
  const text = formatTimestamp(value, 'millisecond');
  if (text === undefined) throw badData('/value', 'is a time outside the years 0000 to 9999');
  return text;
}

/** How the items of an array that all have one size are read, little-endian. */
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
  DateTimeArray: { size: 8, read: (bytes, at) => timeOf(bytes.readBigInt64LE(at)) },
};

/** The items of a packed array; undefined when the datatype is none. */
function itemsOf(bytes: Buffer, name: string): unknown[] | undefined {
  if (name === 'BooleanArray') return bitsOf(bytes);
  if (name === 'StringArray') return stringsOf(bytes);
  const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
  if (!reader) return undefined;
  const { size, read } = reader;
  if (bytes.length % size !== 0) throw badArray(name);
  return Array.from({ length: bounded(bytes.length / size) }, (_, index) => read(bytes, index * size));
}

/** Behind a count of 32 bits, eight to a byte, the first in the highest bit. */
function bitsOf(bytes: Buffer): boolean[] {
  if (bytes.length < 4) throw badArray('BooleanArray');
  const count = bytes.readUInt32LE();
  if (bytes.length - 4 !== Math.ceil(count / 8)) throw badArray('BooleanArray');
  return Array.from(
    { length: bounded(count) },
    (_, index) => (((bytes[4 + (index >> 3)] as number) >> (7 - (index & 7))) & 1) === 1,
  );
}

/** Each ends with a null. */
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

/** A DataSet with the names of its types, and its rows as lists: signed integers are two's complement in the message. */
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
  if (datatype.name === 'DateTime') return timeOf(BigInt.asIntN(64, BigInt(digits)));
  if (!datatype.bits || !datatype.signed) return value;
  return exactNumber(BigInt.asIntN(datatype.bits, BigInt(digits)));
}
