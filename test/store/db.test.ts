import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PenstockError } from '../../src/errors.ts';
import { closeDb, databaseFailure, openDb } from '../../src/store/db.ts';
import { applyMigrations } from '../../src/store/migrations.ts';
import { openSqlite, SqliteAdapter } from '../../src/store/sqlite.ts';
import { databases, execute, type TestStore } from '../support/databases.ts';
import { startPostgres } from '../support/postgres.ts';
import { runTogether } from './processes.ts';

// The latest supported time is in the year 2255: 2^53 microseconds.
const now = 9_007_199_254_740_991n;
const times = { createdAt: now, updatedAt: now };
const profile = (id: string, name = id) => ({ id, name, connector: 'mqtt', config: '{}', ...times });
const table = (id: string, connectionProfileId: string) => ({
  ...profile(id),
  connectionProfileId,
  tableType: 'source',
});
const session = (id: string) => ({
  ...{ id, connector: 'mqtt', profile: '{}', tables: '[]', jobId: 'job_1', operatorId: 'op' },
  ...{ taskIndex: 0, stateSince: now },
});

/** Enough for a busy machine. */
const inTimeMs = 60_000;

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'it worked',
    (error) => error,
  );

describe.each(databases)('the store on $provider', ({ provider, open }) => {
  let store: TestStore;

  beforeEach(async () => {
    store = await open();
  });

  afterEach(async () => {
    await store.close();
  });

  test('keeps microseconds exactly', async () => {
    await store.db.connectionProfile.create({ data: profile('cp_1') });
    const found = await store.db.connectionProfile.findMany({ where: { createdAt: { gte: now } } });
    expect(found).toEqual([{ ...profile('cp_1'), version: 1, labels: '{}' }]);
  });

  test('reports that a name is taken, when creating and when renaming', async () => {
    await store.db.connectionProfile.createMany({ data: [profile('cp_1', 'one'), profile('cp_2', 'two')] });
    const taken = {
      code: 'name_taken',
      message: 'Another connection profile has this name',
      errors: [{ path: '/name', message: 'is already in use' }],
    };
    const { db } = store;
    expect(await failure(db.connectionProfile.create({ data: profile('cp_3', 'one') }))).toMatchObject(taken);
    const renamed = db.connectionProfile.update({ where: { id: 'cp_1' }, data: { name: 'two' } });
    expect(await failure(renamed)).toMatchObject(taken);
  });

  test('does not report another unique violation as a taken name', async () => {
    await store.db.connectionProfile.create({ data: profile('cp_1', 'one') });
    const error = await failure(store.db.connectionProfile.create({ data: profile('cp_1', 'two') }));
    expect(error).toMatchObject({ code: 'internal', cause: { code: 'P2002' } });
  });

  test('reports that an object is in use', async () => {
    await store.db.connectionProfile.create({ data: profile('cp_1') });
    await store.db.connectionTable.create({ data: table('ct_1', 'cp_1') });
    const error = await failure(store.db.connectionProfile.delete({ where: { id: 'cp_1' } }));
    expect(error).toMatchObject({ code: 'connection_profile_in_use' });
    const many = await failure(store.db.connectionProfile.deleteMany());
    expect(many).toMatchObject({ code: 'connection_profile_in_use' });
  });

  test('reports that a referenced object does not exist', async () => {
    const error = await failure(store.db.connectionTable.create({ data: table('ct_1', 'cp_1') }));
    expect(error).toMatchObject({ code: 'not_found' });
  });

  test('reports that an object does not exist', async () => {
    const missing = { code: 'not_found', message: 'The pipeline does not exist' };
    const where = { id: 'pl_1' };
    expect(await failure(store.db.pipeline.findUniqueOrThrow({ where }))).toMatchObject(missing);
    expect(await failure(store.db.pipeline.update({ where, data: { name: 'x' } }))).toMatchObject(missing);
    expect(await failure(store.db.pipeline.delete({ where }))).toMatchObject(missing);
  });

  test('reveals no message of the database', async () => {
    const error = await failure(store.db.$queryRawUnsafe('SELECT secret FROM nowhere'));
    expect(error).toBeInstanceOf(PenstockError);
    expect(error).toMatchObject({ code: 'internal', message: 'The database refused an operation' });
    const wrong = { data: { nonsense: 1 } } as unknown as Parameters<typeof store.db.sourceSession.create>[0];
    expect(await failure(store.db.sourceSession.create(wrong))).toMatchObject({ code: 'internal' });
  });

  test('translates inside transactions too, of both kinds', async () => {
    const { db } = store;
    const missing = { where: { id: 'cp_9' } };
    const inside = db.$transaction(async (tx) => failure(tx.connectionProfile.delete(missing)));
    expect(await inside).toMatchObject({ code: 'not_found' });
    const through = db.$transaction((tx) => tx.connectionProfile.delete(missing));
    expect(await failure(through)).toMatchObject({ code: 'not_found' });
    expect(await failure(db.$transaction([db.connectionProfile.delete(missing)]))).toMatchObject({
      code: 'not_found',
    });
  });

  test('passes other errors through a transaction unchanged', async () => {
    const mine = new Error('mine');
    const thrown = store.db.$transaction(async () => {
      throw mine;
    });
    expect(await failure(thrown)).toBe(mine);
  });

  test('commits all of a transaction or nothing', async () => {
    const { db } = store;
    const create = (id: string) => db.connectionProfile.create({ data: profile(id, id) });
    await failure(db.$transaction([create('cp_1'), create('cp_1')]));
    await failure(
      db.$transaction(async (tx) => {
        await tx.connectionProfile.create({ data: profile('cp_2') });
        throw new Error('no');
      }),
    );
    expect(await db.connectionProfile.count()).toBe(0);
    await db.$transaction([create('cp_1'), create('cp_2')]);
    expect(await db.connectionProfile.count()).toBe(2);
  });

  test('commits nothing of a transaction in which a failure was ignored', async () => {
    const { db } = store;
    await failure(
      db.$transaction(async (tx) => {
        await tx.connectionProfile.create({ data: profile('cp_1', 'one') });
        await failure(tx.connectionProfile.create({ data: profile('cp_2', 'one') }));
        await failure(tx.connectionProfile.create({ data: profile('cp_3', 'three') }));
      }),
    );
    expect(await db.connectionProfile.count()).toBe(0);
  });

  test('runs many transactions at once', async () => {
    const { db } = store;
    await db.sourceSession.create({ data: session('counter') });
    const work = Array.from({ length: 30 }, (_, index) =>
      db.$transaction(async (tx) => {
        await tx.sourceSession.create({ data: session(`${index}`) });
        await tx.sourceSession.update({ where: { id: 'counter' }, data: { attempts: { increment: 1 } } });
      }),
    );
    await Promise.all(work);
    expect(await db.sourceSession.findUnique({ where: { id: 'counter' } })).toMatchObject({ attempts: 30 });
    expect(await db.sourceSession.count()).toBe(31);
  });

  test('continues after a transaction that took too long', async () => {
    const { db } = store;
    const late = db.$transaction(
      async (tx) => {
        await tx.sourceSession.create({ data: session('late') });
        // SQLite responds without a turn of the event loop, which the transaction's timer needs.
        for (;;) await tx.sourceSession.count().finally(() => nextTurn());
      },
      { timeout: 50 },
    );
    expect(await failure(late)).toMatchObject({ code: 'database_unavailable', passing: true });
    expect(await db.sourceSession.count()).toBe(0);
    await db.$transaction((tx) => tx.sourceSession.create({ data: session('next') }));
    expect(await db.sourceSession.count()).toBe(1);
  });

  test('is healthy while it responds in time', async () => {
    const { db } = store;
    expect(await databaseFailure(db, inTimeMs)).toBeUndefined();
    await db.$transaction(async (tx) => {
      if (provider === 'postgresql') await tx.$executeRawUnsafe('LOCK TABLE "Job"');
      expect(await databaseFailure(db, 50)).toMatchObject({ code: 'database_unavailable' });
    });
    expect(await databaseFailure(db, inTimeMs)).toBeUndefined();
  });
});

