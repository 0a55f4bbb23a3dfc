import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { closeDb, openDb, versionOf } from '../../src/store/db.ts';
import { applyMigrations } from '../../src/store/migrations.ts';
import { temporaryFolder } from '../support/at-end.ts';
import { openTestStore } from '../support/databases.ts';
import { program } from '../support/penstock.ts';
import { startService } from '../support/service.ts';
import { skipping } from '../support/skipping.ts';

const main = new URL('../../src/main.ts', import.meta.url).pathname;
const profile = { id: 'cp_1', name: 'a', connector: 'mqtt', config: '{}', createdAt: 0n, updatedAt: 0n };

/** The rights of the files in a folder that others have, by name. */
const openTo = (folder: string): string[] =>
  readdirSync(folder).filter((name) => (statSync(join(folder, name)).mode & 0o077) !== 0);

describe('the file of sqlite and what lies beside it', () => {
  test('are for their owner alone, also in a folder that others may read', async () => {
    const folder = temporaryFolder('private');
    chmodSync(folder, 0o755);
    const url = `file:${join(folder, 'penstock.db')}`;
    await applyMigrations(url);
    const db = await openDb(url);
    await db.connectionProfile.create({ data: profile });
    expect(readdirSync(folder).sort()).toEqual(['penstock.db', 'penstock.db-shm', 'penstock.db-wal']);
    expect(openTo(folder)).toEqual([]);
    await closeDb(db);
  });

  test('become so when they were not', async () => {
    const folder = temporaryFolder('open');
    const path = join(folder, 'penstock.db');
    writeFileSync(path, '', { mode: 0o666 });
    chmodSync(path, 0o666);
    await applyMigrations(`file:${path}`);
    expect(openTo(folder)).toEqual([]);
  });

  test('stay those of a process while others open and close them', async () => {
    const folder = temporaryFolder('shared');
    const url = `file:${join(folder, 'penstock.db')}`;
    await applyMigrations(url);
    const db = await openDb(url);
    await db.connectionProfile.create({ data: profile });
    // Opens the file once more, as at a start before the connection of the migrations is closed.
    await applyMigrations(url);
    const log = statSync(`${folder}/penstock.db-wal`).ino;
    const env = { ...process.env, PENSTOCK_DATABASE_URL: url, PENSTOCK_DATA_DIR: folder };
    const { status } = spawnSync(process.execPath, [main, 'keys', 'list'], { env, cwd: folder });
    expect(status).toBe(0);
    expect(statSync(`${folder}/penstock.db-wal`).ino).toBe(log);
    await closeDb(db);
  });

  test('are in a folder for their owner alone, if it did not exist', async () => {
    const folder = join(temporaryFolder('new'), 'a', 'b');
    await applyMigrations(`file:${folder}/penstock.db`);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });
});

test('the version of an SQLite file tells what this process and others write, and stays until then', async () => {
  const { db, url, close } = await openTestStore();
  const versions = [await versionOf(db)];
  const changes = async (): Promise<boolean> => {
    versions.unshift(await versionOf(db));
    return versions[0] !== versions[1];
  };
  await db.job.findMany();
  await db.connectionProfile.create({ data: profile });
  expect(await changes()).toBe(false);
  await db.job.updateMany({ data: { stop: 'none' } });
  expect(await changes()).toBe(true);
  await db.$transaction(async (tx) => tx.deadLetter.deleteMany());
  expect(await changes()).toBe(true);
  const other = await openDb(url);
  expect(await changes()).toBe(false);
  await other.connectionProfile.deleteMany();
  expect(await changes()).toBe(true);
  expect(await changes()).toBe(false);
  await closeDb(other);
  await close();
});

