import { expect, test } from 'vitest';
import { nowMicros } from '../../src/store/clock.ts';
import { closeDb, openDb } from '../../src/store/db.ts';
import { applyMigrations } from '../../src/store/migrations.ts';
import { databases, execute } from '../support/databases.ts';
import { startService } from '../support/service.ts';

const [sqlite, postgresql] = databases;
const hour = 3_600_000_000;
const ahead = (): number => (Number(nowMicros()) - Date.now() * 1000) / hour;

test('is that of the server, for what several processes compare and sort', async () => {
  const { url } = await postgresql.create();
  // A server whose clock is two hours ahead: its own function is found before that of pg_catalog.
  await execute(url, 'CREATE SCHEMA later');
  await execute(
    url,
    `CREATE FUNCTION later.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
       AS $$ SELECT pg_catalog.clock_timestamp() + interval '2 hours' $$`,
  );
  const there = `${url}?options=-csearch_path%3Dlater%2Cpg_catalog`;
  await applyMigrations(there);
  const db = await openDb(there);
  expect(ahead()).toBeCloseTo(2, 1);
  const { request } = await startService({
    open: async () => ({ url: there, db, close: () => closeDb(db) }),
  });
  const body = { name: 'a', connector: 'mqtt', config: { url: 'mqtt://127.0.0.1:1' } };
  await request.post('/api/v1/connection_profiles').send(body).expect(200);
  const { createdAt } = await db.connectionProfile.findFirstOrThrow();
  expect((Number(createdAt) - Date.now() * 1000) / hour).toBeCloseTo(2, 1);
});

test('is later with every call, also after a small step back, and returns to that of the machine for a file', async () => {
  const { db, close } = await sqlite.open();
  expect(ahead()).toBeCloseTo(0, 1);
  const times = Array.from({ length: 1000 }, () => nowMicros());
  expect(times).toEqual([...new Set(times)].sort((a, b) => Number(a - b)));
  expect(await db.job.count()).toBe(0);
  await close();
});
