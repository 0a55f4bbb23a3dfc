import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { PenstockError } from '../errors.ts';
import { providerOf } from './db.ts';
import { openSqlite, type SqliteClient } from './sqlite.ts';

const committed = fileURLToPath(new URL('../../prisma/migrations', import.meta.url));

/**
 * Applies missing migrations and returns their names. Safe in several processes at once. `_prisma_migrations` is kept as
 * `prisma migrate deploy` keeps it, so both can be used on one database.
 *
 * Each migration and its record are one transaction, so a crash leaves none half applied. Throws
 * `database_migration_failed`, `database_migration_edited`, `database_too_new` or `database_unavailable`.
 *
 * @param folder holds one folder of migrations for each provider
 */
export async function applyMigrations(url: string, folder = committed): Promise<string[]> {
  const provider = providerOf(url);
  const migrations = await readMigrations(join(folder, provider));
  const session = await reached(openSession(url, provider));
  try {
    const applied: string[] = [];
    for (;;) {
      const name = await applyNext(session, migrations);
      if (name === null) return applied;
      applied.push(name);
    }
  } finally {
    await session.close();
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(names.sort().map((name) => readMigration(folder, name)));
}

async function readMigration(folder: string, name: string): Promise<Migration> {
  // The checksum is that of the committed file, also when a checkout changed its line endings.
  const sql = (await readFile(join(folder, name, 'migration.sql'), 'utf8')).replaceAll('\r\n', '\n');
  return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
}

/** Applies the first missing migration and returns its name, or null when none is missing. */
async function applyNext(session: Session, migrations: Migration[]): Promise<string | null> {
  const startedAt = new Date();
  await reached(session.begin());
  const recorded = (await reached(session.recorded())).filter((row) => !row.rolledBack);
  assertFits(recorded, migrations);
  const done = new Set(recorded.map((row) => row.name));
  const next = migrations.find((migration) => !done.has(migration.name));
  if (next === undefined) {
    await reached(session.rollback());
    return null;
  }
  await session.apply(next, startedAt).catch((cause: unknown) => {
    throw didNotApply(next, cause);
  });
  return next.name;
}

/** Refuses a database on which these migrations cannot be continued. */
function assertFits(recorded: Recorded[], migrations: Migration[]): void {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const { name, checksum, finished } of recorded) {
    const migration = known.get(name);
    if (!finished) throw halfApplied(name);
    if (migration === undefined) throw tooNew(name);
    if (migration.checksum !== checksum) throw edited(name);
  }
}

function halfApplied(name: string): PenstockError {
  return new PenstockError(
    'database_migration_failed',
    `The migration ${name} was begun and never finished`,
    {
      hint:
        'Undo by hand what it left behind (or restore a backup), then mark it as undone with: ' +
        'UPDATE "_prisma_migrations" SET "rolled_back_at" = CURRENT_TIMESTAMP ' +
        `WHERE "migration_name" = '${name}' AND "finished_at" IS NULL; and start again.`,
    },
  );
}

function tooNew(name: string): PenstockError {
  return new PenstockError(
    'database_too_new',
    `The database has a migration this version does not know: ${name}`,
    {
      hint: 'Run the version of Penstock that was used last, or a newer one, or restore a backup from before it.',
    },
  );
}

function edited(name: string): PenstockError {
  return new PenstockError(
    'database_migration_edited',
    `The migration ${name} is not the one that was applied`,
    {
      hint: `Restore the released migration.sql of ${name}, and put further changes into a new migration.`,
    },
  );
}

function didNotApply({ name }: Migration, cause: unknown): PenstockError {
  return new PenstockError('database_migration_failed', `The migration ${name} could not be applied`, {
    hint: 'The database is unchanged. Correct the cause, which is in the log, and start again.',
    cause,
  });
}

async function reached<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof PenstockError) throw cause;
    throw new PenstockError('database_unavailable', 'The database cannot be reached or locked', {
      hint: 'Check that it runs, that PENSTOCK_DATABASE_URL is right, and that no other process holds it locked.',
      cause,
    });
  }
}

export interface Migration {
  name: string;
  sql: string;
  checksum: string;
}

/** The columns of `_prisma_migrations` that are used. */
export interface Recorded {
  name: string;
  checksum: string;
  finished: boolean;
  rolledBack: boolean;
}

/** A connection for migrations. After an error only `close` may be called; it rolls back. */
export interface Session {
  /** Begins a transaction that excludes other migrations, and creates `_prisma_migrations` when missing. */
  begin(): Promise<void>;
  recorded(): Promise<Recorded[]>;
  /** Runs the SQL, records it and commits, atomically. */
  apply(migration: Migration, startedAt: Date): Promise<void>;
  rollback(): Promise<void>;
  close(): Promise<void>;
}

