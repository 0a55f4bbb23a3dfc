import supertest from 'supertest';
import { beforeAll, expect, test } from 'vitest';
import { type Document, operationsOf } from '../../scripts/docs/document.ts';
import { databases, execute, type TestDatabase } from '../support/databases.ts';
import { EventReader } from '../support/events.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/** A database outage: first silence, then refused connections. PENSTOCK_SOAK=1 makes the silence last half a minute. */

const [, postgresql] = databases;
const silenceMs = process.env.PENSTOCK_SOAK === '1' ? 30_000 : 0;
const headers = { authorization: 'Bearer the-key-of-an-admin' };

let broker: Mosquitto;
let database: TestDatabase;
let link: FaultyLink;
let penstock: Penstock;
/** Uses the key of the settings, which needs no database, so that the routes themselves respond. */
let admin: ReturnType<typeof supertest>;
let document: Document;

beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  database = await postgresql.create();
  const behind = new URL(database.url);
  link = await FaultyLink.start(Number(behind.port), () => () => {});
  behind.port = new URL(link.url).port;
  penstock = await Penstock.start({
    PENSTOCK_DATABASE_URL: behind.href,
    PENSTOCK_ADMIN_KEY: 'the-key-of-an-admin',
  });
  admin = supertest.agent(penstock.address).set(headers) as unknown as typeof admin;
  document = (await admin.get('/api/v1/api-docs/openapi.json')).body;
}, 300_000);

interface Asked {
  name: string;
  method: string;
  path: string;
  body: object | undefined;
}

const query = 'INSERT INTO alerts SELECT * FROM readings';
/** Operations whose example defines its own tables, and needs no stored ones. */
const queries: Record<string, object> = {
  '/api/v1/pipelines/validate_query': { query },
  '/api/v1/pipelines/preview': { query: 'SELECT * FROM readings' },
};

/** One valid request for each operation, about existing objects. */
function everyOperation(ids: Record<string, string>): Asked[] {
  return operationsOf(document).map(({ name, method, path, example }) => {
    const [, , , collection = ''] = path.split('/');
    const known: Record<string, string> = { ...ids, id: ids[collection] ?? 'none_0000000000' };
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, part: string) => known[part] ?? '1');
    const named = path.endsWith('by-name/{name}') ? { name: known.name as string } : {};
    const body = example === undefined ? undefined : { ...(example as object), ...named, ...queries[path] };
    return { name, method, path: filled, body };
  });
}

