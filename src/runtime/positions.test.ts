import { describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { PenstockError } from '../errors.ts';
import type { PositionStore } from './operations.ts';
import { Positions } from './positions.ts';

function recording(last?: string) {
  const stored: string[] = [];
  const failures: Error[] = [];
  const store: PositionStore = {
    last: async () => last,
    async store(position) {
      const failure = failures.shift();
      if (failure) throw failure;
      stored.push(position);
    },
  };
  return { stored, failures, store };
}

describe('the positions of a source', () => {
  test('begin after the last one that was stored', async () => {
    expect((await Positions.open(recording('{"line":7}').store, () => {})).stored).toEqual({ line: 7 });
    expect((await Positions.open(recording().store, () => {})).stored).toBeUndefined();
  });

  test('are stored when the source closes, the last one only', async () => {
    const { stored, store } = recording();
    const positions = await Positions.open(store, () => {});
    for (let line = 1; line <= 3; line++) positions.commit({ line });
    await positions.close();
    await positions.close();
    expect(stored).toEqual(['{"line":3}']);
  });

  test('are stored while the source runs', async () => {
    const { stored, store } = recording();
    const positions = await Positions.open(store, () => {});
    positions.commit(1);
    await until('the position to be stored', () => stored.length === 1);
    positions.commit(2);
    await until('the next position to be stored', () => stored.length === 2);
    await positions.close();
    expect(stored).toEqual(['1', '2']);
  });

  test('survive an outage of the database, and a newer one wins', async () => {
    const { stored, failures, store } = recording();
    failures.push(new PenstockError('database_unavailable', 'away'));
    const warned: string[] = [];
    const positions = await Positions.open(store, ({ code }) => warned.push(code));
    positions.commit(1);
    await until('the failure', () => warned.length === 1);
    positions.commit(2);
    await positions.close();
    expect(stored).toEqual(['2']);
    expect(warned).toEqual(['database_unavailable']);
  });

  test('that are too large are refused', async () => {
    const positions = await Positions.open(recording().store, () => {});
    expect(() => positions.commit('x'.repeat(70_000))).toThrow('70002 characters');
  });
});
