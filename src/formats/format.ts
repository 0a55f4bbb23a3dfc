import type { FieldError, PenstockError } from '../errors.ts';
import type { ConnectionSchema, Field, Format, FormatType, SchemaDefinition } from './schema/schema.ts';

/**
 * A value of a row, by the type of its field:
 *
 * | field type | value |
 * | --- | --- |
 * | int32, uint32, float32, float64 | number |
 * | int64, uint64 | bigint |
 * | decimal128 | string of digits, sign and point, e.g. `-12.50` |
 * | bool | boolean |
 * | string | string |
 * | bytes | Buffer |
 * | timestamp | bigint, counted in the unit of the field since 1970-01-01T00:00:00Z |
 * | json | string holding a JSON text |
 * | struct | Row |
 * | list | Value[] |
 *
 * and null for every type.
 */
export type Value = number | bigint | string | boolean | Buffer | null | Row | Value[];

/** A decoded record. Every field of its schema is there; a value that was not in the message is null. */
export interface Row {
  [column: string]: Value;
}

/**
 * Turns messages into rows and back. All of it is synchronous, keeps no state between calls, and throws
 * `PenstockError` with the code `bad_data` (decode) or `bad_row` (encode), the path of the field in `errors`, and no
 * part of the payload in the message.
 */
export interface Codec {
  /** Reads a message that holds exactly one row. */
  decode(payload: Buffer): Row;
  /**
   * Reads a message that may hold any number of rows, up to `maxRowsOfMessage`; where it exists it is the one to call.
   * A row that cannot be read is handed to `bad`, with its number among all rows of the message, from 0, and the others
   * are answered all the same. Without `bad`, or when nothing can be said of the rest of the message, its error is
   * thrown.
   */
  decodeAll?(payload: Buffer, bad?: BadRowHandler): Row[];
  encode(row: Row): Buffer;
  /** What formats of text may have beside: the same of a text, so that lines need not be converted one by one. */
  decodeText?(text: string): Row;
  encodeText?(row: Row): string;
}

export type BadRowHandler = (error: PenstockError, row: number) => void;

/** A small message can hold very many rows; each costs memory until the whole message is settled. */
export const maxRowsOfMessage = 10_000;

/** The options of one format. */
export type FormatOf<T extends FormatType> = Extract<Format, { type: T }>;

/** A schema in one format. */
export type SchemaIn<T extends FormatType> = Omit<ConnectionSchema, 'format'> & { format: FormatOf<T> };

/**
 * What a format file exports, and `all.ts` lists. Compression is done around it, and so is framing where it allows
 * lines; metadata columns are in `fields`, are null in what it decodes and not part of what it encodes.
 */
export interface FormatDefinition<T extends FormatType = FormatType> {
  type: T;
  /** Prepares the codec of a schema that is expanded and valid: all that depends on the schema alone is done here. */
  codec(schema: SchemaIn<T>): Codec;
  /**
   * What is wrong with the options, or with fields that the format cannot write; the rest is checked already. Paths
   * are JSON pointers into the schema, e.g. `/format/delimiter`. `invalid_schema` with the same `errors` may be thrown
   * instead.
   */
  validate?(schema: SchemaIn<T>): FieldError[];
  /** The type of the one column `value` that holds the message as a whole; undefined when it has fields. */
  wholeMessage?(format: FormatOf<T>): WholeMessage | undefined;
  /** The language of the schemas from which the fields can be derived; without it a definition is refused. */
  definition?: {
    type: SchemaDefinition['type'];
    /** Throws `invalid_schema` with the path, below `/definition`, of what has no field type. Knows no metadata columns. */
    fieldsFrom(schema: SchemaIn<T> & { definition: SchemaDefinition }): Field[];
  };
  /**
   * Whether framing by newlines is allowed. `lines`: each line is a message of the format, whose rows never hold a
   * newline unescaped; empty lines are left out. `values`: the same, but an empty line is an empty value. `own`: the codec does it, and has
   * `decodeAll`. Left out: refused.
   */
  newlines?: 'lines' | 'values' | 'own';
}

export type WholeMessage = 'string' | 'json' | 'bytes';
