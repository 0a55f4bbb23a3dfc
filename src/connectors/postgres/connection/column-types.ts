import type { ConnectionSchema, Field, ListItem } from '../../../formats/schema/schema.ts';
import { columnOf, keyOf, type PostgresTable, quoted, quotedTable, tableName } from '../config/table.ts';
import type { BaseType, TargetColumn } from './catalog.ts';

/** Which types of PostgreSQL hold the types of fields. */

const plainTypes = {
  int32: 'integer',
  int64: 'bigint',
  uint32: 'bigint',
  uint64: 'numeric(20)',
  float32: 'real',
  float64: 'double precision',
  bool: 'boolean',
  string: 'text',
  bytes: 'bytea',
  timestamp: 'timestamp with time zone',
  json: 'jsonb',
  struct: 'jsonb',
} as const;

/** The natural type of a field. */
export function columnType(field: ListItem): string {
  if (field.type === 'decimal128') return `numeric(${field.precision ?? 38},${field.scale ?? 0})`;
  if (field.type !== 'list') return plainTypes[field.type];
  const items = field.items ?? { type: 'string' };
  return isNested(items) ? 'jsonb' : `${columnType(items)}[]`;
}

const isNested = ({ type }: ListItem): boolean => type === 'list' || type === 'struct';

const texts = ['text', 'varchar', 'bpchar', 'citext', 'name'];
const documents = ['jsonb', 'json'];
const floats = ['float4', 'float8', 'numeric', ...texts];
const integers = ['int2', 'int4', 'int8', ...floats];

/** Types by `pg_type.typname`. A string fits everything that is no number, bool, bytea or array. */
const fitting: Readonly<Record<Exclude<ListItem['type'], 'string' | 'list'>, readonly string[]>> = {
  int32: integers,
  int64: integers,
  uint32: integers,
  uint64: integers,
  float32: floats,
  float64: floats,
  decimal128: floats,
  bool: ['bool', ...texts],
  bytes: ['bytea'],
  timestamp: ['timestamptz', 'timestamp', 'date', ...texts],
  json: [...documents, ...texts],
  struct: [...documents, ...texts],
};

export const isDocument = ({ name }: BaseType): boolean => documents.includes(name);

/** Whether a column can hold the values of a field, as far as their types tell. */
export function fits(field: ListItem, { base, items }: Pick<TargetColumn, 'base' | 'items'>): boolean {
  if (field.type === 'list') {
    const own = field.items ?? { type: 'string' };
    if (items !== undefined && !isNested(own)) return fits(own, { base: items, items: undefined });
    return isDocument(base) || texts.includes(base.name);
  }
  if (field.type === 'string') return !['N', 'B', 'A'].includes(base.category) && base.name !== 'bytea';
  return fitting[field.type].includes(base.name);
}

/** The statement that creates the table of a schema. */
export function createStatement(table: PostgresTable, schema: ConnectionSchema): string {
  const columns = (schema.fields ?? []).map((field) => definitionOf(table, field));
  const key = keyOf(table).map((name) => quoted(columnOf(table, name)));
  const lines = key.length === 0 ? columns : [...columns, `PRIMARY KEY (${key.join(', ')})`];
  return `CREATE TABLE IF NOT EXISTS ${quotedTable(tableName(table))} (${lines.join(', ')})`;
}

const definitionOf = (table: PostgresTable, field: Field): string => {
  const required = field.required || keyOf(table).includes(field.name) || table.time_column === field.name;
  return `${quoted(columnOf(table, field.name))} ${columnType(field)}${required ? ' NOT NULL' : ''}`;
};

export const addColumnStatement = (target: string, table: PostgresTable, field: Field): string =>
  `ALTER TABLE ${target} ADD COLUMN ${quoted(columnOf(table, field.name))} ${columnType(field)};`;
