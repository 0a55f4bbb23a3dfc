import type { Field, FieldTypeName, ListItem } from '../formats/schema/schema.ts';
import { type TimestampUnit, unitOf } from '../formats/schema/sql-type.ts';
import { isSameName, quoteName } from './names.ts';

/** A field type without parameters. DuckDB itself is not loaded here: most queries need no more than the names. */
interface PlainType {
  engine: string;
  /** Further DuckDB types whose values a field of this type holds without loss. */
  holds?: readonly string[];
  /** Its names in `CREATE TABLE`: what `sqlType` writes, and common synonyms. Narrower integers are widened. */
  words: readonly string[];
  /** Other field types that SQL converts to it without a CAST. */
  takes?: readonly FieldTypeName[];
  /** Maximum digits of a value, for integers. */
  digits?: number;
}

type PlainTypeName = Exclude<FieldTypeName, 'decimal128' | 'timestamp' | 'struct' | 'list'>;

const integers: readonly FieldTypeName[] = ['int32', 'uint32', 'int64', 'uint64'];

const plainTypes: Readonly<Record<PlainTypeName, PlainType>> = {
  int32: {
    engine: 'INTEGER',
    takes: ['uint32'],
    holds: ['TINYINT', 'SMALLINT', 'UTINYINT', 'USMALLINT'],
    words: ['tinyint', 'smallint', 'int2', 'int', 'integer', 'int4'],
    digits: 10,
  },
  int64: { engine: 'BIGINT', words: ['bigint', 'int8'], takes: ['int32', 'uint32', 'uint64'], digits: 19 },
  uint32: { engine: 'UINTEGER', words: ['utinyint', 'usmallint', 'uinteger'], digits: 10 },
  uint64: { engine: 'UBIGINT', words: ['ubigint'], takes: ['uint32'], digits: 20 },
  float32: { engine: 'FLOAT', words: ['float', 'real', 'float4'], takes: [...integers, 'decimal128'] },
  float64: { engine: 'DOUBLE', words: ['double', 'float8'], takes: [...integers, 'decimal128', 'float32'] },
  bool: { engine: 'BOOLEAN', words: ['boolean', 'bool'] },
  string: {
    engine: 'VARCHAR',
    holds: ['SQLNULL'],
    words: ['text', 'varchar', 'string', 'char'],
    takes: ['json', 'bool', ...integers, 'float32', 'float64', 'decimal128', 'timestamp'],
  },
  bytes: { engine: 'BLOB', words: ['bytea', 'binary', 'varbinary', 'blob', 'bytes'] },
  json: { engine: 'JSON', words: ['json'] },
};

const entries = Object.entries(plainTypes) as [PlainTypeName, PlainType][];

export const typesByWord: ReadonlyMap<string, PlainTypeName> = new Map(
  entries.flatMap(([type, { words }]) => words.map((word) => [word, type] as const)),
);

export const timestampUnits: Readonly<Record<string, TimestampUnit>> = {
  TIMESTAMP_S: 'second',
  TIMESTAMP_MS: 'millisecond',
  TIMESTAMP: 'microsecond',
  TIMESTAMP_NS: 'nanosecond',
};

/** The field types by the DuckDB types that they hold without loss. */
export const typesByEngineName: ReadonlyMap<string, ListItem> = new Map<string, ListItem>([
  ...entries.flatMap(([type, { engine, holds = [] }]) =>
    [engine, ...holds].map((name) => [name, { type }] as const),
  ),
  ...Object.entries(timestampUnits).map(([name, unit]) => [name, { type: 'timestamp', unit }] as const),
  ['TIMESTAMP_TZ', { type: 'timestamp', unit: 'microsecond' }],
  ['DATE', { type: 'timestamp', unit: 'second' }],
]);

const text: ListItem = { type: 'string' };

export function engineTypeName(type: ListItem): string {
  switch (type.type) {
    case 'decimal128':
      return `DECIMAL(${type.precision ?? 38}, ${type.scale ?? 0})`;
    case 'timestamp':
      return Object.keys(timestampUnits).find((name) => timestampUnits[name] === unitOf(type)) ?? 'TIMESTAMP';
    case 'list':
      return `${engineTypeName(type.items ?? text)}[]`;
    case 'struct':
      return `STRUCT(${columnList(type.fields ?? [])})`;
    default:
      return plainTypes[type.type].engine;
  }
}

/** The statement that creates the temporary table of a source, with further columns. */
export function createTableStatement(
  name: string,
  fields: readonly Field[],
  extra: readonly string[] = [],
): string {
  const columns = fields.length > 0 ? [columnList(fields), ...extra] : extra;
  return `CREATE OR REPLACE TEMP TABLE ${quoteName(name)} (${columns.join(', ')})`;
}

function columnList(fields: readonly Field[]): string {
  return fields.map((field) => `${quoteName(field.name)} ${engineTypeName(field)}`).join(', ');
}

/** Whether two types hold the same values in the same shape. */
export function isSameType(one: ListItem, other: ListItem): boolean {
  return engineTypeName(one) === engineTypeName(other);
}

/** Whether values of a type can be written to a column without a CAST, as by INSERT … SELECT in SQL. */
export function isAssignable(from: ListItem, to: ListItem): boolean {
  if (isSameType(from, to)) return true;
  switch (to.type) {
    case 'list':
      return from.type === 'list' && isAssignable(from.items ?? text, to.items ?? text);
    case 'struct':
      return from.type === 'struct' && areAssignable(from.fields ?? [], to.fields ?? []);
    case 'decimal128':
      return fitsDecimal(from, to);
    case 'timestamp':
      // Finer digits are dropped, as when a message is decoded.
      return from.type === 'timestamp';
    default:
      return plainTypes[to.type].takes?.includes(from.type) ?? false;
  }
}

/** Matches members by name, as DuckDB casts a struct. */
function areAssignable(from: readonly Field[], to: readonly Field[]): boolean {
  return (
    from.length === to.length &&
    to.every((member) => {
      const given = from.find((candidate) => isSameName(candidate.name, member.name));
      return given !== undefined && isAssignable(given, member);
    })
  );
}

function fitsDecimal(from: ListItem, to: ListItem): boolean {
  const scale = to.scale ?? 0;
  const whole = (to.precision ?? 38) - scale;
  if (from.type === 'decimal128') {
    const fromScale = from.scale ?? 0;
    return fromScale <= scale && (from.precision ?? 38) - fromScale <= whole;
  }
  const digits = (plainTypes as Partial<Record<FieldTypeName, PlainType>>)[from.type]?.digits;
  return digits !== undefined && digits <= whole;
}
