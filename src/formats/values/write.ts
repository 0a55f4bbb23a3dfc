import type { Row, Value } from '../format.ts';
import { isRawNumber, isShallow, parseExactly, tooDeep } from '../json/text.ts';
import { badRow } from './bad.ts';
import { unscaledDecimal } from './decimal.ts';
import { bigintRanges, integerRanges } from './read.ts';

/** Checks of the values of a column. Each is compiled for a path and throws `bad_row`. */

type Check<T> = (value: Value) => T;

const checks = {
  int32: (path: string) => integerOf('int32', path),
  uint32: (path: string) => integerOf('uint32', path),
  int64: (path: string) => bigintOf('int64', path),
  uint64: (path: string) => bigintOf('uint64', path),
  float32: floatOf,
  float64: floatOf,
  bool: (path: string): Check<boolean> => {
    return (value) => {
      if (typeof value !== 'boolean') throw badRow(path, 'is not true or false');
      return value;
    };
  },
  /** Half a surrogate pair has no UTF-8, and would come out as another character. */
  string: (path: string): Check<string> => {
    return (value) => {
      if (typeof value !== 'string') throw badRow(path, 'is not a string');
      if (!value.isWellFormed()) throw badRow(path, 'is not well-formed Unicode text');
      return value;
    };
  },
  bytes: (path: string): Check<Buffer> => {
    return (value) => {
      if (!Buffer.isBuffer(value)) throw badRow(path, 'is not bytes');
      return value;
    };
  },
  decimal128: (path: string): Check<string> => {
    return (value) => {
      if (typeof value === 'string' && /^-?\d{1,76}(?:\.\d{1,76})?$/.test(value)) return value;
      throw badRow(path, 'is not a decimal');
    };
  },
  timestamp: (path: string): Check<bigint> => {
    return (value) => {
      if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
      throw badRow(path, 'is not a time');
    };
  },
};

/** Compiles the check of a column without members, which returns its value. */
export const checkOf = <T extends keyof typeof checks>(type: T, path: string) =>
  checks[type](path) as ReturnType<(typeof checks)[T]>;

function integerOf(type: keyof typeof integerRanges, path: string): Check<number> {
  const [min, max] = integerRanges[type];
  return (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) throw badRow(path, 'is not a whole number');
    if (value < min || value > max) throw badRow(path, `is out of the range of ${type}`);
    return value;
  };
}

function bigintOf(type: keyof typeof bigintRanges, path: string): Check<bigint> {
  const [min, max] = bigintRanges[type];
  return (value) => {
    if (typeof value !== 'bigint') throw badRow(path, 'is not a whole number');
    if (value < min || value > max) throw badRow(path, `is out of the range of ${type}`);
    return value;
  };
}

function floatOf(path: string): Check<number> {
  return (value) => {
    if (typeof value !== 'number') throw badRow(path, 'is not a number');
    return value;
  };
}

/** Compiles a check that returns the digits of a decimal of this scale, without the point. */
export function unscaledOf(scale: number, path: string): (value: Value) => bigint {
  const text = checks.decimal128(path);
  return (value) => {
    const digits = text(value);
    const point = digits.indexOf('.');
    const found = point < 0 ? 0 : digits.length - point - 1;
    if (found > scale) throw badRow(path, `has more than ${scale} digits after the decimal point`);
    return unscaledDecimal(digits) * 10n ** BigInt(scale - found);
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
    if (typeof value !== 'object' || value === null || Array.isArray(value) || Buffer.isBuffer(value))
      throw badRow(path, 'is not a struct');
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

/** Returns a whole number that a double cannot hold as a bigint, any other as the nearest number. */
export function numberOfJson(value: unknown): number | bigint | undefined {
  if (typeof value === 'number') return value;
  if (!isRawNumber(value)) return undefined;
  return /^-?\d{1,20}$/.test(value.rawJSON) ? BigInt(value.rawJSON) : Number(value.rawJSON);
}
