import type { FormatOf, Row, Value } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { type SqlTyped, unitOf } from '../schema/sql-type.ts';
import { badData, pathOf } from '../values/bad.ts';
import { decimalOfBytes, parseDecimal } from '../values/decimal.ts';
import { bigintRanges, decimalFrom, integerFrom, withNull } from '../values/read-value.ts';
import { rowFromObject } from '../values/row-literal.ts';
import { parseTimestamp, timestampFromMs } from '../values/timestamp.ts';
import { isNestedWithin, isRawNumber, numberText, parseExactly } from './json-text.ts';

/** Turns one parsed JSON value into the value of a field; throws `bad_data`. */
export type Reader = (value: unknown) => Value;

/** As deep as serde_json, and so Arroyo, reads a document. */
const maxJsonDepth = 128;

/** Compiles the reader of an object with these fields. Properties that no field names are ignored, as in Arroyo. */
export function objectReader(
  fields: readonly Field[],
  path: string,
  format: FormatOf<'json'>,
): (value: unknown) => Row {
  const make = rowFromObject(
    fields.map((field) => ({
      name: field.name,
      read: typeof field.metadata_key === 'string' ? () => null : fieldReader(field, path, format),
    })),
  );
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || isRawNumber(value)) {
      throw badData(path, 'is not an object');
    }
    return make(value);
  };
}

function fieldReader(field: Field, parent: string, format: FormatOf<'json'>): Reader {
  const path = pathOf(parent, field.name);
  return withNull(valueReader(field, path, format), field.required === true, path);
}

/** Compiles the reader of one value that is not null. */
export function valueReader(type: ListItem, path: string, format: FormatOf<'json'>): Reader {
  switch (type.type) {
    case 'int32':
    case 'uint32':
      return integerReader(type.type, path);
    case 'int64':
    case 'uint64':
      return bigintReader(type.type, path);
    case 'float32':
    case 'float64':
      return floatReader(type.type, path);
    case 'decimal128':
      return decimalReader(type, path, format);
    case 'bool':
      return plainReader('boolean', 'is not true or false', path);
    case 'string':
      return plainReader('string', 'is not a string', path);
    case 'bytes':
      return bytesReader(path);
    case 'timestamp':
      return timestampReader(type, path, format);
    case 'json':
      return jsonReader(path, format.include_schema === true);
    case 'struct':
      return objectReader(type.fields ?? [], path, format);
    case 'list':
      return listReader(type.items ?? { type: 'string' }, path, format);
  }
}

function plainReader(kind: 'boolean' | 'string', problem: string, path: string): Reader {
  return (value) => {
    if (typeof value !== kind) throw badData(path, problem);
    return value as boolean | string;
  };
}

function integerReader(type: 'int32' | 'uint32', path: string): Reader {
  const read = integerFrom(type, path);
  return (value) => read(numberOf(value));
}

/** The double that is closest to a parsed number; any other value as it is. */
function numberOf(value: unknown): unknown {
  return typeof value === 'object' && isRawNumber(value) ? Number(value.rawJSON) : value;
}

/** Also takes the digits as a string: many JSON writers cannot write a large integer in any other way. */
function bigintReader(type: keyof typeof bigintRanges, path: string): Reader {
  const [least, most] = bigintRanges[type];
  return (value) => {
    const integer = Number.isSafeInteger(value)
      ? BigInt(value as number)
      : parseInteger(digitsOf(value) ?? '');
    if (integer === undefined) throw badData(path, 'is not a whole number');
    if (integer < least || integer > most) throw badData(path, `is out of the range of ${type}`);
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

function decimalReader(type: SqlTyped, path: string, format: FormatOf<'json'>): Reader {
  const readText = decimalFrom(type, path);
  if (format.decimal_encoding !== 'bytes') return (value) => readText(digitsOf(value));
  const readBytes = bytesReader(path);
  return (value) => {
    if (typeof value !== 'string') return readText(numberText(value));
    const text = decimalOfBytes(readBytes(value) as Buffer, type.scale ?? 0);
    if (text === undefined) throw badData(path, 'has more than 16 bytes, or none');
    return readText(text);
  };
}

const digitsOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : numberText(value);

function bytesReader(path: string): Reader {
  const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
  return (value) => {
    if (typeof value !== 'string' || !base64.test(value)) throw badData(path, 'is not a base64 string');
    return Buffer.from(value, 'base64');
  };
}

function timestampReader(type: SqlTyped, path: string, format: FormatOf<'json'>): Reader {
  const unit = unitOf(type);
  const millis = format.timestamp_format === 'unix_millis';
  const problem = millis ? 'is not a time in milliseconds since 1970' : 'is not an RFC 3339 time';
  return (value) => {
    let time: bigint | undefined;
    if (typeof value === 'string') time = parseTimestamp(value, unit);
    else if (millis && Number.isSafeInteger(value)) time = timestampFromMs(BigInt(value as number), unit);
    if (time === undefined) throw badData(path, problem);
    return time;
  };
}

/** Kafka Connect has no type for any JSON: with its schema a json column is a string that holds the text. */
function jsonReader(path: string, inString: boolean): Reader {
  return (value) => {
    const document = inString && typeof value === 'string' ? parseText(value, path) : value;
    if (!isNestedWithin(document, maxJsonDepth))
      throw badData(path, `is nested more than ${maxJsonDepth} deep`);
    return JSON.stringify(document);
  };
}

/** A JSON text inside a message; throws `bad_data`. */
export function parseText(text: string, path: string): unknown {
  try {
    return parseExactly(text);
  } catch {
    throw badData(path, 'is not a JSON text');
  }
}

function listReader(items: ListItem, path: string, format: FormatOf<'json'>): Reader {
  const itemPath = `${path}/*`;
  const read = withNull(valueReader(items, itemPath, format), items.required === true, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badData(path, 'is not a list');
    return value.map((item) => read(item));
  };
}
