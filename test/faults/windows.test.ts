import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { databases, execute } from '../support/databases.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Handshakes } from '../support/ledger.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';
import { Counted, countingQuery, Pipeline, source } from './windowed.ts';

/** Windows over messages while Penstock, brokers and databases are killed. `npm run soak` does the same for longer. */

const soak = process.env.PENSTOCK_SOAK === '1';
const seconds = Number(process.env.PENSTOCK_SECONDS ?? 180);
const patience = soak ? 900_000 : 120_000;
const [, postgresql] = databases;

let from: Mosquitto;
let to: Mosquitto;
/** Records what the pipeline gets. */
let link: FaultyLink;
let handshakes: Handshakes;
beforeEach(async () => {
  // Without the first mosquitto itself makes messages count twice: findings/mosquitto-publishes-again-after-pubrec.sh.
  const config = ['max_inflight_messages 60000', 'max_queued_messages 0'];
  const options = { config, quiet: true };
  [from, to] = await Promise.all([Mosquitto.start(options), Mosquitto.start(options)]);
  handshakes = new Handshakes();
  link = await FaultyLink.start(from.port, handshakes.tap);
});

const ends = (qos: 1 | 2) => ({ from: from.url, to: to.url, qos, handshakes });
/** The same for the pipeline. */
const tapped = (qos: 1 | 2) => ({ ...ends(qos), from: link.url });

async function restart(broker: Mosquitto, awayMs = randomInt(300)): Promise<void> {
  await broker.kill('SIGTERM');
  await pause(awayMs);
  await broker.resume();
}

/** Kills one process after the other, about one a second, every other one again while it starts; a broker restarts now and then. */
async function underFire(processes: readonly Penstock[], kills: number, lastsMs: number): Promise<string> {
  const end = performance.now() + lastsMs;
  let [killed, restarts] = [0, 0];
  while (killed < kills || performance.now() < end) {
    await pause(randomInt(1_000));
    const penstock = processes[randomInt(processes.length)] as Penstock;
    await penstock.kill('SIGKILL');
    killed += 1;
    if (killed % 5 === 1) await restart(restarts % 2 === 0 ? from : to);
    if (killed % 5 === 1) restarts += 1;
    const ready = penstock.resume();
    if (killed % 2 === 0) {
      await pause(randomInt(2_000));
      await penstock.kill('SIGKILL');
      killed += 1;
      await penstock.resume();
    }
    await ready;
  }
  return `${killed} kills, ${restarts} restarts of a broker`;
}

/** Workers on one PostgreSQL, which they reach over a link that can be cut, and a process with the API. */
async function fleet(workers: number): Promise<{ api: Penstock; workers: Penstock[]; link: FaultyLink }> {
  const url = new URL((await postgresql.create()).url);
  const link = await FaultyLink.start(Number(url.port), () => () => {});
  url.port = new URL(link.url).port;
  const settings = {
    PENSTOCK_DATABASE_URL: url.href,
    PENSTOCK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
  };
  const api = await Penstock.start(settings, 'api');
  const join = (_: unknown, nth: number) =>
    Penstock.start({ ...settings, PENSTOCK_WORKER_NAME: `w${nth}` }, 'worker');
  return { api, link, workers: await Promise.all(Array.from({ length: workers }, join)) };
}

describe.each([2, 1] as const)('at QoS %d', (qos) => {
  const expectResults = (counted: Counted, what: string) =>
    qos === 2 ? counted.expectExact(what, patience) : counted.expectComplete(what, patience);

  const rarely = qos === 1 ? onlyInSoak : undefined;
  test.skipIf(rarely)(
    skipping('what is counted is what was sent, when process and brokers are killed', rarely),
    async () => {
      const penstock = await Penstock.start();
      await Pipeline.create(() => penstock, countingQuery(tapped(qos)));
      const counted = await Counted.open(ends(qos));
      const end = counted.keepPublishing(400);
      const struck = await underFire([penstock], 2, soak ? seconds * 1000 : 0);
      await end();
      await expectResults(counted, `SQLite at QoS ${qos}: ${struck}`);
    },
    patience * 3,
  );

  test.skipIf(!soak)(
    skipping('the same with three workers on PostgreSQL', onlyInSoak),
    async () => {
      const { api, workers } = await fleet(3);
      await Pipeline.create(() => api, countingQuery(tapped(qos)));
      const counted = await Counted.open(ends(qos));
      const end = counted.keepPublishing(400);
      const struck = await underFire(workers, 2, seconds * 1000);
      await end();
      await expectResults(counted, `PostgreSQL at QoS ${qos}: ${struck}`);
    },
    patience * 3,
  );
});

