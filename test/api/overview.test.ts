import { beforeAll, describe, expect, test } from 'vitest';
import { OverviewFeed } from '../../src/api/overview/index.ts';
import { databases } from '../support/databases.ts';
import { EventReader } from '../support/events.ts';
import { created, createTables } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

interface Entry {
  id: string;
  name: string;
  state: string;
  [key: string]: unknown;
}
interface Event {
  name: string;
  more: boolean;
  pipelines: Entry[];
  deleted: string[];
}

/** Needs more than one event. */
const many = 250;
const samples = Array.from({ length: 10 }, () => [50, 500, 50, 20, 20, 200, 0]);

describe.each(databases)('the overview on $provider', ({ open }) => {
  let service: Service;
  let id: string;
  let jobId: string;
  beforeAll(async () => {
    service = await startService({ open });
    const { db, request } = service;
    await createTables(request, 'mqtt://127.0.0.1:1');
    const times = { createdAt: 1n, updatedAt: 1n };
    const common = { query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}', graph: '{}' };
    const ids = Array.from({ length: many }, (_, nth) => `seed_${nth}`);
    await db.pipeline.createMany({ data: ids.map((one) => ({ id: one, name: one, ...common, ...times })) });
    const job = { stateSince: 1n, state: 'Stopped', stop: 'graceful' };
    await db.job.createMany({ data: ids.map((one) => ({ id: one, pipelineId: one, ...job, ...times })) });
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const body = { name: 'Overheating', query, parallelism: 1, labels: { site: 'north' } };
    ({ id } = await created(request, '/pipelines', body));
    ({ id: jobId } = await db.job.findFirstOrThrow({ where: { pipelineId: id } }));
  });

  const get = async (query = '') =>
    (await service.request.get(`/api/v1/overview${query}`).expect(200)).body.pipelines as Entry[];
  const follow = (query = '') =>
    new EventReader<Event>(`${service.address}/api/v1/overview${query}`, { accept: 'text/event-stream' });
  /** Runs the job as a worker does that has counted these seconds. */
  const run = async (seconds: number[][]) => {
    const { db } = service;
    // In the future, so that a busy machine is not too late.
    const heartbeatAt = BigInt((Date.now() + 600_000) * 1000);
    const worker = { id: 'w', name: 'north-1', version: '1', startedAt: 1n };
    await db.worker.upsert({
      where: { id: 'w' },
      create: { ...worker, heartbeatAt },
      update: { heartbeatAt },
    });
    const operator = { id: 'x', node: 0 };
    const place = JSON.stringify({
      index: 0,
      source: operator,
      transform: null,
      sink: operator,
      window: 1000,
    });
    const task = { id: `${jobId} x`, jobId, place, state: 'running', stateSince: 1n, worker: 'w', work: '' };
    await db.task.upsert({ where: { id: task.id }, create: task, update: {} });
    const at = Date.now() * 1000;
    const counts = { at, totals: { bad: 2 }, in_flight: 7, reconnects: 1, last_error: null, latency: null };
    const row = { jobId, updatedAt: BigInt(at), stats: JSON.stringify({ ...counts, samples: seconds }) };
    await db.taskStats.upsert({
      where: { taskId: task.id },
      create: { taskId: task.id, ...row },
      update: row,
    });
    // Last: the feed may read in between, and the first change is to have all of it.
    await db.job.update({ where: { id: jobId }, data: { state: 'Running', startTime: 1n, worker: 'w' } });
  };

  test('lists every pipeline once, the newest first', async () => {
    const all = await get();
    expect(all).toHaveLength(many + 1);
    expect(new Set(all.map((entry) => entry.id)).size).toBe(many + 1);
    expect(all[0]).toMatchObject({
      ...{ id, job_id: jobId, name: 'Overheating', labels: { site: 'north' }, state: 'Created' },
      ...{ stop: 'none', failure: null, tasks: 0, workers: [], messages_in_per_second: 0, lag_ms: null },
    });
    expect(all[0]?.rates).toEqual(Array.from({ length: 30 }, () => 0));
  });

  test('lists those that match a filter', async () => {
    expect((await get('?search=OVERHEAT')).map(({ name }) => name)).toEqual(['Overheating']);
    expect((await get('?search=Site%3DNorth')).map(({ name }) => name)).toEqual(['Overheating']);
    expect((await get('?label_selector=site%3Dnorth')).map(({ name }) => name)).toEqual(['Overheating']);
    expect(await get('?state=Stopped')).toHaveLength(many);
    expect(await get('?state=Stopped&search=overheating')).toEqual([]);
    await service.request.get('/api/v1/overview?state=Running,Failed').expect(400);
    await service.request.get('/api/v1/overview?label_selector=%3D').expect(400);
  });

  test('streams everything in parts, then only what has changed, and what was deleted', async () => {
    const reader = follow();
    const stopped = follow('?state=Stopped');
    await reader.has('the last part', ({ more }) => !more);
    expect(reader.text.startsWith(': connected')).toBe(true);
    expect(reader.events.map(({ name, more, pipelines }) => [name, more, pipelines.length])).toEqual([
      ['all', true, 200],
      ['all', false, many + 1 - 200],
    ]);
    await stopped.has('the last part', ({ more }) => !more);
    await run(samples);
    const changes = await reader.has('the change', ({ pipelines: [entry] }) => entry?.state === 'Running');
    expect(changes).toMatchObject({ name: 'changes', more: false, deleted: [] });
    expect(changes.pipelines).toHaveLength(1);
    expect(changes.pipelines[0]).toMatchObject({
      ...{ id, tasks: 1, workers: ['north-1'], in_flight: 7, in_flight_max: 1000, bad: 2, reconnects: 1 },
      ...{ messages_in_per_second: 50, messages_out_per_second: 20, bytes_in_per_second: 500 },
    });
    const { db } = service;
    await db.job.update({ where: { id: 'seed_3' }, data: { state: 'Failed' } });
    await db.pipeline.delete({ where: { id: 'seed_4' } });
    const gone = await reader.has('the deletion', ({ deleted }) => deleted.length > 0);
    expect(gone.deleted).toEqual(['seed_4']);
    // Those that no longer match are gone for this caller.
    await stopped.has('both', () => stopped.events.flatMap(({ deleted }) => deleted).length === 2);
    expect(stopped.events.flatMap(({ pipelines }) => pipelines)).toHaveLength(many);
    await run([[0, 0, 0, 0, 0, 0, 0]]);
    await reader.has('it is quiet', ({ pipelines }) =>
      pipelines.some((entry) => entry.id === id && entry.messages_in_per_second === 0),
    );
    await Promise.all([reader.hangUp(), stopped.hangUp()]);
  });

  test('lets a slow client skip changes', async () => {
    const { db } = service;
    const feed = new OverviewFeed(db, (error) => expect.fail(`${error}`));
    const gone = new AbortController();
    const listen = () => feed.listen(({ name }) => name.startsWith('seed_1'), gone.signal);
    const next = async (events: AsyncGenerator<string>) =>
      JSON.parse((await events.next()).value as string) as Event;
    const [fast, slow] = [listen(), listen()];
    await Promise.all([next(fast), next(slow)]);
    const names = ['first', 'second'];
    for (const name of names) {
      await db.job.update({ where: { id: 'seed_1' }, data: { failureCode: name } });
      expect((await next(fast)).pipelines).toMatchObject([{ id: 'seed_1', failure: { code: name } }]);
    }
    expect((await next(slow)).pipelines).toMatchObject([{ id: 'seed_1', failure: { code: 'second' } }]);
    const ends = [fast.next(), slow.next()];
    gone.abort();
    expect((await Promise.all(ends)).map(({ done }) => done)).toEqual([true, true]);
    feed.close();
  });
});
