import { setTimeout as pause } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import { FaultyLink, linkInUse } from '../support/faulty-link.ts';
import {
  ConfirmedByJetStream,
  confirming,
  type Nats,
  natsCluster,
  natsMissing,
  textsIn,
} from '../support/nats.ts';
import { Penstock } from '../support/penstock.ts';
import { created, runs } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/**
 * From a stream to a stream of a cluster of three, each message on all three, while servers are killed and restarted and leaders move.
 * Penstock reaches each server over a link of its own.
 */

const skipped = natsMissing ?? onlyInSoak;

const messages = 20_000;
const patience = 600_000;
const ackWait = 3;

interface Rig {
  penstock: Penstock;
  nodes: Nats[];
  links: FaultyLink[];
  client: NatsConnection;
  manager: JetStreamManager;
  /** The pipeline. */
  id: string;
}

type Strike = (rig: Rig, round: number) => Promise<void>;

const streams = ['IN', 'OUT'];

async function leaderOf({ manager }: Rig, stream: string): Promise<number | undefined> {
  const info = await manager.streams.info(stream).catch(() => undefined);
  return info?.cluster?.leader ? Number(info.cluster.leader.slice(1)) : undefined;
}

/** Waits until each stream is on all servers again. */
async function healthy({ manager }: Pick<Rig, 'manager'>): Promise<void> {
  for (const stream of streams)
    await until(
      `${stream} is on three servers`,
      async () => {
        const { cluster } = await manager.streams.info(stream).catch(() => ({ cluster: undefined }));
        const replicas = cluster?.replicas ?? [];
        return Boolean(cluster?.leader) && replicas.length === 2 && replicas.every(({ current }) => current);
      },
      120_000,
    );
}

/** Ends a server and starts it again when `meanwhile` is over. Every other time its address refuses connections. */
async function away(
  rig: Rig,
  [index, round]: [number, number],
  signal: 'SIGTERM' | 'SIGKILL' | 'SIGUSR2',
  meanwhile: () => Promise<unknown> = async () => {},
): Promise<void> {
  const [node, link] = [rig.nodes[index] as Nats, rig.links[index] as FaultyLink];
  await node.kill(signal);
  if (round % 2 === 0) link.cut();
  await meanwhile();
  await node.resume();
  await link.heal();
}

const leaderKilled: Strike = async (rig, round) => {
  const stream = streams[round % 2] as string;
  const leader = await until('a leader', () => leaderOf(rig, stream));
  await away(rig, [leader, round], 'SIGKILL', () =>
    until(
      'another leader',
      async () => {
        const next = await leaderOf(rig, stream);
        return next !== undefined && next !== leader;
      },
      60_000,
    ),
  );
};

const rolling =
  (signal: 'SIGTERM' | 'SIGUSR2'): Strike =>
  async (rig, round) => {
    for (const index of rig.nodes.keys()) {
      await away(rig, [index, round], signal);
      await healthy(rig);
    }
  };

const connectedKilled: Strike = async (rig, round) => {
  const index = await linkInUse(rig.links);
  await away(rig, [index, round], 'SIGKILL', () => linkInUse(rig.links, index));
};

const onlyKilled: Strike = async (rig, round) => {
  await away(rig, [0, round], 'SIGKILL', () => pause(3_000));
};

const withoutQuorum: Strike = async (rig, round) => {
  const first = round % 3;
  await away(rig, [first, round], 'SIGKILL', () =>
    away(rig, [(first + 1) % 3, round], 'SIGKILL', () => pause(15_000)),
  );
};

const stepDown: Strike = async ({ client, manager }) => {
  const consumer = await until(
    'the consumer',
    async () =>
      (
        await manager.consumers
          .list('IN')
          .next()
          .catch(() => [])
      )[0],
  );
  const subjects = [`STREAM.LEADER.STEPDOWN.IN`, `CONSUMER.LEADER.STEPDOWN.IN.${consumer?.name}`];
  for (const subject of [...subjects, 'STREAM.LEADER.STEPDOWN.OUT']) {
    const reply = await client.request(`$JS.API.${subject}`, '', { timeout: 10_000 });
    expect(reply.json()).toMatchObject({ success: true });
    await pause(1_000);
  }
};

