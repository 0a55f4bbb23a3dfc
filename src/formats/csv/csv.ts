import { isUtf8 } from 'node:buffer';
import type { FieldError, PenstockError } from '../../errors.ts';
import {
  type Codec,
  type FormatDefinition,
  type FormatOf,
  maxRowsOfMessage,
  type Row,
  type Value,
} from '../format.ts';
import { inLine, onlyRow } from '../framing.ts';
import { parseText, valueReader } from '../json/decode.ts';
import { valueWriter } from '../json/encode.ts';
import { type Field, isMetadata, messageFields } from '../schema/schema.ts';
import { badData, badRow, pathOf, withNote } from '../values/bad.ts';
import { getterOf } from '../values/own-property.ts';
import { rowFromValues } from '../values/row.ts';
import { afterSep, type CsvOptions, type CsvRecord, csvCell, csvOptions, csvRecords } from './records.ts';

/**
 * Comma-separated values (RFC 4180) in UTF-8. A message is one record, with `header` after a line of column names;
 * framed by newlines it is any number of records. Empty lines and a byte order mark are ignored.
 */
export const csv: FormatDefinition<'csv'> = {
  type: 'csv',
  newlines: 'own',
  validate: ({ format }) => validateOptions(csvOptions(format)),
  codec({ fields = [], format, framing }) {
    const options = csvOptions(format);
    const maxRecordBytes = framing?.max_line_length ?? Number.POSITIVE_INFINITY;
    const decodeAll = rowReader(fields, options, maxRecordBytes);
    const encode = rowWriter(fields, options, maxRecordBytes, framing ? '\n' : '');
    return { encode, decode: (payload) => onlyRow(decodeAll(payload)), ...(framing ? { decodeAll } : {}) };
  },
};

function validateOptions({ delimiter, quote, decimal, nullValue }: CsvOptions): FieldError[] {
  const errors: FieldError[] = [];
  for (const [option, character] of Object.entries({ delimiter, quote })) {
    if (/^[\x20-\x7e\t]$/.test(character)) continue;
    const message = `The ${option} must be one ASCII character, printable or a tab`;
    errors.push({ path: `/format/${option}`, message });
  }
  if (delimiter === quote)
    errors.push({ path: '/format/quote', message: 'The quote and the delimiter must differ' });
  if (decimal === delimiter || decimal === quote) {
    const message = 'The decimal separator must differ from the delimiter and the quote';
    if (decimal === ',') errors.push({ path: '/format/decimal_separator', message });
  }
  if ([delimiter, quote, '\n', '\r'].some((special) => nullValue.includes(special))) {
    const message = 'The null value stands unquoted, so it may hold no delimiter, quote or line break';
    errors.push({ path: '/format/null_value', message });
  }
  return errors;
}

interface Layout {
  width: number;
  /** Undefined for a column that the header does not name; missing if the columns are in order. */
  places?: readonly (number | undefined)[];
}

