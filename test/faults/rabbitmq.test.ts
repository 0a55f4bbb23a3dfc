import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type ConsumeMessage, connect } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { FaultyLink } from '../support/faulty-link.ts';
import { Penstock } from '../support/penstock.ts';
import { channelOf, declare, Publisher, Rabbitmq, rabbitmqMissing, takeAll } from '../support/rabbitmq.ts';
import { created, jobOf } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/**
 * A queue or a stream of one RabbitMQ to a queue of another, while Penstock and both servers are killed, the links fail, and the second
 * server lacks memory or disk space. Every message that the first server has confirmed arrives. Two servers start for each case; a
 * short form is in src/connectors/rabbitmq/.
 */

const skipped = rabbitmqMissing ?? onlyInSoak;

const messages = 20_000;
const patience = 600_000;

interface Ends {
  penstock: Penstock;
  from: Rabbitmq;
  to: Rabbitmq;
  up: FaultyLink;
  down: FaultyLink;
}

type Strike = (ends: Ends) => Promise<void>;

const restart = (which: 'from' | 'to', signal: 'SIGTERM' | 'SIGKILL'): Strike => {
  return async (ends) => {
    await ends[which].kill(signal);
    await ends[which].resume();
  };
};

const failing = (which: 'up' | 'down', fault: 'cut' | 'blackhole'): Strike => {
  return async (ends) => {
    ends[which][fault]();
    await pause(300);
    await ends[which].heal();
  };
};

const alarm = (limit: string, on: string, off: string): Strike => {
  return async ({ to }) => {
    await to.ctl(limit, on);
    await pause(2_000);
    await to.ctl(limit, off);
  };
};

const slow = 'the sink is slow';

const strikes: Record<string, Strike[]> = {
  'Penstock is killed': [
    async ({ penstock }) => {
      await penstock.kill('SIGKILL');
      await penstock.resume();
    },
  ],
  'the links are cut': [failing('up', 'cut'), failing('down', 'cut')],
  'the links fall silent': [failing('up', 'blackhole'), failing('down', 'blackhole')],
  'the servers are killed': [restart('from', 'SIGKILL'), restart('to', 'SIGKILL')],
  'the servers are stopped': [restart('from', 'SIGTERM'), restart('to', 'SIGTERM')],
  'the second server lacks memory or disk space': [
    alarm('set_vm_memory_high_watermark', '0.0000001', '0.4'),
    alarm('set_disk_free_limit', '1000000GB', '50MB'),
  ],
  [slow]: [
    async ({ down }) => {
      down.delayAnswers(2_000);
      await pause(4_000);
      down.delayAnswers(0);
    },
  ],
};

const cases = Object.entries(strikes).flatMap(([name, blows]) =>
  (['quorum', 'stream'] as const).map((kind) => ({ name, blows, kind, tasks: kind === 'stream' ? 1 : 2 })),
);

const portOf = (link: FaultyLink): number => Number(new URL(link.url).port);

async function start({ penstock, up, down }: Ends, kind: string, parallelism: number): Promise<string> {
  const { request } = penstock;
  const table = async (name: string, link: FaultyLink, config: object) => {
    const profile = await created(request, '/connection_profiles', {
      name: `${name}_profile`,
      connector: 'rabbitmq',
      config: { host: '127.0.0.1', port: portOf(link), heartbeat_secs: 1, connect_timeout_ms: 4_000 },
    });
    await created(request, '/connection_tables', {
      name,
      connector: 'rabbitmq',
      connection_profile_id: profile.id,
      config,
      schema: { format: { type: 'json' }, fields: [{ name: 'seq', type: 'int64', required: true }] },
    });
  };
  await table(
    'readings',
    up,
    kind === 'stream' ? { stream: 'in', type: { offset: 'first' } } : { type: { queue: 'in' } },
  );
  await table('stored', down, { type: { routing_key: 'out' } });
  const query = 'INSERT INTO stored SELECT seq FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism });
  await until('the job runs', async () => (await jobOf(request, id)).state === 'Running', 60_000);
  return id;
}

