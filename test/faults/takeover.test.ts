import { beforeAll, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

const [, postgresql] = databases;

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'] });
});

test('of two processes on one PostgreSQL one runs the job, and the other takes over when it is killed', async () => {
  const database = await postgresql.create();
  const settings = {
    PENSTOCK_DATABASE_URL: database.url,
    PENSTOCK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
  };
  const [one, two] = await Promise.all([Penstock.start(settings), Penstock.start(settings)]);
  await createTables(one.request, broker.url);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(one.request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const job = await until('the job runs', async () => {
    const found = await jobOf(two.request, id);
    return found.state === 'Running' && found;
  });
  expect(job.run_id).toBe(1);
  const at = (topic: string) => ({ url: broker.url, topic });
  const traffic = await Traffic.open(at('plant/x/readings'), at('plant/alerts'), 1);
  await traffic.publish(500);
  const metrics = async (of: Penstock) => (await of.request.get('/metrics')).text.includes(`job="${job.id}"`);
  await until('messages are counted', async () => (await metrics(one)) || (await metrics(two)));
  const holder = (await metrics(one)) ? one : two;
  const other = holder === one ? two : one;
  expect(await metrics(other)).toBe(false);
  await holder.kill('SIGKILL');
  await traffic.publish(500);
  await until('the other runs it', async () => (await jobOf(other.request, id)).run_id === 2, 40_000);
  await until('everything arrives', async () => traffic.arrived === traffic.sent, 40_000);
  expect(traffic.missing).toEqual([]);
}, 120_000);