function rowReader(
  fields: readonly Field[],
  options: CsvOptions,
  maxRecordBytes: number,
): NonNullable<Codec['decodeAll']> {
  const names = messageFields(fields).map(({ name }) => name);
  const make = rowFromValues([
    ...messageFields(fields).map((field) => ({
      name: field.name,
      read: columnReader(field, options),
    })),
    ...fields.filter(isMetadata).map(({ name }) => ({ name, read: () => null })),
  ]);
  const inOrder: Layout = { width: names.length };

  function read({ cells, tooLong }: CsvRecord, { width, places }: Layout): Row {
    if (tooLong) throw badData('', `is longer than the ${maxRecordBytes} bytes of max_line_length`);
    if (cells.length !== width) throw wrongWidth(cells, width);
    // A null that is written as a text was meant.
    if (options.nullValue === '' && cells.every((cell) => cell === null))
      throw badData('', 'has only empty values');
    return make(places ? places.map((place) => (place === undefined ? null : cells[place])) : cells);
  }

  return (payload, bad) => {
    if (!isUtf8(payload)) throw badData('', 'is not UTF-8 text');
    const { text, options: used, skipped } = afterSep(payload.toString(), options);
    const records = csvRecords(text, used, maxRecordBytes);
    const layout = options.header ? layoutOf(names, records.shift(), options.nullValue) : inOrder;
    if (records.length > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} records`);
    const rows: Row[] = [];
    for (const [number, record] of records.entries()) {
      try {
        if (number === 0 && !layout.places && isHeader(names, record.cells))
          throw badData('', 'holds the names of the columns instead of values: set header');
        rows.push(read(record, layout));
      } catch (error) {
        const located = inLine(error, record.line + skipped);
        if (!bad) throw located;
        bad(located, number);
      }
    }
    return rows;
  };
}

/** Names that differ only in case, or in spaces, underscores and hyphens, mean the same column. */
const looseName = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replaceAll(/[\s_-]+/g, '_');

/** Whether a record holds the names of all columns; one column may well have its name as a value. */
function isHeader(names: readonly string[], cells: readonly (string | null)[]): boolean {
  if (names.length < 2 || cells.length !== names.length) return false;
  return names.every((name, at) => looseName(cells[at] ?? '') === looseName(name));
}

function wrongWidth(cells: readonly (string | null)[], width: number): PenstockError {
  const error = badData('', `has ${cells.length} values instead of ${width}`);
  const other = cells.length === 1 ? otherDelimiter(cells[0] ?? '') : undefined;
  return other === undefined ? error : (withNote(error, delimiterNote(other)) as PenstockError);
}

const otherDelimiter = (text: string): string | undefined =>
  [';', '\t', '|', ','].find((delimiter) => text.includes(delimiter));

const delimiterNote = (other: string): string =>
  `its delimiter seems to be ${other === '\t' ? 'a tab' : JSON.stringify(other)}`;

/** An empty cell that is not a value of its type is null, even if quoted: some writers quote every cell. */
function columnReader(field: Field, options: CsvOptions): (cell: unknown) => Value {
  const path = pathOf('', field.name);
  const read = cellReader(field, path, options);
  const mayBeEmpty = field.type === 'string' || field.type === 'bytes';
  return (cell) => {
    const value = cell === null || (cell === '' && !mayBeEmpty) ? null : read(cell as string);
    if (value === null && field.required) throw badData(path, 'is required but null');
    return value;
  };
}

/** Names of the header that the table does not have are ignored, as in JSON, but not all of them. */
function layoutOf(names: readonly string[], header: CsvRecord | undefined, nullValue: string): Layout {
  if (!header) throw badData('', 'has no header');
  const titles = header.cells.map((cell) => cell ?? nullValue);
  const loose = titles.map((title) => (names.includes(title) ? undefined : looseName(title)));
  const places = names.map((name) => {
    const [among, wanted] = titles.includes(name) ? [titles, name] : [loose, looseName(name)];
    const place = among.indexOf(wanted);
    if (place !== among.lastIndexOf(wanted)) throw badData(pathOf('', name), 'is in the header twice');
    return place === -1 ? undefined : place;
  });
  if (places.every((place) => place === undefined)) throw unknownHeader(names, titles);
  return { width: titles.length, places };
}

/** Every row would hold nothing but nulls. */
function unknownHeader(names: readonly string[], titles: readonly string[]): PenstockError {
  const list = names.slice(0, 20).join(', ');
  const error = badData('', `has none of the columns ${list} in its first line, which must be a header`);
  const other = titles.length === 1 ? otherDelimiter(titles[0] ?? '') : undefined;
  return other === undefined ? error : (withNote(error, delimiterNote(other)) as PenstockError);
}

function rowWriter(
  fields: readonly Field[],
  options: CsvOptions,
  maxRecordBytes: number,
  end: string,
): Codec['encode'] {
  const columns = messageFields(fields).map((field) => columnWriter(field, options.decimal));
  const names = messageFields(fields).map(({ name }) => csvCell(name, options));
  const head = options.header ? `${names.join(options.delimiter)}\n` : '';
  return (row) => {
    const cells = columns.map((write) => csvCell(write(row), options));
    const record = cells.join(options.delimiter);
    if (cells.every((cell) => cell === ''))
      throw badRow('', 'would have only empty values; give null_value a text');
    if (maxRecordBytes !== Number.POSITIVE_INFINITY && Buffer.byteLength(record) > maxRecordBytes)
      throw badRow('', `is longer than the ${maxRecordBytes} bytes of max_line_length`);
    return Buffer.from(head + record + end);
  };
}

function columnWriter(field: Field, decimal: CsvOptions['decimal']): (row: Row) => string | null {
  const path = pathOf('', field.name);
  const get = getterOf(field.name);
  const write = cellWriter(field, path, decimal);
  return (row) => {
    const value = (get(row) ?? null) as Value;
    const cell = value === null ? null : write(value);
    if (cell === null && field.required) throw badRow(path, 'is required but null');
    return cell;
  };
}

/** Numbers, times and bytes are as in JSON, without quotes; json, structs and lists are JSON texts. */
const asJson: FormatOf<'json'> = { type: 'json' };

const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** Returns the text of a number with a point before its fraction. */
function pointOf(path: string, decimal: CsvOptions['decimal']): (cell: string) => string {
  const withComma = /^[+-]?\d*,\d+(?:[eE][+-]?\d+)?$/;
  return (cell) => {
    const text = cell.trim();
    const hasComma = withComma.test(text);
    if (decimal === '.') {
      if (hasComma) throw badData(path, 'has a decimal comma: set decimal_separator');
      return text;
    }
    if (hasComma) return text.replace(',', '.');
    // 1.234 would be a thousand times as much in the countries that write commas.
    if (text.includes('.')) throw badData(path, 'has a point, but the decimal separator is a comma');
    return text;
  };
}

function cellReader(field: Field, path: string, { decimal, timezone }: CsvOptions): (cell: string) => Value {
  const read = valueReader(field, path, { ...asJson, timezone });
  const point = pointOf(path, decimal);
  switch (field.type) {
    case 'int32':
    case 'uint32':
    case 'float32':
    case 'float64':
      return (cell) => {
        const text = point(cell);
        return read(number.test(text) ? Number(text) : undefined);
      };
    case 'int64':
    case 'uint64':
    case 'decimal128':
      // JSON has no plus sign, and needs a digit before the point.
      return (cell) =>
        read(
          point(cell)
            .replace(/^\+/, '')
            .replace(/^-?(?=\.)/, '$&0'),
        );
    case 'bool':
      return (cell) => read(booleans.get(cell.trim().toLowerCase()));
    case 'timestamp':
      return (cell) => read(cell.trim());
    case 'json':
    case 'struct':
    case 'list':
      return (cell) => {
        const value = parseText(cell, path);
        return value === null ? null : read(value);
      };
    default:
      return read;
  }
}

const booleans = new Map(Object.entries({ true: true, false: false, 1: true, 0: false }));

/** Compiles the writer of values that are not null; it returns null for a float that is not finite. */
function cellWriter(
  field: Field,
  path: string,
  decimal: CsvOptions['decimal'],
): (value: Value) => string | null {
  const write = valueWriter(field, path, asJson);
  const comma = (text: string) => (decimal === ',' ? text.replace('.', ',') : text);
  switch (field.type) {
    case 'string':
      return (value) => {
        if (typeof value !== 'string') throw badRow(path, 'is not a string');
        if (value.isWellFormed()) return value;
        throw badRow(path, 'holds half a surrogate pair, which UTF-8 cannot write');
      };
    case 'bytes':
    case 'timestamp':
      return (value) => write(value).slice(1, -1);
    case 'float32':
    case 'float64':
      return (value) => {
        const text = write(value);
        return text === 'null' ? null : comma(text);
      };
    case 'decimal128':
      return (value) => comma(write(value));
    default:
      return write;
  }
}
