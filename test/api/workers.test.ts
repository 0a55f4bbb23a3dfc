import { beforeAll, describe, expect, test } from 'vitest';
import type { TaskCounts, TaskPlace } from '../../src/jobs/stats.ts';
import { nowMicros } from '../../src/store/clock.ts';
import { databases } from '../support/databases.ts';
import { created, createTables } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const query = 'INSERT INTO alerts SELECT * FROM readings';
const second = 1_000_000n;
/** The age in seconds of a heartbeat in the future, so that a busy machine is not too late. */
const alive = -60;

/** The rows of workers are written by hand: none runs here. */
describe.each(databases)('workers on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
    await createTables(service.request, 'mqtt://127.0.0.1:1');
  });

  const get = async (path: string, status = 200) =>
    (await service.request.get(`/api/v1${path}`).expect(status)).body;
  const listed = async () =>
    (await get('/workers')).data.map((worker: { name: string; alive: boolean }) => [
      worker.name,
      worker.alive,
    ]);
  const worker = (id: string, name: string, ageSeconds: number, more: object = {}) => {
    const heartbeatAt = nowMicros() - BigInt(ageSeconds) * second;
    const times = { startedAt: heartbeatAt - 60n * second, heartbeatAt };
    return service.db.worker.create({ data: { id, name, version: '0.2.0', ...times, ...more } });
  };
  const pipeline = async (name: string, more: object = {}) => {
    const body = { name, query, parallelism: 2, ...more };
    const { id, ...shown } = await created(service.request, '/pipelines', body);
    const job = await service.db.job.findFirstOrThrow({ where: { pipelineId: id } });
    return { id, job: job.id, warnings: shown.warnings };
  };

  test('are listed by name, dead ones too; of a name the newest that is alive', async () => {
    expect(await listed()).toEqual([]);
    await worker('edge-7/11/a', 'north-1', alive, {
      labels: '{"site":"north"}',
      slots: 8,
      tasks: 3,
      load: 1.5,
    });
    await worker('edge-7/10/a', 'north-1', 40, { startedAt: nowMicros() });
    await worker('edge-8/10/a', 'south-1', 16, { exclusive: true, ending: true });
    expect(await listed()).toEqual([
      ['north-1', true],
      ['south-1', false],
    ]);
    const [north] = (await get('/workers')).data;
    expect(north).toMatchObject({
      ...{ host: 'edge-7', version: '0.2.0', labels: { site: 'north' }, exclusive: false, slots: 8 },
      ...{ tasks: 3, jobs: 0, load: 1.5, draining: false },
    });
    expect(north.last_heartbeat - north.started_at).toBe(60_000_000);
    expect(await get('/workers/south-1')).toMatchObject({ draining: true, slots: null, placed_tasks: [] });
    expect(await get('/workers/nobody', 404)).toMatchObject({ code: 'not_found' });
    expect(await get('/workers/no%20name', 400)).toMatchObject({ code: 'invalid_request' });
  });

  test('drain on request, and the request is audited', async () => {
    await worker('h/1/a', 'a', alive);
    await worker('h/0/a', 'a', 30);
    await worker('h/2/a', 'b', alive);
    const drain = (name: string, body?: object) => {
      const call = service.request.post(`/api/v1/workers/${name}/drain`);
      return body ? call.send(body) : call;
    };
    expect((await drain('a')).body).toMatchObject({ name: 'a', alive: true, draining: true });
    const requested = async () =>
      (await service.db.worker.findMany({ where: { drainRequested: true } })).map(({ id }) => id);
    expect(await requested()).toEqual(['h/1/a']);
    const [record] = (await get('/audit')).data;
    expect(record).toMatchObject({ action: 'drainWorker', object: 'a', status: 200 });
    expect([record.before.draining, record.after.draining]).toEqual([false, true]);
    expect((await drain('a', { drain: false })).body).toMatchObject({ draining: false });
    expect(await requested()).toEqual([]);
    expect((await drain('nobody')).status).toBe(404);
    await service.db.worker.updateMany({ where: { name: 'b' }, data: { heartbeatAt: 1n } });
    expect((await drain('b')).body).toMatchObject({ status: 404, code: 'not_found' });
    expect((await drain('a', { drain: 'yes' })).status).toBe(400);
  });

  test('a job whose worker is dead waits for another, or is stopped and can be deleted', async () => {
    const { id, job } = await pipeline('held');
    const shown = async () => {
      const [{ state, worker: name }] = (await get(`/pipelines/${id}/jobs`)).data;
      const all = (await get('/jobs')).data.find((each: { id: string }) => each.id === job);
      expect([all.state, all.worker]).toEqual([state, name]);
      return [state, name];
    };
    await worker('h/3/a', 'c', alive);
    await service.db.job.update({ where: { id: job }, data: { state: 'Running', worker: 'h/3/a' } });
    expect(await shown()).toEqual(['Running', 'c']);
    expect((await service.request.delete(`/api/v1/pipelines/${id}`)).body.code).toBe('pipeline_running');
    // A worker that has just come is known at once.
    await worker('h/4/a', 'd', alive);
    await service.db.job.update({ where: { id: job }, data: { worker: 'h/4/a' } });
    expect(await shown()).toEqual(['Running', 'd']);
    await service.db.job.update({ where: { id: job }, data: { worker: 'h/5/gone' } });
    expect(await shown()).toEqual(['Scheduling', null]);
    await service.db.job.update({ where: { id: job }, data: { stop: 'graceful' } });
    expect(await shown()).toEqual(['Stopped', null]);
    await service.request.delete(`/api/v1/pipelines/${id}`).expect(200);
  });

  test('the statistics of a job are put together from the rows of its workers', async () => {
    const { id, job } = await pipeline('spread');
    const now = Number(nowMicros());
    await worker('h/6/a', 'e', alive);
    await worker('h/7/a', 'f', alive);
    await service.db.job.update({
      where: { id: job },
      data: { state: 'Running', worker: 'h/6/a', startTime: BigInt(now - 60_000_000) },
    });
    const task = async (
      index: number,
      holder: string | null,
      state: string,
      counts?: Partial<TaskCounts>,
    ) => {
      const row = { id: `${job} s k ${index}`, jobId: job, work: '', stateSince: BigInt(now) };
      const place = JSON.stringify(placeAt(index));
      await service.db.task.create({ data: { ...row, place, state, worker: holder } });
      if (!counts) return;
      const stats = JSON.stringify({ ...noCounts, ...counts });
      const data = { taskId: row.id, jobId: job, updatedAt: BigInt(now), stats };
      await service.db.taskStats.create({ data });
    };
    // In the future, so that a busy machine is not too late. The second one has seen one more second.
    const end = now + 60_000_000;
    await task(0, 'h/6/a', 'running', { ...seconds([1, 2, 3]), at: end - 1_000_000 });
    await task(10, 'h/7/a', 'recovering', { ...seconds([10, 20, 30]), at: end - 400_000, reconnects: 2 });
    await task(2, 'h/7/a', 'ended', { ...seconds([7, 7, 7]), at: end });
    await task(3, null, 'waiting');
    const { data: tasks } = await get(`/pipelines/${id}/jobs/${job}/tasks`);
    const outline = tasks.map(({ index, worker: name, state, connected, reconnects }: Shown) => [
      ...[index, name, state, connected, reconnects],
    ]);
    expect(outline).toEqual([
      [0, 'e', 'running', true, 0],
      [3, null, 'waiting', false, 0],
      [10, 'f', 'recovering', true, 2],
    ]);
    expect(tasks.map(({ sampled_at }: Shown) => end - sampled_at)).toEqual([1_000_000, end - now, 400_000]);
    const { data: groups } = await get(`/pipelines/${id}/jobs/${job}/operator_metric_groups`);
    const { subtasks } = groups[0].metric_groups[0];
    const series = subtasks.map(({ index, metrics }: { index: number; metrics: Metric[] }) => [
      index,
      ...metrics.map(({ time, value }) => [(time - end) / 1_000_000, value]),
    ]);
    expect(series).toEqual([[0, [-3, 1], [-2, 2], [-1, 3]], [3], [10, [-2, 10], [-1, 20]]]);
    const [{ placed_tasks }] = [await get('/workers/f')];
    expect(placed_tasks).toEqual([
      { job_id: job, pipeline_id: id, pipeline: 'spread', index: 10, state: 'recovering' },
    ]);
  });

  test('a placement is stored, edited on its own, and part of a bundle', async () => {
    await service.db.worker.deleteMany();
    const { id, job, warnings } = await pipeline('placed', { placement: { site: 'north' } });
    expect(warnings).toEqual([{ message: expect.stringContaining('No worker has the labels site=north') }]);
    await worker('h/8/a', 'g', alive, { labels: '{"site":"north","line":"2"}', exclusive: true });
    const edits = async () => (await service.db.job.findUniqueOrThrow({ where: { id: job } })).editRequests;
    const patch = async (body: object) =>
      (await service.request.patch(`/api/v1/pipelines/${id}`).send(body).expect(200)).body;
    const patched = await patch({ placement: { line: '2' } });
    expect(patched).toMatchObject({ placement: { site: 'north', line: '2' }, warnings: [] });
    expect(patched.affected_pipelines).toEqual([{ id, name: 'placed' }]);
    expect(await edits()).toBe(1);
    await patch({ placement: { site: 'north' }, labels: { app: 'x' } });
    expect(await edits()).toBe(1);
    expect((await patch({ placement: { site: null } })).placement).toEqual({ line: '2' });
    expect(await edits()).toBe(2);
    const bundle = await get('/export?label_selector=app=x');
    expect(bundle.pipelines[0].placement).toEqual({ line: '2' });
    const apply = async (more: object) => {
      const pipelines = [{ ...bundle.pipelines[0], ...more }];
      return (await service.request.post('/api/v1/apply').send({ pipelines }).expect(200)).body;
    };
    expect((await apply({})).summary.unchanged).toBe(1);
    const { changes, affected_pipelines } = await apply({ placement: { line: '3' } });
    expect(changes[0].diff).toEqual([{ path: '/placement/line', before: '2', after: '3' }]);
    expect(affected_pipelines).toEqual([{ id, name: 'placed' }]);
    expect(await edits()).toBe(3);
    const none = await patch({ placement: null });
    expect(none).toMatchObject({
      placement: {},
      warnings: [{ message: expect.stringContaining('needs a placement') }],
    });
    expect((await get(`/pipelines/${id}`)).placement).toEqual({});
    const wrong = { placement: { '-site': 'north' } };
    const { status, body } = await service.request.patch(`/api/v1/pipelines/${id}`).send(wrong);
    expect([status, body.code]).toEqual([400, 'invalid_request']);
  });
});

interface Shown {
  index: number;
  worker: string | null;
  state: string;
  connected: boolean;
  reconnects: number;
  sampled_at: number;
}
interface Metric {
  time: number;
  value: number;
}

const placeAt = (index: number): TaskPlace => ({
  index,
  source: { id: 's', node: 0 },
  transform: null,
  sink: { id: 'k', node: 1 },
  window: 1000,
});

const totals = {
  messages_in: 0,
  bytes_in: 0,
  rows_in: 0,
  rows_out: 0,
  messages_out: 0,
  bytes_out: 0,
  bad: 0,
};
const noCounts: Omit<TaskCounts, 'at' | 'samples' | 'in_flight_samples' | 'waiting_samples'> = {
  ...{ connected: true, totals, batches: 0, in_flight: 0, reconnects: 0 },
  ...{ last_error: null, latency: null, waiting_since: null },
};

/** Series of a task, from the number of messages that it took in each second. */
const seconds = (counts: number[]) => ({
  samples: counts.map((count) => [count, 0, 0, 0, 0, 0, 0]),
  in_flight_samples: counts.map(() => 0),
  waiting_samples: counts.map(() => 0),
});
