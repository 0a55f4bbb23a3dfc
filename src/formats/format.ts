/** The contract of formats. They run on the main thread, to check and preview, and in worker threads, to pass messages. */

import type { FieldError, PenstockError } from '../errors.ts';
import type { RegisteredSchema, SchemaText, WrittenSchema } from './registered.ts';
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
 * Turns messages into rows and back. All of it but `prepare` is synchronous, keeps no state between calls, and throws
 * `PenstockError` with the code `bad_data` (decode) or `bad_row` (encode), the path of the field in `errors`, and no
 * part of the payload in the message.
 */
export interface Codec {
  /**
   * Loads what the messages need to be decoded, such as schemas from a registry; undefined if all is there. Call it before, if
   * the codec has it. Rejects if that cannot be had now, and then nothing is known of the messages.
   */
  prepare?(payloads: Iterable<Buffer>): Promise<void> | undefined;
  /** Reads a message that holds exactly one row. */
  decode(payload: Buffer): Row;
  /** Optional: throws what `decode` would, and returns nothing. For messages that are passed on as they are. */
  check?(payload: Buffer): void;
  /**
   * Reads a message that may hold any number of rows, up to `maxRowsOfMessage`. Callers prefer it to `decode`.
   * Calls `bad` for a row that cannot be read, with its number in the message from 0, and still returns the others.
   * Without `bad` it throws the first such error. It always throws if the rest of the message cannot be read.
   */
  decodeAll?(payload: Buffer, bad?: BadRowHandler): Row[];
  encode(row: Row): Buffer;
  /** Optional, for formats of text: the same for a text, so that lines need not be converted one by one. */
  decodeText?(text: string): Row;
  encodeText?(row: Row): string;
}

export type BadRowHandler = (error: PenstockError, row: number) => void;

/** A small message can hold very many rows; each costs memory until the whole message is settled. */
export const maxRowsOfMessage = 10_000;

export type FormatOf<T extends FormatType> = Extract<Format, { type: T }>;

export type SchemaIn<T extends FormatType> = Omit<ConnectionSchema, 'format'> & { format: FormatOf<T> };

/**
 * A format, listed in `registry.ts`. Compression and lines are handled around it. Metadata columns are in `fields`; they
 * are null in decoded rows and are not encoded.
 */
export interface FormatDefinition<T extends FormatType = FormatType> {
  type: T;
  /** Prepares the codec of an expanded, valid schema: all work that depends on the schema alone. */
  codec(schema: SchemaIn<T>): Codec;
  /**
   * Returns the errors of the options, and of fields that the format cannot write; the rest is checked already. Paths
   * are JSON pointers into the schema, e.g. `/format/delimiter`. May throw `invalid_schema` with the same `errors`.
   */
  validate?(schema: SchemaIn<T>): FieldError[];
  /** The type of the column `value` that holds the whole message; undefined if the message has fields. */
  wholeMessage?(format: FormatOf<T>): WholeMessage | undefined;
  /** The schema language of a `definition`; without it a definition is refused. */
  definition?: {
    type: SchemaDefinition['type'];
    /** Derives fields, without metadata columns. Throws `invalid_schema` with a path below `/definition`. */
    fieldsFrom(schema: SchemaIn<T> & { definition: SchemaDefinition }): Field[];
  };
  /**
   * Support of framing by newlines; refused if missing. `lines`: each line is a message without unescaped newlines, and
   * empty lines are skipped. `values`: the same, but an empty line is an empty value. `own`: the codec's `decodeAll`
   * handles it.
   */
  newlines?: 'lines' | 'values' | 'own';
  /** Use of a schema registry, in which messages have the ids of their schemas. Its header is handled around it. */
  registry?: {
    /**
     * Prepares a codec that reads the messages of a schema into the fields of the table. Throws `bad_data` if they do not fit.
     * Left out if the table's own codec reads all.
     */
    reader?(schema: SchemaIn<T>, writer: RegisteredSchema): Codec;
    /** Returns the schema of what a sink writes. Throws `invalid_schema` if the table says too little. */
    written(schema: SchemaIn<T>): WrittenSchema;
    /** Makes the definition of a table of a schema in the registry. Throws `invalid_schema`. */
    definitionOf(text: SchemaText): SchemaDefinition;
  };
  /** Whether whole files have it, which connectors write from typed rows. No message has it, and `codec` is not called. */
  filesOnly?: boolean;
}

export type WholeMessage = 'string' | 'json' | 'bytes';