test(
  'windows stay open through stops, edits and another parallelism, and close early at a graceful stop',
  async () => {
    const penstock = await Penstock.start();
    const pipeline = await Pipeline.create(() => penstock, countingQuery(tapped(2)));
    const counted = await Counted.open(ends(2));
    await counted.publish(150);
    await pipeline.stop('checkpoint');
    await counted.publish(150);
    await pipeline.begin();
    const end = counted.keepPublishing(300);
    await pipeline.change({ parallelism: 3 });
    await pipeline.is('Running');
    // The same rows in the windows, and another result of each.
    await pipeline.change({ query: countingQuery(tapped(2)).replace(', n FROM', ', n + 0 AS n FROM') });
    await pipeline.is('Running');
    await pipeline.change({ parallelism: 1 });
    await pipeline.is('Running');
    await pipeline.stop('immediate');
    await pipeline.begin();
    await end();
    await counted.expectExact('stops, an edit and other numbers of tasks');

    const before = counted.total;
    const received = await pipeline.received();
    await counted.publish(300);
    // A stop leaves to the broker what the pipeline has not read yet.
    await until('the pipeline has them', async () => (await pipeline.received()) >= received + 300);
    await pipeline.stop('graceful');
    await until('all windows are closed', () => counted.total >= before + 301).catch(() => {});
    expect(counted.total).toBe(before + 301);
  },
  patience * 3,
);

test.skipIf(!soak)(
  skipping(
    'another worker goes on with the windows of one that ends, and of a database that was away',
    onlyInSoak,
  ),
  async () => {
    const { api, workers, link } = await fleet(2);
    const pipeline = await Pipeline.create(() => api, countingQuery(tapped(2)));
    const counted = await Counted.open(ends(2));
    const end = counted.keepPublishing(300);
    for (const worker of workers) {
      await worker.kill('SIGTERM');
      await pipeline.is('Running');
      await worker.resume();
    }
    link.cut();
    await pause(10_000);
    await link.heal();
    await pipeline.is('Running');
    await restart(from, 10_000);
    await pipeline.is('Running');
    await restart(to, 10_000);
    await end();
    await counted.expectExact('workers ended, database and brokers away for 10 s', 120_000);
  },
  patience * 3,
);

test.skipIf(!soak)(
  skipping('a job goes on with its windows when the broker of the source has lost the session', onlyInSoak),
  async () => {
    const forgetful = await Mosquitto.start({ config: ['persistence false'], quiet: true });
    const penstock = await Penstock.start();
    const given = { ...ends(2), from: forgetful.url };
    const pipeline = await Pipeline.create(() => penstock, countingQuery(given));
    const counted = await Counted.open(given);
    await counted.publish(1000);
    await until('results come', () => counted.total > 0);
    await restart(forgetful);
    await until('it says so', async () => (await pipeline.codes()).includes('mqtt_session_lost'));
    await pipeline.is('Running');
    const sentBefore = new Map(counted.sent);
    await counted.publish(500);
    await counted.close();
    await until('all windows have results', () => counted.missing === 0).catch(() => {});
    const { twice, repeated } = counted.outcome();
    expect({ twice, repeated }).toEqual({ twice: 0, repeated: 0 });
    // What is published once it runs again is counted.
    for (const [key, sent] of counted.sent)
      expect(counted.results.get(key)?.at(-1) ?? 0).toBeGreaterThanOrEqual(sent - (sentBefore.get(key) ?? 0));
  },
  patience * 3,
);

test.skipIf(!soak)(
  skipping('results that change end as the query over all messages', onlyInSoak),
  async () => {
    const database = await postgresql.create();
    const penstock = await Penstock.start();
    await execute(database.url, 'CREATE TABLE totals (device text PRIMARY KEY, n bigint, s bigint)');
    const query = `${source(tapped(2))}
      CREATE TABLE totals (device TEXT, n BIGINT, s BIGINT)
      WITH (connector = 'postgres', url = '${database.url}', tls.mode = 'disable',
        table = 'totals', mode = 'upsert', key = 'device');
      INSERT INTO totals SELECT device, count(*), sum(seq) FROM readings GROUP BY device`;
    await Pipeline.create(() => penstock, query);
    const counted = await Counted.open(ends(2));
    const end = counted.keepPublishing(400);
    const struck = await underFire([penstock], 3, seconds * 300);
    await end();
    const found = async () =>
      Number((await execute(database.url, 'SELECT sum(n) AS n FROM totals'))[0]?.n ?? 0);
    await until('all are counted', async () => (await found()) >= counted.messages, 120_000).catch(() => {});
    const rows = await execute(database.url, 'SELECT device, n::int, s::int FROM totals ORDER BY device');
    console.log(`updating results: ${struck}, ${counted.messages} sent, ${await found()} counted`);
    expect(rows).toEqual(counted.totals);
  },
  patience * 3,
);
