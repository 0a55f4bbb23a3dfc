import { expect, onTestFinished, test, vi } from 'vitest';
import { until } from '../../../../test/support/until.ts';
import { HeldBack } from './held-back.ts';

/** Messages that are held back, with what was sent, warned and given up. */
function holding(longestMs = 60_000) {
  const [sent, refused]: [string[], string[]] = [[], []];
  const seen = { warnings: 0 };
  const over = new AbortController();
  const held = new HeldBack<string>({
    longestMs,
    signal: over.signal,
    warn: () => void seen.warnings++,
    canSend: () => true,
    send: (message) => void sent.push(message),
    giveUp: (all) => void refused.push(...all),
    failed: (error) => {
      throw error;
    },
  });
  return { held, sent, refused, seen, over };
}

test('the first message is sent again, and keeps its place when it comes back once more', async () => {
  const { held, sent, over } = holding();
  for (const message of ['a', 'b', 'c']) held.add(message);
  await until('one is sent', () => sent.length > 0);
  held.add('a');
  expect(sent).toEqual(['a']);
  expect(held.release()).toEqual(['a', 'b', 'c']);
  expect(held.isWaiting).toBe(false);
  over.abort();
});

test('messages in flight are behind those that have come back, but for the one that is sent again', async () => {
  const { held, sent, over } = holding();
  held.add('a');
  expect(held.release(['b'])).toEqual(['a', 'b']);
  held.add('a');
  held.add('b');
  await until('one is sent', () => sent.length > 0);
  expect(held.release(['a'])).toEqual(['a', 'b']);
  over.abort();
});

test('a wait that is over sends nothing, though another one has begun', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { held, sent, seen, over } = holding();
  held.add('a');
  held.release();
  held.add('b');
  await vi.advanceTimersByTimeAsync(300);
  // Each wait has warned before its first pause, and the second one before its next.
  expect([sent, seen.warnings]).toEqual([['b'], 3]);
  over.abort();
});

test('all are given up when it takes too long', async () => {
  const { held, sent, refused } = holding(0);
  held.add('a');
  held.add('b');
  await until('they are given up', () => refused.length > 0);
  expect([refused, sent, held.isWaiting]).toEqual([['a', 'b'], [], false]);
});
