import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectorFor } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import { toPlain } from '../runtime/link.ts';
import type { AttemptHandlers } from '../runtime/operations.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import { JobCounters, TaskCounters } from './counters.ts';
import { isFromSink, SilenceWatch, Task } from './task.ts';
import type { ThreadPool } from './thread-pool.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

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

const away = (): PenstockError => new PenstockError('overloaded', 'refused');

interface Attempt {
  /** Duration of the attempt. */
  ms?: number;
  /** The time that the broker keeps the session, if the attempt connects. */
  keptSecs?: number;
  /** Whether it connects. */
  runs?: boolean;
  /** Its failure. Undefined when the source ends. */
  error?: PenstockError;
  fromSink?: boolean;
  /** Whether the thread is lost instead. */
  lost?: boolean;
}

/** Runs a task whose attempts are these, with the longest back-off that can be drawn, and records each retry. */
function runTask(attempts: Attempt[], { mayConnect = (): boolean => true, hasRun = false } = {}) {
  vi.spyOn(Math, 'random').mockReturnValue(1);
  const retries: number[] = [];
  const errors: PenstockError[] = [];
  let begun = 0;
  const begin = async (_spec: string, handlers: AttemptHandlers) => {
    const attempt = attempts[begun++] as Attempt;
    const { ms = 0, keptSecs, runs = false, error = undefined, fromSink = false, lost } = attempt;
    if (runs) handlers.running();
    if (keptSecs !== undefined) await handlers.sessionOpened({ source: 0, resumed: true, keptSecs } as never);
    const ended = new Promise((resolve) => setTimeout(resolve, ms)).then(() => {
      if (lost) throw error;
      return error && { error: toPlain(error), fromSink };
    });
    return { ended, stop: () => {}, drain: async () => {} };
  };
  const slot = { tasks: 0, begin };
  const connector = connectorFor('impulse');
  const end = { connector, profile: {}, config: {}, operatorId: 'x' };
  const spec = {
    jobId: 'job',
    taskIndex: 0,
    insert: { source: { name: 'i' } },
    source: end,
    others: [],
    sink: end,
  };
  const task = new Task(spec as unknown as TaskSpec, {
    events: {
      running: () => {},
      recovering: (error, retryInMs) => {
        errors.push(error);
        retries.push(retryInMs);
      },
      mayConnect,
      warn: () => {},
    },
    sessions: [{ opening: async () => undefined, opened: async () => {} }],
    positions: [],
    states: {} as never,
    deadLetters: {} as never,
    counters: new TaskCounters(new JobCounters(() => {})),
    threads: { slot: () => slot } as unknown as ThreadPool,
    hasRun,
  });
  const running = task.run();
  running.catch(() => {});
  return { task, running, retries, errors, slot, begun: () => begun };
}

const repeat = (count: number, attempt: Attempt): Attempt[] => Array.from({ length: count }, () => attempt);
const refused = { error: away() };

test('a task waits up to twice as long before each retry, and at most half a minute', async () => {
  const { running, retries, task, slot } = runTask([...repeat(9, refused), {}]);
  await vi.advanceTimersByTimeAsync(200_000);
  await running;
  expect(retries).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  expect(task.sourceEnded).toBe(true);
  expect(slot.tasks).toBe(0);
});

test('a task retries early enough for the session that the broker keeps', async () => {
  const connected = { ...refused, keptSecs: 10 };
  const { running, retries } = runTask([connected, ...repeat(5, refused), { ...refused, keptSecs: 1 }, {}]);
  await vi.advanceTimersByTimeAsync(60_000);
  await running;
  expect(retries).toEqual([1000, 2000, 4000, 5000, 5000, 5000, 500]);
});

test('a task whose session the broker does not keep backs off as usual', async () => {
  const { running, retries } = runTask([{ ...refused, keptSecs: 0 }, ...repeat(3, refused), {}]);
  await vi.advanceTimersByTimeAsync(60_000);
  await running;
  expect(retries).toEqual([1000, 2000, 4000, 8000]);
});

