import type { FormatOf, Value } from '../format.ts';
import { parseText, type Reader, valueReader } from '../json/json-decode.ts';
import { valueWriter } from '../json/json-encode.ts';
import type { Field } from '../schema/schema.ts';
import { badRow } from '../values/bad.ts';

/**
 * A cell is text. Numbers, times and bytes are written in it as in JSON, without quotes; json, structs and lists are
 * JSON texts.
 */

/** Values are read as JSON reads them, once the text is what JSON would have parsed. */
const asJson: FormatOf<'json'> = { type: 'json' };

const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** Compiles the reader of a column's cells that are not null; throws `bad_data`. */
export function cellReader(field: Field, path: string): (cell: string) => Value {
  const read: Reader = valueReader(field, path, asJson);
  switch (field.type) {
    case 'int32':
    case 'uint32':
    case 'float32':
    case 'float64':
      return (cell) => read(number.test(cell.trim()) ? Number(cell) : undefined);
    case 'int64':
    case 'uint64':
    case 'decimal128':
      return (cell) =>
        read(
          cell
            .trim()
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

const booleans = new Map([
  ['true', true],
  ['false', false],
  ['1', true],
  ['0', false],
]);

/** Compiles the writer of a column's values that are not null; answers null for a float that is no finite number. */
export function cellWriter(field: Field, path: string): (value: Value) => string | null {
  const write = valueWriter(field, path, asJson);
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
        return text === 'null' ? null : text;
      };
    default:
      return write;
  }
}
