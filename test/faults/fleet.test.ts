import { beforeAll, expect, test } from 'vitest';
import { BrokerClients } from '../support/broker-clients.ts';
import { databases } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/** An API and several workers on one PostgreSQL: the tasks of a job run on all of them. */

const [, postgresql] = databases;
const clients = new BrokerClients();
let broker: Mosquitto;
let settings: Record<string, string>;
let api: Penstock;
const workers = new Map<string, Penstock>();

beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true, logged: clients.read });
  const database = await postgresql.create();
  settings = {
    PENSTOCK_DATABASE_URL: database.url,
    PENSTOCK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
  };
  api = await Penstock.start(settings, 'api');
  await Promise.all([join('one'), join('two')]);
}, 300_000);

async function join(name: string): Promise<Penstock> {
  const worker = await Penstock.start({ ...settings, PENSTOCK_WORKER_NAME: name }, 'worker');
  workers.set(name, worker);
  return worker;
}

interface TaskAnswer {
  index: number;
  worker: string | null;
  state: string;
  connected: boolean;
}

test('a job runs on all workers, and goes on when they come, go and die', async () => {
  const { request } = api;
  const { id: profile } = await created(request, '/connection_profiles', profileBody(broker.url));
  const source = tableBody('readings', profile, { topic: 'in', type: {}, qos: 'AtLeastOnce' });
  const table = await created(request, '/connection_tables', source);
  const sink = { topic: 'out', type: { retain: false }, qos: 'AtLeastOnce' };
  await created(request, '/connection_tables', tableBody('alerts', profile, sink));
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const body = { name: 'p', query, parallelism: 4 };
  const { id } = await created(request, '/pipelines', body);
  const job = await until('it runs', async () => {
    const found = await jobOf(request, id);
    return found.state === 'Running' && found;
  });
  const tasks = async (): Promise<TaskAnswer[]> => {
    const answer = await request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/tasks`).expect(200);
    return answer.body.data;
  };
  const counts = async (): Promise<Record<string, number>> => {
    const running = (await tasks()).filter(({ state, connected }) => state === 'running' && connected);
    return Object.fromEntries(
      Map.groupBy(running, ({ worker }) => worker ?? '')
        .entries()
        .map(([worker, same]) => [worker, same.length]),
    );
  };
  const spread = (what: string, wanted: Record<string, number>, ms = 60_000) =>
    until(
      what,
      async () => {
        const found = await counts();
        const same = Object.entries(wanted).every(([name, count]) => found[name] === count);
        return same && Object.keys(found).length === Object.keys(wanted).length;
      },
      ms,
    ).catch(async (error: unknown) => {
      throw new Error(`${error}: ${JSON.stringify(await tasks())}`);
    });
  await spread('two tasks on each', { one: 2, two: 2 });

  const at = (topic: string) => ({ url: broker.url, topic });
  const traffic = await Traffic.open(at('in'), at('out'), 1);
  const end = traffic.keepPublishing(50);
  const flowing = async (what: string) => {
    const before = traffic.arrived;
    await until(`messages after ${what}`, () => traffic.arrived > before + 50, 60_000);
  };
  await flowing('the start');

  // An edit replaces the tasks wherever they are.
  const edited = `${query} WHERE celsius < 1000`;
  await request.patch(`/api/v1/pipelines/${id}`).send({ query: edited }).expect(200);
  await until('the edit runs', async () => {
    const found = await jobOf(request, id);
    return found.state === 'Running' && found.run_id === 1 && (await tasks()).every((task) => task.connected);
  });
  await flowing('an edit');
  // One that is not valid is refused, and changes nothing.
  const refused = { ...source, config: { ...source.config, topic: 'in/#/in' } };
  const answer = await request.put(`/api/v1/connection_tables/${table.id}`).send(refused);
  expect(answer.status).toBe(400);

  const three = await join('three');
  await until('the new worker has a task', async () => ((await counts()).three ?? 0) > 0, 60_000);
  await flowing('a move');

  await (workers.get('two') as Penstock).kill('SIGKILL');
  await until(
    'no task is on the dead worker',
    async () => {
      const found = await counts();
      return found.two === undefined && (found.one ?? 0) + (found.three ?? 0) === 4;
    },
    60_000,
  );
  await flowing('a kill');

  expect(await (workers.get('one') as Penstock).kill('SIGTERM')).toBe(0);
  await spread('all tasks are on the last worker', { three: 4 });
  await flowing('a clean end');
  // A worker says how many it has with its heartbeats.
  await until('the list of workers shows it', async () => {
    const { body } = await request.get('/api/v1/workers').expect(200);
    const alive = body.data.filter((worker: { alive: boolean }) => worker.alive);
    return alive.length === 1 && alive[0].name === 'three' && alive[0].tasks === 4;
  });

  await end();
  await until('everything arrives', () => traffic.arrived === traffic.sent, 60_000).catch(() => {});
  expect(traffic.missing).toEqual([]);
  const total = (await tasks()).length;
  expect(total).toBe(4);
  await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it stops', async () => (await jobOf(request, id)).state === 'Stopped');
  expect(await three.kill('SIGTERM')).toBe(0);
  expect(clients.offences).toEqual([]);
});
