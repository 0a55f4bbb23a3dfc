import { expect, test } from 'vitest';
import { stepAt, stepMicros } from '../jobs/series.ts';
import { counted } from '../jobs/stats.ts';
import { StepRecorder } from './series.ts';

const second = 1_000_000;
const minute = 60 * second;
/** The start of a minute. */
const start = 1_790_000_040 * second;
const first = start / stepMicros;

const countsOf = (messages: number) => ({
  ...Object.fromEntries(counted.map((name) => [name, 0])),
  ...{ messages_in: messages, messages_out: 2 * messages },
});

/** Tells totals at the end of each second, beginning with the first of the minute. */
function recording() {
  const recorder = new StepRecorder();
  const total = { messages: 0, in_flight: 0, reconnects: 0, windows: undefined as object | undefined };
  let at = start;
  const pass = (seconds: number, change: Partial<typeof total> = {}) => {
    Object.assign(total, change);
    for (let nth = 0; nth < seconds; nth++) {
      at += second;
      recorder.add(at, {
        ...{ counts: countsOf(total.messages) as never, in_flight: total.in_flight },
        ...{ reconnects: total.reconnects, windows: total.windows as never },
        latency: () => (total.messages === 0 ? null : { p50: 1, p95: 2, p99: 3 }),
      });
    }
  };
  return { recorder, pass };
}

/** A step with its messages. */
const step = (
  number: number,
  messages: number,
  { reconnects = 0, inFlight = 0, more = [] as number[] } = {},
) => [
  ...[first + number, messages, 0, 0, 0, 2 * messages, 0, 0, reconnects, inFlight],
  ...[1, 2, 3, ...more],
];

test('adds up what happens in each step, and leaves out quiet ones', () => {
  const { recorder, pass } = recording();
  pass(4, { messages: 5 });
  pass(6, { messages: 12, in_flight: 3 });
  pass(10, { in_flight: 0 });
  pass(1, { messages: 13, reconnects: 2 });
  expect(recorder.unwritten).toEqual([step(0, 12, { inFlight: 3 }), step(2, 1, { reconnects: 2 })]);
  // A message that stays in flight is something to tell.
  pass(19, { in_flight: 1 });
  expect(recorder.unwritten.slice(1)).toEqual([
    step(2, 1, { reconnects: 2, inFlight: 1 }),
    step(3, 0, { inFlight: 1 }),
  ]);
});

test('tells what a state has at the end of a step', () => {
  const { recorder, pass } = recording();
  pass(5, { messages: 1, windows: { watermarkLagMs: 10, openWindows: 1, stateBytes: 100 } });
  pass(5, { windows: { watermarkLagMs: 20, openWindows: 2, stateBytes: 200 } });
  expect(recorder.unwritten).toEqual([step(0, 1, { more: [20, 2, 200] })]);
});

test('gives each minute once it is over, until it is written', () => {
  const { recorder, pass } = recording();
  pass(60, { messages: 1 });
  pass(60);
  pass(1, { messages: 3 });
  expect(recorder.due(start + minute - 1)).toEqual([]);
  const due = recorder.due(start + minute);
  expect(due).toEqual([{ minute: start, stored: { steps: [step(0, 1)] } }]);
  expect(recorder.due(start + 2 * minute)).toEqual(due);
  for (const row of due) recorder.written(row);
  // The second minute was quiet, and the third one is not over.
  expect(recorder.due(start + 2.5 * minute)).toEqual([]);
  expect(recorder.unwritten).toEqual([step(12, 2)]);
});

test('keeps a number of minutes that cannot be written', () => {
  const { recorder, pass } = recording();
  for (let messages = 1; messages <= 120; messages++) pass(10, { messages });
  expect(recorder.due(start + 20 * minute).length).toBeLessThanOrEqual(16);
  expect(recorder.due(start + 20 * minute).at(-1)?.minute).toBe(start + 19 * minute);
  expect(recorder.unwritten.length).toBeLessThanOrEqual(18);
});

test('tells when the task ended, and is over once that is written', () => {
  const { recorder, pass } = recording();
  pass(61, { messages: 1 });
  recorder.end();
  const due = recorder.due(0);
  const end = due.at(-1)?.stored.end as number;
  expect(due).toEqual([
    { minute: start, stored: { steps: [step(0, 1)] } },
    { minute: Math.floor(stepAt(end) / 6) * minute, stored: { steps: [], end } },
  ]);
  const [one, last] = due as [(typeof due)[number], (typeof due)[number]];
  recorder.written(last);
  expect(recorder.over).toBe(false);
  expect(recorder.due(minute * 1e9)).toEqual([one]);
  recorder.written(one);
  expect(recorder.over).toBe(true);
});
