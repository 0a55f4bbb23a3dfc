import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { applyMigrations } from '../../src/store/migrations.ts';
import { databases, execute, type TestDatabase } from '../support/databases.ts';
import { runTogether, startRunner } from './processes.ts';

const committed = join(import.meta.dirname, '..', '..', 'prisma', 'migrations');
const deadline = { timeout: 60_000, interval: 20 };

describe.each(databases)('migrations on $provider', ({ provider, create }) => {
  let database: TestDatabase;
  let folder: string;

  beforeEach(async () => {
    database = await create();
    folder = await mkdtemp(join(tmpdir(), 'penstock-migrations-'));
  });

  afterEach(async () => {
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  });

  const write = async (name: string, sql: string): Promise<void> => {
    await mkdir(join(folder, provider, name), { recursive: true });
    await writeFile(join(folder, provider, name, 'migration.sql'), sql);
  };
  const apply = () => applyMigrations(database.url, folder);
  const rows = (sql: string) => execute(database.url, sql);
  const recorded = async () => {
    const found = await rows('SELECT migration_name FROM _prisma_migrations ORDER BY migration_name');
    return found.map((row) => row.migration_name);
  };

  test('brings an empty database up to date, once', async () => {
    const entries = await readdir(join(committed, provider), { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    expect(await applyMigrations(database.url)).toEqual(names.sort());
    expect(await applyMigrations(database.url)).toEqual([]);
    expect(await rows('SELECT * FROM "Pipeline"')).toEqual([]);
  });

  test('keeps data from the first migration on', async () => {
    const [first = ''] = (await readdir(join(committed, provider))).sort();
    await write(first, await readFile(join(committed, provider, first, 'migration.sql'), 'utf8'));
    await apply();
    for (const statement of populated) await rows(statement);
    await applyMigrations(database.url);
    const left = {
      ...{ id: 'lo_1', jobId: 'job_0', operatorId: 'source_a', taskIndex: 2, connector: 'mqtt' },
      ...{ profile: '{"url":"mqtt://a"}', tables: '[{"topic":"t"}]', insert: null, state: 'leftover' },
      attempts: 3,
    };
    expect(await rows('SELECT * FROM "SourceSession"')).toMatchObject([left]);
    for (const [table, id] of [
      ['ConnectionProfile', 'cp_1'],
      ['ConnectionTable', 'ct_1'],
      ['Pipeline', 'pl_1'],
      ['Job', 'job_1'],
      ['JobMessage', 'jlm_1'],
    ])
      expect(await rows(`SELECT id FROM "${table}"`)).toEqual([{ id }]);
    expect(await rows('SELECT "connectionTableId" FROM "PipelineTable"')).toHaveLength(1);
    const [profile] = await rows('SELECT config FROM "ConnectionProfile"');
    const text = '"rejectUnauthorized":true';
    expect(JSON.parse(profile?.config as string)).toEqual({
      ...{ url: 'mqtts://a', insecureSkipVerify: true, serverName: text },
    });
    expect(await rows('SELECT query FROM "Pipeline"')).toEqual([
      { query: "WITH (insecure_skip_verify = 'true', a = 1)" },
    ]);
    expect(await rows('SELECT "state", "runId" FROM "Job"')).toMatchObject([{ state: 'Running', runId: 7 }]);
  });

  test('records a migration as prisma migrate deploy does', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);\n');
    await apply();
    const [row, ...others] = await rows('SELECT * FROM _prisma_migrations');
    const millis = (value: unknown): number => (value instanceof Date ? value.getTime() : Number(value));
    expect(others).toEqual([]);
    expect(row).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      checksum: createHash('sha256').update('CREATE TABLE a (id INTEGER);\n').digest('hex'),
      finished_at: expect.anything(),
      migration_name: '1_first',
      logs: null,
      rolled_back_at: null,
      started_at: expect.anything(),
      applied_steps_count: 1,
    });
    expect(Math.abs(millis(row?.finished_at) - Date.now())).toBeLessThan(60_000);
    expect(millis(row?.started_at)).toBeLessThanOrEqual(millis(row?.finished_at));
  });

  test('applies new migrations in the order of their names', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    expect(await apply()).toEqual(['1_first']);
    await write('3_third', 'INSERT INTO a VALUES (3, 3) -- without an end');
    await write('2_second', 'ALTER TABLE a ADD COLUMN b INTEGER; UPDATE a SET b = 0;');
    expect(await apply()).toEqual(['2_second', '3_third']);
    expect(await rows('SELECT * FROM a')).toEqual([{ id: 3, b: 3 }]);
  });

  test('lets several processes start at once and applies everything once', async () => {
    const answers = await runTogether(3, 'start', database.url);
    const applied = answers.flatMap(({ answer, code }) => answer ?? [code]);
    expect(applied.sort()).toEqual(await recorded());
  });

  test('keeps nothing of a failed migration, and continues once it is fixed', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    await write('2_second', 'CREATE TABLE b (id INTEGER); INSERT INTO nowhere VALUES (1);');
    await expect(apply()).rejects.toMatchObject({
      code: 'database_migration_failed',
      message: 'The migration 2_second could not be applied',
    });
    expect(await recorded()).toEqual(['1_first']);
    await write('2_second', 'CREATE TABLE b (id INTEGER);');
    expect(await apply()).toEqual(['2_second']);
  });

  test('keeps nothing of a migration during which the process is killed', async () => {
    const endless =
      provider === 'sqlite'
        ? 'INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;'
        : 'SELECT pg_sleep(600);';
    await write('1_first', `CREATE TABLE a (id INTEGER); ${endless}`);
    const runner = await startRunner('start', database.url, folder);
    runner.go();
    await vi.waitFor(() => expectMigrating(database.url), deadline);
    await runner.kill();
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    // The server only notices at the end of the statement that its client is gone.
    if (provider === 'postgresql') await rows(`SELECT pg_terminate_backend(pid) ${migrating}`);
    expect(await apply()).toEqual(['1_first']);
  });

  test('refuses an unfinished migration, and gives advice', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    await apply();
    await rows('UPDATE _prisma_migrations SET finished_at = NULL');
    const error = await apply().catch((thrown) => thrown);
    expect(error).toMatchObject({
      code: 'database_migration_failed',
      message: expect.stringContaining('1_first'),
    });
    await rows('DROP TABLE a');
    await rows(/UPDATE .*;/.exec(error.hint)?.[0] ?? '');
    expect(await apply()).toEqual(['1_first']);
    expect(await recorded()).toEqual(['1_first', '1_first']);
  });

  test('refuses a migration that was edited after it was applied', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    await apply();
    await write('1_first', 'CREATE TABLE a (id BIGINT);');
    await expect(apply()).rejects.toMatchObject({
      code: 'database_migration_edited',
      message: expect.stringContaining('1_first'),
    });
  });

  test('does not treat other line endings as an edit', async () => {
    await write('1_first', 'CREATE TABLE a (\nid INTEGER\n);\n');
    await apply();
    await write('1_first', 'CREATE TABLE a (\r\nid INTEGER\r\n);\r\n');
    expect(await apply()).toEqual([]);
  });

  test('refuses a database of a newer version', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    await write('2_second', 'CREATE TABLE b (id INTEGER);');
    await apply();
    await rm(join(folder, provider, '2_second'), { recursive: true });
    await expect(apply()).rejects.toMatchObject({
      code: 'database_too_new',
      message: expect.stringContaining('2_second'),
    });
  });

  test('changes nothing in a database it refuses', async () => {
    await write('1_first', 'CREATE TABLE a (id INTEGER);');
    await apply();
    await rows(`UPDATE _prisma_migrations SET checksum = 'other'`);
    await write('2_second', 'CREATE TABLE b (id INTEGER);');
    await expect(apply()).rejects.toMatchObject({ code: 'database_migration_edited' });
    expect(await recorded()).toEqual(['1_first']);
  });

  test('has committed files with the line endings of the checksums', async () => {
    for (const path of await readdir(join(committed, provider), { recursive: true })) {
      if (path.endsWith('.sql'))
        expect(await readFile(join(committed, provider, path), 'utf8')).not.toContain('\r');
    }
  });
});