describe('the file of sqlite', () => {
  const [sqlite] = databases;
  let store: TestStore;

  beforeEach(async () => {
    store = await sqlite.open();
  });

  afterEach(async () => {
    await store.close();
  });

  const pragmas = async (): Promise<unknown[]> => {
    const names = ['journal_mode', 'synchronous', 'foreign_keys', 'busy_timeout'];
    const answers = names.map((name) =>
      store.db.$queryRawUnsafe<Record<string, unknown>[]>(`PRAGMA ${name}`),
    );
    return (await Promise.all(answers)).map(([row]) => Object.values(row ?? {})[0]);
  };
  const expected = ['wal', 2, 1, 5000];

  test('keeps the settings of its connection, also after transactions', async () => {
    expect(await pragmas()).toEqual(expected);
    await store.db.$transaction(async (tx) => {
      await tx.sourceSession.create({ data: session('1') });
    });
    await failure(store.db.$transaction(() => Promise.reject(new Error('no'))));
    expect(await pragmas()).toEqual(expected);
    expect(await failure(store.db.connectionTable.create({ data: table('ct_1', 'cp_1') }))).toMatchObject({
      code: 'not_found',
    });
  });

  test('reports that a transaction could not begin in time, and continues', async () => {
    const { db } = store;
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const first = db.$transaction(async () => {
      begun.resolve();
      await end.promise;
    });
    await begun.promise;
    const second = db.$transaction((tx) => tx.sourceSession.create({ data: session('2') }), { maxWait: 50 });
    expect(await failure(second)).toMatchObject({ code: 'database_unavailable' });
    end.resolve();
    await first;
    await db.$transaction((tx) => tx.sourceSession.create({ data: session('3') }));
    expect(await db.sourceSession.count()).toBe(1);
  });

  test('lets several processes write to one file', async () => {
    await store.db.sourceSession.create({ data: session('counter') });
    // Few enough that on a slow disk none waits longer for the others than it may.
    const answers = await runTogether(3, 'count', store.url, '20');
    expect(answers).toEqual([{ answer: '20' }, { answer: '20' }, { answer: '20' }]);
    const counter = await store.db.sourceSession.findUnique({ where: { id: 'counter' } });
    expect(counter).toMatchObject({ attempts: 60 });
  });

  test('waits for another process that writes, then reports it and continues', async () => {
    // Waiting stops the whole process, hence the short timeout.
    const hurry = () => store.db.$queryRawUnsafe('PRAGMA busy_timeout = 1');
    const other = await openDb(store.url);
    await other.$transaction(async (tx) => {
      await tx.sourceSession.create({ data: session('1') });
      const blocked = { code: 'database_unavailable', passing: true };
      await hurry();
      expect(await failure(store.db.sourceSession.create({ data: session('2') }))).toMatchObject(blocked);
      await hurry();
      const inTransaction = store.db.$transaction((own) => own.sourceSession.create({ data: session('2') }));
      expect(await failure(inTransaction)).toMatchObject(blocked);
      expect(await store.db.sourceSession.count()).toBe(0);
    });
    await store.db.sourceSession.create({ data: session('2') });
    expect(await store.db.sourceSession.count()).toBe(2);
    expect(await pragmas()).toEqual(expected);
    await closeDb(other);
  });

  test('creates the folder of its file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'penstock-db-'));
    const url = `file:${folder}/a/b%20c/test.db`;
    await applyMigrations(url);
    await closeDb(await openDb(url));
    expect(existsSync(join(folder, 'a', 'b c', 'test.db'))).toBe(true);
    await rm(folder, { recursive: true });
  });
});

