import { randomInt } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { execute } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { PostgresProcess } from '../support/postgres-process.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/** MQTT at QoS 1 into PostgreSQL, while Penstock, the broker and the database are killed. */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 50_000 : 500;
const rounds = soak ? 3 : 1;
const patience = soak ? 600_000 : 120_000;

let broker: Mosquitto;
let penstock: Penstock;
let database: PostgresProcess;

beforeEach(async () => {
  [broker, penstock, database] = await Promise.all([
    Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true }),
    Penstock.start(),
    PostgresProcess.start(),
  ]);
});

const fields = [
  { name: 'seq', type: 'int64', required: true },
  { name: 'celsius', type: 'float64' },
];

/** Starts a pipeline into a table of the database. */
async function start(config: object): Promise<void> {
  const { request } = penstock;
  const plant = await created(request, '/connection_profiles', profileBody(broker.url));
  const schema = { format: { type: 'json' }, fields };
  const source = tableBody('readings', plant.id, { topic: 'in', type: {} }, schema);
  await created(request, '/connection_tables', source);
  const profile = await created(request, '/connection_profiles', {
    name: 'database',
    connector: 'postgres',
    config: { url: database.url, tls: { mode: 'disable' }, connectTimeoutMs: 2_000 },
  });
  await created(request, '/connection_tables', {
    name: 'stored',
    connector: 'postgres',
    connection_profile_id: profile.id,
    config: { table: 'stored', ...config },
    schema: { fields },
  });
  const query = 'INSERT INTO stored SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  await until('the job runs', async () => (await jobOf(request, id)).state === 'Running');
}

const count = async (what = 'count(*)'): Promise<number> => {
  const [row] = await execute(database.url, `SELECT ${what}::int AS n FROM stored`).catch(() => []);
  return Number(row?.n ?? -1);
};

/** A mosquitto that is killed forgets what it has not saved: it is asked to end. */
const strikes = [
  async () => {
    await penstock.kill('SIGKILL');
    await penstock.resume();
  },
  async () => {
    await broker.kill('SIGTERM');
    await broker.resume();
  },
  async () => {
    await database.kill();
    await database.resume();
  },
];

/** Publishes all messages while everything is killed in turn, each time after rows have arrived again. */
async function underFire(): Promise<Traffic> {
  const place = (topic: string) => ({ url: broker.url, topic });
  const traffic = await Traffic.open(place('in'), place('unused'), 1);
  const due = Array.from({ length: rounds * strikes.length }, () => randomInt(messages / 20, messages)).sort(
    (a, b) => a - b,
  );
  let striking = Promise.resolve();
  let struck = 0;
  const arriving = async () => {
    const before = await count('count(DISTINCT seq)');
    const more = async () => {
      const now = await count('count(DISTINCT seq)');
      return now > before || now >= messages;
    };
    await until('rows arrive', more, 60_000);
  };
  await traffic.publish(messages, (sent) => {
    while (struck < due.length && sent >= (due[struck] as number)) {
      const strike = strikes[struck % strikes.length] as () => Promise<void>;
      struck += 1;
      striking = striking.then(arriving).then(strike);
    }
  });
  await striking;
  expect(struck).toBe(due.length);
  await until('every row', async () => (await count('count(DISTINCT seq)')) >= messages, patience);
  return traffic;
}

test(
  'upsert ends with exactly what was sent',
  async () => {
    await execute(database.url, 'CREATE TABLE stored (seq bigint PRIMARY KEY, celsius float8)');
    await start({ mode: 'upsert', key: ['seq'] });
    await underFire();
    expect([await count(), await count('min(seq)'), await count('max(seq)')]).toEqual([
      messages,
      0,
      messages - 1,
    ]);
  },
  patience * 3,
);

test.skipIf(!soak)(
  skipping('append misses nothing, and its duplicates are counted', onlyInSoak),
  async () => {
    await execute(database.url, 'CREATE TABLE stored (seq bigint, celsius float8)');
    await start({ mode: 'append' });
    await underFire();
    const all = await count();
    process.stdout.write(`append: ${messages} sent, ${all - messages} twice\n`);
    expect([await count('min(seq)'), await count('max(seq)')]).toEqual([0, messages - 1]);
  },
  patience,
);
