import type { PenstockError } from '../../../errors.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { Finding } from '../../network/check-steps.ts';
import { postgresError } from '../config/errors.ts';
import { addressOf, type PostgresProfile } from '../config/profile.ts';
import {
  columnOf,
  keyOf,
  modeOf,
  type PostgresTable,
  quoted,
  quotedTable,
  tableName,
} from '../config/table.ts';
import { findTable, type TargetTable } from '../connection/catalog.ts';
import { createStatement } from '../connection/column-types.ts';
import type { Session } from '../connection/session.ts';
import {
  copyStatement,
  insertStatement,
  matchColumns,
  precisionCut,
  type Target,
} from '../connection/target.ts';

/** Test steps of a table. Each failure has the statement that mends it. */

export interface FoundTable {
  target: TargetTable | undefined;
  targets: Target[];
}

export async function tableFinding(
  session: Session,
  profile: PostgresProfile,
  table: PostgresTable,
  schema: ConnectionSchema | undefined,
): Promise<Finding<FoundTable>> {
  const { user } = addressOf(profile);
  const target = await findTable(session, tableName(table));
  if (!target) return withoutTable(session, user, table, schema);
  if (!writable.includes(target.kind))
    throw postgresError('postgres_not_a_table', `${target.name} is no table that rows can be written to`, {
      hint: 'Name a table, a partitioned table, a foreign table or a view that can be written to.',
      facts: { table: target.name, relkind: target.kind },
    });
  const fields = schema?.fields ?? [];
  const { targets, problems } = matchColumns(table, fields, target);
  const found = [
    ...(fields.length === 0 ? [] : problems),
    ...(await missingPrivileges(session, user, table, target, targets)),
    ...(await missingIndex(session, table, target)),
  ];
  const [first] = found;
  if (first) throw together(first, found);
  const details = {
    table: target.name,
    columns: target.columns.slice(0, 100).map(({ name, type }) => ({ name, type })),
  };
  const cut = precisionCut(targets);
  return {
    value: { target, targets },
    message: cut ? `${target.name} fits, but: ${cut.message}` : `${target.name} fits`,
    details,
    ...(cut ? { code: cut.code, hint: cut.hint as string } : {}),
  };
}

const writable = ['r', 'p', 'f', 'v'];

/** The first problem, with all of them as errors and hints. */
function together(first: PenstockError, all: readonly PenstockError[]): PenstockError {
  if (all.length === 1) return first;
  const hint = all.map((one) => one.hint).join(' ');
  const others = all.length === 2 ? 'one more problem' : `${all.length - 1} more problems`;
  return postgresError(first.code as 'postgres_refused', `${first.message}, and ${others}`, {
    hint,
    errors: all.map(({ message }) => ({ path: '/table', message })),
    facts: first.facts,
  });
}

async function withoutTable(
  session: Session,
  user: string,
  table: PostgresTable,
  schema: ConnectionSchema | undefined,
): Promise<Finding<FoundTable>> {
  const { schema: wanted } = tableName(table);
  const create = `${createStatement(table, schema ?? {})};`;
  const { rows } = await session.query(
    `SELECT s.name, pg_catalog.to_regnamespace(pg_catalog.quote_ident(s.name)) IS NOT NULL AS there,
       CASE WHEN pg_catalog.to_regnamespace(pg_catalog.quote_ident(s.name)) IS NOT NULL
         THEN pg_catalog.has_schema_privilege(s.name, 'USAGE') END AS usage,
       CASE WHEN pg_catalog.to_regnamespace(pg_catalog.quote_ident(s.name)) IS NOT NULL
         THEN pg_catalog.has_schema_privilege(s.name, 'CREATE') END AS creates
     FROM (SELECT COALESCE($1::text, current_schema()) AS name) s`,
    [wanted ?? null],
  );
  const [{ name, there, usage, creates } = {}] = rows as Record<string, unknown>[];
  const place = quoted(String(name));
  if (name === null || there !== true)
    throw postgresError(
      'postgres_table_missing',
      `The database has no schema ${wanted === undefined ? 'in the search_path of the role' : place}`,
      {
        hint:
          wanted === undefined
            ? `ALTER ROLE ${quoted(user)} SET search_path = …;`
            : `CREATE SCHEMA ${place} AUTHORIZATION ${quoted(user)};`,
      },
    );
  if (usage !== true)
    throw postgresError('postgres_forbidden', `The role may not use the schema ${place}`, {
      hint: `GRANT USAGE ON SCHEMA ${place} TO ${quoted(user)};`,
    });
  if (table.create_table !== 'if_missing')
    throw postgresError(
      'postgres_table_missing',
      `The database has no table ${quotedTable(tableName(table))}`,
      {
        hint:
          schema?.fields === undefined
            ? 'Create it, or set create_table to if_missing.'
            : `Create it: ${create}`,
      },
    );
  if (creates !== true)
    throw postgresError('postgres_forbidden', `The role may not create a table in the schema ${place}`, {
      hint: `GRANT CREATE ON SCHEMA ${place} TO ${quoted(user)}; or create it yourself: ${create}`,
    });
  return {
    value: { target: undefined, targets: [] },
    message: `The table does not exist yet: the first job creates it in ${place}`,
    details: { statement: create },
  };
}

