import type { Row, Value } from '../format.ts';
import { isRawNumber, isShallow, parseExactly, tooDeep } from '../json/text.ts';
import { badRow } from './bad.ts';
import { unscaledDecimal } from './decimal.ts';
import { bigintRanges, integerRanges } from './read.ts';

/** Checks that the formats which take typed values share. Each is compiled for a column and throws `bad_row`. */

export function integerOf(type: keyof typeof integerRanges, path: string): (value: Value) => number {
  const [min, max] = integerRanges[type];
  return (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) throw badRow(path, 'is not a whole number');
    if (value < min || value > max) throw badRow(path, `is out of the range of ${type}`);
    return value;
  };
}

export function bigintOf(type: keyof typeof bigintRanges, path: string): (value: Value) => bigint {
  const [min, max] = bigintRanges[type];
  return (value) => {
    if (typeof value !== 'bigint') throw badRow(path, 'is not a whole number');
    if (value < min || value > max) throw badRow(path, `is out of the range of ${type}`);
    return value;
  };
}

export function floatOf(path: string): (value: Value) => number {
  return (value) => {
    if (typeof value !== 'number') throw badRow(path, 'is not a number');
    return value;
  };
}

export function boolOf(path: string): (value: Value) => boolean {
  return (value) => {
    if (typeof value !== 'boolean') throw badRow(path, 'is not true or false');
    return value;
  };
}

/** Half a surrogate pair has no UTF-8, and would come out as another character. */
export function stringOf(path: string): (value: Value) => string {
  return (value) => {
    if (typeof value !== 'string') throw badRow(path, 'is not a string');
    if (!value.isWellFormed()) throw badRow(path, 'is not well-formed Unicode text');
    return value;
  };
}

export function bytesOf(path: string): (value: Value) => Buffer {
  return (value) => {
    if (!Buffer.isBuffer(value)) throw badRow(path, 'is not bytes');
    return value;
  };
}

/** The text of a decimal, checked. */
export function decimalOf(path: string): (value: Value) => string {
  return (value) => {
    if (typeof value !== 'string' || !/^-?\d{1,76}(?:\.\d{1,76})?$/.test(value)) {
      throw badRow(path, 'is not a decimal');
    }
    return value;
  };
}

/** The digits of a decimal without the point, when it has exactly this scale. */
export function unscaledOf(scale: number, path: string): (value: Value) => bigint {
  const text = decimalOf(path);
  return (value) => {
    const digits = text(value);
    const point = digits.indexOf('.');
    const found = point < 0 ? 0 : digits.length - point - 1;
    if (found > scale) throw badRow(path, `has more than ${scale} digits behind the point`);
    return unscaledDecimal(digits) * 10n ** BigInt(scale - found);
  };
}

export function timestampOf(path: string): (value: Value) => bigint {
  return (value) => {
    if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw badRow(path, 'is not a time');
    return value;
  };
}

/** Parses the text of a json column; numbers that a double cannot hold are a `RawNumber`. */
export function jsonOf(path: string): (value: Value) => unknown {
  return (value) => {
    const document = parsed(value, path);
    if (!isShallow(document)) throw badRow(path, tooDeep);
    return document;
  };
}

function parsed(value: Value, path: string): unknown {
  try {
    if (typeof value === 'string') return parseExactly(value);
  } catch {}
  throw badRow(path, 'is not a JSON text');
}

export function structOf(path: string): (value: Value) => Row {
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || Buffer.isBuffer(value)) {
      throw badRow(path, 'is not a struct');
    }
    return value;
  };
}

/** Leaves a null as it is, unless the column is required. */
export function orNull<T>(
  write: (value: Value) => T,
  required: boolean | undefined,
  path: string,
): (value: Value) => T | null {
  return (value) => {
    if (value !== null && value !== undefined) return write(value);
    if (required) throw badRow(path, 'is required but null');
    return null;
  };
}

/** A whole number of a JSON text as a bigint where a double cannot hold it, else the number nearest to it. */
export function numberOfJson(value: unknown): number | bigint | undefined {
  if (typeof value === 'number') return value;
  if (!isRawNumber(value)) return undefined;
  return /^-?\d{1,20}$/.test(value.rawJSON) ? BigInt(value.rawJSON) : Number(value.rawJSON);
}
