// One PostgreSQL for the whole run, and databases that are migrated once, to be copied. Vitest runs this once, before any
// test file and in a separate process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Postgres } from './postgres.ts';

const variable = 'PENSTOCK_TEST_POSTGRES';
/** Set when there are databases to copy: the path of the one of SQLite. */
const migrated = 'PENSTOCK_TEST_MIGRATED';
const template = 'migrated';

export async function setup(): Promise<void> {
  // Loaded here, because most test files import this one and need none of it.
  const { startPostgres } = await import('./postgres.ts');
  try {
    server = await startPostgres();
    process.env[variable] = server.url('postgres');
  } catch (error) {
    // The tests that need it report this; the others run without it.
    process.env[`${variable}_ERROR`] = error instanceof Error ? error.message : String(error);
    return;
  }
  folder = mkdtempSync(join(tmpdir(), 'penstock-migrated-'));
  const path = join(folder, 'penstock.db');
  const [{ Client }, { applyMigrations }] = await Promise.all([
    import('pg'),
    import('../../src/store/migrations.ts'),
  ]);
  const admin = new Client({ connectionString: server.url('postgres') });
  try {
    await admin.connect();
    await admin.query(`CREATE DATABASE ${template}`);
    await Promise.all([applyMigrations(server.url(template)), applyMigrations(`file:${path}`)]);
    process.env[migrated] = path;
  } catch (error) {
    // Each test migrates its own then, and the tests of migrations tell more.
    console.error('The migrations fail:', error);
  } finally {
    await admin.end();
  }
}

export async function teardown(): Promise<void> {
  await server?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

let server: Postgres | undefined;
let folder: string | undefined;

/** The URL of the database `postgres` of the server that all tests share; each test creates its own databases there. */
export function sharedPostgres(): string {
  const url = process.env[variable];
  if (url === undefined) throw new Error(process.env[`${variable}_ERROR`] ?? `${variable} is not set`);
  return url;
}

/** Databases that have all migrations, to be copied: the path of SQLite's, and the name of PostgreSQL's. */
export function migratedDatabases(): { sqlite: string; postgresql: string } | undefined {
  const sqlite = process.env[migrated];
  return sqlite === undefined ? undefined : { sqlite, postgresql: template };
}