async function missingPrivileges(
  session: Session,
  user: string,
  table: PostgresTable,
  target: TargetTable,
  targets: readonly Target[],
): Promise<PenstockError[]> {
  const upsert = modeOf(table) === 'upsert';
  const { rows } = await session.query(
    `SELECT has_schema_privilege($1, 'USAGE') AS usage, p.name,
       COALESCE(bool_and(has_column_privilege($2::oid, c.number::smallint, p.name)), has_table_privilege($2::oid, p.name)) AS has
     FROM unnest($3::text[]) AS p(name) LEFT JOIN unnest($4::int[]) AS c(number) ON true GROUP BY p.name ORDER BY p.name`,
    [
      target.schema,
      target.oid,
      upsert ? ['INSERT', 'SELECT', 'UPDATE'] : keyOf(table).length > 0 ? ['INSERT', 'SELECT'] : ['INSERT'],
      targets.map(({ column }) => column.number),
    ],
  );
  const schema = quoted(target.schema);
  if (rows[0]?.usage === false)
    return [
      postgresError('postgres_forbidden', `The role may not use the schema ${schema}`, {
        hint: `GRANT USAGE ON SCHEMA ${schema} TO ${quoted(user)};`,
      }),
    ];
  const missing = rows.filter(({ has }) => has !== true).map(({ name }) => String(name));
  if (missing.length === 0) return [];
  const list = missing.join(', ');
  return [
    postgresError('postgres_forbidden', `The role has no ${list} on ${target.name}`, {
      hint: `GRANT ${list} ON ${target.name} TO ${quoted(user)};`,
      facts: { missing },
    }),
  ];
}

/** ON CONFLICT takes an index on exactly these columns, in any order. */
async function missingIndex(
  session: Session,
  table: PostgresTable,
  target: TargetTable,
): Promise<PenstockError[]> {
  const key = keyOf(table).map((field) => columnOf(table, field));
  if (key.length === 0) return [];
  const numbers = key.map((name) => target.columns.find((column) => column.name === name)?.number);
  // That a column is missing was said already.
  if (numbers.includes(undefined)) return [];
  const { rows } = await session.query(
    `SELECT 1 FROM pg_catalog.pg_index i
     WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
       AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = $3
       AND (SELECT array_agg(n ORDER BY n) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS n)
         = (SELECT array_agg(n ORDER BY n) FROM unnest($2::int2[]) AS n)`,
    [target.oid, numbers, key.length],
  );
  if (rows.length > 0 || target.kind === 'v') return [];
  const columns = key.map(quoted).join(', ');
  return [
    postgresError('postgres_key_not_unique', `${target.name} has no unique index on exactly ${columns}`, {
      hint: `CREATE UNIQUE INDEX ON ${target.name} (${columns});`,
      facts: { key },
    }),
  ];
}

/** Writes no rows in a transaction that is rolled back: everything but the rows themselves is tested. */
export async function probe(
  session: Session,
  table: PostgresTable,
  found: FoundTable | undefined,
): Promise<Finding<void>> {
  const { targets, target } = found as FoundTable;
  if (target === undefined)
    return { value: undefined, message: 'Nothing was written, because the table does not exist yet' };
  if (targets.length === 0)
    return { value: undefined, message: 'Nothing was written, because the columns are not known yet' };
  await session.query('BEGIN');
  if (modeOf(table) === 'append') await session.copy(copyStatement(table, targets), Buffer.alloc(0));
  else
    await session.query(
      insertStatement(table, targets),
      targets.map(() => '{}'),
    );
  await session.query('ROLLBACK');
  return {
    value: undefined,
    message: `The server accepts the statement of ${modeOf(table)}; it was rolled back`,
  };
}