describe('a database file that takes no writes', () => {
  test('is reported when the disk is full, and is ready again when there is room', async () => {
    const { db, close } = await openTestStore();
    const [{ page_count: pages } = { page_count: 0n }] = await db.$queryRaw<
      { page_count: bigint }[]
    >`PRAGMA page_count`;
    await db.$queryRawUnsafe(`PRAGMA max_page_count = ${pages}`);
    const large = { ...profile, config: 'x'.repeat(100_000) };
    const full = await db.connectionProfile.create({ data: large }).catch((error) => error);
    expect(full).toMatchObject({
      code: 'database_full',
      passing: true,
      facts: { said: expect.stringContaining('full') },
    });
    await db.$queryRawUnsafe('PRAGMA max_page_count = 1000000');
    await db.connectionProfile.create({ data: large });
    await close();
  });

  test('makes the service say so: not ready, reads served, writes 503 with Retry-After', async () => {
    const { request, db } = await startService({ adminKey: 'the-key-of-an-admin' });
    const headers = { authorization: 'Bearer the-key-of-an-admin' };
    const made = await request.post('/api/v1/api_keys').set(headers).send({ name: 'bot', role: 'operator' });
    const bot = { authorization: `Bearer ${made.body.key}` };
    await db.$queryRawUnsafe('PRAGMA query_only = 1');
    const ready = await request.get('/readyz');
    expect(ready).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    expect(ready.body.code).toBe('database_read_only');
    expect((await request.get('/healthz')).status).toBe(200);
    expect((await request.get('/api/v1/pipelines').set(bot)).status).toBe(200);
    const body = { name: 'a', connector: 'mqtt', config: { url: 'mqtt://127.0.0.1:1' } };
    const written = await request.post('/api/v1/connection_profiles').set(bot).send(body);
    expect(written).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    expect(written.body).toMatchObject({
      code: 'database_read_only',
      hint: expect.stringContaining('folder'),
    });
    expect(written.text).not.toContain('readonly database');
    await db.$queryRawUnsafe('PRAGMA query_only = 0');
    expect((await request.get('/readyz')).status).toBe(200);
    expect((await request.post('/api/v1/connection_profiles').set(bot).send(body)).status).toBe(200);
  });

  test('is reported when it is no database', async () => {
    const path = join(temporaryFolder('other'), 'notes.txt');
    writeFileSync(path, 'something else entirely\n'.repeat(100));
    await expect(applyMigrations(`file:${path}`)).rejects.toMatchObject({ code: 'database_damaged' });
  });

  const notRoot = process.getuid?.() === 0 ? undefined : 'only root can start a process as another user';

  test.skipIf(notRoot)(skipping('ends the start with the reason and the mend', notRoot), async () => {
    const folder = temporaryFolder('foreign');
    const path = join(folder, 'penstock.db');
    await applyMigrations(`file:${path}`);
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    for (const [at, mode] of [
      [folder, 0o755],
      [empty, 0o755],
      [path, 0o644],
    ] as const)
      chmodSync(at, mode);
    const start = (file: string) =>
      spawnSync(process.execPath, [program, 'api'], {
        uid: 65_534,
        gid: 65_534,
        encoding: 'utf8',
        env: { PATH: process.env.PATH, PENSTOCK_DATABASE_URL: `file:${file}`, PENSTOCK_DATA_DIR: '/nowhere' },
      });
    const written = start(path);
    expect(written.status).toBe(1);
    expect(written.stderr).toContain('"code":"database_read_only"');
    expect(written.stderr).toContain('The database file cannot be written');
    expect(written.stderr).toContain('Give the user that runs Penstock the right');
    expect(start(join(empty, 'penstock.db')).stderr).toContain('"code":"database_forbidden"');
  });
});

test('a data folder that is a file ends the start with the setting to change', () => {
  const folder = temporaryFolder('data');
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const { status, stderr } = spawnSync(process.execPath, [program, 'api'], {
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      PENSTOCK_DATABASE_URL: `file:${join(folder, 'a.db')}`,
      PENSTOCK_DATA_DIR: file,
    },
  });
  expect(status).toBe(1);
  expect(stderr).toContain(`${file} is not a usable folder (EEXIST); set PENSTOCK_DATA_DIR`);
});
