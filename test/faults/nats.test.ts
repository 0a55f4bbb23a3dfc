import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { FaultyLink } from '../support/faulty-link.ts';
import { confirming, Nats, natsMissing, textsIn } from '../support/nats.ts';
import { Penstock, retryingSoon } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/**
 * A stream of one nats-server to a stream of another, while Penstock and both servers are killed and the links fail. Every message that
 * the first server still has arrives. What a server confirmed and lost itself is counted apart.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 20_000 : 400;
const patience = soak ? 600_000 : 120_000;
const ackWait = 3;

interface Ends {
  penstock: Penstock;
  from: Nats;
  to: Nats;
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

/** Nothing is lost, and nothing comes again. */
const slow = 'the sink is slower than the acknowledgement wait';

const strikes: Record<string, Strike[]> = {
  'Penstock is killed': [
    async ({ penstock }) => {
      await penstock.kill('SIGKILL');
      await penstock.resume();
    },
  ],
  'the servers are killed': [restart('from', 'SIGKILL'), restart('to', 'SIGKILL')],
  'the servers are stopped': [restart('from', 'SIGTERM'), restart('to', 'SIGTERM')],
  'the links are cut': [failing('up', 'cut'), failing('down', 'cut')],
  'the links fall silent': [failing('up', 'blackhole'), failing('down', 'blackhole')],
  [slow]: [
    async ({ down }) => {
      down.delayAnswers(ackWait * 1_500);
      await pause(ackWait * 2_000);
      down.delayAnswers(0);
    },
  ],
};

const port = (link: FaultyLink): string => link.url.slice('mqtt://'.length);

async function start(ends: Ends, parallelism: number, pingIntervalSecs: number): Promise<string> {
  const { request } = ends.penstock;
  const profile = async (name: string, servers: string) =>
    created(request, '/connection_profiles', {
      name,
      connector: 'nats',
      config: { servers, authentication: {}, pingIntervalSecs, connectTimeoutMs: 2_000 },
    });
  const [source, sink] = [
    await profile('source', port(ends.up)),
    await profile('sink', port(ends.down)),
  ] as const;
  const table = async (name: string, id: string, connectorType: object) =>
    created(request, '/connection_tables', {
      name,
      connector: 'nats',
      connection_profile_id: id,
      config: { connectorType },
      schema: { format: { type: 'json' }, fields: [{ name: 'seq', type: 'int64', required: true }] },
    });
  await table('readings', source.id, { sourceType: { stream: 'IN', ackWait } });
  await table('stored', sink.id, { sinkType: { subject: 'OUT.a', stream: 'OUT' } });
  const query = 'INSERT INTO stored SELECT seq FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism });
  await until('the job runs', async () => (await jobOf(request, id)).state === 'Running');
  return id;
}

describe.skipIf(natsMissing)(skipping('a pipeline between streams of NATS', natsMissing), () => {
  test.each(
    Object.entries(strikes).flatMap(([name, blows], index) =>
      // A check does every other one, with one task and with two.
      (soak ? [1, 2] : index % 2 === 0 ? [1 + ((index / 2) % 2)] : []).map((tasks) => ({
        name,
        blows,
        tasks,
      })),
    ),
  )(
    'loses nothing while $name, with $tasks tasks',
    async ({ name, blows, tasks }) => {
      const [from, to] = await Promise.all([Nats.start(), Nats.start()]);
      await from.stream('IN');
      await to.stream('OUT');
      let confirmedByOut = 0;
      const up = await FaultyLink.start(from.port, () => () => {});
      const down = await FaultyLink.start(to.port, () => (direction, chunk) => {
        if (direction !== 'down') return;
        for (const [, seq] of String(chunk).matchAll(/"stream":"OUT", ?"seq":(\d+)/g))
          confirmedByOut = Math.max(confirmedByOut, Number(seq));
      });
      const penstock = await Penstock.start(soak ? {} : retryingSoon());
      const ends: Ends = { penstock, from, to, up, down };
      const id = await start(ends, tasks, name === slow ? 20 : 1);
      const client = await from.client({ ignoreClusterUpdates: true });
      const watcher = await to.client({ ignoreClusterUpdates: true });
      const out = await to.manager();
      const inAll = await from.manager();
      const last = async () => (await out.streams.info('OUT')).state.last_seq;
      let lostByOut = 0;

      const { confirmed, publish } = confirming(client);
      let sent = 0;
      const publishing = (async () => {
        for (; sent < messages; sent += 20) {
          await Promise.all(Array.from({ length: 20 }, (_, index) => publish(sent + index)));
          await pause(soak ? 20 : 5);
        }
      })();
      const strikesInAll = soak ? Math.ceil(5 / blows.length) * blows.length : blows.length;
      for (let round = 0; round < strikesInAll; round++) {
        const before = await last().catch(() => 0);
        await until(
          'messages arrive',
          async () => (await last().catch(() => 0)) > before || sent >= messages,
          60_000,
        );
        await pause(randomInt(20, 120));
        const told = confirmedByOut;
        await blows[round % blows.length]?.(ends);
        // The sequence number of a lost message is given to another one.
        lostByOut += Math.max(0, told - (await until('the sink', () => last().catch(() => undefined))));
      }
      await publishing;
      const kept = async () => new Set(await textsIn(client, 'IN'));
      const arrived = async () => textsIn(watcher, 'OUT').catch(() => [] as string[]);
      const wanted = await kept();
      await until(
        'every message is acknowledged',
        async () => {
          // No reply in time: asked again.
          const consumers = await inAll.consumers
            .list('IN')
            .next()
            .catch(() => []);
          const [info] = consumers.filter(({ config }) => config.durable_name?.startsWith('penstock'));
          return info?.num_pending === 0 && info.num_ack_pending === 0;
        },
        patience,
      );
      const all = await arrived();
      const missing = [...wanted].filter((text) => !new Set(all).has(text));
      const twice = all.length - new Set(all).size;
      const lostByIn = confirmed.size - wanted.size;
      process.stdout.write(
        `NATS, ${name}, ${tasks} tasks, ${strikesInAll} times: ${confirmed.size} confirmed, lost by the source server ${lostByIn}, ` +
          `lost by the sink server ${lostByOut}, missing ${missing.length}, twice ${twice}\n`,
      );
      // Only what the sink server had confirmed can be gone.
      expect(missing.length).toBeLessThanOrEqual(lostByOut);
      if (name === slow) expect(twice).toBe(0);
      await until(
        'the job runs',
        async () => (await jobOf(penstock.request, id)).state === 'Running',
        60_000,
      );
    },
    patience * 2,
  );
});
