import type { ConnectionSchema } from './schema.ts';

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
 * Turns messages into rows and back. Both are synchronous, keep no state between calls, and throw `PenstockError`
 * with the code `bad_data` (decode) or `bad_row` (encode), the path of the field in `errors`, and no part of the
 * payload in the message.
 */
export interface Codec {
  decode(payload: Buffer): Row;
  encode(row: Row): Buffer;
}

/** What a format file exports. */
export interface FormatDefinition {
  type: NonNullable<ConnectionSchema['format']>['type'];
  codec(schema: ConnectionSchema): Codec;
}
