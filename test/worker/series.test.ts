import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { PenstockError } from '../../src/errors.ts';
import { counted } from '../../src/jobs/stats.ts';
import { nowMicros } from '../../src/store/clock.ts';
import type { Db } from '../../src/store/db.ts';
import { removeOldSeries, SeriesWriter, StepRecorder } from '../../src/worker/series.ts';
import { databases, openTestStore, type TestStore } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient, unique } from '../support/mqtt.ts';
import { createPipeline, createTables, jobOf } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const minute = 60_000_000;
const identity = { name: 'north', version: '1', labels: {}, exclusive: false, slots: undefined };

async function addJobs(db: Db, ids: string[]): Promise<void> {
  const times = { createdAt: 1n, updatedAt: 1n };
  const common = { query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}', graph: '{}' };
  await db.pipeline.createMany({ data: ids.map((id) => ({ id, name: id, ...common, ...times })) });
  await db.job.createMany({ data: ids.map((id) => ({ id, pipelineId: id, stateSince: 1n, ...times })) });
}

const addRow = (db: Db, jobId: string, age: number, index = 0) =>
  db.taskSeries.create({
    data: {
      ...{
        jobId,
        sourceId: 's',
        sinkId: 'k',
        taskIndex: index,
        worker: 'w',
        since: 1n,
        steps: '{"steps":[]}',
      },
      minute: nowMicros() - BigInt(Math.round(age * minute)),
    },
  });

describe.each(databases)('the series of tasks on $provider', ({ open }) => {
  let store: TestStore;
  beforeEach(async () => {
    store = await open();
    await addJobs(store.db, ['one', 'two']);
  });

  /** A task that counted this number of messages three minutes ago. */
  const taskOf = (jobId: string, messages: number) => {
    const recorder = new StepRecorder();
    const counts = {
      ...Object.fromEntries(counted.map((name) => [name, 0])),
      messages_in: messages,
    } as never;
    const none = { in_flight: 0, reconnects: 0, windows: undefined, latency: () => null };
    recorder.add(Number(nowMicros()) - 3 * minute, { counts, ...none });
    recorder.add(Number(nowMicros()), { counts, ...none });
    return { jobId, sourceId: 's', sinkId: 'k', taskIndex: 0, recorder };
  };
  const rows = () => store.db.taskSeries.findMany({ orderBy: { jobId: 'asc' } });
  const messages = async () =>
    (await rows()).map(({ jobId, steps }) => [
      jobId,
      JSON.parse(steps).steps.map((step: number[]) => step[1]),
    ]);

  test('are written once, for tasks that did anything, and with their end', async () => {
    const tasks = [taskOf('one', 5), taskOf('two', 0), taskOf('gone', 7)];
    const deps = { db: store.db, identity, logger: pino({ level: 'silent' }) };
    const writer = new SeriesWriter(deps, () => tasks);
    for (let round = 0; round < 2; round++) {
      writer.begin();
      await writer.settled();
      expect(await messages()).toEqual([['one', [5]]]);
    }
    expect((await rows())[0]).toMatchObject({ sourceId: 's', sinkId: 'k', taskIndex: 0, worker: 'north' });
    tasks.length = 0;
    await writer.finish();
    expect(await messages()).toEqual([
      ['one', [5]],
      ['one', []],
      ['two', []],
    ]);
  });

  test('that the database refused are written later', async () => {
    let refusals = 0;
    const failing = new Proxy(store.db, {
      get(target, key) {
        if (key !== '$transaction' || refusals >= 2) return Reflect.get(target, key);
        return async (work: never) => {
          // The first time it is written nevertheless.
          if (refusals++ === 0) await target.$transaction(work);
          throw new PenstockError('database_unavailable', 'It is away');
        };
      },
    });
    const tasks = [taskOf('one', 5), taskOf('two', 6)];
    const deps = { db: failing, identity, logger: pino({ level: 'silent' }) };
    const writer = new SeriesWriter(deps, () => tasks);
    for (let round = 0; round < 4; round++) {
      writer.begin();
      await writer.settled();
    }
    expect(refusals).toBe(2);
    expect(await messages()).toEqual([
      ['one', [5]],
      ['two', [6]],
    ]);
  });

  test('are removed when they are old, or with their pipeline', async () => {
    const { db } = store;
    for (const age of [500, 66, 65.5, 64, 0]) await addRow(db, 'one', age);
    await addRow(db, 'two', 1);
    await removeOldSeries({ db });
    expect((await rows()).map(({ jobId }) => jobId)).toEqual(['one', 'one', 'two']);
    await db.pipeline.delete({ where: { id: 'one' } });
    expect((await rows()).map(({ jobId }) => jobId)).toEqual(['two']);
  });
});

