import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { whyMissing } from '../../scripts/servers.ts';
import { Kafka } from '../support/kafka.ts';
import { Penstock, retryingSoon } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/** From one topic of Kafka to another, while everything in between is killed, cut off or slow. */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 20_000 : 3_000;
const rate = soak ? 2_000 : 300;
const patience = soak ? 600_000 : 120_000;
const missing = whyMissing('Kafka');

let kafka: Kafka;
let penstock: Penstock;
let pipeline: string;

/** The end of the pipeline that is behind the link. */
type End = 'source' | 'sink';

const request = () => penstock.request;

async function start(linked: End): Promise<void> {
  const fields = [{ name: 'seq', type: 'int64', required: true }];
  const ends = [
    { name: 'readings', end: 'source', topic: 'in', type: { offset: 'earliest', messages_per_second: rate } },
    { name: 'out', end: 'sink', topic: 'out', type: { commit_mode: 'at_least_once', key_field: 'seq' } },
  ];
  for (const { name, end, topic, type } of ends) {
    const config = kafka.profile(end === linked ? 'linked' : 'direct', {
      connectTimeoutMs: 2_000,
      requestTimeoutMs: 2_000,
    });
    const profile = await created(request(), '/connection_profiles', {
      name: `at ${name}`,
      connector: 'kafka',
      config,
    });
    await created(request(), '/connection_tables', {
      name,
      connector: 'kafka',
      connection_profile_id: profile.id,
      config: { topic, type },
      schema: { format: { type: 'json' }, fields },
    });
  }
  const query = 'INSERT INTO out SELECT * FROM readings';
  ({ id: pipeline } = await created(request(), '/pipelines', { name: 'p', query, parallelism: 1 }));
}

const arrived = (): Promise<number> => kafka.count('out').catch(() => -1);

/** Waits until messages arrive that had not. */
async function moving(): Promise<void> {
  let before = -1;
  const answers = async () => {
    before = await arrived();
    return before >= 0;
  };
  await until('Kafka to answer', answers, 60_000);
  await until('messages to arrive', async () => (await arrived()) > before, 60_000).catch(
    async (error: unknown) => {
      throw new Error(JSON.stringify(await jobOf(request(), pipeline)), { cause: error });
    },
  );
}

const strikes = {
  'Penstock killed': async () => {
    await penstock.kill('SIGKILL');
    await penstock.resume();
  },
  'Kafka killed': async () => {
    await kafka.kill('SIGKILL');
    await kafka.resume();
  },
  'Kafka restarted': async () => {
    await kafka.kill('SIGTERM');
    await kafka.resume();
  },
  'link cut': async () => {
    kafka.link.cut();
    await pause(200);
    await kafka.link.heal();
  },
  'link silent': async () => {
    kafka.link.blackhole();
    await pause(3_000);
    await kafka.link.heal();
  },
  'Kafka slow': async () => {
    kafka.link.delayAnswers(200);
    await pause(2_000);
    kafka.link.delayAnswers(0);
  },
};

/** Strikes one after the other, each when messages have arrived again; then waits for all of them. */
async function underFire(what: string, all: readonly (() => Promise<void>)[]): Promise<void> {
  for (const strike of all) {
    await moving();
    await strike();
  }
  expect(await arrived()).toBeLessThan(messages);
  const job = async () => (await jobOf(request(), pipeline).catch(() => undefined))?.state;
  let numbers = new Set<number>();
  let count = 0;
  const everything = async () => {
    if ((await job()) === 'Failed') throw new Error(JSON.stringify(await jobOf(request(), pipeline)));
    if ((await arrived()) < messages) return false;
    const found = await kafka.read('out', await arrived());
    numbers = new Set(found.map(({ value }) => (JSON.parse(String(value)) as { seq: number }).seq));
    count = found.length;
    return numbers.size >= messages;
  };
  await until('every message to arrive', everything, patience).catch(() => {});
  process.stdout.write(
    `${what}: ${messages} sent, ${messages - numbers.size} lost, ${count - numbers.size} twice\n`,
  );
  expect(numbers.size).toBe(messages);
}

describe.skipIf(missing !== undefined)(skipping('a real Kafka', missing), () => {
  beforeEach(async () => {
    [kafka, penstock] = await Promise.all([Kafka.start(), Penstock.start(soak ? {} : retryingSoon())]);
    await kafka.createTopic('in', 3);
    await kafka.createTopic('out', 3);
    const producer = kafka.producer();
    for (let first = 0; first < messages; first += 1_000)
      await producer.send({
        acks: -1,
        messages: Array.from({ length: 1_000 }, (_, nth) => ({
          topic: 'in',
          partition: nth % 3,
          value: Buffer.from(JSON.stringify({ seq: first + nth })),
        })),
      });
  });

  test.skipIf(soak)(
    skipping(
      'nothing is lost while everything is killed and cut in turn',
      soak ? 'the soak does each alone' : undefined,
    ),
    async () => {
      await start('source');
      const all = ['Penstock killed', 'Kafka killed', 'link cut'] as const;
      await underFire(
        'all in turn',
        all.map((name) => strikes[name]),
      );
    },
    patience * 2,
  );

  test
    .skipIf(!soak)
    .each(
      Object.keys(strikes).flatMap((name) =>
        (['source', 'sink'] as const).map((end) => [name, end] as const),
      ),
    )(
    skipping('nothing is lost: %s, %s behind the link', onlyInSoak),
    async (name, end) => {
      await start(end);
      const strike = strikes[name as keyof typeof strikes];
      await underFire(`${name}, ${end} behind the link`, [strike, strike]);
    },
    patience * 2,
  );
});
