import { type DuckDBType, DuckDBTypeId } from '@duckdb/node-api';
import type { Row, Value } from '../../formats/format.ts';
import type { Field, ListItem } from '../../formats/schema/schema.ts';
import { unitOf } from '../../formats/schema/sql-type.ts';
import { getterOf } from '../../formats/values/own-property.ts';

/** How values of a column are kept in tables and in Parquet. Columns are given as quoted names. */

/** Types that Parquet does not keep exactly, anywhere in the text of a type; names and labels are skipped. */
const inexact =
  /"(?:[^"]|"")*"|'(?:[^']|'')*'|\b(?:U?HUGEINT|INTERVAL|BIT|BIGNUM|TIME WITH TIME ZONE|TIMETZ)\b/g;

/** An expression for a column in Parquet. Inserting it into a column of the type gives the same value. */
export function storedValue(column: string, type: DuckDBType): string {
  const text = String(type);
  const stored = text.replace(inexact, (found) => (/^["']/.test(found) ? found : 'VARCHAR'));
  return stored === text ? column : `CAST(${column} AS ${stored}) AS ${column}`;
}

const widths: Partial<Record<DuckDBTypeId, number>> = {
  [DuckDBTypeId.BOOLEAN]: 1,
  [DuckDBTypeId.INTEGER]: 4,
  [DuckDBTypeId.UINTEGER]: 4,
  [DuckDBTypeId.FLOAT]: 4,
  [DuckDBTypeId.BIGINT]: 8,
  [DuckDBTypeId.UBIGINT]: 8,
  [DuckDBTypeId.DOUBLE]: 8,
  [DuckDBTypeId.TIMESTAMP_S]: 8,
  [DuckDBTypeId.TIMESTAMP_MS]: 8,
  [DuckDBTypeId.TIMESTAMP]: 8,
  [DuckDBTypeId.TIMESTAMP_NS]: 8,
  [DuckDBTypeId.HUGEINT]: 16,
  [DuckDBTypeId.DECIMAL]: 16,
};

/** An expression for the bytes that the values of a column take in a table. */
export function widthOf(column: string, type: DuckDBType): string {
  const width = widths[type.typeId];
  if (width !== undefined) return String(width);
  const length =
    type.typeId === DuckDBTypeId.BLOB ? `octet_length(${column})` : `strlen(CAST(${column} AS VARCHAR))`;
  // Up to 12 bytes are part of the reference.
  return `16 + COALESCE(CASE WHEN ${length} > 12 THEN ${length} END, 0)`;
}

/** Returns whether DuckDB can keep a row: it converts times to microseconds, and some do not fit. */
export function rowFits(fields: readonly Field[]): (row: Row) => boolean {
  const checks = fields.flatMap((field) => {
    const fits = valueFits(field);
    const get = getterOf(field.name);
    return fits ? [(row: Row) => fits((get(row) ?? null) as Value)] : [];
  });
  return (row) => checks.every((check) => check(row));
}

const maxMicros = 2n ** 63n - 2n;
const perUnit: Record<string, bigint> = { second: 1_000_000n, millisecond: 1000n };

function valueFits(type: ListItem): ((value: Value) => boolean) | undefined {
  if (type.type === 'timestamp') {
    const factor = perUnit[unitOf(type)];
    if (factor === undefined) return undefined;
    const max = maxMicros / factor;
    return (value) => value === null || ((value as bigint) <= max && (value as bigint) >= -max);
  }
  if (type.type === 'list') {
    const fits = type.items && valueFits(type.items);
    return fits && ((value) => value === null || (value as Value[]).every(fits));
  }
  if (type.type !== 'struct') return undefined;
  const fits = rowFits(type.fields ?? []);
  return (value) => value === null || fits(value as Row);
}
