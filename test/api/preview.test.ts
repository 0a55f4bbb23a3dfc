import { beforeEach, describe, expect, test } from 'vitest';
import { EventReader } from '../support/events.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient, unique } from '../support/mqtt.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { until as untilWithin } from '../support/until.ts';

/** Other tests may run at the same time. */
const until = (what: string, condition: () => boolean | Promise<boolean>) =>
  untilWithin(what, condition, 60_000);

interface Output {
  operator_id: string;
  timestamps: number[];
  start_id: number;
  batch: string;
  bad?: { code: string; message: string }[];
  left_out?: number;
  partial?: boolean;
  state?: { watermark: number | null; open_windows: number; late_rows: number };
  done?: boolean;
  error?: { code: string } | null;
}

const sum = (rows: readonly { n: number }[]): number => rows.reduce((total, { n }) => total + n, 0);

const rig = useRig({ broker: { config: ['max_queued_messages 0'] }, service: { worker: true } });

describe('a preview', { timeout: 180_000 }, () => {
  let topic: string;

  beforeEach(async () => {
    topic = `preview/${unique()}`;
    await createTables(rig.request, rig.broker.url, { from: `${topic}/in`, to: `${topic}/out` });
  });

  const path = '/api/v1/pipelines';
  const preview = async (query: string, enable_sinks = false) => {
    const pipeline = await created(rig.request, '/pipelines/preview', { query, enable_sinks });
    const { id: job } = await jobOf(rig.request, pipeline.id);
    const at = `${path}/${pipeline.id}`;
    return { pipeline, at, job, output: `${rig.service.address}${at}/jobs/${job}/output` };
  };
  const send = (payload: string) => rig.client.publishAsync(`${topic}/in`, payload, { qos: 1 });
  const reading = (seq: number, celsius: number) => JSON.stringify({ device: 'd', seq, celsius });
  const rowsOf = ({ events }: EventReader<Output>) => events.flatMap(({ batch }) => JSON.parse(batch));
  const hot = 'INSERT INTO alerts SELECT * FROM readings WHERE celsius > 90';

  test('shows rows without writing them, with the errors in messages, and leaves no trace', async () => {
    const written: string[] = [];
    rig.client.on('message', (to) => written.push(to));
    await rig.client.subscribeAsync(`${topic}/out`);
    const { pipeline, at, job, output } = await preview(hot);
    expect(pipeline).toMatchObject({ preview: true, stop: 'none', action_text: 'Stop' });
    expect((pipeline.graph as { nodes: { description: string }[] }).nodes.map((n) => n.description)).toEqual([
      'readings (source)',
      expect.any(String),
      'preview (sink)',
    ]);
    // Before there is a reader: it is kept for the first one.
    for (let seq = 0; seq < 4; seq++) await send(reading(seq, seq < 2 ? 95 : 20));
    await send('no reading');
    const reader = new EventReader<Output>(output);
    await until('the rows', () => rowsOf(reader).length === 2);
    const bad = await reader.has('the bad message', (event) => event.bad !== undefined);
    expect(bad.bad).toMatchObject([{ code: 'bad_data' }]);
    expect(rowsOf(reader)).toEqual([
      { device: 'd', seq: 0, celsius: 95 },
      { device: 'd', seq: 1, celsius: 95 },
    ]);
    const times = reader.events.flatMap(({ timestamps }) => timestamps);
    expect(times).toHaveLength(2);
    expect(Math.abs(Number(times[0]) / 1000 - Date.now())).toBeLessThan(60_000);
    const { body: errors } = await rig.request.get(`${at}/jobs/${job}/errors`).expect(200);
    expect(errors.data).toMatchObject([{ level: 'warn', operator_id: expect.stringMatching(/^source_/) }]);
    const stopped = await rig.request.patch(at).send({ stop: 'immediate' }).expect(200);
    expect(stopped.body.preview).toBe(true);
    expect(await reader.last()).toMatchObject({ done: true, error: null });
    expect(await jobOf(rig.request, pipeline.id)).toMatchObject({ state: 'Finished' });
    expect(written).toEqual([]);
    const { db } = rig.service;
    expect([await db.pipeline.count(), await db.job.count(), await db.sourceSession.count()]).toEqual([
      0, 0, 0,
    ]);
    const [, id] = new RegExp(`(penstock_check_\\w+) \\d ${topic}/in`).exec(rig.broker.log) ?? [];
    expect(id).toBeDefined();
    await until('its client has gone', () => rig.broker.log.includes(`Client ${id} disconnected.`));
  });

  test('accepts one SELECT alone, and several', async () => {
    const { output } = await preview('SELECT seq FROM readings; SELECT celsius * 2 AS twice FROM readings');
    const reader = new EventReader<Output>(output);
    await send(reading(7, 20));
    await until('both', () => rowsOf(reader).length === 2);
    expect(rowsOf(reader)).toEqual(expect.arrayContaining([{ seq: 7 }, { twice: 40 }]));
    expect(new Set(reader.events.map(({ operator_id }) => operator_id)).size).toBe(2);
    await reader.hangUp();
  });

  test('takes nothing from a pipeline that reads the same topic', async () => {
    const { id } = await created(rig.request, path.slice('/api/v1'.length), {
      name: 'p',
      query: hot,
      parallelism: 1,
    });
    await until('it runs', async () => (await jobOf(rig.request, id)).state === 'Running');
    const { output } = await preview(hot);
    const reader = new EventReader<Output>(output);
    let out = 0;
    const listener = await plainClient(rig.broker.url);
    listener.on('message', () => {
      out++;
    });
    await listener.subscribeAsync(`${topic}/out`, { qos: 1 });
    for (let seq = 0; seq < 20; seq++) await send(reading(seq, 95));
    await until('all at both', () => out === 20 && rowsOf(reader).length === 20);
    await reader.hangUp();
    await listener.endAsync();
  });

  test('shows a limited number of rows of a flood, and counts the others', async () => {
    const { output } = await preview('SELECT seq FROM readings');
    const reader = new EventReader<Output>(output);
    const total = 3000;
    for (let seq = 0; seq < total; seq += 200)
      await Promise.all(Array.from({ length: 200 }, (_, nth) => send(reading(seq + nth, 1))));
    const leftOut = () => reader.events.reduce((sum, { left_out = 0 }) => sum + left_out, 0);
    await until('every message is accounted for', () => rowsOf(reader).length + leftOut() === total);
    expect(leftOut()).toBeGreaterThan(0);
    expect(rowsOf(reader).length).toBeGreaterThanOrEqual(100);
    await reader.hangUp();
  });

  test('ends without a reader', async () => {
    const { pipeline } = await preview(hot);
    await until('it ends', async () => (await jobOf(rig.request, pipeline.id)).state === 'Finished');
  });

  test('ends with the reason when its broker stops', async () => {
    const own = await Mosquitto.start();
    const query = `CREATE TABLE t (seq BIGINT) WITH (connector = 'mqtt', url = '${own.url}', topic = 't',
      type = 'source', format = 'json'); SELECT * FROM t`;
    const { output, pipeline } = await preview(query);
    const reader = new EventReader<Output>(output);
    await own.kill();
    expect(await reader.last()).toMatchObject({ done: true, error: { code: 'connection_lost' } });
    const { state, failure_reason } = await jobOf(rig.request, pipeline.id);
    expect([state, failure_reason?.code]).toEqual(['Failed', 'connection_lost']);
    const { status, body } = await rig.request.post(`${path}/preview`).send({ query });
    expect([status, body.code]).toEqual([400, 'connection_refused']);
  });

  test('is refused for an invalid query, and when too many run', async () => {
    const post = (body: object) => rig.request.post(`${path}/preview`).send(body);
    const wrong = await post({ query: 'SELECT nope FROM readings' });
    expect([wrong.status, wrong.body.code]).toEqual([400, 'invalid_query']);
    expect(wrong.body.errors[0]).toMatchObject({ path: '/query', message: expect.stringContaining('nope') });
    expect((await post({ query: hot, enable_sinks: 'yes' })).status).toBe(400);
    const running = [];
    const readers = [];
    for (let count = 0; count < 8; count++) {
      const one = await preview(hot);
      running.push(one);
      // Without a reader it ends after a while.
      readers.push(new EventReader<Output>(one.output));
    }
    const refused = await post({ query: hot });
    expect([refused.status, refused.body.code]).toEqual([429, 'too_many_requests']);
    await rig.request.delete(running[0]?.at ?? '').expect(200);
    await rig.request.get(running[0]?.at ?? '').expect(404);
    await until('there is room again', async () => (await post({ query: hot })).status === 200);
    await Promise.all(readers.map((reader) => reader.hangUp()));
  });

  test('writes the rows that it shows with enable_sinks, and reports those that it cannot write', async () => {
    const written: string[] = [];
    rig.client.on('message', (_, payload) => written.push(payload.toString()));
    await rig.client.subscribeAsync(`${topic}/out`, { qos: 1 });
    const { output, at, job } = await preview(hot, true);
    const reader = new EventReader<Output>(output);
    for (let seq = 0; seq < 4; seq++) await send(reading(seq, seq < 3 ? 95 : 20));
    await until('all rows', () => rowsOf(reader).length === 3 && written.length === 3);
    expect(written.map((text) => JSON.parse(text))).toEqual(rowsOf(reader));
    const { body: errors } = await rig.request.get(`${at}/jobs/${job}/errors`).expect(200);
    expect(errors.data).toEqual([]);
    await rig.request.patch(at).send({ stop: 'immediate' }).expect(200);
    expect(await reader.last()).toMatchObject({ done: true, error: null });

    const narrow = await preview(
      `CREATE TABLE one (device TEXT) WITH (connector = 'mqtt', url = '${rig.broker.url}', topic = '{{ device }}/x',
        type = 'sink', format = 'json');
       INSERT INTO one SELECT CASE WHEN seq = 0 THEN 'a#' ELSE device END FROM readings;
       SELECT seq FROM readings`,
      true,
    );
    const shown = new EventReader<Output>(narrow.output);
    await send(reading(0, 20));
    await until('both rows', () => rowsOf(shown).length === 2);
    await until('the error', async () => {
      const { body } = await rig.request.get(`${narrow.at}/jobs/${narrow.job}/errors`).expect(200);
      return body.data.length === 1 && body.data[0].code === 'bad_row';
    });
    await shown.hangUp();
  });

  test('is refused with enable_sinks if a sink cannot be reached', async () => {
    const query = `CREATE TABLE gone (seq BIGINT) WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:1', topic = 't',
      type = 'sink', format = 'json'); INSERT INTO gone SELECT seq FROM readings`;
    const post = (enable_sinks: boolean) => rig.request.post(`${path}/preview`).send({ query, enable_sinks });
    const { status, body } = await post(true);
    expect([status, body.code]).toEqual([400, 'connection_refused']);
    await post(false).expect(200);
  });

  const byDevice = (window: string) =>
    `SELECT device, count(*) AS n, max(celsius) AS top FROM readings GROUP BY device, tumble(interval '${window}')`;

  test('shows the results of windows that close, and closes them on demand', async () => {
    const { output, pipeline, at } = await preview(`${byDevice('1 second')}; ${byDevice('1 day')}`);
    const reader = new EventReader<Output>(output);
    const close = () => rig.request.post(`${path}/preview/${pipeline.id}/close_windows`).send();
    const of = (nth: number) =>
      reader.events.filter(({ operator_id }) => operator_id.includes(`_preview_${nth}_`));
    const shown = (nth: number) => of(nth).flatMap(({ batch }) => JSON.parse(batch));
    for (let seq = 0; seq < 3; seq++) await send(reading(seq, seq));
    await until('the short windows have closed', () => sum(shown(0)) === 3);
    await until('the long one is open', () => of(1).some(({ state }) => state?.open_windows === 1));
    expect(shown(1)).toEqual([]);
    expect((await close().expect(200)).body.id).toBe(pipeline.id);
    await until('it has closed', () => shown(1).length === 1);
    expect(shown(1)).toEqual([{ device: 'd', n: 3, top: 2 }]);
    expect(of(1).find(({ batch }) => batch !== '[]')).toMatchObject({ partial: true });
    await send(reading(3, 9));
    await until('it is open again', () => sum(shown(0)) === 4);
    await close().expect(200);
    await until('further rows are another result', () => shown(1).length === 2);
    expect(shown(1)[1]).toEqual({ device: 'd', n: 1, top: 9 });
    await rig.request.patch(at).send({ stop: 'immediate' }).expect(200);
    expect(await reader.last()).toMatchObject({ done: true, error: null });
    expect((await close()).status).toBe(409);
    const rows = await preview('SELECT seq FROM readings');
    const refused = await rig.request.post(`${path}/preview/${rows.pipeline.id}/close_windows`).send();
    expect([refused.status, refused.body.code]).toEqual([409, 'illegal_state']);
    await rig.request.post(`${path}/preview/pl_none/close_windows`).send().expect(404);
    await rig.request.delete(rows.at).expect(200);
  });

  test('shows results that change as changes, and writes them', async () => {
    const written: unknown[] = [];
    rig.client.on('message', (_, payload) => written.push(JSON.parse(payload.toString())));
    await rig.client.subscribeAsync(`${topic}/totals`, { qos: 1 });
    const { output } = await preview(
      `CREATE TABLE totals (device TEXT, n BIGINT) WITH (connector = 'mqtt', url = '${rig.broker.url}',
        topic = '${topic}/totals', type = 'sink', format = 'debezium_json');
       INSERT INTO totals SELECT device, count(*) FROM readings GROUP BY device`,
      true,
    );
    const reader = new EventReader<Output>(output);
    await send(reading(1, 1));
    await until('the first result', () => rowsOf(reader).length === 1);
    await send(reading(2, 1));
    await until('its change', () => rowsOf(reader).length === 2 && written.length === 2);
    const [one, two] = [1, 2].map((n) => ({ device: 'd', n }));
    expect(rowsOf(reader)).toEqual([
      { before: null, after: one, op: 'c' },
      { before: one, after: two, op: 'u' },
    ]);
    expect(written).toEqual(rowsOf(reader));
    await reader.hangUp();
  });

  test('reads both sources of a join', async () => {
    const other = `CREATE TABLE alarms (device TEXT, level INT) WITH (connector = 'mqtt', url = '${rig.broker.url}',
      topic = '${topic}/alarms', type = 'source', format = 'json');`;
    const { output, pipeline } = await preview(
      `${other} SELECT a.device, n, worst
       FROM (SELECT tumble(interval '1 day') AS w, device, count(*) AS n FROM readings GROUP BY 1, 2) a
       JOIN (SELECT tumble(interval '1 day') AS w, device, max(level) AS worst FROM alarms GROUP BY 1, 2) b
       ON a.w = b.w AND a.device = b.device`,
    );
    expect((pipeline.graph as { nodes: { operator: string }[] }).nodes.map((n) => n.operator)).toEqual([
      ...['mqtt', 'mqtt', 'stateful', 'preview'],
    ]);
    const reader = new EventReader<Output>(output);
    await send(reading(1, 1));
    await rig.client.publishAsync(`${topic}/alarms`, '{"device":"d","level":3}', { qos: 1 });
    await until('both', async () => {
      await rig.request.post(`${path}/preview/${pipeline.id}/close_windows`).send().expect(200);
      await send(reading(1, 1));
      await rig.client.publishAsync(`${topic}/alarms`, '{"device":"d","level":3}', { qos: 1 });
      return rowsOf(reader).length > 0;
    });
    expect(rowsOf(reader)[0]).toMatchObject({ device: 'd', worst: 3 });
    await reader.hangUp();
  });

  test('the output of a running pipeline shows results of windows and changes', async () => {
    const query = `${byDevice('1 second')}; SELECT count(*) AS n FROM readings`;
    const { id } = await created(rig.request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const job = await jobOf(rig.request, id);
    await until('it runs', async () => (await jobOf(rig.request, id)).state === 'Running');
    const reader = new EventReader<Output>(`${rig.service.address}${path}/${id}/jobs/${job.id}/output`);
    await until('both', async () => {
      await send(reading(1, 20));
      const rows = rowsOf(reader);
      return rows.some(({ top }) => top === 20) && rows.some(({ after }) => after?.n > 1);
    });
    await reader.hangUp();
  });

  test('the output of a running pipeline shows its rows, and takes none', async () => {
    const query = 'SELECT seq, celsius * 2 AS twice FROM readings';
    const { id } = await created(rig.request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const job = await jobOf(rig.request, id);
    await until('it runs', async () => (await jobOf(rig.request, id)).state === 'Running');
    const pipeline = (await rig.request.get(`${path}/${id}`).expect(200)).body;
    expect(pipeline.graph.nodes.map(({ operator }: { operator: string }) => operator)).toContain('preview');
    const output = `${path}/${id}/jobs/${job.id}/output`;
    const reader = new EventReader<Output>(`${rig.service.address}${output}`);
    await until('a row', async () => {
      await send(reading(1, 20));
      return rowsOf(reader).length > 0;
    });
    expect(rowsOf(reader)[0]).toEqual({ seq: 1, twice: 40 });
    const transform = reader.events.find(({ batch }) => batch !== '[]')?.operator_id;
    expect(transform).toMatch(/^transform_preview_/);
    await reader.hangUp();
    const tasks = async () => (await rig.request.get(`${path}/${id}/jobs/${job.id}/tasks`)).body.data;
    await until('the pipeline has read them too', async () => {
      const [task] = await tasks();
      return task?.operators.at(-1).messages_in > 0;
    });
    await rig.request.patch(`${path}/${id}`).send({ stop: 'immediate' }).expect(200);
    await until('it has stopped', async () => (await jobOf(rig.request, id)).state === 'Stopped');
    const { status, body } = await rig.request.get(output);
    expect([status, body.code]).toEqual([409, 'illegal_state']);
    await rig.request.get(`${path}/${id}/jobs/job_none/output`).expect(404);
  });
});
