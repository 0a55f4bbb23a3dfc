import { Registry } from '@prometheus-io/client';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { operatorMetricGroups } from '../api/jobs/stats.ts';
import { keptSamples } from '../jobs/stats.ts';
import { AttemptCounts, type CountsDelta } from '../runtime/counts.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import { JobCounters, RecentLatency, TaskCounters } from './counters.ts';
import { WorkerMetrics } from './reporting.ts';

const soak = process.env.PENSTOCK_SOAK === '1';

const task = () => new TaskCounters(new JobCounters(() => {}));

function receive(counters: TaskCounters, messages: number): void {
  const counts = new AttemptCounts(() => {});
  counts.add({ batches: 1, messages_in: messages, bytes_in: messages });
  counters.add(counts.take() as CountsDelta);
}

const samples = (counters: TaskCounters): number[] =>
  counters.status().samples.map(([messages]) => messages as number);

test('a sample that took several seconds counts as several samples', () => {
  const counters = task();
  receive(counters, 10);
  counters.sample(1.02);
  receive(counters, 30);
  counters.sample(3);
  counters.sample(1);
  expect(samples(counters)).toEqual([9.8, 10, 10, 10, 0]);
  expect(counters.status().in_flight_samples).toHaveLength(5);
  counters.sample(1000);
  expect(samples(counters)).toEqual(Array.from({ length: keptSamples }, () => 0));
  expect(counters.status().in_flight_samples).toHaveLength(keptSamples);
});

test('the samples of a quiet task are there when they are read, and before the next message', () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    const counters = task();
    counters.connected = true;
    receive(counters, 3);
    counters.sample(1);
    counters.sample(1);
    // Into another step of the series, in which nothing happens.
    vi.setSystemTime(Date.now() + 20_000);
    for (let second = 0; second < 5; second++) counters.sample(1);
    expect(counters.messageRate).toBe(0);
    receive(counters, 2);
    counters.sample(1);
    expect(samples(counters)).toEqual([3, 0, 0, 0, 0, 0, 0, 2]);
    vi.setSystemTime(Date.now() + 20_000);
    for (let second = 0; second < 2 * keptSamples; second++) counters.sample(1);
    expect(counters.changed).toBe(true);
    const { at, in_flight_samples, waiting_samples } = counters.status();
    expect(samples(counters)).toEqual(Array.from({ length: keptSamples }, () => 0));
    expect([in_flight_samples.length, waiting_samples.length]).toEqual([keptSamples, keptSamples]);
    expect(at).toBeGreaterThan((Date.now() - 1) * 1000);
  } finally {
    vi.useRealTimers();
  }
});

test('a busy sample and the first quiet one after it are worth writing', () => {
  const counters = task();
  receive(counters, 11);
  const changed = [1, 2, 3].map(() => {
    counters.take('w');
    counters.sample(1);
    return counters.changed;
  });
  expect(changed).toEqual([true, true, false]);
});

test('what was counted on another worker is part of the counts, and not of the metrics', () => {
  const before = task();
  receive(before, 10);
  before.sample(1);
  const job = new JobCounters(() => {});
  const counters = new TaskCounters(job, JSON.parse(before.take('w')));
  receive(counters, 5);
  counters.sample(1);
  expect(counters.status()).toMatchObject({ totals: { messages_in: 15 }, batches: 2 });
  expect(samples(counters)).toEqual([10, 5]);
  expect(job.counts.messages_in).toBe(5);
});

