import {
  type DuckDBDecimalType,
  type DuckDBListType,
  type DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId as Id,
} from '@duckdb/node-api';
import type { Field, ListItem } from '../formats/schema/schema.ts';
import { quoteName } from './quote.ts';

/** What DuckDB calls the type of a field, in `CREATE TABLE` and in casts. */
export function engineTypeName(type: ListItem): string {
  switch (type.type) {
    case 'decimal128':
      return `DECIMAL(${type.precision ?? 38}, ${type.scale ?? 0})`;
    case 'timestamp':
      return timestampNames[type.unit ?? 'millisecond'];
    case 'list':
      return `${engineTypeName(type.items ?? { type: 'string' })}[]`;
    case 'struct':
      return `STRUCT(${(type.fields ?? []).map((field) => `${quoteName(field.name)} ${engineTypeName(field)}`).join(', ')})`;
    default:
      return plainNames[type.type];
  }
}

const timestampNames = {
  second: 'TIMESTAMP_S',
  millisecond: 'TIMESTAMP_MS',
  microsecond: 'TIMESTAMP',
  nanosecond: 'TIMESTAMP_NS',
} as const;

const plainNames = {
  int32: 'INTEGER',
  int64: 'BIGINT',
  uint32: 'UINTEGER',
  uint64: 'UBIGINT',
  float32: 'FLOAT',
  float64: 'DOUBLE',
  bool: 'BOOLEAN',
  string: 'VARCHAR',
  bytes: 'BLOB',
  json: 'JSON',
} as const;

const plainTypes = new Map<Id, ListItem>([
  [Id.SQLNULL, { type: 'string' }],
  [Id.BOOLEAN, { type: 'bool' }],
  [Id.TINYINT, { type: 'int32' }],
  [Id.SMALLINT, { type: 'int32' }],
  [Id.INTEGER, { type: 'int32' }],
  [Id.UTINYINT, { type: 'int32' }],
  [Id.USMALLINT, { type: 'int32' }],
  [Id.BIGINT, { type: 'int64' }],
  [Id.UINTEGER, { type: 'uint32' }],
  [Id.UBIGINT, { type: 'uint64' }],
  [Id.FLOAT, { type: 'float32' }],
  [Id.DOUBLE, { type: 'float64' }],
  [Id.VARCHAR, { type: 'string' }],
  [Id.BLOB, { type: 'bytes' }],
  [Id.TIMESTAMP_S, { type: 'timestamp', unit: 'second' }],
  [Id.TIMESTAMP_MS, { type: 'timestamp', unit: 'millisecond' }],
  [Id.TIMESTAMP, { type: 'timestamp', unit: 'microsecond' }],
  [Id.TIMESTAMP_TZ, { type: 'timestamp', unit: 'microsecond' }],
  [Id.TIMESTAMP_NS, { type: 'timestamp', unit: 'nanosecond' }],
  [Id.DATE, { type: 'timestamp', unit: 'second' }],
]);

/** The type of a field that holds what DuckDB answers without loss; undefined when there is none. */
export function fieldType(type: DuckDBType): ListItem | undefined {
  if (type.typeId === Id.VARCHAR && type.alias === 'JSON') return { type: 'json' };
  if (type.typeId === Id.DECIMAL) {
    const { width, scale } = type as DuckDBDecimalType;
    return { type: 'decimal128', precision: width, scale };
  }
  if (type.typeId === Id.LIST) {
    const items = fieldType((type as DuckDBListType).valueType);
    return items && { type: 'list', items: { name: 'item', ...items } };
  }
  if (type.typeId === Id.STRUCT) return structType(type as DuckDBStructType);
  return plainTypes.get(type.typeId);
}

function structType(type: DuckDBStructType): ListItem | undefined {
  const fields: Field[] = [];
  for (const [index, name] of type.entryNames.entries()) {
    const member = type.entryTypes[index];
    const inner = member && fieldType(member);
    if (!inner || name === '') return undefined;
    fields.push({ ...inner, name });
  }
  return { type: 'struct', fields };
}

/** Whether two types hold the same values in the same shape. */
export function isSameType(one: ListItem, other: ListItem): boolean {
  if (one.type !== other.type) return false;
  switch (one.type) {
    case 'decimal128':
      return (one.precision ?? 38) === (other.precision ?? 38) && (one.scale ?? 0) === (other.scale ?? 0);
    case 'timestamp':
      return (one.unit ?? 'millisecond') === (other.unit ?? 'millisecond');
    case 'list':
      return one.items !== undefined && other.items !== undefined && isSameType(one.items, other.items);
    case 'struct':
      return sameMembers(one.fields ?? [], other.fields ?? []);
    default:
      return true;
  }
}

function sameMembers(one: readonly Field[], other: readonly Field[]): boolean {
  return (
    one.length === other.length &&
    one.every((field, index) => {
      const twin = other[index];
      return twin !== undefined && twin.name === field.name && isSameType(field, twin);
    })
  );
}

/** Which types a column of each plain type takes beside its own: SQL's implicit widenings. */
const widening: Readonly<Record<string, readonly string[]>> = {
  int64: ['int32', 'uint32'],
  uint64: ['uint32'],
  float32: ['int32', 'uint32', 'int64', 'uint64', 'decimal128'],
  float64: ['int32', 'uint32', 'int64', 'uint64', 'decimal128', 'float32'],
  string: ['json'],
  // The unit is the column's business: finer digits are dropped, as when a message is read.
  timestamp: ['timestamp'],
};

const integerDigits: Readonly<Record<string, number>> = { int32: 10, uint32: 10, int64: 19, uint64: 20 };

/** Whether values of a type may be written to a column without a CAST, as INSERT … SELECT does. */
export function isAssignable(from: ListItem, to: ListItem): boolean {
  if (isSameType(from, to)) return true;
  if (to.type === 'list' && from.type === 'list') {
    return from.items !== undefined && to.items !== undefined && isAssignable(from.items, to.items);
  }
  if (to.type === 'struct' && from.type === 'struct')
    return areAssignable(from.fields ?? [], to.fields ?? []);
  if (to.type === 'decimal128') return fitsDecimal(from, to);
  return widening[to.type]?.includes(from.type) ?? false;
}

/** Members are matched by name, as DuckDB casts a struct. */
function areAssignable(from: readonly Field[], to: readonly Field[]): boolean {
  return (
    from.length === to.length &&
    to.every((member) => {
      const twin = from.find((candidate) => candidate.name.toLowerCase() === member.name.toLowerCase());
      return twin !== undefined && isAssignable(twin, member);
    })
  );
}

function fitsDecimal(from: ListItem, to: ListItem): boolean {
  const whole = (to.precision ?? 38) - (to.scale ?? 0);
  const digits = integerDigits[from.type];
  if (digits !== undefined) return digits <= whole;
  if (from.type !== 'decimal128') return false;
  return (from.scale ?? 0) <= (to.scale ?? 0) && (from.precision ?? 38) - (from.scale ?? 0) <= whole;
}
