import { expect, test } from 'vitest';
import type { TaskCounts } from '../../jobs/stats.ts';
import { awaitedMs, digestOf, entryOf, type OverviewTask } from './entries.ts';

const second = 1_000_000;
/** A whole number of steps of four seconds. */
const now = 1_790_000_000_000_000;
const job = {
  ...{ id: 'job_1', stateSince: 7n, startTime: 10n, stop: 'none', failureCode: null },
  ...{ failureMessage: null, deadLetters: 3 },
};
const operator = { id: 'x', node: 0 };
const place = { index: 0, source: operator, transform: null, sink: operator, window: 1000 };
const pipeline = { id: 'pl_1', name: 'p', labels: {} };

const rate = (messages: number): number[] => [messages, messages * 10, 0, 0, messages / 2, 0, 0];
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

const taskWith = (counts: Partial<TaskCounts>, more: Partial<OverviewTask> = {}): OverviewTask => {
  const all = {
    ...{ at: now, totals: { bad: 0 }, in_flight: 0, reconnects: 0, last_error: null, latency: null },
    ...{ samples: [], waiting_since: null, ...counts },
  };
  const digest = digestOf(20n, JSON.stringify(all));
  return { worker: 'w1', state: 'running', stateSince: 5n, place, digest, ...more };
};
const entry = (tasks: OverviewTask[], { at = now, state = 'Running' as const, busy = tasks.length } = {}) =>
  entryOf(pipeline, job, state, tasks, {
    now: at,
    awaitedMs: awaitedMs(busy),
    nameOf: (worker) => ({ w1: 'north', w2: 'south' })[worker],
  });

test('shows the newest rates of all tasks, and a small chart', () => {
  const samples = [...times(60, rate(0)), ...times(60, rate(100))];
  const shown = entry([
    taskWith({ samples, in_flight: 2, reconnects: 1, latency: { p50: 1, p95: 2, p99: 3 } }),
    taskWith({ samples, in_flight: 3, at: now - 1.2 * second }, { worker: 'w2' }),
  ]);
  expect(shown).toMatchObject({
    ...{ messages_in_per_second: 200, messages_out_per_second: 100, bytes_in_per_second: 2000 },
    ...{ in_flight: 5, in_flight_max: 2000, tasks: 2, workers: ['north', 'south'], reconnects: 1 },
    ...{ latency_p99_ms: 3, lag_ms: null, watermark_lag_ms: null, dead_letters: 3, last_error: null },
  });
  expect(shown.rates).toHaveLength(30);
  expect(shown.rates.at(-1)).toBe(200);
  expect(shown.rates[0]).toBe(0);
  expect(shown.rates.filter((value) => value === 200).length).toBeGreaterThanOrEqual(14);
});

test('falls to zero when the statistics stay away', () => {
  const tasks = [taskWith({ samples: times(120, rate(100)) })];
  const after = (seconds: number) => entry(tasks, { at: now + seconds * second });
  expect(after(4)).toMatchObject({ messages_in_per_second: 100 });
  expect(after(60)).toMatchObject({ messages_in_per_second: 0, bytes_in_per_second: 0 });
  expect(after(63).rates).toEqual([...times(15, 100), ...times(15, 0)]);
  expect(after(130).rates).toEqual(times(30, 0));
  // Many busy tasks take turns in being written.
  expect(entry(tasks, { at: now + 8 * second }).messages_in_per_second).toBe(0);
  expect(entry(tasks, { at: now + 8 * second, busy: 1000 }).messages_in_per_second).toBe(100);
});

test('falls to zero at once after a quiet second', () => {
  const tasks = [taskWith({ samples: [...times(119, rate(100)), rate(0)] })];
  expect(entry(tasks, { at: now + 5 * second }).messages_in_per_second).toBe(40);
  expect(entry(tasks, { at: now + 9 * second }).messages_in_per_second).toBe(0);
});

test('tells the age of what waits', () => {
  const busy = taskWith({ samples: [rate(100)], waiting_since: now - 2000 });
  // Its statistics are two seconds old, and what waited then is long acknowledged.
  expect(entry([busy], { at: now + 2 * second }).lag_ms).toBe(2);
  const stuck = taskWith({ samples: [rate(0)], waiting_since: now - 2000 });
  expect(entry([busy, stuck], { at: now + 60 * second }).lag_ms).toBe(60_002);
  const waiting = { ...stuck, digest: undefined, state: 'waiting', stateSince: BigInt(now - 1000) };
  expect(entry([waiting]).lag_ms).toBe(1);
});

test('shows nothing of former runs', () => {
  const old = taskWith({ samples: [rate(100)], reconnects: 4 });
  if (old.digest) old.digest.updatedAt = 9n;
  expect(entry([old])).toMatchObject({ tasks: 1, reconnects: 0, messages_in_per_second: 0 });
  expect(entry([{ ...old, state: 'finished' }])).toMatchObject({ tasks: 0 });
  const resting = entryOf(pipeline, { ...job, failureCode: 'bad_data' }, 'Failed', [taskWith({})], {
    ...{ now, awaitedMs: 5000, nameOf: () => undefined },
  });
  expect(resting).toMatchObject({
    ...{ tasks: 0, workers: [], in_flight_max: 0, lag_ms: null },
    failure: { code: 'bad_data', message: '' },
  });
});

test('tells the highest values and the newest error', () => {
  const error = (at: number) => ({ code: 'bad_data', message: String(at), at });
  const windows = (watermarkLagMs: number | null) =>
    ({ windows: { watermarkLagMs } }) as unknown as Partial<TaskCounts>;
  const shown = entry([
    taskWith({ last_error: error(2), ...windows(5) }),
    taskWith({ last_error: error(9), ...windows(null) }),
    taskWith({ last_error: error(4), ...windows(70) }),
  ]);
  expect(shown).toMatchObject({ last_error: error(9), watermark_lag_ms: 70 });
});