/** Maximum wait for another process that migrates, or for a table in use. */
const lockTimeoutMs = 60_000;

export function openSession(url: string, provider: 'sqlite' | 'postgresql'): Promise<Session> {
  return provider === 'sqlite' ? SqliteSession.open(url) : PostgresSession.open(url);
}

class PostgresSession implements Session {
  readonly #client: pg.Client;

  static async open(url: string): Promise<Session> {
    const timeouts = { connectionTimeoutMillis: 5_000, lock_timeout: lockTimeoutMs };
    const client = new pg.Client({ connectionString: url, application_name: 'penstock', ...timeouts });
    // The running query fails by itself; without a listener the event would end the process.
    client.on('error', () => {});
    await client.connect();
    return new PostgresSession(client);
  }

  constructor(client: pg.Client) {
    this.#client = client;
  }

  async begin(): Promise<void> {
    await this.#client.query('BEGIN');
    // The number that Prisma's own migrations lock.
    await this.#client.query('SELECT pg_advisory_xact_lock(72707369)');
    await this.#client.query(`CREATE TABLE IF NOT EXISTS _prisma_migrations (
      id                      VARCHAR(36) PRIMARY KEY NOT NULL,
      checksum                VARCHAR(64) NOT NULL,
      finished_at             TIMESTAMPTZ,
      migration_name          VARCHAR(255) NOT NULL,
      logs                    TEXT,
      rolled_back_at          TIMESTAMPTZ,
      started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
      applied_steps_count     INTEGER NOT NULL DEFAULT 0
    )`);
  }

  async recorded(): Promise<Recorded[]> {
    const { rows } = await this.#client.query<Recorded>(
      `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished,
         rolled_back_at IS NOT NULL AS "rolledBack" FROM _prisma_migrations ORDER BY started_at`,
    );
    return rows;
  }

  async apply({ name, sql, checksum }: Migration, startedAt: Date): Promise<void> {
    await this.#client.query(sql);
    await this.#client.query(
      `INSERT INTO _prisma_migrations
         (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
       VALUES ($1, $2, clock_timestamp(), $3, $4, 1)`,
      [randomUUID(), checksum, name, startedAt],
    );
    await this.#client.query('COMMIT');
  }

  async rollback(): Promise<void> {
    await this.#client.query('ROLLBACK');
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}

class SqliteSession implements Session {
  readonly #client: SqliteClient;
  #inTransaction = false;

  static async open(url: string): Promise<Session> {
    return new SqliteSession(openSqlite(url, lockTimeoutMs));
  }

  constructor(client: SqliteClient) {
    this.#client = client;
  }

  async begin(): Promise<void> {
    // A migration that rebuilds a table drops the old one, which must not cascade to other tables. This cannot be set
    // inside a transaction.
    await this.#client.execute('PRAGMA foreign_keys = OFF');
    await this.#client.execute('BEGIN IMMEDIATE');
    this.#inTransaction = true;
    await this.#client.execute(`CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id"                    TEXT PRIMARY KEY NOT NULL,
    "checksum"              TEXT NOT NULL,
    "finished_at"           DATETIME,
    "migration_name"        TEXT NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        DATETIME,
    "started_at"            DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count"   INTEGER UNSIGNED NOT NULL DEFAULT 0
)`);
  }

  async recorded(): Promise<Recorded[]> {
    const { rows } = await this.#client.execute(
      'SELECT migration_name, checksum, finished_at, rolled_back_at FROM "_prisma_migrations" ORDER BY started_at',
    );
    return rows.map((row) => ({
      name: String(row.migration_name),
      checksum: String(row.checksum),
      finished: row.finished_at !== null,
      rolledBack: row.rolled_back_at !== null,
    }));
  }

  async apply({ name, sql, checksum }: Migration, startedAt: Date): Promise<void> {
    // One script, because the client rolls back what a script leaves open. Foreign keys were off: when one is broken
    // now, the record gets no id, which fails and rolls back.
    const id = `CASE WHEN EXISTS (SELECT 1 FROM pragma_foreign_key_check) THEN NULL ELSE ${quoted(randomUUID())} END`;
    this.#inTransaction = false;
    await this.#client.executeMultiple(`${sql}
;INSERT INTO "_prisma_migrations"
  ("id", "checksum", "finished_at", "migration_name", "started_at", "applied_steps_count")
VALUES (${id}, ${quoted(checksum)}, ${Date.now()}, ${quoted(name)}, ${startedAt.getTime()}, 1);
COMMIT;`);
  }

  async rollback(): Promise<void> {
    this.#inTransaction = false;
    await this.#client.execute('ROLLBACK');
  }

  async close(): Promise<void> {
    try {
      // close() alone keeps the connection and its lock until its statements are garbage collected.
      if (this.#inTransaction) await this.rollback();
    } finally {
      this.#client.close();
    }
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
