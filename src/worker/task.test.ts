import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SilenceWatch } from './task.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

function watch(): { silence: SilenceWatch; changes: boolean[] } {
  const changes: boolean[] = [];
  const silence = new SilenceWatch(1000, (silent) => changes.push(silent));
  silence.start();
  return { silence, changes };
}

test('reports silence once, and its end with the next batch', () => {
  const { silence, changes } = watch();
  vi.advanceTimersByTime(999);
  expect(changes).toEqual([]);
  vi.advanceTimersByTime(5000);
  expect(changes).toEqual([true]);
  silence.heard();
  expect(changes).toEqual([true, false]);
  vi.advanceTimersByTime(2000);
  expect(changes).toEqual([true, false, true]);
});

test('counts from the last batch, and not while messages are on their way to the sink', () => {
  const { silence, changes } = watch();
  vi.advanceTimersByTime(900);
  silence.heard();
  silence.busy(true);
  vi.advanceTimersByTime(10_000);
  silence.busy(false);
  vi.advanceTimersByTime(900);
  expect(changes).toEqual([]);
  vi.advanceTimersByTime(1100);
  expect(changes).toEqual([true]);
});

test('silence ends with the task', () => {
  const { silence, changes } = watch();
  vi.advanceTimersByTime(1000);
  silence.stop();
  vi.advanceTimersByTime(10_000);
  expect(changes).toEqual([true, false]);
});
