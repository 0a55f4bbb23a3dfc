import { beforeAll, expect, test } from 'vitest';
import { sampleEveryMs, type TaskCounts, type TaskPlace } from '../../src/jobs/stats.ts';
import { EventReader } from '../support/events.ts';
import { created, createTables } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

/** Simulates a worker that writes its counts late. */
let service: Service;
beforeAll(async () => {
  service = await startService({});
  await createTables(service.request, 'mqtt://127.0.0.1:1');
});

interface Event {
  name: string;
  rates?: { at: number; messages_in: number };
}

const micros = (): number => Date.now() * 1000;
const quiet = [0, 0, 0, 0, 0, 0, 0];
const busy = [5, 0, 0, 0, 0, 0, 0];

const operator = { id: 'x', node: 0 };
const placeAt = (index: number): TaskPlace => ({
  ...{ index, source: operator, transform: null, sink: operator, window: 1000 },
});
const countsAt = (at: number, samples: number[][]): TaskCounts => {
  const totals = {
    messages_in: 5,
    bytes_in: 0,
    rows_in: 0,
    rows_out: 0,
    messages_out: 0,
    bytes_out: 0,
    bad: 0,
  };
  const waiting = { waiting_since: null, waiting_samples: samples.map(() => 0) };
  const more = { in_flight: 0, reconnects: 0, last_error: null, latency: null, ...waiting };
  return {
    ...{ at, connected: true, totals, batches: 1, samples },
    ...{ in_flight_samples: samples.map(() => 0), ...more },
  };
};

/** A job that runs, and a function to write the counts of one of its tasks. */
async function runningJob(name: string) {
  const { db, request } = service;
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name, query, parallelism: 2 });
  const { id: jobId } = await db.job.findFirstOrThrow({ where: { pipelineId: id } });
  await db.job.update({ where: { id: jobId }, data: { state: 'Running', startTime: 1n } });
  const write = async (index: number, at: number, samples: number[][]) => {
    const taskId = `${jobId} x x ${index}`;
    const place = JSON.stringify(placeAt(index));
    const task = { id: taskId, jobId, place, state: 'running', stateSince: 1n, work: '' };
    await db.task.upsert({ where: { id: taskId }, create: task, update: {} });
    const row = { updatedAt: BigInt(micros()), stats: JSON.stringify(countsAt(at, samples)) };
    await db.taskStats.upsert({ where: { taskId }, create: { taskId, jobId, ...row }, update: row });
  };
  const reader = new EventReader<Event>(`${service.address}/api/v1/pipelines/${id}/events`);
  const rates = () => reader.events.flatMap(({ rates: told }) => (told ? [told] : []));
  const received = () => rates().reduce((sum, { messages_in }) => sum + messages_in, 0);
  return { write, reader, rates, received };
}

test('late counts for a second that was reported as quiet are added to the next', async () => {
  const { write, reader, rates, received } = await runningJob('late');

  const first = micros();
  await write(0, first, [quiet]);
  await reader.has('a quiet second after the first', () => rates().length > 1);
  // For the next second, which was reported as quiet. After it the job is quiet, so nothing more is written.
  await write(0, first + sampleEveryMs * 1000, [quiet, busy]);
  await reader.has('the messages', () => received() === 5);
  await write(0, first + 60 * sampleEveryMs * 1000, [
    quiet,
    busy,
    ...Array.from({ length: 59 }, () => quiet),
  ]);
  const before = rates().length;
  await reader.has('more seconds', () => rates().length > before);
  expect(received()).toBe(5);
  const times = rates().map(({ at }) => at);
  expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b));
  await reader.hangUp();
});

test('the tasks of two workers, which write at different times, are added up without loss', async () => {
  const { write, reader, rates, received } = await runningJob('two');
  await reader.has('the state', ({ name }) => name === 'state');
  const second = sampleEveryMs * 1000;
  const begin = micros();
  await write(0, begin + second, [busy]);
  await reader.has('the first second', () => received() === 5);
  // The other one is half a second behind, and one write late.
  await write(0, begin + 3 * second, [busy, busy, busy]);
  await write(1, begin + 1.6 * second, [busy]);
  await write(1, begin + 3.6 * second, [busy, busy, busy]);
  await write(0, begin + 30 * second, [
    ...Array.from({ length: 3 }, () => busy),
    ...Array.from({ length: 27 }, () => quiet),
  ]);
  await write(1, begin + 30.6 * second, [
    ...Array.from({ length: 3 }, () => busy),
    ...Array.from({ length: 27 }, () => quiet),
  ]);
  await reader.has('the last second', () => (rates().at(-1)?.at ?? 0) > begin + 29 * second);
  expect(received()).toBe(30);
  const times = rates().map(({ at }) => at);
  expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b));
  await reader.hangUp();
});
