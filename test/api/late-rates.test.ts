import { beforeAll, expect, test } from 'vitest';
import { type JobStats, sampleEveryMs } from '../../src/jobs/stats.ts';
import { EventReader } from '../support/events.ts';
import { created, createTables } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

/** Simulates a worker that writes its counts late. */
let service: Service;
beforeAll(async () => {
  service = await startService({});
});

interface Event {
  name: string;
  rates?: { at: number; messages_in: number };
}

const micros = (): number => Date.now() * 1000;
const quiet = [0, 0, 0, 0, 0, 0, 0];
const busy = [5, 0, 0, 0, 0, 0, 0];

const statsAt = (at: number, samples: number[][]): string => {
  const totals = {
    messages_in: 5,
    bytes_in: 0,
    rows_in: 0,
    rows_out: 0,
    messages_out: 0,
    bytes_out: 0,
    bad: 0,
  };
  const place = { id: 'x', node: 0 };
  const task = { index: 0, source: place, transform: null, sink: place, connected: true, totals, batches: 1 };
  const waiting = { waiting_since: null, waiting_samples: samples.map(() => 0) };
  const more = { in_flight: 0, window: 1000, reconnects: 0, last_error: null, latency: null };
  const stats: JobStats = {
    at,
    tasks: [{ ...task, ...more, samples, in_flight_samples: samples.map(() => 0), ...waiting }],
  };
  return JSON.stringify(stats);
};

test('late counts for a second that was reported as quiet are added to the next', async () => {
  const { db, request } = service;
  await createTables(request, 'mqtt://127.0.0.1:1');
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const { id: jobId } = await db.job.findFirstOrThrow();
  await db.job.update({ where: { id: jobId }, data: { state: 'Running', startTime: 1n } });
  const write = (at: number, samples: number[][]) => {
    const row = { updatedAt: BigInt(micros()), stats: statsAt(at, samples) };
    return db.jobStats.upsert({ where: { jobId }, create: { jobId, ...row }, update: row });
  };
  const reader = new EventReader<Event>(`${service.address}/api/v1/pipelines/${id}/events`);
  const rates = () => reader.events.flatMap(({ rates: told }) => (told ? [told] : []));
  const received = () => rates().reduce((sum, { messages_in }) => sum + messages_in, 0);

  const first = micros();
  await write(first, [quiet]);
  await reader.has('a quiet second after the first', () => rates().length > 1);
  // For the next second, which was reported as quiet. After it the job is quiet, so nothing more is written.
  await write(first + sampleEveryMs * 1000, [quiet, busy]);
  await reader.has('the messages', () => received() === 5);
  await write(first + 60 * sampleEveryMs * 1000, [quiet, busy, ...Array.from({ length: 59 }, () => quiet)]);
  const before = rates().length;
  await reader.has('more seconds', () => rates().length > before);
  expect(received()).toBe(5);
  const times = rates().map(({ at }) => at);
  expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b));
  await reader.hangUp();
}, 60_000);