test('the back-off begins again after a minute of health, and not after less', async () => {
  const lasting = (ms: number): Attempt => ({ ...refused, ms });
  const { running, retries } = runTask([
    ...repeat(3, refused),
    lasting(59_000),
    lasting(60_001),
    refused,
    {},
  ]);
  await vi.advanceTimersByTimeAsync(300_000);
  await running;
  expect(retries).toEqual([1000, 2000, 4000, 8000, 500, 1000]);
});

test('a lost thread and a failed sink are retried, any other error ends the task', async () => {
  const lost = new PenstockError({ code: 'thread_lost', passing: true }, 'gone');
  const wrong = new PenstockError('invalid_config', 'wrong');
  const { running, retries, errors } = runTask([
    { lost: true, error: lost },
    { ...refused, fromSink: true },
    { error: wrong },
  ]);
  await vi.advanceTimersByTimeAsync(10_000);
  await expect(running).rejects.toMatchObject({ code: 'invalid_config', message: 'wrong' });
  expect(retries).toHaveLength(2);
  expect(errors.map(isFromSink)).toEqual([false, true]);
  expect(errors.map(({ code }) => code)).toEqual(['thread_lost', 'overloaded']);
});

const locked = { error: new PenstockError('http_unauthorized', 'no', { hint: 'Check it.' }) };

test('a task that has run tries again for five minutes, and less and less often, when it is refused', async () => {
  const { running, retries, errors } = runTask([
    { ...refused, runs: true },
    ...repeat(3, locked),
    { ...refused, runs: true },
    ...repeat(20, { ...locked, fromSink: true }),
  ]);
  await vi.advanceTimersByTimeAsync(400_000);
  await expect(running).rejects.toMatchObject({ code: 'http_unauthorized', hint: 'Check it.' });
  const first = [5_000, 10_000, 20_000];
  expect(retries).toEqual([1000, ...first, 16_000, ...first, 40_000, 60_000, 60_000, 60_000, 60_000]);
  expect(errors[1]).toMatchObject({
    message: 'no',
    hint: expect.stringMatching(/^Check it\. .* 5 minutes\.$/),
  });
  expect(errors.map(isFromSink).filter(Boolean)).toHaveLength(8);
});

test('a task that has run in another process tries again, and one that was never connected does not', async () => {
  const before = runTask([locked, {}], { hasRun: true });
  await vi.advanceTimersByTimeAsync(10_000);
  await before.running;
  expect(before.retries).toEqual([5_000]);
  const never = runTask([refused, locked]);
  await vi.advanceTimersByTimeAsync(5_000);
  await expect(never.running).rejects.toMatchObject({ code: 'http_unauthorized' });
});

test.each([
  ['while it runs', { runs: true, ...locked }],
  ['with what is known to last', { error: new PenstockError('target_not_allowed', 'no') }],
])('a task that fails %s does not try again', async (_when, attempt: Attempt) => {
  const { running, retries } = runTask([attempt], { hasRun: true });
  await vi.advanceTimersByTimeAsync(1_000);
  await expect(running).rejects.toMatchObject({ message: 'no' });
  expect(retries).toEqual([]);
});

test('a task that is refused tries early enough for the session that the broker keeps', async () => {
  const { running, retries } = runTask([{ ...refused, runs: true, keptSecs: 4 }, locked, locked, {}]);
  await vi.advanceTimersByTimeAsync(60_000);
  await running;
  expect(retries).toEqual([1000, 2000, 2000]);
});

test.each(['stop', 'drain', 'finish'] as const)('%s ends a task that waits for a retry', async (how) => {
  const { task, running, begun } = runTask(repeat(9, refused));
  await vi.advanceTimersByTimeAsync(10);
  await task[how]();
  await running;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(begun()).toBe(1);
  expect(task.sourceEnded).toBe(false);
});

test('a task connects only when its lease allows it', async () => {
  let leased = false;
  const { running, begun } = runTask([{}], { mayConnect: () => leased });
  await vi.advanceTimersByTimeAsync(5000);
  expect(begun()).toBe(0);
  leased = true;
  await vi.advanceTimersByTimeAsync(500);
  await running;
  expect(begun()).toBe(1);
});
