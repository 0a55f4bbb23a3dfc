import type { Row, Value } from '../format.ts';
import { exactNumber, numberText, parseExactly } from '../json/text.ts';
import { badData } from '../values/bad.ts';
import { setterOf } from '../values/own-property.ts';
import { textOf } from '../values/text-check.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { type Datatype, datatypes } from './payload.ts';

/**
 * Reads an integer from any member that holds a whole number: libraries disagree on the one for UInt32. A signed one is
 * two's complement in 8, 16, 32 or 64 bits. What is out of the range of the datatype is bad data.
 */
export function integerOf(value: unknown, { name, bits = 64, signed }: Datatype, path: string): bigint {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value))
    throw badData(path, `is not a whole number, as a ${name} has to be`);
  const raw = BigInt(value as bigint);
  const fits = (integer: bigint): boolean =>
    (signed ? BigInt.asIntN : BigInt.asUintN)(bits, integer) === integer;
  if (fits(raw)) return raw;
  if (!signed) throw badData(path, `is out of the range of ${name}`);
  if (BigInt.asUintN(bits, raw) === raw) return BigInt.asIntN(bits, raw);
  const extended = [32, 64]
    .filter((width) => BigInt.asUintN(width, raw) === raw)
    .map((width) => BigInt.asIntN(width, raw));
  const found = extended.find(fits);
  if (found === undefined) throw badData(path, `is out of the range of ${name}`);
  return found;
}

/** Maximum number of items of an array: one bit becomes up to six characters. */
const maxItems = 100_000;

/** The value of a metric as JSON, by its datatype (Eclipse Sparkplug 3.0.0, section 6.4.16). */
export function jsonOf(value: Value, column: string, datatype: Datatype | undefined): Value {
  if (value === null || column === 'raw_value') return null;
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

function cellOf(value: unknown, datatype: Datatype | undefined, path = '/value'): unknown {
  const digits = numberText(value);
  if (digits === undefined || !datatype || !/^\d{1,20}$/.test(digits)) return value;
  if (datatype.name === 'DateTime') return timeText(BigInt.asIntN(64, BigInt(digits)));
  return datatype.bits ? exactNumber(integerOf(BigInt(digits), datatype, path)) : value;
}

export interface PropertySet {
  keys?: string[];
  values?: Property[];
}

interface Property {
  type?: number;
  is_null?: boolean;
  propertyset_value?: PropertySet;
  propertysets_value?: { propertyset?: PropertySet[] };
}

/** Properties by their names, with values as in `value`. */
export function propertiesOf({ keys = [], values = [] }: PropertySet): Row {
  const path = '/properties';
  if (keys.length !== values.length)
    throw badData(path, `has ${keys.length} keys and ${values.length} values`);
  const properties: Row = {};
  for (const [index, { type, is_null, ...members }] of values.entries()) {
    const { propertyset_value: set, propertysets_value: sets } = members;
    const value = cellOf(Object.values(members)[0] ?? null, datatypes[type ?? 0], path);
    const found = set ? propertiesOf(set) : sets ? (sets.propertyset ?? []).map(propertiesOf) : value;
    setterOf(keys[index] as string)(properties, (is_null ? null : found) as Value);
  }
  return properties;
}
