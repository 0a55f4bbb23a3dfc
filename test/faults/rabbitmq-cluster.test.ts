import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { FaultyLink, linkInUse } from '../support/faulty-link.ts';
import { Penstock } from '../support/penstock.ts';
import {
  channelOf,
  declare,
  Publisher,
  type Rabbitmq,
  rabbitmqCluster,
  rabbitmqMissing,
  takeAll,
} from '../support/rabbitmq.ts';
import { created, jobOf, runs } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/**
 * From a quorum queue to a quorum queue of a cluster of three nodes, while nodes are killed and restarted. Penstock reaches each node
 * over a link of its own, or all of them over one, as behind a load balancer.
 */

const skipped = rabbitmqMissing ?? onlyInSoak;

const messages = 20_000;
const patience = 600_000;

interface Rig {
  penstock: Penstock;
  nodes: Rabbitmq[];
  /** To each node; with a load balancer only the first is used. */
  links: FaultyLink[];
  /** The pipeline. */
  id: string;
}

type Strike = (rig: Rig, round: number) => Promise<void>;

interface Queue {
  name: string;
  type: 'quorum' | 'classic';
  leader: string;
  online: string[] | '';
  state: string;
  messages: number;
}

/** Queues as a node sees them; undefined if none responds. */
async function queuesOf({ nodes }: Pick<Rig, 'nodes'>, without?: number): Promise<Queue[] | undefined> {
  for (const [index, node] of nodes.entries()) {
    if (index === without) continue;
    const columns = ['name', 'type', 'leader', 'online', 'state', 'messages'];
    const text = await node.ctl('list_queues', ...columns, '--formatter', 'json').catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as Queue[];
  }
  return undefined;
}

const indexOf = (node: string): number => Number(/^n(\d)@/.exec(node)?.[1]);

const leaderOf = (rig: Pick<Rig, 'nodes'>, name: string, without?: number): Promise<number> =>
  until(
    `a leader of ${name}`,
    async () => {
      const queue = (await queuesOf(rig, without))?.find((one) => one.name === name);
      const index = indexOf(queue?.leader ?? '');
      return index === without || Number.isNaN(index) ? undefined : index;
    },
    120_000,
  );

/** Waits until each queue has all its members. */
const healthy = (rig: Pick<Rig, 'nodes'>): Promise<unknown> =>
  until(
    'all members are online',
    async () =>
      (await queuesOf(rig))?.every(({ type, online, leader, state }) =>
        type === 'quorum' ? online.length === 3 && leader !== '' : state === 'running',
      ),
    180_000,
  );

const queues = ['in', 'out'];

const leaderKilled: Strike = async (rig, round) => {
  const name = queues[round % 2] as string;
  const leader = await leaderOf(rig, name);
  await rig.nodes[leader]?.kill('SIGKILL');
  await leaderOf(rig, name, leader);
  await rig.nodes[leader]?.resume();
};

const connectedKilled: Strike = async (rig, round) => {
  const { nodes, links } = rig;
  const index = await linkInUse(rig.links);
  await nodes[index]?.kill('SIGKILL');
  if (round % 2 === 0) links[index]?.cut();
  await linkInUse(rig.links, index);
  await nodes[index]?.resume();
  await links[index]?.heal();
};

/** The load balancer notices late that the node of Penstock is gone. */
const behindBalancer: Strike = async ({ nodes, links }, round) => {
  const [index, next] = [round % 3, (round + 1) % 3];
  await nodes[index]?.kill('SIGKILL');
  await pause(3_000);
  links[0]?.aim((nodes[next] as Rabbitmq).port);
  await nodes[index]?.resume();
};

const rolling: Strike = async (rig) => {
  for (const node of rig.nodes) {
    await node.kill('SIGTERM');
    await node.resume();
    await healthy(rig);
  }
};

const minority: Strike = async ({ nodes }, round) => {
  const [one, other] = [nodes[round % 3], nodes[(round + 1) % 3]];
  await one?.kill('SIGKILL');
  await other?.kill('SIGKILL');
  await pause(20_000);
  await Promise.all([one?.resume(), other?.resume()]);
};

/** A classic queue is on one node only. */
const classicNode = 2;

const classicAway: Strike = async ({ nodes }) => {
  await nodes[classicNode]?.kill('SIGKILL');
  await pause(15_000);
  await nodes[classicNode]?.resume();
};

interface Case {
  name: string;
  strike: Strike;
  rounds: number;
  tasks: number;
  balanced?: true;
  /** The sink publishes to an exchange of its own, to which the queue is bound. */
  exchange?: true;
  /** Type of the queue of the sink. */
  out?: 'classic';
}

