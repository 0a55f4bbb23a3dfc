import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { SqliteClient } from './sqlite.ts';

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

export class PostgresSession implements Session {
  readonly #client: pg.Client;
  readonly #schema: string;

  static async open(url: string): Promise<Session> {
    const [{ default: pg }, { findPostgres }] = await Promise.all([import('pg'), import('./postgres.ts')]);
    const { config, schema } = await findPostgres(url);
    const client = new pg.Client({ ...config, query_timeout: 0 });
    // The running query fails by itself; without a listener the event would end the process.
    client.on('error', () => {});
    await client.connect();
    return new PostgresSession(client, schema);
  }

  constructor(client: pg.Client, schema: string) {
    this.#client = client;
    this.#schema = schema;
  }

  async begin(): Promise<void> {
    const schema = this.#client.escapeIdentifier(this.#schema);
    await this.#client.query('BEGIN');
    // For this transaction alone: behind a pooler the next one may have another connection.
    await this.#client.query(`SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
      SET LOCAL lock_timeout = ${lockTimeoutMs}; SET LOCAL search_path TO ${schema}`);
    // The number that Prisma's own migrations lock.
    await this.#client.query('SELECT pg_advisory_xact_lock(72707369)');
    const { rowCount } = await this.#client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [
      this.#schema,
    ]);
    if (rowCount === 0) await this.#client.query(`CREATE SCHEMA ${schema}`);
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

export class SqliteSession implements Session {
  readonly #client: SqliteClient;
  #inTransaction = false;

  static async open(url: string): Promise<Session> {
    const { openSqlite } = await import('./sqlite.ts');
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
