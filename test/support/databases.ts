import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { closeDb, type Db, openDb } from '../../src/store/db.ts';
import { applyMigrations } from '../../src/store/migrations.ts';
import { openSqlite } from '../../src/store/sqlite.ts';
import { atEnd } from './at-end.ts';
import { migratedDatabases, sharedPostgres } from './shared-databases.ts';

/** An empty database of a test's own. It is dropped by itself: see `atEnd`. */
export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A database with our tables, opened; `close` drops it too. It closes by itself: see `atEnd`. */
export interface TestStore {
  url: string;
  db: Db;
  close(): Promise<void>;
}

/** For `describe.each(databases)('… on $provider', ({ create, open }) => …)`. */
export const databases = [
  { provider: 'sqlite', create: () => createSqlite(), open: () => openStore(createSqlite) },
  { provider: 'postgresql', create: () => createPostgres(), open: () => openStore(createPostgres) },
] as const;

/** Both in a soak, and otherwise the embedded one: for long tests of what the other tests do on both. */
export const databasesOfSoak = process.env.PENSTOCK_SOAK === '1' ? databases : ([databases[0]] as const);

/** The embedded default, for tests that are not about the store. */
export const openTestStore = (): Promise<TestStore> => openStore(createSqlite);

type Create = (template?: ReturnType<typeof migratedDatabases>) => Promise<TestDatabase>;

async function openStore(create: Create): Promise<TestStore> {
  const template = migratedDatabases();
  const { url, drop } = await create(template);
  if (template === undefined) await applyMigrations(url);
  const db = await openDb(url);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= closeDb(db).then(drop);
    return closing;
  };
  atEnd(close);
  return { url, db, close };
}

async function createSqlite(...[template]: Parameters<Create>): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-db-'));
  const drop = () => rm(folder, { recursive: true, force: true, maxRetries: 3 });
  atEnd(drop);
  const path = join(folder, 'test.db');
  if (template !== undefined) await copyFile(template.sqlite, path);
  return { url: `file:${path}`, drop };
}

async function createPostgres(...[template]: Parameters<Create>): Promise<TestDatabase> {
  const server = sharedPostgres();
  const name = `test_${randomBytes(6).toString('hex')}`;
  await execute(server, `CREATE DATABASE ${name} TEMPLATE ${template?.postgresql ?? 'template1'}`);
  const drop = async () => {
    await execute(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  };
  atEnd(drop);
  return { url: server.replace(/\/postgres$/, `/${name}`), drop };
}

/** Runs SQL on a database past everything that Penstock does, and returns its rows. */
export async function execute(url: string, sql: string): Promise<Record<string, unknown>[]> {
  if (url.startsWith('file:')) return executeSqlite(url, sql);
  const client = new pg.Client({ connectionString: url });
  // The statement fails too.
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function executeSqlite(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = openSqlite(url, 5_000);
  try {
    const { rows } = await client.execute(sql);
    return rows.map((row) => ({ ...row }));
  } finally {
    client.close();
  }
}