/** Sends all requests at once. Each must get a response within a minute. */
async function answersOf(asked: Asked[]) {
  return Promise.all(
    asked.map(async ({ name, method, path, body }) => {
      const response = await fetch(`${penstock.address}${path}`, {
        method: method.toUpperCase(),
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        signal: AbortSignal.timeout(60_000),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = (await response.json().catch(() => null)) as { code?: string } | null;
      return {
        name,
        status: response.status,
        code: answer?.code,
        after: response.headers.get('retry-after'),
      };
    }),
  );
}

/** Routes that work without the database. */
const withoutDatabase = [
  '200 GET /api/v1/caller',
  '200 GET /api/v1/connectors',
  '200 GET /api/v1/connectors/{id}',
  '200 GET /api/v1/functions',
  '200 GET /api/v1/ping',
  '200 GET /api/v1/udfs',
  '200 GET /healthz',
  '200 GET /metrics',
  '200 POST /api/v1/connection_profiles/test',
  '200 POST /api/v1/connection_tables/schemas/test',
  '200 POST /api/v1/udfs/validate',
  '400 POST /api/v1/udfs',
  '404 DELETE /api/v1/udfs/{id}',
  '404 POST /api/v1/pipelines/preview/{id}/close_windows',
];

async function expectRefusals(ids: Record<string, string>): Promise<void> {
  const answers = await answersOf(everyOperation(ids));
  const others = answers.filter(({ status }) => status !== 503);
  expect(others.map(({ name, status }) => `${status} ${name}`).sort()).toEqual(withoutDatabase);
  const refused = answers.filter(({ status }) => status === 503);
  for (const answer of refused) expect(answer).toMatchObject({ code: 'database_unavailable', after: '5' });
  // A key that is not cached yet may be valid.
  const unauthenticated = await fetch(`${penstock.address}/api/v1/jobs`, {
    headers: { authorization: 'Bearer another' },
    signal: AbortSignal.timeout(60_000),
  });
  expect(unauthenticated.status).toBe(503);
}

const isReady = async () => (await admin.get('/readyz')).status === 200;

test('a job continues during a database outage, every route reports it, and nothing needs a restart', async () => {
  const tables = await createTables(admin, broker.url);
  const { id } = await created(admin, '/pipelines', { name: 'p', query, parallelism: 1 });
  const running = await until('the job runs', async () => {
    const job = await jobOf(admin, id);
    return job.state === 'Running' && job;
  });
  const { url } = broker;
  const traffic = await Traffic.open({ url, topic: 'plant/x/readings' }, { url, topic: 'plant/alerts' }, 1);
  const follower = new EventReader(`${penstock.address}/api/v1/pipelines/${id}/events`, headers);
  await follower.has('its state', ({ name }) => name === 'state');
  const ids = {
    connection_profiles: tables.profile,
    connection_tables: tables.readings,
    pipelines: id,
    job_id: running.id,
    connectors: 'mqtt',
    name: 'plant',
  };

  link.blackhole();
  const since = performance.now();
  const away = await until('the database is missed', async () => {
    const answer = await penstock.request.get('/readyz');
    return answer.status === 503 && answer;
  });
  expect(away.headers['retry-after']).toBe('5');
  expect(away.body).toMatchObject({ code: 'database_unavailable' });
  expect((await penstock.request.get('/healthz')).status).toBe(200);
  const endPublishing = traffic.keepPublishing(200);
  await expectRefusals(ids);
  await until('it was silent for long enough', async () => performance.now() - since > silenceMs, 60_000);
  await endPublishing();
  await until('messages get through all the same', async () => traffic.arrived === traffic.sent);
  expect(traffic.sent).toBeGreaterThan(silenceMs / 10);
  console.log(`${traffic.arrived} of ${traffic.sent} messages got through while the database was silent`);

  await link.heal();
  await until('the database is back', isReady, 60_000);
  link.cut();
  await traffic.publish(500);
  await expectRefusals(ids);
  await until('messages get through', async () => traffic.arrived === traffic.sent);
  await link.heal();
  await until('the database is back once more', isReady, 60_000);

  // A refused request had no effect. Until its worker has renewed the lease, the job waits for a worker.
  const again = await until('it is shown to run', async () => {
    const job = await jobOf(admin, id);
    return job.state === 'Running' && job;
  });
  expect(again).toMatchObject({ run_id: 1, failure_reason: null });
  const told = follower.events.length;
  await until('a subscriber receives more events', async () => follower.events.length > told, 60_000);
  await follower.hangUp();
  await until('it obeys', async () => {
    const { status } = await admin.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' });
    return status === 200;
  });
  await until('it stops', async () => (await jobOf(admin, id)).state === 'Stopped', 60_000);
  await traffic.close();
  expect(await penstock.kill('SIGTERM')).toBe(0);
});

test('a process on a database that becomes read-only is not ready, reads, refuses writes, and recovers', async () => {
  const { url } = await postgresql.create();
  const name = new URL(url).pathname.slice(1);
  const reader = await Penstock.start({ PENSTOCK_DATABASE_URL: url });
  const { request } = reader;
  const tables = await createTables(request, broker.url);
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const reach = async (state: string) => (await jobOf(request, id)).state === state;
  await until('the job runs', () => reach('Running'));
  const set = async (change: string) => {
    const server = url.replace(name, 'postgres');
    await execute(server, `ALTER DATABASE ${name} ${change}`);
    await execute(server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`);
  };
  await set('SET default_transaction_read_only = on');
  const refused = { status: 503, body: { code: 'database_read_only' }, headers: { 'retry-after': '5' } };
  const unready = await until('it is not ready', async () => {
    const answer = await request.get('/readyz');
    return answer.body.code === 'database_read_only' && answer;
  });
  expect(unready).toMatchObject(refused);
  const profile = { name: 'other', connector: 'mqtt', config: { url: broker.url } };
  const writes = [
    request.post('/api/v1/connection_profiles').send(profile),
    request.put(`/api/v1/connection_profiles/${tables.profile}`).send(profile),
    request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }),
    request.delete(`/api/v1/connection_tables/${tables.alerts}`),
    request.post(`/api/v1/pipelines/${id}/restart`).send({}),
  ];
  for (const answer of await Promise.all(writes)) expect(answer).toMatchObject(refused);
  expect((await request.get('/healthz')).status).toBe(200);
  expect((await request.get('/api/v1/pipelines')).body.data).toHaveLength(1);
  const at = (topic: string) => ({ url: broker.url, topic });
  const traffic = await Traffic.open(at('plant/x/readings'), at('plant/alerts'), 1);
  await traffic.publish(100);
  await until('messages get through', async () => traffic.arrived === traffic.sent);
  await traffic.close();
  // A process that starts says why, and ends, so that it is started again.
  await expect(Penstock.start({ PENSTOCK_DATABASE_URL: url })).rejects.toThrow(/database_read_only/);

  await set('RESET default_transaction_read_only');
  await until('it is ready again', async () => (await request.get('/readyz')).status === 200, 60_000);
  await until('the job runs again', () => reach('Running'), 60_000);
  await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it stops', () => reach('Stopped'), 60_000);
});