const lengthOf = async (server: Rabbitmq, queue: string): Promise<number> => {
  const client = await connect({ hostname: '127.0.0.1', port: server.port });
  try {
    client.on('error', () => {});
    return (await (await channelOf(client)).checkQueue(queue)).messageCount;
  } finally {
    await client.close().catch(() => {});
  }
};

/** The texts of all messages of a stream. Undefined if it cannot be read now. */
async function textsOf(server: Rabbitmq, stream: string): Promise<string[] | undefined> {
  try {
    const channel = await channelOf(await server.client());
    const texts: string[] = [];
    await channel.prefetch(1_000);
    const show = (message: ConsumeMessage | null): void => {
      if (!message) return;
      texts.push(message.content.toString());
      channel.ack(message);
    };
    await channel.consume(stream, show, { arguments: { 'x-stream-offset': 'first' } });
    // The server does not know their number after a restart.
    for (let before = -1; before < texts.length; ) {
      before = texts.length;
      await pause(3_000);
    }
    return texts;
  } catch {
    return undefined;
  }
}

describe.skipIf(skipped)(skipping('a pipeline between RabbitMQ servers', skipped), () => {
  test.each(cases)(
    'loses nothing of a $kind while $name, with $tasks tasks',
    async ({ name, blows, kind, tasks }) => {
      const [from, to] = await Promise.all([Rabbitmq.start(), Rabbitmq.start()]);
      const admin = await channelOf(await from.client());
      await declare(admin, 'in', kind);
      await declare(await channelOf(await to.client()), 'out');
      const up = await FaultyLink.start(from.port, () => () => {});
      const down = await FaultyLink.start(to.port, () => () => {});
      const penstock = await Penstock.start();
      const ends: Ends = { penstock, from, to, up, down };
      const id = await start(ends, kind, tasks);
      const arrived = () => lengthOf(to, 'out').catch(() => 0);
      const publisher = new Publisher(from.port);
      let sent = 0;
      const publishing = (async () => {
        for (; sent < messages; sent += 20) {
          await publisher.publish(sent, 20);
          await pause(20);
        }
      })();
      const rounds = Math.ceil(5 / blows.length) * blows.length;
      for (let round = 0; round < rounds; round++) {
        const before = await arrived();
        await until('messages arrive', async () => (await arrived()) > before || sent >= messages, patience);
        await pause(randomInt(20, 120));
        await blows[round % blows.length]?.(ends);
      }
      await publishing;
      const takeOut = async () => takeAll(await channelOf(await to.client()), 'out');
      // Messages that the first server confirmed and lost itself are not missing.
      const wanted =
        kind === 'stream'
          ? new Set(await until('the stream', () => textsOf(from, 'in'), patience))
          : new Set(Array.from({ length: messages }, (_, seq) => `{"seq":${seq}}`));
      if (kind === 'quorum')
        await until(
          'the queue is empty',
          async () => (await lengthOf(from, 'in').catch(() => 1)) === 0,
          patience,
        );
      await until('all messages arrive', async () => (await arrived()) >= wanted.size, patience);
      await until(
        'the job runs',
        async () => (await jobOf(penstock.request, id)).state === 'Running',
        60_000,
      );
      // Nothing more comes once a stop has acknowledged what was written.
      await penstock.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
      await until('it stops', async () => (await jobOf(penstock.request, id)).state === 'Stopped', patience);
      const came = await takeOut();
      const found = new Set(came);
      const missing = [...wanted].filter((text) => !found.has(text));
      process.stdout.write(
        `RabbitMQ, ${kind}, ${name}, ${tasks} tasks, ${rounds} times: ${messages} confirmed, lost by the source server ` +
          `${messages - wanted.size}, missing ${missing.length}, twice ${came.length - found.size}\n`,
      );
      expect(missing).toEqual([]);
      if (name === slow) expect(came.length).toBe(found.size);
    },
    patience * 2,
  );
});
