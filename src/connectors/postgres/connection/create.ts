import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import { given } from '../../network/tls.ts';
import { columnOf, type PostgresTable, quotedTable, tableName } from '../config/table.ts';
import { findTable, type TargetTable } from './catalog.ts';
import { createStatement } from './column-types.ts';
import type { Session } from './session.ts';

/** Number of the lock under which tables are created: two tasks at once would make one of them fail. */
const lock = 7_365_230_518;

/** Creates the table of a sink if it is missing, as a hypertable if it may be. Returns the table. */
export async function createTable(
  session: Session,
  table: PostgresTable,
  schema: ConnectionSchema,
): Promise<TargetTable | undefined> {
  await session.query(`BEGIN; SELECT pg_advisory_xact_lock(${lock})`);
  const found = await findTable(session, tableName(table));
  if (!found) {
    await session.query(createStatement(table, schema));
    if (given(table.time_column)) await makeHypertable(session, table, table.time_column);
  }
  await session.query('COMMIT');
  return found ?? findTable(session, tableName(table));
}

/** The schema of TimescaleDB, quoted; undefined if the database does not have it. */
export async function timescale(session: Session): Promise<string | undefined> {
  const { rows } = await session.query(
    `SELECT pg_catalog.quote_ident(n.nspname) AS schema FROM pg_catalog.pg_extension e
     JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'`,
  );
  return rows[0] && String(rows[0].schema);
}

async function makeHypertable(session: Session, table: PostgresTable, time: string): Promise<void> {
  const schema = await timescale(session);
  if (schema === undefined) return;
  await session.query(`SELECT ${schema}.create_hypertable($1::regclass, $2::name)`, [
    quotedTable(tableName(table)),
    columnOf(table, time),
  ]);
}
