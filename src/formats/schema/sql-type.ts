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

/** Words that name a table or column in quotes only: `duckdb_keywords()`, the reserved ones and those of types and functions. */
export const reserved: ReadonlySet<string> = new Set(
  `all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
  collate collation column columns concurrently constraint create cross default deferrable desc describe distinct do
  else end except false fetch for foreign freeze from full generated glob group having ilike in initially inner
  intersect into is isnull join lambda lateral leading left like limit map natural not notnull null offset on only or
  order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references returning right
  select semi show similar some struct summarize symmetric table tablesample then to trailing true try_cast union
  unique unpack unpivot using variadic verbose when where window with`.split(/\s+/),
);
