import { beforeAll, expect, test } from 'vitest';
import { databases, execute } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { clockAt, Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

const [, postgresql] = databases;

const hourMs = 3_600_000;
const hoursAhead = ({ log }: Penstock): number =>
  (Number(/"time":(\d+)/.exec(log)?.[1]) - Date.now()) / hourMs;

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'] });
});

test('of two processes on one PostgreSQL with clocks two hours apart one runs the job, and the other takes over', async () => {
  const database = await postgresql.create();
  const settings = {
    PENSTOCK_DATABASE_URL: database.url,
    PENSTOCK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
  };
  const begun = Date.now() * 1000;
  const [one, two] = await Promise.all([
    Penstock.start({ ...settings, ...clockAt(hourMs), PENSTOCK_WORKER_NAME: 'one' }),
    Penstock.start({ ...settings, ...clockAt(-hourMs), PENSTOCK_WORKER_NAME: 'two' }),
  ]);
  expect(hoursAhead(one)).toBeCloseTo(1, 1);
  expect(hoursAhead(two)).toBeCloseTo(-1, 1);
  const expectNow = (...times: unknown[]) => {
    for (const time of times) {
      expect(time).toBeGreaterThan(begun - 5_000_000);
      expect(time).toBeLessThan(Date.now() * 1000 + 5_000_000);
    }
  };
  await createTables(one.request, broker.url);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(one.request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const job = await until('the job runs', async () => {
    const found = await jobOf(two.request, id);
    return found.state === 'Running' && found;
  });
  expect(job.run_id).toBe(1);
  for (const each of [one, two]) {
    const seen = await jobOf(each.request, id);
    expect(seen).toMatchObject({ state: 'Running', state_since: job.state_since });
    expectNow(seen.created_at, seen.start_time, seen.state_since);
  }
  const at = (topic: string) => ({ url: broker.url, topic });
  const traffic = await Traffic.open(at('plant/x/readings'), at('plant/alerts'), 1);
  await traffic.publish(500);
  /** The name of the worker that runs the task. */
  const worker = async (of: Penstock): Promise<string | null> => {
    const { body } = await of.request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/tasks`).expect(200);
    return body.data[0]?.worker ?? null;
  };
  const metrics = async (of: Penstock) => (await of.request.get('/metrics')).text.includes(`job="${job.id}"`);
  await until('messages are counted', async () => (await metrics(one)) || (await metrics(two)));
  const [holder, other, next] = (await worker(two)) === 'one' ? [one, two, 'two'] : [two, one, 'one'];
  expect(await metrics(holder)).toBe(true);
  expect(await metrics(other)).toBe(false);
  await holder.kill('SIGKILL');
  await traffic.publish(500);
  await until('the other runs it', async () => (await worker(other)) === next, 60_000);
  await until('everything arrives', async () => traffic.arrived === traffic.sent, 60_000);
  expect(traffic.missing).toEqual([]);

  const history = `/api/v1/pipelines/${id}/jobs/${job.id}/errors?level=info`;
  const times = await until('the history tells of the takeover', async () => {
    const { data } = (await other.request.get(history)).body as { data: { created_at: number }[] };
    return data.length > 2 && data.map(({ created_at }) => created_at);
  });
  expect(times).toEqual([...times].sort((a, b) => b - a));
  expectNow(...times);

  // Deleted by the one, the session is removed at once by either.
  await holder.resume();
  await other.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it stops', async () => (await jobOf(holder.request, id)).state === 'Stopped');
  await holder.request.delete(`/api/v1/pipelines/${id}`).expect(200);
  const sessions = 'SELECT "state" FROM "SourceSession"';
  await until('the session is removed', async () => (await execute(database.url, sessions)).length === 0);
});
