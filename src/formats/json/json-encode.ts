import type { FormatOf, Value } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { type SqlTyped, unitOf } from '../schema/sql-type.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { bytesOfDecimal } from '../values/decimal.ts';
import { columnsText } from '../values/row-literal.ts';
import { formatTimestamp, timestampToMs } from '../values/timestamp.ts';

/** Turns the value of a field into JSON text; throws `bad_row`. */
export type Writer = (value: Value) => string;

const ranges = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const;

/**
 * Compiles the writer of an object with these fields, in their order. A null is written, as `null`; metadata columns
 * are not part of the message.
 */
export function objectWriter(fields: readonly Field[], path: string, format: FormatOf<'json'>): Writer {
  const written = fields.filter((field) => typeof field.metadata_key !== 'string');
  const columns = columnsText(
    written.map((field, index) => {
      const prefix = `${index === 0 ? '{' : ','}${JSON.stringify(field.name)}:`;
      const write = fieldWriter(field, path, format);
      return { name: field.name, write: (value) => prefix + write(value) };
    }),
  );
  const begin = written.length === 0 ? '{' : '';
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw badRow(path, 'is not a struct');
    return `${begin}${columns(value)}}`;
  };
}

function fieldWriter(field: Field, parent: string, format: FormatOf<'json'>): Writer {
  const path = pathOf(parent, field.name);
  return withNull(valueWriter(field, path, format), field.required === true, path);
}

function withNull(write: Writer, required: boolean, path: string): Writer {
  return (value) => {
    if (value !== null && value !== undefined) return write(value);
    if (required) throw badRow(path, 'is required but null');
    return 'null';
  };
}

/** Compiles the writer of one value that is not null. */
export function valueWriter(type: ListItem, path: string, format: FormatOf<'json'>): Writer {
  switch (type.type) {
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
      return integerWriter(type.type, path);
    case 'float32':
    case 'float64':
      return floatWriter(type.type, type.required === true, path);
    case 'decimal128':
      return decimalWriter(path, format);
    case 'bool':
      return boolWriter(path);
    case 'string':
      return stringWriter(path);
    case 'bytes':
      return bytesWriter(path);
    case 'timestamp':
      return timestampWriter(type, path, format);
    case 'json':
      return format.include_schema ? jsonStringWriter(path) : jsonWriter(path);
    case 'struct':
      return objectWriter(type.fields ?? [], path, format);
    case 'list':
      return listWriter(type.items ?? { type: 'string' }, path, format);
  }
}

function integerWriter(type: keyof typeof ranges, path: string): Writer {
  const [least, most] = ranges[type];
  const wanted = typeof least;
  return (value) => {
    const whole = typeof value === 'bigint' || Number.isInteger(value);
    if (typeof value !== wanted || !whole) throw badRow(path, 'is not a whole number');
    if ((value as number) < least || (value as number) > most) {
      throw badRow(path, `is out of the range of ${type}`);
    }
    return String(value);
  };
}

/** JSON has no infinity and no NaN: they are written as null, as JSON.stringify and Arroyo do. */
function floatWriter(type: 'float32' | 'float64', required: boolean, path: string): Writer {
  const text = type === 'float32' ? float32Text : (value: number) => String(value);
  return (value) => {
    if (typeof value !== 'number') throw badRow(path, 'is not a number');
    if (Number.isFinite(value)) return text(value);
    if (required) throw badRow(path, 'is required but not a finite number');
    return 'null';
  };
}

/** The shortest text that reads back as the same float32: 0.1 and not 0.10000000149011612. */
function float32Text(value: number): string {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

function decimalWriter(path: string, { decimal_encoding }: FormatOf<'json'>): Writer {
  return (value) => {
    if (typeof value !== 'string' || !/^-?\d+(?:\.\d+)?$/.test(value)) throw badRow(path, 'is not a decimal');
    if (decimal_encoding === 'string') return `"${value}"`;
    return decimal_encoding === 'bytes' ? `"${bytesOfDecimal(value).toString('base64')}"` : value;
  };
}

function boolWriter(path: string): Writer {
  return (value) => {
    if (typeof value !== 'boolean') throw badRow(path, 'is not true or false');
    return value ? 'true' : 'false';
  };
}

// Asking costs less than JSON.stringify. Surrogates are left to it: half a pair needs an escape.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what needs an escape
const needsEscape = /["\\\u0000-\u001f\ud800-\udfff]/;

function stringWriter(path: string): Writer {
  return (value) => {
    if (typeof value !== 'string') throw badRow(path, 'is not a string');
    return needsEscape.test(value) ? JSON.stringify(value) : `"${value}"`;
  };
}

function bytesWriter(path: string): Writer {
  return (value) => {
    if (!Buffer.isBuffer(value)) throw badRow(path, 'is not bytes');
    return `"${value.toString('base64')}"`;
  };
}

function timestampWriter(type: SqlTyped, path: string, format: FormatOf<'json'>): Writer {
  const unit = unitOf(type);
  const millis = format.timestamp_format === 'unix_millis';
  return (value) => {
    if (typeof value !== 'bigint') throw badRow(path, 'is not a time');
    if (millis) return String(timestampToMs(value, unit));
    const text = formatTimestamp(value, unit);
    if (text === undefined) throw badRow(path, 'is a time outside the years 0000 to 9999');
    return `"${text}"`;
  };
}

/** Writes a json column as it is, once it has proved to be JSON: else it would break the whole message. */
export function jsonWriter(path: string): Writer {
  return (value) => {
    if (typeof value !== 'string' || !isJson(value)) throw badRow(path, 'is not a JSON text');
    return value;
  };
}

/** The same as the text of a JSON string. */
function jsonStringWriter(path: string): Writer {
  const write = jsonWriter(path);
  return (value) => JSON.stringify(write(value));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function listWriter(items: ListItem, path: string, format: FormatOf<'json'>): Writer {
  const itemPath = `${path}/*`;
  const write = withNull(valueWriter(items, itemPath, format), items.required === true, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    return `[${value.map((item) => write(item)).join(',')}]`;
  };
}
