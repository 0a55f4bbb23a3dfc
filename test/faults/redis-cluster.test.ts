import { setTimeout as pause } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../support/at-end.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Penstock } from '../support/penstock.ts';
import {
  Confirmed,
  clusterIsComplete,
  counts,
  moveSlot,
  noRedis,
  plainRedis,
  type RedisServer,
  redisCluster,
} from '../support/redis.ts';
import { created, jobOf, runs } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/**
 * From a stream to a stream of a cluster of three masters with a replica each, while masters are killed, nodes restarted and slots moved.
 * Penstock reaches each node over a link of its own, whose port the node announces.
 */

const skipped = noRedis ?? onlyInSoak;

const messages = 20_000;
const patience = 600_000;

interface Rig {
  confirmed: Confirmed;
  penstock: Penstock;
  nodes: RedisServer[];
  /** Of the tests: it goes to the nodes directly. */
  client: Cluster;
  /** The pipeline. */
  id: string;
  /** Whether all messages are added. */
  added: boolean;
}

/** Streams, at different masters. */
const sinkKey = 'out{b}';
type Key = 'in' | typeof sinkKey;
type Strike = (rig: Rig, round: number) => Promise<void>;

async function start(sink: object): Promise<Rig> {
  const confirmed = new Confirmed();
  const links: FaultyLink[] = [];
  const natMap: Record<string, { host: string; port: number }> = {};
  const announced = async (port: number) => {
    const link = await FaultyLink.start(port, confirmed.tap);
    links.push(link);
    const { host, port: own } = new URL(link.url);
    natMap[host] = { host: '127.0.0.1', port };
    return Number(own);
  };
  const nodes = await redisCluster({ replicas: true, announced });
  const client = new Cluster(
    nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
    { natMap, clusterRetryStrategy: () => 100, slotsRefreshInterval: 500 },
  );
  client.on('error', () => {});
  atEnd(() => client.disconnect());
  const penstock = await Penstock.start();
  const { request } = penstock;
  const addresses = links.map(({ url }) => url.replace('mqtt:', 'redis:'));
  const config = { connection: { addresses }, connectTimeoutMs: 2_000, commandTimeoutMs: 5_000 };
  const profile = await created(request, '/connection_profiles', { name: 'p', connector: 'redis', config });
  const table = (name: string, connectorType: object) =>
    created(request, '/connection_tables', {
      name,
      connector: 'redis',
      connection_profile_id: profile.id,
      config: { connectorType },
      schema: {
        format: { type: 'json' },
        fields: [
          { name: 'seq', type: 'int64', required: true },
          { name: 'pad', type: 'string' },
        ],
      },
    });
  await table('readings', { stream: 'in', consumerGroup: 'g', start: 'earliest' });
  await table('written', { target: { streamPrefix: sinkKey }, ...sink });
  const query = 'INSERT INTO written SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const rig = { confirmed, penstock, nodes, client, id, added: false };
  await until('the job runs', () => runs(rig));
  return rig;
}

/** Waits until messages arrive, if there are more to come. */
function flowing(rig: Rig): Promise<unknown> {
  const { size } = rig.confirmed.byId;
  const more = () => rig.confirmed.byId.size > size || rig.added;
  return until('messages arrive', async () => (await runs(rig)) && more(), 60_000);
}

/** The master of a key: its place among the nodes. */
async function masterOf({ nodes }: Rig, key: Key): Promise<number> {
  return until(
    `a master of ${key}`,
    async () => {
      for (const [index, { port }] of nodes.entries()) {
        const one = plainRedis(port, { retryStrategy: null, maxRetriesPerRequest: 0 });
        const owns = await one.call('XLEN', key).then(
          () => true,
          () => false,
        );
        one.disconnect();
        if (owns) return index;
      }
      return undefined;
    },
    60_000,
  );
}

const killMaster =
  (key: Key): Strike =>
  async (rig) => {
    const index = await masterOf(rig, key);
    await rig.nodes[index]?.kill('SIGKILL');
    await until('its replica takes over', async () => (await masterOf(rig, key)) !== index, 60_000);
    await flowing(rig);
    await rig.nodes[index]?.resume();
    await clusterIsComplete(rig.nodes);
  };

const rolling: Strike = async ({ nodes }) => {
  for (const node of nodes) {
    await node.kill('SIGTERM');
    await node.resume();
    await clusterIsComplete(nodes);
  }
};

