import { Registry } from '@prometheus-io/client';
import { expect, test } from 'vitest';
import { keptSamples } from '../jobs/stats.ts';
import { AttemptCounts, type Counted } from '../runtime/counts.ts';
import { createMetrics } from './metrics.ts';
import { TaskStats } from './task-stats.ts';

/** So many messages have come. */
function come(stats: TaskStats, messages: number): void {
  const counts = new AttemptCounts(() => {});
  counts.received(messages, messages);
  stats.add(counts.take() as Counted, stats.attempt());
}

const received = (stats: TaskStats): number[] =>
  stats.status().samples.map(([messages]) => messages as number);

test('a sample that took as long as several seconds is as many of them', () => {
  const stats = new TaskStats(createMetrics(new Registry()), 'job_1');
  come(stats, 10);
  stats.sample(1.02);
  come(stats, 30);
  stats.sample(3);
  stats.sample(1);
  expect(received(stats)).toEqual([9.8, 10, 10, 10, 0]);
  expect(stats.status().in_flight_samples).toHaveLength(5);
  stats.sample(1000);
  expect(received(stats)).toEqual(Array.from({ length: keptSamples }, () => 0));
  expect(stats.status().in_flight_samples).toHaveLength(keptSamples);
});

test('what a sample has is something new also when a quiet one came after it', () => {
  const stats = new TaskStats(createMetrics(new Registry()), 'job_1');
  come(stats, 11);
  const counted = stats.version;
  stats.sample(1);
  stats.sample(1);
  expect(stats.busy).toBe(false);
  expect(stats.version).not.toBe(counted);
  const told = stats.version;
  stats.sample(1);
  expect(stats.version).toBe(told);
});