test('what a task says of its state is sampled, shown, and goes on elsewhere', async () => {
  const registry = new Registry();
  const tools = { worker: 'w', states: () => [], tasks: () => 1 };
  const job = new WorkerMetrics(registry, tools).start('job');
  const operatorIds = { source: 's', transform: 'sums', sink: 'k' };
  const spec = { insert: { operatorIds, select: { kind: 'stateful' } } } as unknown as TaskSpec;
  const counters = job.begin(spec);
  const counts = new AttemptCounts(() => {});
  const gauges = {
    ...{ watermark: 5_000_000, watermarkLagMs: 1500, openWindows: 2, closedWindows: 7 },
    ...{ lateRows: 3, stateBytes: 4096, checkpointMs: 12 },
  };
  counts.state(gauges);
  counters.add(counts.take() as CountsDelta);
  counters.sample(1);
  receive(counters, 1);
  counters.sample(1);
  const status = JSON.parse(counters.take('w'));
  expect(status).toMatchObject({
    windows: gauges,
    window_samples: [
      [1500, 2, 4096],
      [1500, 2, 4096],
    ],
  });
  expect(new TaskCounters(job, status).windows).toEqual(gauges);

  const [transform] = operatorMetricGroups({
    at: 2_000_000,
    tasks: [
      { ...status, index: 0, window: 1, source: { node: 0 }, transform: { node: 1 }, sink: { node: 2 } },
    ],
  }).filter(({ node_id }) => node_id === 1);
  expect(transform?.metric_groups.map(({ name }) => name)).toEqual([
    ...['messages_recv', 'messages_sent', 'watermark_lag', 'open_windows', 'state_bytes'],
  ]);
  expect(transform?.metric_groups[4]?.subtasks[0]?.metrics.at(-1)).toEqual({ time: 2_000_000, value: 4096 });

  const shown = await registry.metrics();
  const labels = '{job="job",operator="sums"}';
  for (const line of [
    `penstock_windows_closed_total${labels} 7`,
    `penstock_late_rows_total${labels} 3`,
    `penstock_windows_open${labels} 2`,
    `penstock_watermark_seconds${labels} 5`,
    `penstock_watermark_lag_seconds${labels} 1.5`,
    `penstock_state_bytes${labels} 4096`,
    `penstock_checkpoint_seconds${labels} 0.012`,
  ])
    expect(shown).toContain(line);
});

test('percentiles are never too low, and at most a tenth too high', () => {
  const times = fc.array(
    fc.record({ ms: fc.double({ min: 0.1, max: 60_000, noNaN: true }), count: fc.nat(50) }),
    {
      minLength: 1,
    },
  );
  fc.assert(
    fc.property(times, (batches) => {
      const latency = new RecentLatency();
      for (const { ms, count } of batches) latency.add(ms, count);
      const all = batches
        .flatMap(({ ms, count }) => Array.from({ length: count }, () => ms))
        .toSorted((a, b) => a - b);
      const found = latency.percentiles();
      if (all.length === 0) {
        expect(found).toBeNull();
        return;
      }
      for (const [share, value] of [
        [0.5, found?.p50],
        [0.95, found?.p95],
        [0.99, found?.p99],
      ] as const) {
        const exact = all[Math.ceil(all.length * share) - 1] as number;
        // Rounded to three digits.
        expect(value).toBeGreaterThanOrEqual(exact * 0.99);
        expect(value).toBeLessThanOrEqual(exact * 1.11);
      }
    }),
    soak ? { numRuns: 10_000 } : { seed: 11 },
  );
});

test('latencies older than two minutes are forgotten', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const latency = new RecentLatency();
    latency.add(5, 10);
    vi.advanceTimersByTime(61_000);
    latency.add(50, 10);
    expect(latency.percentiles()).toMatchObject({ p50: expect.closeTo(5, 0), p99: expect.closeTo(52, -1) });
    vi.advanceTimersByTime(61_000);
    expect(latency.percentiles()?.p50).toBeGreaterThanOrEqual(50);
    vi.advanceTimersByTime(121_000);
    expect(latency.percentiles()).toBeNull();
  } finally {
    vi.useRealTimers();
  }
});

test('knows since when the oldest message waits, over connections', () => {
  const counters = task();
  const counts = new AttemptCounts(() => {});
  const take = () => counters.add(counts.take() as CountsDelta);
  const waiting = () => counters.status().waiting_since;
  expect(waiting()).not.toBeNull();
  counters.connected = true;
  expect(waiting()).toBeNull();
  const [first, second] = [counts.waiting(1000), counts.waiting(2000)];
  counts.add({ messages_in: 2 });
  take();
  expect(waiting()).toBe(1_000_000);
  second();
  take();
  expect(waiting()).toBe(1_000_000);
  first();
  take();
  expect(waiting()).toBeNull();
  counters.sample(1);
  expect(counters.status().waiting_samples).toEqual([0]);
  // Unacknowledged messages stay with the broker, so time stands still.
  counts.waiting(3000);
  counts.add({ messages_in: 1 });
  take();
  counters.connected = false;
  expect(waiting()).toBe(3_000_000);
  counters.sample(1);
  expect(counters.status().waiting_samples.at(-1)).toBeGreaterThan(0);
});