/** The longest pause of a node: its replica has taken over when it comes back. */
const rollingSlowly: Strike = async ({ nodes }) => {
  for (const node of nodes) {
    await node.kill('SIGTERM');
    await pause(6_000);
    await node.resume();
    await clusterIsComplete(nodes);
  }
};

/** The key stays at the new node for a while before its slot does. */
const slotMoves =
  (key: Key): Strike =>
  async (rig) => {
    const { nodes } = rig;
    const from = await masterOf(rig, key);
    const roles = await Promise.all(nodes.map(({ port }) => plainRedis(port).info('replication')));
    const masters = nodes.filter((_, index) => roles[index]?.includes('role:master'));
    const to = masters.find((node) => node !== nodes[from]) as RedisServer;
    await moveSlot(masters, [nodes[from] as RedisServer, to], key, () => pause(2_000));
  };

/** Adds messages until each is confirmed. One whose reply is lost is added again: the input then has it twice. */
async function add(rig: Rig): Promise<void> {
  for (let seq = 0; seq < messages; seq += 100) {
    await pause(300);
    let left = Array.from({ length: 100 }, (_, n) => seq + n);
    while (left.length > 0) {
      const replies = await Promise.allSettled(
        left.map((n) => rig.client.xadd('in', '*', 'payload', JSON.stringify({ seq: n, pad: '' }))),
      );
      left = left.filter((_, index) => replies[index]?.status === 'rejected');
    }
  }
  rig.added = true;
}

const cases: { name: string; strikes: Strike[]; rounds: number; sink?: object }[] = [
  { name: 'the master of the source is killed', strikes: [killMaster('in')], rounds: 3 },
  { name: 'the master of the sink is killed', strikes: [killMaster(sinkKey)], rounds: 3 },
  {
    name: 'the master of the sink is killed, with waitReplicas 1',
    strikes: [killMaster(sinkKey)],
    rounds: 3,
    sink: { waitReplicas: 1 },
  },
  { name: 'the slot of the source moves', strikes: [slotMoves('in')], rounds: 3 },
  { name: 'the slot of the sink moves', strikes: [slotMoves(sinkKey)], rounds: 3 },
  { name: 'each node is restarted in turn', strikes: [rolling, rollingSlowly], rounds: 2 },
];

describe.skipIf(skipped)(skipping('a pipeline in a cluster of Redis', skipped), () => {
  test.each(cases)(
    'loses nothing while $name',
    async ({ name, strikes, rounds, sink = {} }) => {
      const rig = await start(sink);
      const { client, confirmed, penstock, id } = rig;
      const adding = add(rig);
      for (let round = 0; round < rounds; round++) {
        await flowing(rig);
        await strikes[round % strikes.length]?.(rig, round);
      }
      await adding;
      const count = async () => {
        const [{ found: sent }, { found: arrived, ids }] = [
          await counts(client, 'in'),
          await counts(client, sinkKey),
        ];
        const forgotten = new Set(
          [...confirmed.byId].filter(([entry]) => !ids.has(entry)).map(([, seq]) => seq),
        );
        const missing = [...sent.keys()].filter((seq) => !arrived.has(seq));
        return { sent, arrived, missing, lost: missing.filter((seq) => !forgotten.has(seq)) };
      };
      const all = async () => ((await runs(rig)) ? (await count()).lost.length === 0 : undefined);
      await until('every message', all, patience);
      const { sent, arrived, missing, lost } = await count();
      const twice = [...arrived].reduce(
        (sum, [seq, times]) => sum + Math.max(0, times - (sent.get(seq) ?? 0)),
        0,
      );
      const { id: job } = await jobOf(penstock.request, id);
      const { body } = await penstock.request.get(`/api/v1/pipelines/${id}/jobs/${job}/errors`);
      const said = [...new Set(JSON.stringify(body).match(/redis_\w+/g))];
      process.stdout.write(
        `Redis cluster, ${name}, ${rounds} times: ${messages} added, ${lost.length} lost, ${twice} duplicated; lost by the servers after they had ` +
          `confirmed: source ${messages - sent.size}, sink ${missing.length - lost.length}; ${said.join(' ')}\n`,
      );
      expect(lost).toEqual([]);
      await until('the job runs', () => runs(rig));
    },
    patience * 2,
  );
});
