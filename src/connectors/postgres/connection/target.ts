import type { PenstockError } from '../../../errors.ts';
import type { Field } from '../../../formats/schema/schema.ts';
import { sqlType } from '../../../formats/schema/sql-type.ts';
import { postgresError } from '../config/errors.ts';
import {
  columnOf,
  keyOf,
  modeOf,
  type PostgresTable,
  quoted,
  quotedTable,
  tableName,
} from '../config/table.ts';
import type { TargetColumn, TargetTable } from './catalog.ts';
import { addColumnStatement, columnType, fits } from './column-types.ts';

/** The columns that a sink writes to, and the statements that write to them. */

export interface Target {
  field: Field;
  column: TargetColumn;
}

/** Matches fields to columns; `problems` says why rows could not be written, with the statements that mend it. */
export function matchColumns(
  table: PostgresTable,
  fields: readonly Field[],
  { name, columns }: TargetTable,
): { targets: Target[]; problems: PenstockError[] } {
  const targets: Target[] = [];
  const problems: PenstockError[] = [];
  for (const field of fields) {
    const wanted = columnOf(table, field.name);
    const column = columns.find((one) => one.name === wanted);
    const problem =
      column === undefined ? missing(name, table, field, columns) : unusable(name, table, field, column);
    if (problem) problems.push(problem);
    else if (column) targets.push({ field, column });
  }
  const written = new Set(fields.map((field) => columnOf(table, field.name)));
  for (const column of columns)
    if (column.required && !column.hasDefault && !column.generated && !written.has(column.name))
      problems.push(needsValue(name, column));
  return { targets, problems };
}

function missing(
  name: string,
  table: PostgresTable,
  field: Field,
  columns: readonly TargetColumn[],
): PenstockError {
  const wanted = columnOf(table, field.name);
  const alike = columns.find((column) => column.name.toLowerCase() === wanted.toLowerCase());
  return postgresError('postgres_column_missing', `The table ${name} has no column ${quoted(wanted)}`, {
    hint: alike
      ? `It has ${quoted(alike.name)}: map the field to it with columns, such as {"${field.name}": "${alike.name}"}.`
      : addColumnStatement(name, table, field),
    facts: { column: wanted },
  });
}

function unusable(
  name: string,
  table: PostgresTable,
  field: Field,
  column: TargetColumn,
): PenstockError | undefined {
  const at = quoted(column.name);
  const facts = { column: column.name, type: column.type };
  if (column.generated)
    return postgresError('postgres_column_generated', `The server generates the column ${at} of ${name}`, {
      hint: `Leave the field ${field.name} out, or: ALTER TABLE ${name} ALTER COLUMN ${at} DROP EXPRESSION;`,
      facts,
    });
  if (fits(field, column)) return undefined;
  const wanted = columnType(field);
  return postgresError(
    'postgres_column_type',
    `The column ${at} of ${name} is ${column.type}, which does not hold ${sqlType(field)} of the field ${columnOf(table, field.name)}`,
    {
      hint: `CAST the value in the query, or: ALTER TABLE ${name} ALTER COLUMN ${at} TYPE ${wanted} USING ${at}::text::${wanted};`,
      facts,
    },
  );
}

const needsValue = (name: string, column: TargetColumn): PenstockError =>
  postgresError(
    'postgres_column_required',
    `The column ${quoted(column.name)} of ${name} is NOT NULL and has no default, and no field is written to it`,
    {
      hint: `Add a field for it, or: ALTER TABLE ${name} ALTER COLUMN ${quoted(column.name)} DROP NOT NULL;`,
      facts: { column: column.name, type: column.type },
    },
  );

/** Fields whose nanoseconds are cut; a warning, or undefined if there are none. */
export function precisionCut(targets: readonly Target[]): PenstockError | undefined {
  const cut = targets.filter(({ field }) => field.type === 'timestamp' && field.unit === 'nanosecond');
  if (cut.length === 0) return undefined;
  const names = cut.map(({ field }) => field.name).join(', ');
  return postgresError('postgres_precision_cut', `The times of ${names} are cut to microseconds`, {
    hint: 'PostgreSQL has no nanoseconds. Write them as BIGINT to keep them, or CAST to TIMESTAMP(6) to say that they do not matter.',
  });
}

const listed = (targets: readonly Target[]): string =>
  targets.map(({ column }) => quoted(column.name)).join(', ');

export const copyStatement = (table: PostgresTable, targets: readonly Target[]): string =>
  `COPY ${quotedTable(tableName(table))} (${listed(targets)}) FROM STDIN`;

/** The statement for upsert and insert_ignore. Its values are one array of texts for each column. */
export function insertStatement(table: PostgresTable, targets: readonly Target[]): string {
  const values = targets.map(({ column }, index) => `v${index}::${column.cast}`).join(', ');
  const arrays = targets.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = targets.map((_, index) => `v${index}`).join(', ');
  return (
    `INSERT INTO ${quotedTable(tableName(table))} (${listed(targets)}) SELECT ${values} ` +
    `FROM unnest(${arrays}) AS rows (${names}) ON CONFLICT ${conflict(table, targets)}`
  );
}

/**
 * The statement that deletes the rows with these keys. Its values are one array of texts for each column of the key.
 * `nulls`: parts of a key may be null, which takes longer, because no index helps.
 */
export function deleteStatement(table: PostgresTable, key: readonly Target[], nulls: boolean): string {
  const arrays = key.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = key.map((_, index) => `v${index}`).join(', ');
  const equals = nulls ? 'IS NOT DISTINCT FROM' : '=';
  const same = key.map(
    ({ column }, index) => `target.${quoted(column.name)} ${equals} v${index}::${column.cast}`,
  );
  return (
    `DELETE FROM ${quotedTable(tableName(table))} AS target USING unnest(${arrays}) AS keys (${names}) ` +
    `WHERE ${same.join(' AND ')}`
  );
}

function conflict(table: PostgresTable, targets: readonly Target[]): string {
  const key = keyOf(table);
  const columns = key.map((field) => quoted(columnOf(table, field))).join(', ');
  const target = key.length === 0 ? '' : `(${columns}) `;
  const others = targets
    .filter(({ field }) => !key.includes(field.name))
    .map(({ column }) => quoted(column.name));
  if (modeOf(table) !== 'upsert' || others.length === 0) return `${target}DO NOTHING`;
  return `${target}DO UPDATE SET ${others.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
}
