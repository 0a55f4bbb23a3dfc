import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { PenstockError } from '../errors.ts';

/** A connection as `@libsql/client` gives it: promises on the outside, but every call blocks until it is done. */
export type SqliteClient = ReturnType<PrismaLibSql['createClient']>;
type Execute = SqliteClient['execute'];
type SqliteTransaction = Awaited<ReturnType<SqliteClient['transaction']>>;

/** The path a `file:` URL names; `invalid_config` when it names none. */
function sqlitePath(url: string): string {
  const path = decodeURIComponent(url.replace(/^file:(\/\/[^/]*)?/, '').replace(/[?#].*$/, ''));
  if (path === '' || path.startsWith(':memory:'))
    throw new PenstockError('invalid_config', 'The database URL names no file', {
      hint: 'Set PENSTOCK_DATABASE_URL to something like file:./data/penstock.db.',
    });
  return path;
}

/** One connection to the file, whose folder is made if need be. `busyTimeoutMs`: how long to wait for a lock. */
export function openSqlite(url: string, busyTimeoutMs: number): SqliteClient {
  mkdirSync(dirname(sqlitePath(url)), { recursive: true, mode: 0o700 });
  const config = { url, timeout: busyTimeoutMs };
  return new PrismaLibSql(config).createClient(config);
}

const pragmas = { journal_mode: 'wal', synchronous: '2', foreign_keys: '1', busy_timeout: '5000' };

/**
 * Prisma's adapter for SQLite, on one connection with our PRAGMAs for as long as the client lives.
 *
 * `@libsql/client` on its own gives its connection away with every transaction and goes on with a new one, on which
 * no PRAGMA is set. It also begins transactions without the write lock, so that one that reads and then writes
 * fails at once when another process has written in between.
 */
export class SqliteAdapter extends PrismaLibSql {
  readonly #client: SqliteClient;

  static async open(url: string): Promise<SqliteAdapter> {
    const client = openSqlite(url, Number(pragmas.busy_timeout));
    await configure(client);
    return new SqliteAdapter(url, client);
  }

  private constructor(url: string, client: SqliteClient) {
    super({ url });
    this.#client = client;
    renewAfterBusy(client);
    client.transaction = () => beginTransaction(client);
  }

  override createClient(): SqliteClient {
    return this.#client;
  }
}

/** The write-ahead log is switched on by a lock that SQLite does not wait for: another process may just do it, too. */
async function configure(client: SqliteClient): Promise<void> {
  const until = performance.now() + Number(pragmas.busy_timeout);
  for (;;) {
    try {
      return await setPragmas(client);
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error;
      await client.reconnect();
      await pause(10 + Math.random() * 40);
    }
  }
}

async function setPragmas(client: SqliteClient): Promise<void> {
  for (const [pragma, value] of Object.entries(pragmas)) {
    await client.execute(`PRAGMA ${pragma} = ${value}`);
    const { rows } = await client.execute(`PRAGMA ${pragma}`);
    if (String(rows[0]?.[0]) !== value) throw new Error(`SQLite does not take PRAGMA ${pragma} = ${value}`);
  }
}

/**
 * A statement that gives up waiting for a lock stays open, to be tried again, until it is garbage collected. With it
 * the connection stays at what the database was then, and every later write on it would fail: so take another one.
 */
function renewAfterBusy(client: SqliteClient): void {
  const execute: Execute = client.execute.bind(client);
  const renewing = async (...args: Parameters<Execute>) => {
    try {
      return await execute(...args);
    } catch (error) {
      if (isBusy(error)) {
        await client.reconnect();
        await configure(client);
      }
      throw error;
    }
  };
  client.execute = renewing as Execute;
}

const isBusy = (error: unknown): boolean => (error as { code?: unknown }).code === 'SQLITE_BUSY';

/**
 * A transaction on the client's own connection; Prisma's adapter lets nothing else use it meanwhile. As with
 * PostgreSQL, after an error it can only be rolled back: SQLite may have done so already, and what came next would
 * be committed by itself.
 */
async function beginTransaction(client: SqliteClient): Promise<SqliteTransaction> {
  let failure: unknown;
  const execute = async (...args: Parameters<SqliteTransaction['execute']>) => {
    if (failure !== undefined) throw failure;
    try {
      return await client.execute(...args);
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const rollback = async () => {
    await client.execute('ROLLBACK');
  };
  const commit = async () => {
    try {
      await execute('COMMIT');
    } catch (error) {
      await rollback().catch(() => {}); // it may be gone already, and `error` says why it failed
      throw error;
    }
  };
  await client.execute('BEGIN IMMEDIATE');
  // What Prisma's adapter uses of a transaction.
  return { execute, commit, rollback } as SqliteTransaction;
}
