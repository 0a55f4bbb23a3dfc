import { expect, test } from 'vitest';
import { checkpointsOf, operatorGroups, stateCheckpointsOf, stateOperatorGroups } from './checkpoints.ts';
import type { AlignedTasks } from './tasks.ts';

const second = 1_000_000;
const createdAt = 1_790_000_000_000_000n;
const at = Number(createdAt) + 100 * second;

type Waiting = { waited: number[]; since?: number | null };

/** Statistics written 100 seconds after the job was created, with milliseconds waited at the end of each last second. */
const statsOf = (...tasks: Waiting[]): AlignedTasks => ({
  at,
  tasks: tasks.map(({ waited, since = null }, index) => {
    const operator = (id: string, node: number) => ({ id, node });
    return {
      ...{ index, source: operator('source_a', 0), transform: null, sink: operator('sink_b', 1) },
      ...{ waiting_samples: waited, waiting_since: since },
    } as unknown as AlignedTasks['tasks'][number];
  }),
});

const timeline = (more: object = {}) => ({
  createdAt,
  startTime: createdAt,
  interval: 10 * second,
  now: at + second,
  ...more,
});
/** Epochs with the seconds from their begin to their end, or null. */
const outline = (stats: AlignedTasks, more?: object) =>
  checkpointsOf(stats, timeline(more)).map(({ epoch, start_time, finish_time }) => [
    epoch,
    finish_time === null ? null : (finish_time - start_time) / second,
  ]);
const idle = (seconds: number): number[] => Array.from({ length: seconds }, () => 0);

test('an epoch ends at once while nothing waits', () => {
  expect(outline(statsOf({ waited: idle(40) }))).toEqual([
    [7, 0],
    [8, 0],
    [9, 0],
    [10, 0],
  ]);
});

test('an epoch ends when what arrived before it is acknowledged', () => {
  // From second 81 to 85 the oldest message had arrived at second 79.
  const waited = idle(40);
  for (let at = 81; at <= 85; at++) waited[at - 61] = (at - 79) * 1000;
  waited[80 - 61] = 1000;
  expect(outline(statsOf({ waited }))).toContainEqual([8, 6]);
  // A later message does not hold it up.
  const busy = idle(40).map(() => 200);
  expect(outline(statsOf({ waited: busy }))).toContainEqual([8, 1]);
});

test('an epoch is not over while one task still waits', () => {
  const since = at - 25 * second;
  const waited = idle(40).map((_, nth) => Math.max(0, (nth - 14) * 1000));
  const found = outline(statsOf({ waited: idle(40) }, { waited, since }));
  expect(found).toEqual([
    [7, 0],
    [8, null],
    [9, null],
    [10, null],
  ]);
  // It waits for ever: nothing is written, and it does not end.
  expect(
    outline(statsOf({ waited: idle(40) }, { waited, since }), { now: at + 900 * second }).at(-1),
  ).toEqual([100, null]);
});

test('epochs go on while statistics are not written because nothing arrives', () => {
  const found = outline(statsOf({ waited: idle(40) }), { now: at + 61.5 * second });
  expect(found.slice(-3)).toEqual([
    [14, 0],
    [15, 0],
    [16, null],
  ]);
});

test('an epoch from before the job started is not listed, nor more than 20', () => {
  expect(outline(statsOf({ waited: idle(100) }), { startTime: createdAt + 85_000_000n })).toEqual([
    [9, 0],
    [10, 0],
  ]);
  expect(outline(statsOf({ waited: idle(100) }), { interval: second })).toHaveLength(20);
  expect(outline(statsOf({ waited: idle(100) }), { interval: 86_400 * second })).toEqual([[1, 0]]);
});

test('lists each operator of an epoch with its tasks', () => {
  const stats = statsOf({ waited: idle(40) }, { waited: idle(40) });
  const [checkpoint] = checkpointsOf(stats, timeline());
  if (!checkpoint) throw new Error('no checkpoint');
  const groups = operatorGroups(stats, checkpoint, at);
  expect(
    groups.map(({ operator_id, subtasks }) => [operator_id, subtasks.map(({ index }) => index)]),
  ).toEqual([
    ['source_a', [0, 1]],
    ['sink_b', [0, 1]],
  ]);
  expect(groups[0]?.subtasks[0]?.event_spans).toMatchObject([{ event: 'acknowledged' }]);
});

test('shows the commits of states, those of one epoch together', () => {
  const stored = (epoch: number, kind: 'delta' | 'snapshot') => ({
    ...{ epoch, kind, startTime: epoch * 1000, finishTime: epoch * 1000 + 5, bytes: 10, stateBytes: 100 },
  });
  const states = [
    { operatorId: 'sums', stored: [stored(3, 'delta'), stored(7, 'snapshot')] },
    { operatorId: 'tops', stored: [stored(2, 'delta'), stored(7, 'snapshot')] },
  ];
  const shown = stateCheckpointsOf(states, 'sqlite');
  expect(shown.map(({ epoch, checkpoint_type, bytes }) => [epoch, checkpoint_type, bytes])).toEqual([
    [2, 'delta', 10],
    [3, 'delta', 10],
    [7, 'snapshot', 20],
  ]);
  expect(shown[2]).toMatchObject({
    backend: 'sqlite',
    start_time: 7000,
    finish_time: 7005,
    state_bytes: 200,
  });
  const task = {
    ...{ index: 0, window: 1, source: { id: 'a', node: 0 }, others: [{ id: 'b', node: 1 }] },
    ...{ transform: { id: 'sums', node: 2 }, sink: { id: 'c', node: 3 } },
  };
  const groups = stateOperatorGroups(states, [task], 7);
  expect(groups.map(({ operator_id, bytes }) => [operator_id, bytes])).toEqual([
    ['sums', 10],
    ['a', 0],
    ['b', 0],
    ['c', 0],
    ['tops', 10],
  ]);
  expect(groups[0]?.subtasks).toEqual([
    { index: 0, bytes: 10, event_spans: [expect.objectContaining({ start_time: 7000, event: 'committed' })] },
  ]);
  expect(stateOperatorGroups(states, [], 3).map(({ operator_id }) => operator_id)).toEqual(['sums']);
});