const cases: { name: string; strike: Strike; rounds: number; tasks: number; servers?: number }[] = [
  { name: 'the leader of a stream is killed', strike: leaderKilled, rounds: 4, tasks: 2 },
  { name: 'each server is restarted in turn', strike: rolling('SIGTERM'), rounds: 2, tasks: 1 },
  { name: 'each server leaves as a lame duck', strike: rolling('SIGUSR2'), rounds: 1, tasks: 2 },
  { name: 'the server of Penstock is killed', strike: connectedKilled, rounds: 4, tasks: 1 },
  { name: 'the only server of the profile is killed', strike: onlyKilled, rounds: 3, tasks: 1, servers: 1 },
  { name: 'two of three servers are away', strike: withoutQuorum, rounds: 3, tasks: 2 },
  { name: 'leaders step down', strike: stepDown, rounds: 5, tasks: 1 },
];

async function start(tasks: number, servers: number, confirmed: ConfirmedByJetStream): Promise<Rig> {
  const nodes = await natsCluster();
  const client = await (nodes[0] as Nats).client({
    servers: nodes.map(({ url }) => url),
    ignoreClusterUpdates: true,
  });
  const manager = await jetstreamManager(client);
  for (const name of streams)
    await until(
      'a stream on three servers',
      () => manager.streams.add({ name, subjects: [`${name}.>`], num_replicas: 3 }).catch(() => undefined),
      60_000,
    );
  await healthy({ manager });
  const links = await Promise.all(nodes.map(({ port }) => FaultyLink.start(port, confirmed.tap)));
  const penstock = await Penstock.start();
  const { request } = penstock;
  const config = {
    servers: links
      .slice(0, servers)
      .map(({ url }) => url.slice('mqtt://'.length))
      .join(),
    authentication: {},
    pingIntervalSecs: 1,
    connectTimeoutMs: 2_000,
  };
  const profile = await created(request, '/connection_profiles', { name: 'p', connector: 'nats', config });
  const table = (name: string, connectorType: object) =>
    created(request, '/connection_tables', {
      name,
      connector: 'nats',
      connection_profile_id: profile.id,
      config: { connectorType },
      schema: { format: { type: 'json' }, fields: [{ name: 'seq', type: 'int64', required: true }] },
    });
  await table('readings', { sourceType: { stream: 'IN', ackWait } });
  await table('stored', { sinkType: { subject: 'OUT.a', stream: 'OUT', messageId: '{{ seq }}' } });
  const query = 'INSERT INTO stored SELECT seq FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: tasks });
  const rig = { penstock, nodes, links, client, manager, id };
  await until('the job runs', () => runs(rig));
  return rig;
}

describe.skipIf(skipped)(skipping('a pipeline in a cluster of NATS', skipped), () => {
  test.each(cases)(
    'loses nothing while $name, with $tasks tasks',
    async ({ name, strike, rounds, tasks, servers = 3 }) => {
      const confirmedByOut = new ConfirmedByJetStream('OUT.a', 'OUT');
      const rig = await start(tasks, servers, confirmedByOut);
      const { client, manager } = rig;
      const { confirmed, publish } = confirming(client);
      let sent = 0;
      const publishing = (async () => {
        for (; sent < messages; sent += 20) {
          await Promise.all(Array.from({ length: 20 }, (_, index) => publish(sent + index)));
          await pause(60);
        }
      })();
      for (let round = 0; round < rounds; round++) {
        const before = confirmedByOut.bySequence.size;
        const more = () => confirmedByOut.bySequence.size > before || sent >= messages;
        const running = async () => (await runs(rig)) && more();
        await until('messages arrive', running, 120_000);
        await strike(rig, round);
        await healthy(rig);
      }
      await publishing;
      const wanted = new Set(await textsIn(client, 'IN'));
      await until(
        'every message is acknowledged',
        async () => {
          await runs(rig);
          // Without a leader nobody says.
          const consumers = await manager.consumers
            .list('IN')
            .next()
            .catch(() => []);
          const info = consumers.find(({ config }) => config.durable_name?.startsWith('penstock'));
          return info?.num_pending === 0 && info.num_ack_pending === 0;
        },
        patience,
      );
      const all = await textsIn(client, 'OUT');
      const found = new Set(all);
      const missing = [...wanted].filter((text) => !found.has(text));
      const byOut = new Set([...confirmedByOut.bySequence.values()].map((seq) => `{"seq":${seq}}`));
      const lost = missing.filter((text) => !byOut.has(text));
      process.stdout.write(
        `NATS cluster, ${name}, ${tasks} tasks, ${rounds} times: ${confirmed.size} confirmed, lost by the source servers ` +
          `${confirmed.size - wanted.size}, lost by the sink servers ${missing.length - lost.length}, missing ${lost.length}, ` +
          `twice ${all.length - found.size}\n`,
      );
      expect(lost).toEqual([]);
      await until('the job runs', () => runs(rig), 60_000);
    },
    patience * 2,
  );
});
