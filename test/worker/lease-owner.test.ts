import { describe, expect, test } from 'vitest';
import { backoffMs, delay } from '../../src/runtime/delay.ts';
import { isOwnerAlive, ownerName } from '../../src/worker/leases.ts';

describe('the owner of a lease', () => {
  const me = { host: 'a', pid: 10, nonce: 'n1' };
  const gone = (): void => {
    throw Object.assign(new Error('no such process'), { code: 'ESRCH' });
  };
  const forbidden = (): void => {
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
  };
  const there = (): void => {};

  test.each([
    ['a process that is gone from this host', { host: 'a', pid: 11, nonce: 'x' }, gone, false],
    ['a process that is on this host', { host: 'a', pid: 11, nonce: 'x' }, there, true],
    ["another user's process", { host: 'a', pid: 11, nonce: 'x' }, forbidden, true],
    ['a process of another host, which cannot be known', { host: 'b', pid: 11, nonce: 'x' }, gone, true],
    ['an earlier process with our id', { host: 'a', pid: 10, nonce: 'n0' }, there, false],
    ['ourselves', me, gone, true],
  ])('is judged correctly: %s', (_name, owner, probe, alive) => {
    expect(isOwnerAlive(ownerName(owner), me, probe)).toBe(alive);
  });
});

describe('back-off', () => {
  test('doubles up to its cap, with full jitter', () => {
    expect([0, 1, 2, 10, 1000].map((attempt) => backoffMs(attempt, () => 0.999_999))).toEqual([
      499, 999, 1999, 29_999, 29_999,
    ]);
    expect(backoffMs(5, () => 0)).toBe(0);
  });

  test('ends at once when it is cancelled', async () => {
    const cancel = new AbortController();
    const waiting = delay(60_000, cancel.signal);
    cancel.abort(new Error('stop'));
    await expect(waiting).rejects.toThrow('stop');
    await expect(delay(60_000, cancel.signal)).rejects.toThrow('stop');
  });
});
