import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { migrationBetween, migrationsOf, schemaFor } from '../../scripts/schema.ts';
import { applyMigrations } from '../../src/store/migrations.ts';
import { openSqlite } from '../../src/store/sqlite.ts';
import { databases, execute, type TestDatabase } from '../support/databases.ts';

// The structure of a database, in an order that does not depend on its history.
const structure = {
  sqlite: [
    `SELECT t.name AS "table", c.name, c.type, c."notnull", c.dflt_value, c.pk
       FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY 1, 2`,
    `SELECT t.name AS "table", i.name, i."unique", i.partial, group_concat(c.name) AS columns
       FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
       WHERE t.type = 'table' AND i.name NOT LIKE 'sqlite_autoindex%' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2`,
    `SELECT t.name AS "table", k."from", k."table" AS target, k."to", k.on_update, k.on_delete
       FROM sqlite_schema t, pragma_foreign_key_list(t.name) k WHERE t.type = 'table' ORDER BY 1, 2`,
  ],
  postgresql: [
    `SELECT table_name, column_name, data_type, is_nullable, column_default
       FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2`,
    `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`,
    `SELECT conname, conrelid::regclass::text AS "table", pg_get_constraintdef(oid) AS definition
       FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1`,
  ],
};

describe.each(databases)('the migrations of $provider', ({ provider, create }) => {
  let migrated: TestDatabase;
  let fresh: TestDatabase;

  beforeEach(async () => {
    migrated = await create();
    fresh = await create();
  });

  afterEach(async () => {
    await migrated.drop();
    await fresh.drop();
  });

  const structureOf = (url: string) => Promise.all(structure[provider].map((query) => execute(url, query)));

  test('produce prisma/schema.prisma: otherwise run `npm run migration -- <name>`', async () => {
    const snapshot = await readFile(join(migrationsOf(provider), 'schema.prisma'), 'utf8');
    expect(await migrationBetween(provider, snapshot, await schemaFor(provider))).toBe('');
  });

  test('give the same tables as the schema they were written for', async () => {
    await applyMigrations(migrated.url);
    await execute(migrated.url, 'DROP TABLE _prisma_migrations');
    const snapshot = await readFile(join(migrationsOf(provider), 'schema.prisma'), 'utf8');
    await executeScript(fresh.url, await migrationBetween(provider, null, snapshot));
    const found = await structureOf(migrated.url);
    expect(found.map((rows) => rows.length > 0)).toEqual([true, true, true]);
    expect(found).toEqual(await structureOf(fresh.url));
  });
});

async function executeScript(url: string, sql: string): Promise<void> {
  if (!url.startsWith('file:')) {
    await execute(url, sql);
    return;
  }
  const client = openSqlite(url, 0);
  await client.executeMultiple(sql);
  client.close();
}
