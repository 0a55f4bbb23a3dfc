import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { CheckSteps, type Finding } from '../../network/check-steps.ts';
import { dialSteps, tlsFinding } from '../../network/dial-steps.ts';
import { postgresError } from '../config/errors.ts';
import { addressOf, endpointOf, type PostgresProfile, tlsOf } from '../config/profile.ts';
import type { PostgresTable } from '../config/table.ts';
import { translated } from '../connection/server-errors.ts';
import { logIn, type Session, secure } from '../connection/session.ts';
import { probe, tableFinding } from './table-steps.ts';

type PostgresCheckContext = CheckContext<PostgresProfile, PostgresTable>;

/**
 * Tests a profile or a table against the real server: `resolve → tcp → tls → login → server`, then `table → write`. The write
 * is rolled back. See `check` in the connector contract.
 */
export async function check(context: PostgresCheckContext): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: { socket?: Socket; session?: Session } = {};
  const abort = () => void opened.socket?.destroy();
  context.signal.addEventListener('abort', abort, { once: true });
  try {
    const session = await connectSteps(context, steps, opened);
    const run = <T>(name: string, work: (session: Session) => Promise<Finding<T>>) =>
      steps.run(name, (signal) => onSession(session as Session, signal, work), { late: silent });
    await run('server', serverFinding);
    const { table, schema } = context;
    if (table === undefined) return;
    const found = await run('table', (one) => tableFinding(one, context.profile, table, schema));
    if (context.probe === 'none') steps.skip('write', 'Skipped, because the test may not write');
    else await run('write', (one) => probe(one, table, found));
  } finally {
    context.signal.removeEventListener('abort', abort);
    if (context.signal.aborted) opened.socket?.destroy();
    await opened.session?.close();
    opened.socket?.destroy();
  }
}

/** Runs queries that end with the connection when the signal aborts. */
async function onSession<T>(
  session: Session,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const abort = () => session.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await work(session);
  } catch (error) {
    signal.throwIfAborted();
    throw translated(error);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const silent = (ms: number): PenstockError =>
  postgresError('postgres_timeout', `The server did not respond within ${ms} ms`, {
    hint: 'Look for locks: SELECT * FROM pg_locks WHERE NOT granted; and at the load of the server.',
  });

const handshakeLate = (ms: number): PenstockError =>
  new PenstockError(
    'connection_timeout',
    `The server did not respond to the request for TLS within ${ms} ms`,
    {
      hint: 'The port accepts connections, so no firewall blocks it. Check that it is the port of PostgreSQL.',
    },
  );

const loginLate = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not respond to the login within ${ms} ms`, {
    hint: 'Check that this is the port of PostgreSQL. A pgbouncer waits for a free connection of the server.',
  });

async function connectSteps(
  { profile, targets }: PostgresCheckContext,
  steps: CheckSteps,
  opened: { socket?: Socket; session?: Session },
): Promise<Session | undefined> {
  const endpoint = endpointOf(profile);
  const opening = (socket: Socket): void => {
    opened.socket = socket;
  };
  // TLS begins inside of the protocol of PostgreSQL.
  const { socket: plain } = await dialSteps(steps, {
    endpoint: { ...endpoint, tls: false },
    host: () => endpoint.host,
    reachable: { profile: tlsOf(profile), targets },
    opened: opening,
  });
  const tls = async (signal: AbortSignal): Promise<Finding<Socket>> => {
    const socket = (await secure(plain as Socket, profile, signal)) as TLSSocket;
    opening(socket);
    const finding = await tlsFinding(socket, tlsOf(profile), endpoint, signal);
    return {
      ...finding,
      message: finding.message.replace('insecureSkipVerify is true', 'tls.mode is require'),
    };
  };
  const socket = endpoint.tls ? await steps.run('tls', tls, { late: handshakeLate }) : plain;
  const login = async (signal: AbortSignal): Promise<Finding<Session>> => {
    const { user, database } = addressOf(profile);
    const session = await logIn(socket as Socket, profile, signal).catch((error: unknown) => {
      throw error instanceof PenstockError ? withNames(error, user, database) : error;
    });
    opened.session = session;
    return { value: session, message: `Logged in to ${database} as ${user}`, details: { user, database } };
  };
  return await steps.run('login', login, { late: loginLate });
}

/** The statement of the hint with the names that it needs. */
function withNames(error: PenstockError, user: string, database: string): PenstockError {
  const hints: Record<string, string> = {
    postgres_database_missing: `Correct database of the profile, or: CREATE DATABASE "${database}" OWNER "${user}";`,
    postgres_login_refused:
      `Correct user and password of the profile, or: ALTER ROLE "${user}" LOGIN PASSWORD '…'; ` +
      `pg_hba.conf needs a line such as: host "${database}" "${user}" <address of Penstock> scram-sha-256`,
  };
  const hint = hints[error.code] ?? error.hint;
  const { message, facts, cause } = error;
  return new PenstockError(error, message, { ...(hint === undefined ? {} : { hint }), facts, cause });
}

const serverQuery = `
  SELECT version() AS version, current_setting('server_version') AS number,
    current_setting('transaction_read_only') AS read_only, pg_is_in_recovery() AS recovery,
    current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
    pg_encoding_to_char(encoding) AS encoding
  FROM pg_catalog.pg_database WHERE datname = current_database()`;

async function serverFinding(session: Session): Promise<Finding<void>> {
  const { rows } = await session.query(serverQuery);
  const [row = {}] = rows;
  const details = {
    version: String(row.version).slice(0, 200),
    standby: row.recovery === true,
    readOnly: row.read_only === 'on',
    synchronousCommit: row.synchronous_commit,
    fsync: row.fsync,
    encoding: row.encoding,
  };
  if (details.standby || details.readOnly)
    throw postgresError(
      'postgres_read_only',
      details.standby ? 'The server is a standby' : 'Transactions are read-only by default',
      {
        hint: details.standby
          ? 'Connect to the primary: SELECT * FROM pg_stat_wal_receiver; names it.'
          : 'ALTER ROLE … SET default_transaction_read_only = off; or the same for the database or the server.',
        facts: details,
      },
    );
  const finding: Finding<void> = { value: undefined, message: `PostgreSQL ${String(row.number)}`, details };
  if (details.synchronousCommit === 'off' || details.fsync === 'off') {
    const setting = details.fsync === 'off' ? 'fsync' : 'synchronous_commit';
    return {
      ...finding,
      code: 'postgres_may_lose',
      message: `${finding.message}, which may lose confirmed rows in a crash: ${setting} is off`,
      hint:
        setting === 'fsync' ? 'ALTER SYSTEM SET fsync = on;' : 'ALTER ROLE … SET synchronous_commit = on;',
    };
  }
  if (details.encoding === 'UTF8') return finding;
  return {
    ...finding,
    code: 'postgres_encoding',
    message: `${finding.message}, in ${String(details.encoding)}: rows with characters that it lacks are refused`,
    hint: 'Use a database that was made with: CREATE DATABASE … ENCODING UTF8 TEMPLATE template0;',
  };
}
