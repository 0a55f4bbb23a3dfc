import { expect, test } from 'vitest';
import { type Step, stepMicros } from '../../jobs/series.ts';
import { counted } from '../../jobs/stats.ts';
import { seriesOf, type TaskWithStats } from './stays.ts';

const second = 1_000_000;
const minute = 60 * second;
/** The start of a minute. */
const start = 1_790_000_040 * second;
const first = start / stepMicros;

const step = (number: number, messages: number, inFlight = 0, ...state: number[]): Step =>
  [...[first + number, messages, 0, 0, 0, messages, 0, 0, 1, inFlight, 1, 2, 3], ...state] as unknown as Step;

interface RowOptions {
  at?: number;
  worker?: string;
  since?: number;
  index?: number;
  end?: number;
}
const row = (steps: Step[], { at = 0, worker = 'a', since = start, index = 0, end }: RowOptions = {}) => ({
  ...{ jobId: 'j', sourceId: 's', sinkId: 'k', taskIndex: index, worker, since: BigInt(since) },
  ...{ minute: BigInt(start + at * minute), steps: JSON.stringify({ steps, ...(end ? { end } : {}) }) },
});

const running = (
  steps: Step[],
  { at = start, since = start, worker = 'a', alive = 'a', busy = false, inFlight = 0 },
): TaskWithStats => ({
  ...{ state: 'running', worker: alive },
  place: { index: 0, source: { id: 's', node: 0 }, transform: null, sink: { id: 'k', node: 1 }, window: 1 },
  stats: {
    ...({
      at,
      in_flight: inFlight,
      samples: [counted.map(() => (busy ? 1 : 0))],
    } as never as TaskWithStats['stats']),
    series: { since, worker, steps },
  },
});

/** The first two minutes, or from the middle of the first on. */
const shown = (rows: ReturnType<typeof row>[], tasks: TaskWithStats[], since = start) =>
  seriesOf(rows, tasks, { since, now: start + 2 * minute + 3 * second });
const nulls = (count: number) => Array.from({ length: count }, () => null);
const zeros = (count: number) => Array.from({ length: count }, () => 0);

test('shows a quiet step as 0, and one of which nothing is known as null', () => {
  const { tasks, totals, ...axis } = shown(
    [row([step(1, 5), step(3, 7)], { since: start + 5 * second })],
    [],
  );
  expect(axis).toEqual({ start, step_micros: stepMicros, length: 12 });
  expect(tasks).toHaveLength(1);
  expect(tasks[0]).toMatchObject({
    ...{ index: 0, source_operator_id: 's', sink_operator_id: 'k', worker: 'a' },
    series: {
      messages_in: [0, 5, 0, 7, 0, 0, ...nulls(6)],
      latency_p99_ms: [null, 3, null, 3, ...nulls(8)],
      reconnects: [0, 1, 0, 1, 0, 0, ...nulls(6)],
      watermark_lag_ms: nulls(12),
    },
  });
  expect(totals).toEqual(tasks[0]?.series);
  const later = shown([row([step(1, 5)], { since: start + 20 * second })], []);
  expect(later.totals.messages_in).toEqual([null, 5, 0, 0, 0, 0, ...nulls(6)]);
});

test('goes on with the statistics of a task that runs', () => {
  const rows = [row([step(1, 5)])];
  const quiet = shown(rows, [running([step(1, 4), step(7, 9)], { at: start + 75 * second })]);
  expect(quiet.totals.messages_in).toEqual([0, 5, ...zeros(5), 9, ...zeros(4)]);
  // Its next statistics are on their way.
  const busy = shown(rows, [running([step(7, 9)], { at: start + 100.4 * second, busy: true })]);
  expect(busy.totals.messages_in).toEqual([0, 5, ...zeros(5), 9, 0, 0, ...nulls(2)]);
  const stuck = shown(rows, [running([step(7, 9, 2)], { at: start + 75 * second, inFlight: 2 })]);
  expect(stuck.totals.in_flight).toEqual([...zeros(7), 2, 2, 2, 2, 2]);
});

test('ends with the last that a dead worker has told', () => {
  const options = { at: start + 75 * second, alive: '' };
  const dead = shown([row([step(1, 5)])], [running([step(6, 9)], options)]);
  expect(dead.totals.messages_in).toEqual([0, 5, 0, 0, 0, 0, 9, ...nulls(5)]);
});

test('shows a task once for each worker that had it', () => {
  const moved = [
    row([step(1, 5), step(2, 6)], { end: start + 25 * second }),
    row([step(2, 7)], { worker: 'b', since: start + 24 * second }),
    // It came back.
    row([step(7, 8)], { at: 1, since: start + 70 * second, end: start + 85 * second }),
    row([step(2, 1)], { index: 1, since: start }),
  ];
  const { tasks, totals } = shown(moved, []);
  expect(tasks.map(({ index, worker, series }) => [index, worker, series.messages_in])).toEqual([
    [0, 'a', [0, 5, 6, null, null, null, null, 8, 0, ...nulls(3)]],
    [0, 'b', [null, null, 7, 0, 0, 0, ...nulls(6)]],
    [1, 'a', [0, 0, 1, 0, 0, 0, ...nulls(6)]],
  ]);
  expect(totals.messages_in).toEqual([0, 5, 14, 0, 0, 0, null, 8, 0, ...nulls(3)]);
  expect(totals.latency_p99_ms?.[2]).toBe(3);
  expect(shown(moved, [], start + 90 * second).tasks).toEqual([]);
});

test('takes windows to stay open while nothing comes', () => {
  const rows = [row([step(1, 5, 0, 50, 2, 100), step(2, 5, 0, 60, 3, 200)])];
  const { totals } = shown(rows, [running([], { at: start + 60 * second })], start + 30 * second);
  expect(totals.open_windows).toEqual(Array.from({ length: 9 }, () => 3));
  expect(totals.state_bytes).toEqual(Array.from({ length: 9 }, () => 200));
  expect(totals.watermark_lag_ms).toEqual(nulls(9));
});

test('leaves out a task of which nothing is known in this time', () => {
  const rows = [row([step(-60, 5)], { at: -10, since: start - 10 * minute })];
  expect(shown(rows, [])).toMatchObject({ tasks: [], totals: { messages_in: nulls(12) } });
  expect(shown(rows, [], start + 10 * minute)).toMatchObject({ length: 0, totals: { messages_in: [] } });
});
