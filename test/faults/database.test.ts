import { afterAll, beforeAll, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { until } from '../support/service.ts';
import { Traffic } from '../support/traffic.ts';

const [, postgresql] = databases;

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'] });
});
afterAll(() => broker.stop());

test('a job goes on while the database is silent, and nothing has to be restarted afterwards', async () => {
  const database = await postgresql.create();
  const behind = new URL(database.url);
  const link = await FaultyLink.start(Number(behind.port), () => () => {});
  behind.port = new URL(link.url).port;
  const penstock = await Penstock.start({ PENSTOCK_DATABASE_URL: behind.href });
  await createTables(penstock.request, broker.url);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 1 });
  await until('the job runs', async () => (await jobOf(penstock.request, id)).state === 'Running');
  const { url } = broker;
  const traffic = await Traffic.open({ url, topic: 'plant/x/readings' }, { url, topic: 'plant/alerts' }, 1);

  link.blackhole();
  const away = await until('the database is missed', async () => {
    const answer = await penstock.request.get('/readyz');
    return answer.status === 503 && answer;
  });
  expect(away.headers['retry-after']).toBe('5');
  expect(away.body).toMatchObject({ code: 'database_unavailable' });
  expect((await penstock.request.get('/healthz')).status).toBe(200);
  await traffic.publish(1000);
  await until('messages get through all the same', async () => traffic.arrived === traffic.sent);

  await link.heal();
  await until(
    'the database is back',
    async () => (await penstock.request.get('/readyz')).status === 200,
    60_000,
  );
  expect(await jobOf(penstock.request, id)).toMatchObject({
    state: 'Running',
    run_id: 1,
    failure_reason: null,
  });
  await penstock.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
  await until('it obeys', async () => (await jobOf(penstock.request, id)).state === 'Stopped', 60_000);
  await traffic.close();
  expect(await penstock.kill('SIGTERM')).toBe(0);
  await penstock.stop();
  await link.stop();
  await database.drop();
}, 180_000);
