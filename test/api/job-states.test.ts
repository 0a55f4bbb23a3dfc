import { describe, expect, test } from 'vitest';
import { databasesOfSoak } from '../support/databases.ts';
import { createTables, jobOf } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** The state of a job as the API shows and keeps it. The rows stand for those that a task would write. */

const operatorId = 'transform_minutes_5b1e0c';
const checkpoint = { epoch: 41, startTime: 5_000_000, finishTime: 5_020_000, bytes: 300, stateBytes: 4096 };

describe.each(databasesOfSoak)('the state of a job on $provider', ({ open, provider }) => {
  const rig = useRig({ service: { open, worker: true } });

  const query = (limit: number) => `INSERT INTO alerts SELECT * FROM readings WHERE celsius > ${limit}`;

  /** A running pipeline with a state that its query does not have. */
  async function withState(bytes: bigint) {
    const tables = await createTables(rig.request, rig.broker.url);
    const id = await rig.run(query(1));
    const { id: jobId } = await jobOf(rig.request, id);
    const { db } = rig.service;
    const place = { jobId, operatorId };
    const columns = { control: Buffer.from('{}'), lastSegment: 0, commits: 1n, bytes, updatedAt: 1n };
    const checkpoints = JSON.stringify([{ ...checkpoint, kind: 'delta' }]);
    await db.taskState.create({ data: { ...place, ...columns, shape: 'before', checkpoints } });
    await db.statePart.create({
      data: { ...place, segment: 0, part: 0, parts: 1, data: Buffer.from('PAR1') },
    });
    const path = `/api/v1/pipelines/${id}`;
    return { path, jobId, tables, states: () => db.taskState.findMany({ where: { jobId } }) };
  }

  test('is listed by its checkpoints', async () => {
    const { path, jobId } = await withState(4096n);
    const { body } = await rig.request.get(`${path}/jobs/${jobId}/checkpoints`).expect(200);
    const times = { start_time: 5_000_000, finish_time: 5_020_000 };
    const sizes = { bytes: 300, state_bytes: 4096 };
    expect(body.data).toEqual([
      { epoch: 41, backend: provider, checkpoint_type: 'delta', ...times, ...sizes, events: [] },
    ]);
    const groups = `${path}/jobs/${jobId}/checkpoints/41/operator_checkpoint_groups`;
    const { body: shown } = await rig.request.get(groups).expect(200);
    expect(shown.data).toMatchObject([{ operator_id: operatorId, bytes: 300 }]);
  });

  test('is lost by an edit only with consent, and then once the new query runs', async () => {
    const { path, tables, states } = await withState(4096n);
    const edited = { query: query(2) };
    const refused = await rig.request.patch(path).send(edited).expect(409);
    expect(refused.body).toMatchObject({
      code: 'state_would_be_lost',
      errors: [
        { message: `pipeline p: the state of ${operatorId} (4096 bytes): the query no longer has it` },
      ],
    });
    const table = `/api/v1/connection_tables/${tables.readings}`;
    const renamed = { config: { topic: 'other', qos: 'AtLeastOnce', type: {} } };
    expect((await rig.request.patch(table).send(renamed).expect(409)).body.code).toBe('state_would_be_lost');
    const bundle = { pipelines: [{ name: 'p', parallelism: 1, ...edited }] };
    const planned = await rig.request.post('/api/v1/apply?dry_run=true').send(bundle).expect(409);
    expect(planned.body).toMatchObject({ code: 'state_would_be_lost', errors: [{ path: '/pipelines/0' }] });
    // What is not about the query keeps it.
    await rig.request
      .patch(path)
      .send({ tags: { a: 'b' } })
      .expect(200);
    await rig.request.patch(`${path}?state=discard&dry_run=true`).send(edited).expect(200);
    expect(await states()).toMatchObject([{ discardFor: null }]);

    const { body } = await rig.request.patch(`${path}?state=discard`).send(edited).expect(200);
    expect(body.warnings).toMatchObject([{ message: expect.stringContaining(operatorId) }]);
    await until('the state is deleted', async () => (await states()).length === 0);
    expect(await rig.service.db.statePart.count()).toBe(0);
  });

  const counted = (days: number, having = 0) =>
    `INSERT INTO alerts SELECT device, count(*) AS seq, avg(celsius) AS celsius FROM readings
     GROUP BY session(interval '${days} days'), device HAVING count(*) > ${having}`;
  const reading = (device: string) =>
    rig.client.publishAsync('plant/a/readings', JSON.stringify({ device, seq: 1, celsius: 20 }), { qos: 1 });

  test('of open windows is kept by edits that only use it otherwise, and by a stop that is a checkpoint', async () => {
    await createTables(rig.request, rig.broker.url);
    const received = await rig.receive('plant/alerts');
    const id = await rig.run(counted(100));
    const path = `/api/v1/pipelines/${id}`;
    const { db } = rig.service;
    const job = () => jobOf(rig.request, id);
    const committed = () =>
      until('a commit', async () => ((await db.taskState.findFirst())?.bytes ?? 0n) > 0n);
    await reading('a');
    await committed();
    const tasks = async () => (await rig.request.get(`${path}/jobs/${(await job()).id}/tasks`)).body.data;
    await until('what it tells of its windows', async () => (await tasks())[0]?.windows?.checkpoint_ms > 0);

    const refused = await rig.request
      .patch(path)
      .send({ query: counted(200) })
      .expect(409);
    expect(refused.body.code).toBe('state_would_be_lost');
    await rig.request
      .patch(path)
      .send({ query: counted(100, 1), parallelism: 3 })
      .expect(200);
    await until('the edit runs', async () => {
      const { editsDone, state } = await db.job.findFirstOrThrow();
      return editsDone === 1 && state === 'Running';
    });
    expect(await tasks()).toHaveLength(1);
    await rig.request.patch(path).send({ stop: 'checkpoint' }).expect(200);
    await rig.inState(id, 'Stopped');
    await rig.start(id);
    await reading('a');
    await reading('b');
    await until('all are committed', async () => {
      const { control } = await db.taskState.findFirstOrThrow();
      const [task] = await tasks();
      return control.length > 0 && task?.in_flight === 0 && task.operators[0].messages_in === 2;
    });
    expect(received).toEqual([]);
    await rig.stop(id);
    await until('the result', () => received.length > 0);
    expect(received).toEqual([expect.objectContaining({ device: 'a', seq: 2 })]);

    const lists = await rig.request.get(`${path}/jobs/${(await job()).id}/checkpoints`).expect(200);
    expect(lists.body.data.at(-1)).toMatchObject({ backend: provider, finish_time: expect.any(Number) });
    // All windows have closed.
    await rig.request
      .patch(path)
      .send({ query: counted(200) })
      .expect(200);
    await rig.start(id);
    await reading('c');
    await committed();

    const { shape } = await db.taskState.findFirstOrThrow();
    await rig.request
      .patch(`${path}?state=discard`)
      .send({ query: counted(300) })
      .expect(200);
    await until('a state of the new query', async () => {
      await reading('d');
      return (await db.taskState.findFirstOrThrow()).shape !== shape;
    });
    expect(await db.taskState.findFirst()).toMatchObject({ discardFor: null });
  });

  test('without rows is nothing to lose', async () => {
    const { path, states } = await withState(0n);
    const { body } = await rig.request
      .patch(path)
      .send({ query: query(2) })
      .expect(200);
    expect(body.warnings).toEqual([]);
    await until('the state is deleted', async () => (await states()).length === 0);
  });
});