interface Shown {
  length: number;
  tasks: { worker: string; series: { messages_in: (number | null)[] } }[];
  totals: Record<string, (number | null)[]>;
}

test('the last hour of a pipeline outlasts a restart of its worker, and ends with the pipeline', async () => {
  const broker = await Mosquitto.start();
  const client = await plainClient(broker.url);
  const topic = `series/${unique()}`;
  const store = await openTestStore();
  await addJobs(store.db, ['former']);
  await addRow(store.db, 'former', 70);
  const secretKey = randomBytes(32).toString('base64');
  const start = () =>
    startService({ worker: true, secretKey, open: async () => ({ ...store, close: async () => {} }) });
  const publish = async (count: number) => {
    for (let seq = 0; seq < count; seq++)
      await client.publishAsync(`${topic}/in`, JSON.stringify({ device: 'd', seq, celsius: 95 }), { qos: 1 });
  };
  const sum = (values: (number | null)[] = []) =>
    values.reduce((all: number, value) => all + (value ?? 0), 0);
  const runs = ({ request }: Service) =>
    until('it runs', async () => (await jobOf(request, id)).state === 'Running', 60_000);

  let service = await start();
  await createTables(service.request, broker.url, { from: `${topic}/in`, to: `${topic}/out` });
  const id = await createPipeline(service.request, 'INSERT INTO alerts SELECT * FROM readings');
  const job = (await jobOf(service.request, id)).id;
  const get = async (query = ''): Promise<Shown> =>
    (await service.request.get(`/api/v1/pipelines/${id}/jobs/${job}/series${query}`).expect(200)).body;
  const received = (count: number) =>
    until(
      `${count} messages are shown`,
      async () => {
        const shown = await get();
        const { messages_in, messages_out } = shown.totals;
        return sum(messages_in) === count && sum(messages_out) === count && shown;
      },
      60_000,
    );
  await runs(service);
  await publish(5);
  const shown = await received(5);
  expect(shown).toMatchObject({ step_micros: 10_000_000, tasks: [{ index: 0 }] });
  expect(shown.length).toBeGreaterThanOrEqual(359);
  expect(shown.totals.messages_in?.[0]).toBeNull();
  expect(sum(shown.totals.messages_out)).toBe(5);
  expect(Math.max(...(shown.totals.latency_p99_ms ?? []).map(Number))).toBeGreaterThan(0);
  expect(await store.db.taskSeries.count({ where: { jobId: 'former' } })).toBe(0);
  // A rate appears once its step of four seconds is over.
  const pipelines = await until('the overview has a rate', async () => {
    const { body } = await service.request.get('/api/v1/overview?state=Running').expect(200);
    return Math.max(0, ...(body.pipelines[0]?.rates ?? [])) > 0 && body.pipelines;
  });
  expect(pipelines).toMatchObject([
    {
      id,
      job_id: job,
      tasks: 1,
      workers: [shown.tasks[0]?.worker],
      in_flight: 0,
      in_flight_max: 1000,
      bad: 0,
    },
  ]);

  await service.close();
  service = await start();
  await runs(service);
  await publish(3);
  const both = await received(8);
  expect(both.tasks.map(({ series }) => sum(series.messages_in)).sort()).toEqual([3, 5]);
  const recent = await get(`?since=${Date.now() * 1000}`);
  expect(recent).toMatchObject({ length: 0, totals: { messages_in: [] } });
  await service.request.get(`/api/v1/pipelines/${id}/jobs/${job}/series?since=-1`).expect(400);
  await service.request.get(`/api/v1/pipelines/${id}/jobs/job_x/series`).expect(404);

  await service.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it has stopped', async () => (await jobOf(service.request, id)).state === 'Stopped', 60_000);
  await received(8);
  await service.request.delete(`/api/v1/pipelines/${id}`).expect(200);
  expect(await store.db.taskSeries.count({ where: { jobId: job } })).toBe(0);
});
