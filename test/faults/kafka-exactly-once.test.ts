import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { whyMissing } from '../../scripts/servers.ts';
import { allDeadLetters, deadLetterOf } from '../support/dead-letters.ts';
import { Kafka } from '../support/kafka.ts';
import { readCommitted } from '../support/kafka-context.ts';
import { Penstock, retryingSoon } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/** From one topic of Kafka to another, exactly once, while everything in between is killed, cut off or changed. */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 50_000 : 2_000;
const rate = 1_500;
const partitions = 3;
const group = 'copies';
const missing = whyMissing('Kafka');

/** A query leaves these out. */
const isLeftOut = (seq: number): boolean => seq % 10 === 3;
/** These cannot be read. */
const isBroken = (seq: number): boolean => seq % 500 === 250;
const brokenText = (seq: number): string => `broken ${seq}`;

let kafka: Kafka;
let penstock: Penstock;
let pipeline: string;

async function start(listener: 'direct' | 'linked', parallelism: number): Promise<void> {
  const { bootstrapServers } = kafka.profile(listener);
  const at = `connector = 'kafka', bootstrap_servers = '${bootstrapServers}', connect_timeout_ms = 2000, request_timeout_ms = 5000`;
  const query = `
    CREATE TABLE readings (seq BIGINT NOT NULL, place INT METADATA FROM 'partition') WITH (${at}, topic = 'in', type = 'source',
      source.offset = 'earliest', source.group_id = '${group}', source.messages_per_second = ${rate / parallelism},
      format = 'json', bad_data = 'dead_letter');
    CREATE TABLE copies (seq BIGINT, place INT) WITH (${at}, topic = 'out', type = 'sink', sink.commit_mode = 'exactly_once',
      sink.key_field = 'place', format = 'json');
    INSERT INTO copies SELECT seq, place FROM readings WHERE seq % 10 <> 3`;
  ({ id: pipeline } = await created(penstock.request, '/pipelines', { name: 'p', query, parallelism }));
}

const passed = (): Promise<number> => kafka.committed(group, 'in').catch(() => -1);

/** Waits until messages are passed on that were not, and more than `least`. */
async function moving(least: number): Promise<void> {
  let before = -1;
  const answers = async () => {
    before = await passed();
    return before >= 0;
  };
  await until('Kafka to answer', answers, 60_000);
  const moved = async () => (await passed()) > Math.max(before, least);
  await until('messages to be passed on', moved, 120_000).catch(async (error: unknown) => {
    throw new Error(JSON.stringify(await jobOf(penstock.request, pipeline)), { cause: error });
  });
}

const penstockKilled = async () => {
  await penstock.kill('SIGKILL');
  await penstock.resume();
};

const kafkaEnds = (signal: 'SIGKILL' | 'SIGTERM') => async () => {
  await kafka.kill(signal);
  await kafka.resume();
};

const linkCut = async () => {
  kafka.link.cut();
  await pause(200);
  await kafka.link.heal();
};

const linkSilent = async () => {
  kafka.link.blackhole();
  await pause(6_000);
  await kafka.link.heal();
};

const tasks = (parallelism: number) => () =>
  penstock.request.patch(`/api/v1/pipelines/${pipeline}`).send({ parallelism }).expect(200);

/** Strikes one after the other, each when messages are passed on again. Returns what a consumer then finds. */
async function underFire(strikes: readonly (() => PromiseLike<unknown>)[]) {
  for (const [nth, strike] of strikes.entries()) {
    await moving(Math.floor((messages * nth) / (strikes.length + 1)));
    await strike();
  }
  expect(await passed()).toBeLessThan(messages);
  const everything = async () => {
    const job = await jobOf(penstock.request, pipeline).catch(() => undefined);
    if (job?.state === 'Failed') throw new Error(JSON.stringify(job));
    return (await passed()) === messages;
  };
  await until('every message to be passed on', everything, 300_000);
  const ends = Array.from({ length: partitions }, (_, partition) => ({
    topic: 'out',
    partition,
    value: Buffer.from('end'),
  }));
  await kafka.producer().send({ acks: -1, messages: ends });
  let open = partitions;
  const isLast = (text: string): boolean => {
    if (text === 'end') open -= 1;
    return open === 0;
  };
  const found = await readCommitted(kafka.profile(), 'out', isLast);
  return found
    .filter((text) => text !== 'end')
    .map((text) => JSON.parse(text) as { seq: number; place: number });
}

async function expectEachOnce(found: readonly { seq: number; place: number }[]): Promise<void> {
  const all = Array.from({ length: messages }, (_, seq) => seq);
  const expected = all.filter((seq) => !isLeftOut(seq) && !isBroken(seq));
  const distinct = new Set(found.map(({ seq }) => seq));
  process.stdout.write(
    `exactly once: ${expected.length} expected, ${expected.length - distinct.size} lost, ${found.length - distinct.size} twice\n`,
  );
  // In order too: each partition of the source has a key of its own.
  for (let place = 0; place < partitions; place += 1)
    expect(found.filter((one) => one.place === place).map(({ seq }) => seq)).toEqual(
      expected.filter((seq) => seq % partitions === place),
    );
  const deadLetters = await allDeadLetters(penstock.request, pipeline);
  const kept = new Set<string | null>();
  for (const { id } of deadLetters)
    kept.add((await deadLetterOf(penstock.request, pipeline, id)).payload.text);
  // Some may be there twice.
  expect([...kept].sort()).toEqual(all.filter(isBroken).map(brokenText).sort());
}

describe.skipIf(missing !== undefined)(skipping('exactly once at a real Kafka', missing), () => {
  beforeEach(async () => {
    [kafka, penstock] = await Promise.all([Kafka.start(), Penstock.start(soak ? {} : retryingSoon())]);
    await Promise.all([kafka.createTopic('in', partitions), kafka.createTopic('out', partitions)]);
    const producer = kafka.producer();
    for (let first = 0; first < messages; first += 1_000)
      await producer.send({
        acks: -1,
        messages: Array.from({ length: 1_000 }, (_, nth) => first + nth).map((seq) => ({
          topic: 'in',
          partition: seq % partitions,
          value: Buffer.from(isBroken(seq) ? brokenText(seq) : JSON.stringify({ seq })),
        })),
      });
  });

  test.skipIf(soak)(
    skipping('a killed Penstock and a cut link', soak ? 'the soak has more' : undefined),
    async () => {
      await start('linked', 1);
      await expectEachOnce(await underFire([penstockKilled, linkCut]));
    },
    480_000,
  );

  test.skipIf(!soak)(
    skipping('everything is killed and changed in turn', onlyInSoak),
    async () => {
      await start('linked', 2);
      const strikes = [
        ...[penstockKilled, linkCut, penstockKilled, kafkaEnds('SIGKILL'), penstockKilled, tasks(3)],
        ...[penstockKilled, linkSilent, kafkaEnds('SIGTERM'), penstockKilled, tasks(1), penstockKilled],
        ...[kafkaEnds('SIGKILL'), linkCut],
      ];
      await expectEachOnce(await underFire(strikes));
    },
    900_000,
  );
});
