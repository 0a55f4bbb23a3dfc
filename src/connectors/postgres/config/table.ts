import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import { type FieldTypeName, fieldTypes } from '../../../formats/schema/schema.ts';
import { given } from '../../network/tls.ts';

/** The schema of a table that a sink writes to, and the rules that it cannot express. */

const names = (title: string, description: string) =>
  Type.Optional(
    Type.Array(Type.String({ title: 'Column', minLength: 1, maxLength: 256 }), {
      title,
      description,
      maxItems: 32,
    }),
  );

export const PostgresTable = Type.Object(
  {
    table: Type.String({
      title: 'Table',
      description:
        'Table to write to, such as readings or plant.readings. Upper and lower case matter. Put a name with a dot into ' +
        'double quotes.',
      minLength: 1,
      maxLength: 300,
    }),
    mode: Type.Optional(
      Type.Enum(['append', 'upsert', 'insert_ignore'], {
        title: 'Mode',
        description:
          'append inserts every row. upsert replaces the row with the same key. insert_ignore keeps the row that is there. ' +
          'Only append leaves duplicates after a failure.',
        default: 'append',
      }),
    ),
    key: names(
      'Key',
      'Fields that identify a row, for upsert and insert_ignore. The table needs a unique index on exactly their columns. ' +
        'insert_ignore without a key respects every unique index.',
    ),
    columns: Type.Optional(
      Type.Record(
        Type.String({ minLength: 1, maxLength: 256 }),
        Type.String({ minLength: 1, maxLength: 63 }),
        {
          title: 'Columns',
          description: 'Names of columns by the names of fields, where they differ',
          maxProperties: 1000,
        },
      ),
    ),
    create_table: Type.Optional(
      Type.Enum(['none', 'if_missing'], {
        title: 'Create Table',
        description:
          'if_missing creates the table if the database does not have it, with the types of the schema and the key as ' +
          'primary key',
        default: 'none',
      }),
    ),
    time_column: Type.Optional(
      Type.String({
        title: 'Time Column',
        description:
          'Field by whose time a created table is partitioned, as a hypertable, if the database has TimescaleDB',
        maxLength: 256,
      }),
    ),
  },
  { title: 'PostgresTable', additionalProperties: false },
);
export type PostgresTable = Static<typeof PostgresTable>;

export const modeOf = ({ mode }: PostgresTable) => mode ?? 'append';

export const keyOf = ({ key }: PostgresTable): string[] => key ?? [];

export const columnOf = ({ columns }: PostgresTable, field: string): string =>
  (columns && Object.hasOwn(columns, field) ? columns[field] : undefined) ?? field;

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export interface TableName {
  /** Undefined: found by the search_path of the role. */
  schema: string | undefined;
  name: string;
}

const shape = /^(?:(?:"((?:[^"]|"")+)"|([^".]+))\.)?(?:"((?:[^"]|"")+)"|([^".]+))$/;

/** Reads a table's name. Returns a predicate, such as `must …`, if it is none. */
export function parseTable(text: string): TableName | string {
  const [, quotedSchema, plainSchema, quotedName, plainName] = shape.exec(text) ?? [];
  const schema = quotedSchema?.replaceAll('""', '"') ?? plainSchema;
  const name = quotedName?.replaceAll('""', '"') ?? plainName;
  if (name === undefined)
    return 'must be a name or schema.name; put a name with a dot or a quote into double quotes';
  return [schema ?? '', name].map(wrongName).find((wrong) => wrong !== undefined) ?? { schema, name };
}

/** PostgreSQL cuts longer names without an error. */
const wrongName = (name: string): string | undefined => {
  if (name.includes('\0')) return 'must not contain a NUL character';
  return Buffer.byteLength(name) > 63 ? 'must not have names of more than 63 bytes' : undefined;
};

/** The name of a valid table, for people and SQL alike. */
export function tableName(table: PostgresTable): TableName {
  const parsed = parseTable(table.table);
  return typeof parsed === 'string' ? { schema: undefined, name: table.table } : parsed;
}

export const quotedTable = ({ schema, name }: TableName): string =>
  schema === undefined ? quoted(name) : `${quoted(schema)}.${quoted(name)}`;

export function validateTable(table: PostgresTable): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => errors.push({ path, message });
  const parsed = parseTable(table.table);
  if (typeof parsed === 'string') refuse('/table', parsed);
  const key = keyOf(table);
  if (modeOf(table) === 'upsert' && key.length === 0) refuse('/key', 'is required for upsert');
  if (modeOf(table) === 'append' && key.length > 0)
    refuse('/key', 'is only used with upsert and insert_ignore: change the mode or remove the key');
  if (new Set(key).size < key.length) refuse('/key', 'must not name a field twice');
  const targets = Object.values(table.columns ?? {});
  for (const target of targets) {
    const wrong = wrongName(target);
    if (wrong !== undefined) refuse('/columns', wrong);
  }
  if (new Set(targets).size < targets.length) refuse('/columns', 'must not write two fields to one column');
  if (!given(table.time_column)) return errors;
  if (table.create_table !== 'if_missing')
    refuse('/time_column', 'is only used when create_table is if_missing');
  if (key.length > 0 && !key.includes(table.time_column))
    refuse('/time_column', 'must be part of the key: a hypertable has no unique index without its time');
  return errors;
}

export function columnsOf(table: PostgresTable): ColumnUse[] {
  const keys = keyOf(table).map((column) => ({ path: '/key', column, types: keyTypes }));
  const mapped = Object.entries(table.columns ?? {}).map(([column, writtenAs]) => ({
    path: '/columns',
    column,
    types: fieldTypes,
    writtenAs,
  }));
  const time = given(table.time_column)
    ? [{ path: '/time_column', column: table.time_column, types: ['timestamp'] as const }]
    : [];
  return [...keys, ...mapped, ...time];
}

/** Types with an order, as an index needs it. Of json and structs there is only jsonb, whose order means nothing. */
const keyTypes: readonly FieldTypeName[] = fieldTypes.filter(
  (type) => !['json', 'struct', 'list'].includes(type),
);

/** When a row that is written twice is there once. */
export const isIdempotent = (table: PostgresTable): boolean =>
  modeOf(table) !== 'append' && keyOf(table).length > 0;
