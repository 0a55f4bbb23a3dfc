import { quotedTable, type TableName } from '../config/table.ts';
import type { Session } from './session.ts';

/** A table as the catalogs of the server describe it. */
export interface TargetTable {
  oid: number;
  /** With its schema, quoted where SQL needs it. */
  name: string;
  schema: string;
  /** `pg_class.relkind`: r, p, f and v can be written to. */
  kind: string;
  columns: TargetColumn[];
}

export interface TargetColumn {
  name: string;
  number: number;
  /** As in SQL, e.g. `numeric(10,2)`. */
  type: string;
  /** The same without its modifier: a cast to varchar(3) would cut silently, an assignment refuses. */
  cast: string;
  base: BaseType;
  /** Of an array: the type of its items. */
  items: BaseType | undefined;
  required: boolean;
  hasDefault: boolean;
  /** GENERATED ALWAYS, as an expression or an identity. */
  generated: boolean;
}

/** A type without its modifiers; that of a domain is the type below. */
export interface BaseType {
  /** `pg_type.typname`, e.g. `int4` and not `integer`. */
  name: string;
  /** `pg_type.typcategory`: N for numbers, S for texts, E for enums and so on. */
  category: string;
  length: number | undefined;
}

const tableQuery = `
  SELECT c.oid::int8::text AS oid, c.oid::regclass::text AS name, n.nspname AS schema, c.relkind::text AS kind
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = pg_catalog.to_regclass($1)`;

/** A domain of a domain counts as the lower one. */
const columnsQuery = `
  SELECT a.attname AS name, a.attnum AS number, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    pg_catalog.format_type(a.atttypid, -1) AS cast,
    b.typname AS base, b.typcategory::text AS category, i.typname AS item, i.typcategory::text AS item_category,
    CASE WHEN b.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END AS length,
    a.attnotnull OR t.typnotnull AS required, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL AS has_default,
    a.attgenerated <> '' OR a.attidentity = 'a' AS generated
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
  LEFT JOIN pg_catalog.pg_type i ON i.oid = b.typelem AND b.typcategory = 'A'
  WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attnum`;

/** Undefined if there is no such table. */
export async function findTable(session: Session, table: TableName): Promise<TargetTable | undefined> {
  const { rows } = await session.query(tableQuery, [quotedTable(table)]);
  const [found] = rows as { oid: string; name: string; schema: string; kind: string }[];
  if (!found) return undefined;
  const columns = await session.query(columnsQuery, [found.oid]);
  return { ...found, oid: Number(found.oid), columns: columns.rows.map(columnOf) };
}

const columnOf = (row: Record<string, unknown>): TargetColumn => ({
  name: String(row.name),
  number: Number(row.number),
  type: String(row.type),
  cast: String(row.cast),
  base: {
    name: String(row.base),
    category: String(row.category),
    length: row.length === null ? undefined : Number(row.length),
  },
  items:
    row.item === null
      ? undefined
      : { name: String(row.item), category: String(row.item_category), length: undefined },
  required: row.required === true,
  hasDefault: row.has_default === true,
  generated: row.generated === true,
});