const cases: Case[] = [
  { name: 'the leader of a queue is killed', strike: leaderKilled, rounds: 4, tasks: 2 },
  { name: 'the node of Penstock is killed', strike: connectedKilled, rounds: 3, tasks: 1 },
  { name: 'a load balancer has no node', strike: behindBalancer, rounds: 3, tasks: 1, balanced: true },
  { name: 'each node is restarted in turn', strike: rolling, rounds: 1, tasks: 1 },
  { name: 'two of three nodes are away', strike: minority, rounds: 2, tasks: 2 },
  {
    name: 'two nodes are away, exchange',
    strike: minority,
    rounds: 2,
    tasks: 1,
    exchange: true,
  },
  {
    name: 'a classic queue is away, exchange',
    strike: classicAway,
    rounds: 2,
    tasks: 1,
    exchange: true,
    out: 'classic',
  },
];

async function start({ tasks: parallelism, balanced, exchange, out }: Case): Promise<Rig> {
  const nodes = await rabbitmqCluster();
  // A classic queue is at the node that declares it: not at the first one of the profile.
  const admin = await channelOf(await (nodes[classicNode] as Rabbitmq).client());
  await declare(admin, 'in');
  await declare(admin, 'out', out);
  await admin.assertExchange('to', 'topic', { durable: true });
  await admin.bindQueue('out', 'to', '#');
  await healthy({ nodes });
  const links = await Promise.all(nodes.map(({ port }) => FaultyLink.start(port, () => () => {})));
  const penstock = await Penstock.start();
  const { request } = penstock;
  const hosts = links.slice(0, balanced ? 1 : 3).map(({ url }) => url.slice('mqtt://'.length));
  const config = { host: hosts.join(), heartbeat_secs: 1, connect_timeout_ms: 4_000 };
  const profile = await created(request, '/connection_profiles', {
    name: 'p',
    connector: 'rabbitmq',
    config,
  });
  const table = (name: string, type: object) =>
    created(request, '/connection_tables', {
      name,
      connector: 'rabbitmq',
      connection_profile_id: profile.id,
      config: { type },
      schema: { format: { type: 'json' }, fields: [{ name: 'seq', type: 'int64', required: true }] },
    });
  await table('readings', { queue: 'in' });
  await table('stored', { routing_key: 'out', ...(exchange ? { exchange: 'to' } : {}) });
  const query = 'INSERT INTO stored SELECT seq FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism });
  const rig = { penstock, nodes, links, id };
  await until('the job runs', () => runs(rig), 60_000);
  return rig;
}

describe.skipIf(skipped)(skipping('a pipeline in a cluster of RabbitMQ', skipped), () => {
  test.each(cases)(
    'loses nothing while $name, with $tasks tasks',
    async (each) => {
      const { name, strike, rounds, tasks } = each;
      const rig = await start(each);
      const { nodes, penstock, id } = rig;
      const publisher = new Publisher(...nodes.map(({ port }) => port));
      let sent = 0;
      const publishing = (async () => {
        for (; sent < messages; sent += 20) {
          await publisher.publish(sent, 20);
          await pause(80);
        }
      })();
      const lengthOf = async (queue: string) =>
        (await queuesOf(rig))?.find((one) => one.name === queue)?.messages;
      for (let round = 0; round < rounds; round++) {
        const before = await lengthOf('out');
        const more = async () => ((await lengthOf('out')) ?? 0) > (before ?? 0) || sent >= messages;
        await until('messages arrive', async () => (await runs(rig)) && (await more()), patience);
        await strike(rig, round);
        await healthy(rig);
      }
      await publishing;
      const empty = async () => (await runs(rig)) && (await lengthOf('in')) === 0;
      await until('the queue is empty', empty, patience);
      // Nothing more comes once a stop has acknowledged what was written.
      await penstock.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' }).expect(200);
      await until('it stops', async () => (await jobOf(penstock.request, id)).state === 'Stopped', patience);
      const all = await takeAll(await channelOf(await (nodes[0] as Rabbitmq).client()), 'out');
      const found = new Set(all);
      const wanted = Array.from({ length: messages }, (_, seq) => `{"seq":${seq}}`);
      const missing = wanted.filter((text) => !found.has(text));
      process.stdout.write(
        `RabbitMQ cluster, ${name}, ${tasks} tasks, ${rounds} times: ${messages} confirmed, missing ${missing.length}, ` +
          `twice ${all.length - found.size}\n`,
      );
      expect(missing).toEqual([]);
    },
    patience * 2,
  );
});
