import type { FormatOf, Value } from '../format.ts';
import { type Field, type ListItem, messageFields } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { bytesOfBigint, unscaledDecimal } from '../values/decimal.ts';
import { columnsText } from '../values/row.ts';
import { countIn, formatTimestamp, timestampToSeconds } from '../values/timestamp.ts';
import { checkOf, orNull, structOf } from '../values/write.ts';
import { countedUnits } from './decode.ts';
import { isJson } from './text.ts';

/** Converts the value of a field into JSON text; throws `bad_row`. */
export type Writer = (value: Value) => string;

/** Compiles the writer of an object with these fields, in their order. A null is written, as `null`. */
export function objectWriter(fields: readonly Field[], path: string, format: FormatOf<'json'>): Writer {
  const written = messageFields(fields);
  const columns = columnsText(
    written.map((field, index) => {
      const prefix = `${index === 0 ? '{' : ','}${JSON.stringify(field.name)}:`;
      const at = pathOf(path, field.name);
      const write = orNull(valueWriter(field, at, format), field.required, at);
      return { name: field.name, write: (value) => prefix + write(value) };
    }),
  );
  const begin = written.length === 0 ? '{' : '';
  const struct = structOf(path);
  return (value) => `${begin}${columns(struct(value))}}`;
}

export function valueWriter(type: ListItem, path: string, format: FormatOf<'json'>): Writer {
  switch (type.type) {
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
    case 'bool': {
      const check = checkOf(type.type, path);
      return (value) => String(check(value));
    }
    case 'float32':
    case 'float64':
      return floatWriter(type.type, type.required === true, path);
    case 'decimal128':
      return decimalWriter(path, format);
    case 'string':
      return stringWriter(path);
    case 'bytes': {
      const bytes = checkOf('bytes', path);
      return (value) => `"${bytes(value).toString('base64')}"`;
    }
    case 'timestamp':
      return timestampWriter(type, path, format);
    case 'json': {
      const write = jsonWriter(path);
      return format.include_schema ? (value) => JSON.stringify(write(value)) : write;
    }
    case 'struct':
      return objectWriter(type.fields ?? [], path, format);
    case 'list':
      return listWriter(type.items ?? { type: 'string' }, path, format);
  }
}

/** JSON has no infinity and no NaN: they are written as null, as JSON.stringify and Arroyo do. */
function floatWriter(type: 'float32' | 'float64', required: boolean, path: string): Writer {
  const check = checkOf(type, path);
  const text = type === 'float32' ? float32Text : String;
  return (value) => {
    const number = check(value);
    if (Number.isFinite(number)) return text(number);
    if (required) throw badRow(path, 'is required but not a finite number');
    return 'null';
  };
}

/** The shortest text that reads back as the same float32: 0.1 and not 0.10000000149011612. */
export function float32Text(value: number): string {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

function decimalWriter(path: string, { decimal_encoding }: FormatOf<'json'>): Writer {
  const decimal = checkOf('decimal128', path);
  if (decimal_encoding === 'string') return (value) => `"${decimal(value)}"`;
  if (decimal_encoding !== 'bytes') return decimal;
  return (value) => `"${bytesOfBigint(unscaledDecimal(decimal(value)))?.toString('base64')}"`;
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

function timestampWriter(type: ListItem, path: string, format: FormatOf<'json'>): Writer {
  const unit = unitOf(type);
  const time = checkOf('timestamp', path);
  const { timestamp_format: name = 'rfc3339' } = format;
  const zone = name === 'without_zone' ? '' : 'Z';
  if (name === 'unix_seconds') return (value) => timestampToSeconds(time(value), unit);
  if (name !== 'rfc3339' && name !== 'without_zone')
    return (value) => String(countIn(time(value), unit, countedUnits[name]));
  return (value) => {
    const text = formatTimestamp(time(value), unit);
    if (text === undefined) throw badRow(path, 'is a time outside the years 0000 to 9999');
    return `"${shortened(text)}${zone}"`;
  };
}

/** A time without its Z, and without groups of three zeros at the end of its fraction, as in Arroyo. */
function shortened(text: string): string {
  let end = text.length - 1;
  while (end > 20 && text.endsWith('000', end)) end -= 3;
  return text.slice(0, end === 20 ? 19 : end);
}

/** Writes a json column as it is, once it has proved to be JSON: else it would break the whole message. */
export function jsonWriter(path: string): Writer {
  return (value) => {
    if (typeof value !== 'string' || !isJson(value)) throw badRow(path, 'is not a JSON text');
    return value;
  };
}

function listWriter(items: ListItem, path: string, format: FormatOf<'json'>): Writer {
  const itemPath = `${path}/*`;
  const write = orNull(valueWriter(items, itemPath, format), items.required, itemPath);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    return `[${value.map((item) => String(write(item))).join(',')}]`;
  };
}
