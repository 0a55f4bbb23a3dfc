import type { Row, Value } from '../../../formats/format.ts';
import { float32Text, valueWriter } from '../../../formats/json/encode.ts';
import type { Field, ListItem } from '../../../formats/schema/schema.ts';
import { unitOf } from '../../../formats/schema/sql-type.ts';
import { badRow, pathOf } from '../../../formats/values/bad.ts';
import { timestampToParts } from '../../../formats/values/timestamp.ts';
import { checkOf } from '../../../formats/values/write.ts';
import type { BaseType, TargetColumn } from '../connection/catalog.ts';
import { isDocument } from '../connection/column-types.ts';

/**
 * Values as the texts that PostgreSQL reads. All of them are ISO forms with a zone, so that no setting of the session
 * changes what they mean. What certainly does not fit a column is refused here, which costs no round trip.
 */

/** Returns the text of a value; throws `bad_row`. */
type Encode = (value: Value) => string;

/** Returns the text of a column of a row, or null; throws `bad_row`. */
export type ColumnEncoder = (row: Row) => string | null;

export function columnEncoder(field: Field, column: Pick<TargetColumn, 'base' | 'items'>): ColumnEncoder {
  const { name } = field;
  const encode = encoderOf(field, column.base, column.items, pathOf('', name));
  return (row) => {
    const value = row[name];
    return value === null || value === undefined ? null : encode(value);
  };
}

function encoderOf(field: ListItem, base: BaseType, items: BaseType | undefined, path: string): Encode {
  if (isDocument(base)) return documentOf(field, base, path);
  switch (field.type) {
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
      return integerOf(field.type, base, path);
    case 'float32':
    case 'float64':
      return floatOf(field.type, base, path);
    case 'decimal128':
      return checkOf('decimal128', path);
    case 'bool': {
      const check = checkOf('bool', path);
      return (value) => (check(value) ? 't' : 'f');
    }
    case 'string':
      return stringOf(base, path);
    case 'bytes': {
      const check = checkOf('bytes', path);
      return (value) => `\\x${check(value).toString('hex')}`;
    }
    case 'timestamp':
      return timestampOf(field, path);
    case 'list':
      return items === undefined ? documentOf(field, base, path) : arrayOf(field, items, path);
    default:
      return documentOf(field, base, path);
  }
}

const integerRanges: Readonly<Record<string, [least: bigint, most: bigint]>> = {
  int2: [-(2n ** 15n), 2n ** 15n - 1n],
  int4: [-(2n ** 31n), 2n ** 31n - 1n],
  int8: [-(2n ** 63n), 2n ** 63n - 1n],
};

/** Columns that hold every value of a type. */
const alwaysFit: Readonly<Record<string, readonly string[]>> = {
  int32: ['int4', 'int8'],
  uint32: ['int8'],
  int64: ['int8'],
};

function integerOf(type: 'int32' | 'uint32' | 'int64' | 'uint64', base: BaseType, path: string): Encode {
  const check = checkOf(type, path);
  const range = integerRanges[base.name];
  if (range === undefined || alwaysFit[type]?.includes(base.name)) return (value) => String(check(value));
  const [least, most] = range;
  return (value) => {
    const number = check(value);
    if (number < least || number > most) throw outOfRange(path, base);
    return String(number);
  };
}

const outOfRange = (path: string, { name }: BaseType) =>
  badRow(path, `is out of range for a column of type ${name}`);

/** The shortest text that reads back as the same number, in both widths. */
function floatOf(type: 'float32' | 'float64', base: BaseType, path: string): Encode {
  const check = checkOf(type, path);
  const narrow = base.name === 'float4';
  const text = type === 'float32' ? float32Text : String;
  return (value) => {
    const number = check(value);
    if (narrow && Number.isFinite(number) && !Number.isFinite(Math.fround(number)))
      throw outOfRange(path, base);
    // -0 has no text in JavaScript.
    return Object.is(number, -0) ? '-0' : Number.isFinite(number) ? text(number) : String(number);
  };
}

const nul = (path: string) => badRow(path, 'has a NUL character, which PostgreSQL cannot store');

function stringOf({ length }: BaseType, path: string): Encode {
  const check = checkOf('string', path);
  return (value) => {
    const text = check(value);
    if (text.includes('\0')) throw nul(path);
    // PostgreSQL counts code points, and cuts blanks at the end.
    if (length !== undefined && text.length > length && [...text.trimEnd()].length > length)
      throw badRow(path, `has more than ${length} characters`);
    return text;
  };
}

/** Farthest times that `Date` has, in seconds. */
const farthest = 8_640_000_000_000n;

function timestampOf(field: ListItem, path: string): Encode {
  const check = checkOf('timestamp', path);
  const unit = unitOf(field);
  return (value) => {
    const { seconds, nanoseconds } = timestampToParts(check(value), unit);
    if (seconds > farthest || seconds < -farthest)
      throw badRow(path, 'is a time that PostgreSQL cannot store');
    const date = new Date(Number(seconds) * 1000);
    const year = date.getUTCFullYear();
    // There is no year 0: that before 1 is 1 BC.
    const [shown, era] = year > 0 ? [year, ''] : [1 - year, ' BC'];
    const iso = date.toISOString();
    const rest = iso.slice(iso.indexOf('-', 1), -5).replace('T', ' ');
    const fraction = nanoseconds === 0n ? '' : `.${String(nanoseconds / 1000n).padStart(6, '0')}`;
    return `${String(shown).padStart(4, '0')}${rest}${fraction}+00${era}`;
  };
}

const json = { type: 'json' } as const;

/** `\u0000` is valid JSON that jsonb cannot store; json and text keep the escape as it is. */
const escapedNul = /(?<!\\)(?:\\\\)*\\u0000/;

function documentOf(field: ListItem, { name }: BaseType, path: string): Encode {
  const write = valueWriter(field, path, json);
  return (value) => {
    const text = write(value);
    if (name === 'jsonb' && text.includes('\\u0000') && escapedNul.test(text)) throw nul(path);
    return text;
  };
}

/** An array literal. Every item is in quotes, so that the text NULL is no null. */
function arrayOf(field: ListItem, items: BaseType, path: string): Encode {
  const encode = encoderOf(field.items ?? { type: 'string' }, items, undefined, `${path}/*`);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    return arrayLiteral(value.map((item) => (item === null ? null : encode(item))));
  };
}

export const arrayLiteral = (items: readonly (string | null)[]): string =>
  `{${items.map((item) => (item === null ? 'NULL' : `"${escapeItem(item)}"`)).join(',')}}`;

const special = /["\\]/;
const escapeItem = (text: string): string => (special.test(text) ? text.replace(/["\\]/g, '\\$&') : text);

const copySpecial = /[\\\n\r\t]/;
const copyEscapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A row as a line of COPY in its text format. */
export function copyLine(cells: readonly (string | null)[]): string {
  let line = '';
  for (let index = 0; index < cells.length; index += 1) {
    const cell = cells[index] as string | null;
    if (index > 0) line += '\t';
    if (cell === null) line += '\\N';
    else line += copySpecial.test(cell) ? escapeCell(cell) : cell;
  }
  return `${line}\n`;
}

const escapeCell = (cell: string): string =>
  cell.replace(/[\\\n\r\t]/g, (found) => copyEscapes[found] as string);