describe('migrations that rebuild a table on sqlite', () => {
  const [sqlite] = databases;
  const parents = 'CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);';
  const children =
    'CREATE TABLE c (p INTEGER REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO c VALUES (1);';
  // In Prisma's format.
  const rebuild = (rows: string): string => `PRAGMA defer_foreign_keys=ON;
PRAGMA foreign_keys=OFF;
CREATE TABLE "new_p" (id INTEGER PRIMARY KEY, name TEXT);
${rows}
DROP TABLE "p";
ALTER TABLE "new_p" RENAME TO "p";
PRAGMA foreign_keys=ON;
PRAGMA defer_foreign_keys=OFF;
`;
  let database: TestDatabase;
  let folder: string;

  beforeEach(async () => {
    database = await sqlite.create();
    folder = await mkdtemp(join(tmpdir(), 'penstock-migrations-'));
    await write('1_first', parents + children);
  });

  afterEach(async () => {
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  });

  const write = async (name: string, sql: string): Promise<void> => {
    await mkdir(join(folder, 'sqlite', name), { recursive: true });
    await writeFile(join(folder, 'sqlite', name, 'migration.sql'), sql);
  };

  test('keep the rows that refer to it', async () => {
    await write('2_second', rebuild('INSERT INTO "new_p" (id) SELECT id FROM p;'));
    expect(await applyMigrations(database.url, folder)).toEqual(['1_first', '2_second']);
    expect(await execute(database.url, 'SELECT * FROM c')).toEqual([{ p: 1 }]);
  });

  test('are rolled back if they leave a dangling reference', async () => {
    await write('2_second', rebuild(''));
    await expect(applyMigrations(database.url, folder)).rejects.toMatchObject({
      code: 'database_migration_failed',
    });
    expect(await execute(database.url, 'SELECT * FROM p')).toEqual([{ id: 1 }]);
  });
});

