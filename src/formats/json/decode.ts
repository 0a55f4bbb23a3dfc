import type { FormatOf, Row } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { bytesOfBase64 } from '../values/base64.ts';
import { bigintOfBytes, formatDecimal, parseDecimal } from '../values/decimal.ts';
import {
  bigintRanges,
  decimalFrom,
  integerFrom,
  listFrom,
  plainFrom,
  type Reader,
  structFrom,
} from '../values/read.ts';
import { convertTimestamp, timestampFromDecimal } from '../values/timestamp.ts';
import { timeReader } from '../values/zone.ts';
import { notJson } from './fault.ts';
import { isRawNumber, isShallow, numberText, parseExactly, tooDeep } from './text.ts';

/** Compiles the reader of a parsed object with these fields; it throws `bad_data`. */
export function objectReader(
  fields: readonly Field[],
  path: string,
  format: FormatOf<'json'>,
): (value: unknown) => Row {
  return structFrom(fields, path, readerIn(format), isObject, 'is not an object');
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value);

const readerIn = (format: FormatOf<'json'>) => (item: ListItem, path: string) =>
  valueReader(item, path, format);

export function valueReader(type: ListItem, path: string, format: FormatOf<'json'>): Reader {
  switch (type.type) {
    case 'int32':
    case 'uint32': {
      const read = integerFrom(type.type, path);
      return (value) => read(numberOf(value));
    }
    case 'int64':
    case 'uint64':
      return bigintReader(type.type, path);
    case 'float32':
    case 'float64':
      return floatReader(type.type, path);
    case 'decimal128':
      return decimalReader(type, path, format);
    case 'bool':
    case 'string':
      return plainFrom(type.type, path);
    case 'bytes':
      return bytesReader(path);
    case 'timestamp':
      return timestampReader(type, path, format);
    case 'json':
      return jsonReader(path, format.include_schema === true);
    case 'struct':
      return objectReader(type.fields ?? [], path, format);
    case 'list':
      return listFrom(type.items, path, readerIn(format));
  }
}

/** The double that is closest to a parsed number; any other value as it is. */
function numberOf(value: unknown): unknown {
  return typeof value === 'object' && isRawNumber(value) ? Number(value.rawJSON) : value;
}

/** Also takes the digits as a string: many JSON writers have no other way for a large integer. */
function bigintReader(type: keyof typeof bigintRanges, path: string): Reader {
  const [min, max] = bigintRanges[type];
  return (value) => {
    const integer = Number.isSafeInteger(value)
      ? BigInt(value as number)
      : parseInteger(digitsOf(value) ?? '');
    if (integer === undefined) throw badData(path, 'is not a whole number');
    if (integer < min || integer > max) throw badData(path, `is out of the range of ${type}`);
    return integer;
  };
}

function parseInteger(text: string): bigint | undefined {
  if (/^-?\d{1,40}$/.test(text)) return BigInt(text);
  const decimal = /^-?[\d.]{1,80}(?:[eE][+-]?\d{1,3})?$/.test(text) ? parseDecimal(text, 80, 40) : undefined;
  const [whole = '', fraction = ''] = decimal?.split('.') ?? [];
  return decimal !== undefined && /^0*$/.test(fraction) ? BigInt(whole) : undefined;
}

function floatReader(type: 'float32' | 'float64', path: string): Reader {
  return (value) => {
    const exact = numberOf(value);
    if (typeof exact !== 'number') throw badData(path, 'is not a number');
    // Rounded first: the shortest text of the largest float32, 3.4028235e+38, is larger than it.
    const number = type === 'float32' ? Math.fround(exact) : exact;
    if (!Number.isFinite(number)) throw badData(path, `is out of the range of ${type}`);
    return number;
  };
}

function decimalReader(type: ListItem, path: string, format: FormatOf<'json'>): Reader {
  const readText = decimalFrom(type, path);
  if (format.decimal_encoding !== 'bytes') return (value) => readText(digitsOf(value));
  const readBytes = bytesReader(path);
  return (value) => {
    if (typeof value !== 'string') return readText(numberText(value));
    const bytes = readBytes(value) as Buffer;
    const digits = bytes.length > 16 || bytes.length === 0 ? undefined : bigintOfBytes(bytes);
    if (digits === undefined) throw badData(path, 'has more than 16 bytes, or none');
    return readText(formatDecimal(digits, type.scale ?? 0));
  };
}

const digitsOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : numberText(value);

function bytesReader(path: string): Reader {
  return (value) => {
    const bytes = typeof value === 'string' ? bytesOfBase64(value) : undefined;
    if (bytes === undefined) throw badData(path, 'is not a base64 string');
    return bytes;
  };
}

/** The unit in which each format of times counts since 1970. */
export const countedUnits = {
  unix_seconds: 'second',
  unix_millis: 'millisecond',
  unix_micros: 'microsecond',
  unix_nanos: 'nanosecond',
} as const;

/** A format that counts also takes fractions, the number as a string, and RFC 3339. */
function timestampReader(type: ListItem, path: string, format: FormatOf<'json'>): Reader {
  const unit = unitOf(type);
  const { timestamp_format: name = 'rfc3339', timezone } = format;
  const readText = timeReader(timezone);
  const counted = name === 'rfc3339' || name === 'without_zone' ? undefined : countedUnits[name];
  const problem =
    counted === undefined ? 'is not an RFC 3339 time' : `is not a time in ${counted}s since 1970`;
  return (value) => {
    let time: bigint | undefined;
    if (typeof value === 'string') time = readText(value, unit);
    if (time === undefined && counted !== undefined) {
      if (Number.isSafeInteger(value)) time = convertTimestamp(BigInt(value as number), counted, unit);
      else time = timestampFromDecimal(digitsOf(value) ?? '', counted, unit);
    }
    if (time !== undefined) return time;
    const isNumber = counted === undefined && numberText(value) !== undefined;
    throw badData(path, isNumber ? `${problem}: it is a number, which timestamp_format can read` : problem);
  };
}

/** Kafka Connect has no type for any JSON: with its schema a json column is a string that holds the text. */
function jsonReader(path: string, inString: boolean): Reader {
  return (value) => {
    const document = inString && typeof value === 'string' ? parseText(value, path) : value;
    if (!isShallow(document)) throw badData(path, tooDeep);
    return JSON.stringify(document);
  };
}

/** Parses a JSON text inside a message; throws `bad_data`. */
export function parseText(text: string, path: string): unknown {
  try {
    return parseExactly(text);
  } catch {
    throw badData(path, notJson(text, 'text'));
  }
}
