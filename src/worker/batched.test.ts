import { expect, test } from 'vitest';
import { PenstockError } from '../errors.ts';
import { alike, batched } from './batched.ts';

test('what is asked for together is done together, and the rest while it was busy in the next call', async () => {
  const calls: (readonly number[])[] = [];
  const first = Promise.withResolvers<void>();
  const double = batched(async (keys: readonly number[]) => {
    calls.push(keys);
    if (calls.length === 1) await first.promise;
    return (key) => 2 * key;
  });
  const early = [double(1), double(2)];
  await expect.poll(() => calls.length).toBe(1);
  const late = [double(3), double(4)];
  first.resolve();
  expect(await Promise.all([...early, ...late])).toEqual([2, 4, 6, 8]);
  expect(calls).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test('a failure of one does not concern the others, and one of the database concerns all', async () => {
  let calls = 0;
  let error: Error = new PenstockError('not_found', 'gone');
  const work = batched(async (keys: readonly number[]) => {
    calls++;
    if (keys.includes(2)) throw error;
    return (key) => key;
  });
  const outcomes = async () =>
    (await Promise.allSettled([work(1), work(2), work(3)])).map(({ status }) => status);
  expect(await outcomes()).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(calls).toBe(4);
  error = new PenstockError('database_unavailable', 'away');
  expect(await outcomes()).toEqual(['rejected', 'rejected', 'rejected']);
  expect(calls).toBe(5);
});

test('changes that are alike are one write for each epoch', () => {
  const change = (id: string, epoch: number, state: string, at: bigint) => ({
    id,
    epoch,
    data: { state, at },
  });
  const changes = [
    change('a', 1, 'running', 1n),
    change('b', 1, 'running', 2n),
    change('c', 2, 'running', 3n),
    change('d', 1, 'ended', 4n),
  ];
  expect(alike(changes, ['at'])).toEqual([
    { rows: { epoch: 1, id: { in: ['a', 'b'] } }, data: { state: 'running', at: 2n } },
    { rows: { epoch: 2, id: { in: ['c'] } }, data: { state: 'running', at: 3n } },
    { rows: { epoch: 1, id: { in: ['d'] } }, data: { state: 'ended', at: 4n } },
  ]);
});
