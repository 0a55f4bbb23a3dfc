import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { PenstockError } from '../errors.ts';
import { makePrivateFolder } from './private-folder.ts';

/** A connection of `@libsql/client`: it returns promises, but every call blocks until it is done. */
export type SqliteClient = ReturnType<PrismaLibSql['createClient']>;
type Execute = SqliteClient['execute'];
type SqliteTransaction = Awaited<ReturnType<SqliteClient['transaction']>>;

/** Returns the path of a `file:` URL. Throws `invalid_config`. */
function sqlitePath(url: string): string {
  const text = url.replace(/^file:(\/\/[^/]*)?/, '');
  const refused = (message: string): PenstockError =>
    new PenstockError('invalid_config', message, {
      hint:
        'Set PENSTOCK_DATABASE_URL to something like file:./data/penstock.db. In a path, write ? as %3F, # as %23 and % ' +
        'as %25.',
    });
  if (/[?#]/.test(text)) throw refused('The database URL has parameters, and a file has none');
  try {
    const path = decodeURIComponent(text);
    if (path !== '' && !path.startsWith(':memory:')) return path;
  } catch {
    throw refused('The database URL has a % that begins no percent-encoded byte');
  }
  throw refused('The database URL names no file');
}

/** Opens a connection to the file, creating its folder. `busyTimeoutMs` is the maximum wait for a lock. */
export function openSqlite(url: string, busyTimeoutMs: number): SqliteClient {
  const path = sqlitePath(url);
  makePrivateFolder(dirname(path));
  keepPrivate(path);
  const config = { url, timeout: busyTimeoutMs };
  return new PrismaLibSql(config).createClient(config);
}

/**
 * Makes the file, and what SQLite writes beside it with the same rights, readable by its owner only. Never opens a file that
 * exists: to close it would release the locks that other connections of this process have, and another process would
 * then remove the write-ahead log that they use.
 */
function keepPrivate(path: string): void {
  try {
    if (!existsSync(path)) closeSync(openSync(path, 'ax', 0o600));
    for (const file of ['', '-wal', '-shm', '-journal'].map((end) => path + end))
      if ((statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) chmodSync(file, 0o600);
  } catch {
    // Another process has just made it, it belongs to another user, or it cannot be written: SQLite says so if that matters.
  }
}

const pragmas = { journal_mode: 'wal', synchronous: '2', foreign_keys: '1', busy_timeout: '5000' };

/**
 * Prisma's adapter for SQLite, on one connection with our PRAGMAs for the life of the client.
 *
 * `@libsql/client` alone replaces its connection with every transaction, losing the PRAGMAs. It also begins transactions
 * without the write lock, so one that reads and then writes fails when another process has written in between.
 */
export class SqliteAdapter extends PrismaLibSql {
  readonly #client: SqliteClient;
  readonly #renewals: Renewals;
  readonly #execute: Execute;

  static async open(url: string): Promise<SqliteAdapter> {
    const client = openSqlite(url, Number(pragmas.busy_timeout));
    await configure(client);
    return new SqliteAdapter(url, client);
  }

  private constructor(url: string, client: SqliteClient) {
    super({ url });
    this.#client = client;
    this.#execute = client.execute.bind(client);
    this.#renewals = renewAfterBusy(client);
    client.transaction = () => beginTransaction(client);
  }

  override createClient(): SqliteClient {
    return this.#client;
  }

  /**
   * A text that changes when another connection has written to the file, and when this one was replaced, because
   * `PRAGMA data_version` can only be compared on one connection. It is no query of Prisma's client, which costs more, and replaces
   * no connection itself, because it does not wait for a transaction to end.
   */
  async version(): Promise<string> {
    const { rows } = await this.#execute('PRAGMA data_version');
    return `${this.#renewals.count}.${rows[0]?.[0]}`;
  }
}

/** Turning on the write-ahead log needs a lock that SQLite does not wait for: another process may be doing the same. */
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
 * A statement that timed out on a lock stays open until it is garbage collected. It pins the connection to an old
 * snapshot, on which every later write fails: replace the connection.
 */
function renewAfterBusy(client: SqliteClient): Renewals {
  const renewals = { count: 0 };
  const execute: Execute = client.execute.bind(client);
  const renewing = async (...args: Parameters<Execute>) => {
    try {
      return await execute(...args);
    } catch (error) {
      if (isBusy(error)) {
        renewals.count++;
        await client.reconnect();
        await configure(client);
      }
      throw error;
    }
  };
  client.execute = renewing as Execute;
  return renewals;
}

/** How often a connection was replaced. */
interface Renewals {
  count: number;
}

const isBusy = (error: unknown): boolean => (error as { code?: unknown }).code === 'SQLITE_BUSY';

/**
 * A transaction on the client's own connection, which Prisma's adapter reserves meanwhile. After an error it can only be
 * rolled back, as with PostgreSQL: SQLite may have done so already, and later statements would commit one by one.
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
      await rollback().catch(() => {}); // SQLite may have rolled back already; `error` says why
      throw error;
    }
  };
  await client.execute('BEGIN IMMEDIATE');
  // The methods that Prisma's adapter uses.
  return { execute, commit, rollback } as SqliteTransaction;
}