test('reports that a database cannot be reached', async () => {
  await expect(applyMigrations('postgresql://nobody@127.0.0.1:1/none')).rejects.toMatchObject({
    code: 'database_unavailable',
  });
});

/** One row of each table as the first migration left it. */
const populated = [
  `INSERT INTO "ConnectionProfile" (id, name, connector, config, "createdAt", "updatedAt")
     VALUES ('cp_1', 'plant', 'mqtt', '{"url":"mqtts://a","rejectUnauthorized":false,"serverName":"\\"rejectUnauthorized\\":true"}', 1, 1)`,
  `INSERT INTO "ConnectionTable" (id, name, connector, "connectionProfileId", "tableType", config, "createdAt", "updatedAt")
     VALUES ('ct_1', 'readings', 'mqtt', 'cp_1', 'source', '{}', 1, 1)`,
  `INSERT INTO "Pipeline" (id, name, query, parallelism, "checkpointIntervalMicros", tags, graph, "createdAt", "updatedAt")
     VALUES ('pl_1', 'p', 'WITH (reject_unauthorized = ''false'', a = 1)', 1, 1, '{}', '{}', 1, 1)`,
  `INSERT INTO "PipelineTable" ("pipelineId", "connectionTableId") VALUES ('pl_1', 'ct_1')`,
  `INSERT INTO "Job" (id, "pipelineId", "createdAt", "updatedAt", state, "stateSince", "runId")
     VALUES ('job_1', 'pl_1', 1, 1, 'Running', 1, 7)`,
  `INSERT INTO "JobMessage" (id, "jobId", "createdAt", level, message, details)
     VALUES ('jlm_1', 'job_1', 1, 'warn', 'm', '{}')`,
  `INSERT INTO "Leftover" (id, connector, profile, config, "jobId", "operatorId", "taskIndex", "createdAt", attempts, "nextTry")
     VALUES ('lo_1', 'mqtt', '{"url":"mqtt://a"}', '{"topic":"t"}', 'job_0', 'source_a', 2, 5, 3, 9)`,
];

const migrating = `FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep(600)%'`;

/** Passes while another process is in the middle of the endless migration. */
async function expectMigrating(url: string): Promise<void> {
  if (url.startsWith('file:'))
    await expect(execute(url, 'PRAGMA user_version = 1')).rejects.toThrow('locked');
  else expect(await execute(url, `SELECT pid ${migrating}`)).toHaveLength(1);
}
