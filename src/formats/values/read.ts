import type { Row, Value } from '../format.ts';
import { type Field, isMetadata, type ListItem } from '../schema/schema.ts';
import { badData, pathOf } from './bad.ts';
import { parseDecimal } from './decimal.ts';
import { rowFromObject } from './row.ts';

/** Readers of values that a library has parsed. Each is compiled for a field and throws `bad_data`. */

/** Reads a value; unless said otherwise it is not null. */
export type Reader = (value: unknown) => Value;
type ReaderOf = (item: ListItem, path: string) => Reader;

export const integerRanges = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
} as const;
export const bigintRanges = {
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const;

/** Takes a number or a bigint that is in the range of the 32-bit type. */
export function integerFrom(type: keyof typeof integerRanges, path: string): (value: unknown) => number {
  const [min, max] = integerRanges[type];
  return (value) => {
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number)) throw badData(path, 'is not a whole number');
    if (number < min || number > max) throw badData(path, `is out of the range of ${type}`);
    return number === 0 ? 0 : number;
  };
}

/** Takes a bigint, or a number that is whole, in the range of the 64-bit type. */
export function bigintFrom(type: keyof typeof bigintRanges, path: string): (value: unknown) => bigint {
  const [min, max] = bigintRanges[type];
  return (value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) {
      if (value < 0 && min === 0n) throw badData(path, `is out of the range of ${type}`);
      return BigInt(value);
    }
    const integer = typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value;
    if (typeof integer !== 'bigint') throw badData(path, 'is not a whole number');
    if (integer < min || integer > max) throw badData(path, `is out of the range of ${type}`);
    return integer;
  };
}

/** Takes any number, infinities and NaN too; refuses what float32 cannot reach. */
export function floatFrom(type: 'float32' | 'float64', path: string): (value: unknown) => number {
  return (value) => {
    const exact = typeof value === 'bigint' ? Number(value) : value;
    if (typeof exact !== 'number') throw badData(path, 'is not a number');
    if (type === 'float64') return exact;
    const number = Math.fround(exact);
    if (Number.isFinite(exact) && !Number.isFinite(number))
      throw badData(path, 'is out of the range of float32');
    return number;
  };
}

/** Takes the text of a number and gives it the scale of the field. */
export function decimalFrom(
  { precision = 38, scale = 0 }: ListItem,
  path: string,
): (text: string | undefined) => string {
  const whole = precision - scale;
  // A fast path for numbers that lack only trailing zeros, except zero, which may have a sign.
  const fraction = scale > 0 ? `(?:\\.\\d{0,${scale}})?` : '';
  const alike = whole > 0 ? new RegExp(`^-?[1-9]\\d{0,${whole - 1}}${fraction}$`) : /^(?!)/;
  return (text) => {
    if (text === undefined) throw badData(path, 'is not a number');
    if (alike.test(text)) return scale === 0 ? text : padded(text, scale);
    const decimal = parseDecimal(text, precision, scale);
    if (decimal === undefined)
      throw badData(path, `is not a number that fits DECIMAL(${precision}, ${scale})`);
    return decimal;
  };
}

/** Pads a number to `scale` digits after the point. */
function padded(text: string, scale: number): string {
  const point = text.indexOf('.');
  return point === -1 ? `${text}.${'0'.repeat(scale)}` : text.padEnd(point + 1 + scale, '0');
}

export function plainFrom(type: 'bool' | 'string', path: string): Reader {
  const kind = type === 'bool' ? 'boolean' : 'string';
  const problem = type === 'bool' ? 'is not true or false' : 'is not a string';
  return (value) => {
    if (typeof value !== kind) throw badData(path, problem);
    return value as boolean | string;
  };
}

/** Adds what a missing or null value means for the field. */
function withNull(read: Reader, required: boolean | undefined, path: string): Reader {
  if (!required) return (value) => (value === undefined || value === null ? null : read(value));
  return (value) => {
    if (value === undefined) throw badData(path, 'is required but missing');
    if (value === null) throw badData(path, 'is required but null');
    return read(value);
  };
}

/** Reads a struct of an object that `isObject` accepts; properties that no field names are ignored, as in Arroyo. */
export function structFrom(
  fields: readonly Field[],
  path: string,
  readerOf: ReaderOf,
  isObject: (value: unknown) => value is object,
  problem: string,
): (value: unknown) => Row {
  const make = rowFromObject(
    fields.map((field) => {
      const at = pathOf(path, field.name);
      const read = isMetadata(field) ? () => null : withNull(readerOf(field, at), field.required, at);
      return { name: field.name, read };
    }),
  );
  return (value) => {
    if (!isObject(value)) throw badData(path, problem);
    return make(value);
  };
}

export function listFrom(items: ListItem = { type: 'string' }, path: string, readerOf: ReaderOf): Reader {
  const itemPath = `${path}/*`;
  const read = withNull(readerOf(items, itemPath), items.required, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badData(path, 'is not a list');
    return value.map((item) => read(item));
  };
}
