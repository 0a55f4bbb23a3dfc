import { beforeAll, describe, expect, test } from 'vitest';
import { write } from '../../src/api/write.ts';
import { databases, type TestStore } from '../support/databases.ts';

const [, postgresql] = databases;

describe('a write on postgresql', () => {
  let store: TestStore;
  beforeAll(async () => {
    store = await postgresql.open();
    const profile = { connector: 'mqtt', config: '{}', createdAt: 1n, updatedAt: 1n };
    for (const id of ['one', 'two'])
      await store.db.connectionProfile.create({ data: { ...profile, id, name: id } });
  });

  test('is retried after a deadlock', async () => {
    const { db } = store;
    const locked = { one: Promise.withResolvers<void>(), two: Promise.withResolvers<void>() };
    let attempts = 0;
    const locking = (first: 'one' | 'two', second: 'one' | 'two') =>
      write(db, false, async () => async (tx) => {
        attempts += 1;
        const lock = (id: string) =>
          tx.connectionProfile.updateMany({ where: { id }, data: { version: { increment: 1 } } });
        await lock(first);
        locked[first].resolve();
        await locked[second].promise;
        await lock(second);
        return first;
      });
    expect(await Promise.all([locking('one', 'two'), locking('two', 'one')])).toEqual(['one', 'two']);
    expect(attempts).toBe(3);
    const rows = await db.connectionProfile.findMany();
    expect(rows.map(({ version }) => version)).toEqual([3, 3]);
  });
});
