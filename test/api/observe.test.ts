import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { EventReader } from '../support/events.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { unique } from '../support/mqtt.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { until as untilWithin } from '../support/until.ts';

/** Other tests may run at the same time. */
const until = (what: string, condition: () => boolean | Promise<boolean>) =>
  untilWithin(what, condition, 60_000);

/** How often a job that keeps losing its connection loses it. */
const losses = process.env.PENSTOCK_SOAK === '1' ? 5 : 2;

type Json = Record<string, unknown>;
interface Event extends Json {
  name: string;
  job?: Json;
  tasks?: Json[];
  rates?: Record<string, number>;
}

const rig = useRig({ service: { worker: true } });

describe('the view of a pipeline that runs', { timeout: 180_000 }, () => {
  let topic: string;
  let pipeline: string;
  let job: string;
  let own: Mosquitto | undefined;

  beforeEach(async () => {
    topic = `observe/${unique()}`;
    own = undefined;
  });

  /** Reads ${topic}/in and writes ${topic}/out, and runs. */
  const start = async (url = rig.broker.url) => {
    const { request } = rig;
    await createTables(request, url, { from: `${topic}/in`, to: `${topic}/out` });
    const query = 'INSERT INTO alerts SELECT * FROM readings WHERE celsius > 90';
    pipeline = (await created(request, '/pipelines', { name: 'p', query, parallelism: 1 })).id;
    await until('it runs', async () => (await jobOf(request, pipeline)).state === 'Running');
    job = (await jobOf(request, pipeline)).id;
  };
  const get = async (path: string) =>
    (await rig.request.get(`/api/v1/pipelines/${pipeline}/${path}`).expect(200)).body;
  const reading = (seq: number, celsius: number) => JSON.stringify({ device: 'd', seq, celsius });
  /** Ten readings, four of which pass, and one bad message. */
  const publish = async () => {
    const payloads = Array.from({ length: 10 }, (_, seq) => reading(seq, seq < 4 ? 95 : 20));
    for (const payload of [...payloads, 'no reading'])
      await rig.client.publishAsync(`${topic}/in`, payload, { qos: 1 });
    return payloads.join('').length + 'no reading'.length;
  };
  const follow = () => new EventReader<Event>(`${rig.service.address}/api/v1/pipelines/${pipeline}/events`);

  test('counts what goes in and out of each task and operator', async () => {
    await start();
    const bytes = await publish();
    // The bad message may be counted before the last rows are confirmed.
    await until('all is counted', async () => {
      const [first] = (await get(`jobs/${job}/tasks`)).data;
      return first?.bad === 1 && first.in_flight === 0;
    });
    const [task, ...others] = (await get(`jobs/${job}/tasks`)).data;
    expect(others).toEqual([]);
    const sent = [0, 1, 2, 3].map((seq) => reading(seq, 95)).join('').length;
    const [{ worker }] = (await get('jobs')).data;
    expect(worker).toEqual(expect.any(String));
    expect(task).toMatchObject({
      ...{ index: 0, connected: true, state: 'running', worker },
      operators: [
        { kind: 'source', node_id: 0, messages_in: 11, messages_out: 10, bytes_in: bytes, bytes_out: null },
        { kind: 'transform', node_id: 1, messages_in: 10, messages_out: 4, bytes_in: null, bytes_out: null },
        { kind: 'sink', node_id: 2, messages_in: 4, messages_out: 4, bytes_in: null, bytes_out: sent },
      ],
      in_flight: 0,
      batch_size: expect.any(Number),
      reconnects: 0,
      last_error: { code: 'bad_data' },
      latency_ms: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) },
    });
    expect(task.batches).toBeGreaterThanOrEqual(1);
    expect(task.batches).toBeLessThanOrEqual(11);
    const { graph } = (await rig.request.get(`/api/v1/pipelines/${pipeline}`)).body;
    expect(graph.nodes.map((node: Json) => node.node_id)).toEqual([0, 1, 2]);
  });

  test("returns rates by operator in Arroyo's shape that add up to the messages", async () => {
    await start();
    await publish();
    const sumOf = async (node: number, name: string): Promise<number> => {
      const { data } = await get(`jobs/${job}/operator_metric_groups`);
      const groups = data.find((group: Json) => group.node_id === node)?.metric_groups ?? [];
      const subtasks = groups.find((group: Json) => group.name === name)?.subtasks ?? [];
      expect(subtasks.every(({ index }: Json) => index === 0)).toBe(true);
      return subtasks
        .flatMap(({ metrics }: { metrics: { value: number }[] }) => metrics)
        .reduce((sum: number, { value }: { value: number }) => sum + value, 0);
    };
    // Seconds are not exact, so neither are the sums.
    const about = (sum: number, exact: number) => sum > exact * 0.5 && sum < exact * 1.5;
    for (const [node, name, exact] of [
      [0, 'messages_recv', 11],
      [0, 'messages_sent', 10],
      [1, 'messages_sent', 4],
      [2, 'messages_sent', 4],
    ] as const)
      await until(`the ${name} of node ${node}`, async () => about(await sumOf(node, name), exact));
    expect(await sumOf(0, 'bytes_recv')).toBeGreaterThan(0);
    const { data } = await get(`jobs/${job}/operator_metric_groups`);
    const { metrics } = data[0].metric_groups[0].subtasks[0];
    const times = metrics.map(({ time }: { time: number }) => time);
    expect(times).toEqual(times.toSorted((a: number, b: number) => a - b));
    expect(Math.abs(times.at(-1) / 1000 - Date.now())).toBeLessThan(60_000);
    expect(data[0].metric_groups.map(({ name }: Json) => name)).toContain('backpressure');
  });

  test('streams states, tasks and rates until the pipeline is deleted', async () => {
    await start();
    const [one, other] = [follow(), follow()];
    await one.has('the state', ({ name, job: seen }) => name === 'state' && seen?.state === 'Running');
    // The stream shows the latest second, and on a busy machine it may pass over the one with the messages.
    const sending = setInterval(() => void publish(), 2000);
    try {
      await one.has('the rate', ({ rates }) => (rates?.messages_in ?? 0) > 0);
      await one.has('its task', ({ tasks }) => Number(tasks?.[0]?.bad) >= 1);
    } finally {
      clearInterval(sending);
    }
    const rates = one.events.flatMap((event) => (event.rates ? [event.rates] : []));
    const times = rates.map(({ at }) => at as number);
    expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b));
    await rig.request.patch(`/api/v1/pipelines/${pipeline}`).send({ stop: 'graceful' }).expect(200);
    await one.has('it stops', ({ job: seen }) => seen?.state === 'Stopped');
    expect((await get(`jobs/${job}/operator_metric_groups`)).data).toEqual([]);
    await until('it can be deleted', async () => {
      const { status } = await rig.request.delete(`/api/v1/pipelines/${pipeline}`);
      return status === 200;
    });
    expect(await one.last()).toEqual({ name: 'deleted' });
    expect(await other.last()).toEqual({ name: 'deleted' });
    expect(await rig.service.db.taskStats.count()).toBe(0);
  });

  test('counts each task separately, and adds up several inserts from one source', async () => {
    await start();
    const query =
      'INSERT INTO alerts SELECT * FROM readings; INSERT INTO alerts SELECT * FROM readings WHERE celsius > 90';
    const change = { query, parallelism: 2 };
    await rig.request.patch(`/api/v1/pipelines/${pipeline}`).send(change).expect(200);
    const tasks = async () =>
      (await get(`jobs/${job}/tasks`)).data as { index: number; connected: boolean }[];
    await until('four tasks', async () => {
      const all = await tasks();
      return all.length === 4 && all.every(({ connected }) => connected);
    });
    expect((await tasks()).map(({ index }) => index).toSorted()).toEqual([0, 0, 1, 1]);
    // Until then a task that was alone also handles what is another's now.
    await until('each handles its own share', async () => {
      const sessions = await rig.service.db.sourceSession.findMany();
      return sessions.length === 4 && sessions.every(({ tables }) => JSON.parse(tables).length === 1);
    });
    for (let times = 0; times < 4; times++) await publish();
    const { graph } = (await rig.request.get(`/api/v1/pipelines/${pipeline}`)).body;
    const nodes = graph.nodes.map(({ node_id }: Json) => node_id);
    await until('every node has rates of both tasks', async () => {
      const { data } = await get(`jobs/${job}/operator_metric_groups`);
      const seen = data.map(({ node_id }: Json) => node_id).toSorted();
      const both = data.every(({ metric_groups }: { metric_groups: { subtasks: Json[] }[] }) =>
        metric_groups.every(({ subtasks }) => subtasks.map(({ index }) => index).join() === '0,1'),
      );
      return both && JSON.stringify(seen) === JSON.stringify(nodes);
    });
    const messagesIn = async () =>
      (await get(`jobs/${job}/tasks`)).data.reduce(
        (sum: number, { operators }: { operators: { messages_in: number }[] }) =>
          sum + (operators[0]?.messages_in ?? 0),
        0,
      );
    await until('each insert has read all', async () => (await messagesIn()) === 2 * 44);
  });

  test('a quiet pipeline has rates of zero', async () => {
    await start();
    const follower = follow();
    const zero = ({ rates }: Event) => rates?.messages_in === 0;
    await until('several quiet seconds', () => follower.events.filter(zero).length >= 3);
    await follower.hangUp();
  });

  test('a caller can have 32 streams, and another when one ends', async () => {
    await start();
    const open = Array.from({ length: 32 }, () => follow());
    await Promise.all(open.map((reader) => reader.has('the state', ({ name }) => name === 'state')));
    const path = `/api/v1/pipelines/${pipeline}/events`;
    const { status, body } = await rig.request.get(path);
    expect([status, body.code]).toEqual([429, 'too_many_requests']);
    await open.pop()?.hangUp();
    await until('there is room again', async () => {
      const again = follow();
      const got = await again
        .has('the state', ({ name }) => name === 'state', 1000)
        .then(
          () => true,
          () => false,
        );
      await again.hangUp();
      return got;
    });
    await Promise.all(open.map((reader) => reader.hangUp()));
  });

  test('keeps the history of a job, with the place of each error', async () => {
    own = await Mosquitto.start();
    await start(own.url);
    await own.kill();
    await until('it notices', async () => (await jobOf(rig.request, pipeline)).state === 'Recovering');
    const wire = (await get('jobs')).data[0];
    expect(wire).toMatchObject({ recoveries: 1, crash_looping: false });
    expect(wire.recovering_since).toBeGreaterThan(wire.start_time);
    // The messages are written after the state.
    await until('its cause', async () => {
      const { data } = await get(`jobs/${job}/errors?level=info&limit=100`);
      const has = (wanted: (message: Json) => boolean) => data.some(wanted);
      return (
        has(({ level }) => level !== 'info') && has(({ message }) => /is Recovering/.test(String(message)))
      );
    });
    const { data: errors } = await get(`jobs/${job}/errors`);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.every(({ level }: Json) => level !== 'info')).toBe(true);
    for (const { operator_id } of errors) expect(operator_id).toMatch(/^(source_readings|sink_alerts)_/);
    expect(errors.every(({ task_index }: Json) => task_index === 0)).toBe(true);
    const history = (await get(`jobs/${job}/errors?level=info&limit=100`)).data.reverse();
    const changes = (await get(`jobs/${job}/errors?level=info&highest_level=info&limit=100`)).data.reverse();
    expect(changes).toEqual(history.filter(({ level }: { level: string }) => level === 'info'));
    const below = `/api/v1/pipelines/${pipeline}/jobs/${job}/errors?level=error&highest_level=warn`;
    expect((await rig.request.get(below).expect(400)).body.errors[0].path).toBe('/highest_level');
    const states = history
      .filter(({ level }: Json) => level === 'info')
      .map(({ details }: { details: string }) => JSON.parse(details));
    expect(states.map(({ state }: Json) => state)).toEqual(['Scheduling', 'Running', 'Recovering']);
    expect(states[2]).toMatchObject({ before: 'Running', cause: expect.any(String) });
  });

  test('a job that keeps losing its connection is shown as crash-looping', async () => {
    own = await Mosquitto.start();
    await start(own.url);
    for (let times = 0; times < losses; times++) {
      await own.kill();
      await until('it notices', async () => (await jobOf(rig.request, pipeline)).state === 'Recovering');
      await own.resume();
      await until('it runs again', async () => (await jobOf(rig.request, pipeline)).state === 'Running');
    }
    expect((await get('jobs')).data[0]).toMatchObject({
      state: 'Running',
      recoveries: losses,
      crash_looping: losses >= 5,
    });
    // As if it had lost it more often.
    for (const recoveries of [4, 5]) {
      await rig.service.db.job.update({ where: { id: job }, data: { recoveries } });
      expect((await get('jobs')).data[0]).toMatchObject({ recoveries, crash_looping: recoveries >= 5 });
    }
  });

  test('returns checkpoints while it runs, an empty list of functions, and no other job', async () => {
    await start();
    const { data } = await get(`jobs/${job}/checkpoints`);
    for (const each of data) expect(each).toMatchObject({ backend: 'broker', events: [] });
    const unknown = `jobs/${job}/checkpoints/999999/operator_checkpoint_groups`;
    expect(await get(unknown)).toEqual({ data: [] });
    const { body } = await rig.request.get('/api/v1/udfs').expect(200);
    expect(body).toEqual({ data: [] });
    for (const path of ['checkpoints', 'tasks', 'operator_metric_groups'])
      await rig.request.get(`/api/v1/pipelines/${pipeline}/jobs/job_nowhere/${path}`).expect(404);
  });

  test('the documentation lists exactly the metrics that exist', async () => {
    await start();
    await publish();
    const metrics = async () => (await rig.request.get('/metrics').expect(200)).text;
    await until('all is counted', async () => {
      const counted = await metrics();
      const all = [
        /penstock_operator_rows_out_total\{.*\} 4/,
        /rows_in_total\{.*sink_alerts.*\} 4/,
        /code="bad_data"/,
      ];
      return all.every((one) => one.test(counted));
    });
    const text = await metrics();
    const served = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    const page = readFileSync(new URL('../../docs/operate.md', import.meta.url), 'utf8');
    const documented = [...page.matchAll(/^\| `(penstock_\w+)`/gm)].map(([, name]) => name);
    expect(served.toSorted()).toEqual(documented.toSorted());
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
    expect([...labels].toSorted()).toEqual(['code', 'job', 'le', 'operator', 'state', 'worker']);
    expect(text).toMatch(/penstock_operator_rows_in_total\{job="job_\w+",operator="sink_alerts_\w+"\} 4/);
  });
});