test('a SQLite file is opened although another process has just created it and is using it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-busy-'));
  const url = `file:${join(folder, 'penstock.db')}`;
  const other = openSqlite(url, 0);
  await other.execute('CREATE TABLE t (i INTEGER)');
  await other.execute('BEGIN');
  await other.execute('INSERT INTO t VALUES (1)');
  // By the time this returns, the first attempt has failed.
  const opening = SqliteAdapter.open(url);
  await other.execute('COMMIT');
  const client = (await opening).createClient();
  const { rows } = await client.execute('SELECT i FROM t');
  expect(rows.map(({ i }) => i)).toEqual([1]);
  client.close();
  other.close();
  await rm(folder, { recursive: true });
});

describe('an unavailable database', () => {
  const unavailable = { code: 'database_unavailable', passing: true };

  test.each([
    'mysql://localhost/x',
    'file:',
    'file::memory:',
    'file:a.db?mode=ro',
    'file:a%zz.db',
    'file:a#b.db',
    '',
  ])('refuses the URL "%s"', async (url) => {
    expect(await failure(openDb(url))).toMatchObject({ code: 'invalid_config' });
  });

  test('is reported if the file cannot be opened', async () => {
    expect(await failure(openDb('file:/dev/null/test.db'))).toMatchObject(unavailable);
  });

  test('is reported if nothing listens or the database does not exist', async () => {
    expect(await failure(openDb('postgresql://penstock@127.0.0.1:1/x'))).toMatchObject(unavailable);
    const { url, close } = await databases[1].open();
    expect(await failure(openDb(`${url}_not`))).toMatchObject({
      code: 'database_missing',
      passing: true,
      facts: { said: expect.stringMatching(/^database "test_\w+_not" does not exist$/) },
    });
    await close();
  });

  test('is reported if the server accepts and never responds', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    expect(await failure(openDb(`postgresql://penstock@127.0.0.1:${port}/x`))).toMatchObject(unavailable);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  test('is reported if a connection is cut, and the next call gets another one', async () => {
    const { db, url, close } = await databases[1].open();
    const cut = failure(db.$queryRawUnsafe('SELECT 1 FROM pg_sleep(600)'));
    const inTransaction = failure(
      db.$transaction((tx) => tx.$queryRawUnsafe('SELECT 1 FROM pg_sleep(600)'), { timeout: 60_000 }),
    );
    const sleeping = `FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT 1 FROM pg_sleep%'`;
    await vi.waitFor(async () => expect(await execute(url, `SELECT 1 ${sleeping}`)).toHaveLength(2), 60_000);
    await execute(url, `SELECT pg_terminate_backend(pid) ${sleeping}`);
    expect(await cut).toMatchObject(unavailable);
    expect(await inTransaction).toMatchObject(unavailable);
    expect(await db.sourceSession.count()).toBe(0);
    await close();
  });

  test('is reported if the server stops', async () => {
    const server = await startPostgres();
    const url = server.url('postgres');
    await applyMigrations(url);
    const db = await openDb(url);
    expect(await databaseFailure(db, inTimeMs)).toBeUndefined();
    await server.stop();
    expect(await databaseFailure(db)).toMatchObject(unavailable);
    expect(await failure(db.sourceSession.count())).toMatchObject(unavailable);
    expect(await failure(db.$transaction((tx) => tx.sourceSession.count()))).toMatchObject(unavailable);
    await closeDb(db);
  });
});
