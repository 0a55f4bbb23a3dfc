import type { ListItem } from './schema.ts';

/** The part of a field, member or list item that determines its SQL type. */
type SqlTyped = Pick<ListItem, 'type' | 'unit' | 'precision' | 'scale' | 'fields' | 'items'>;

const plainNames = {
  int32: 'INTEGER',
  int64: 'BIGINT',
  uint32: 'INTEGER UNSIGNED',
  uint64: 'BIGINT UNSIGNED',
  float32: 'FLOAT',
  float64: 'DOUBLE',
  bool: 'BOOLEAN',
  string: 'TEXT',
  bytes: 'BINARY',
  json: 'JSON',
} as const;

export type TimestampUnit = NonNullable<ListItem['unit']>;

/** Fractional digits of the second in each unit. */
export const fractionDigits = { second: 0, millisecond: 3, microsecond: 6, nanosecond: 9 } as const;

/** The unit of a timestamp field, which may leave it out. */
export function unitOf(field: SqlTyped): TimestampUnit {
  return field.unit ?? 'millisecond';
}

/**
 * The name of a field's type in SQL, as Arroyo writes it in `sql_name`, e.g. `TIMESTAMP(3)`, `BIGINT[]` or
 * `STRUCT <a INTEGER, b TEXT>`. `CREATE TABLE` reads every one of them back.
 */
export function sqlType(field: SqlTyped): string {
  switch (field.type) {
    case 'decimal128':
      return `DECIMAL(${field.precision ?? 38}, ${field.scale ?? 0})`;
    case 'timestamp':
      return `TIMESTAMP(${fractionDigits[unitOf(field)]})`;
    case 'list':
      return `${field.items ? sqlType(field.items) : 'TEXT'}[]`;
    case 'struct':
      return `STRUCT <${(field.fields ?? []).map((member) => `${member.name} ${sqlType(member)}`).join(', ')}>`;
    default:
      return plainNames[field.type];
  }
}
