import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { whyMissing } from '../../scripts/servers.ts';
import type { KafkaProfile } from '../../src/connectors/kafka/config/profile.ts';
import { Cluster } from '../../src/connectors/kafka/connection/cluster.ts';
import { reply } from '../../src/connectors/kafka/connection/replies.ts';
import type { Kafka } from '../support/kafka.ts';
import { KafkaCluster } from '../support/kafka-cluster.ts';
import { type KafkaContext, kafkaContext, readCommitted, sourceTable } from '../support/kafka-context.ts';
import { falsify, producedCodes } from '../support/kafka-falsify.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/** To a cluster of three nodes of Kafka, while they are killed, restarted, silent, too few, and given other work. */

/** Messages a second. */
const rate = 250;
/** Messages that are left when a strike begins. */
const reserve = 60 * rate;
const group = 'copies';
const missing = whyMissing('Kafka');

let cluster: KafkaCluster;
let penstock: Penstock;
let pipeline: string;
let sent = 0;
/** Number of partitions of the topic that is read. */
let partitions = 4;

type Mode = 'at_least_once' | 'exactly_once';
type Strike = () => Promise<unknown>;

const at = (listener: 'direct' | 'linked') => {
  const { bootstrapServers } = cluster.profile(listener);
  return `connector = 'kafka', bootstrap_servers = '${bootstrapServers}', connect_timeout_ms = 3000, request_timeout_ms = 6000`;
};

async function start(source: string, mode: Mode): Promise<void> {
  const query = `
    CREATE TABLE readings (seq BIGINT NOT NULL) WITH (${source}, type = 'source', format = 'json');
    CREATE TABLE copies (seq BIGINT) WITH (${at('linked')}, topic = 'out', type = 'sink', sink.commit_mode = '${mode}',
      sink.key_field = 'seq', format = 'json');
    INSERT INTO copies SELECT seq FROM readings`;
  ({ id: pipeline } = await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 2 }));
}

const ofKafka =
  () => `${at('direct')}, topic = 'in', source.offset = 'earliest', source.group_id = '${group}',
  source.messages_per_second = ${rate / 2}`;

/** Writes the next messages to the topic that is read, in turn to its partitions. */
async function send(count: number): Promise<void> {
  const producer = cluster.any.producer();
  for (const end = sent + count; sent < end; ) {
    const some = Array.from({ length: Math.min(1_000, end - sent) }, (_, nth) => sent + nth);
    await producer.send({
      acks: -1,
      messages: some.map((seq) => ({
        topic: 'in',
        partition: seq % partitions,
        value: Buffer.from(JSON.stringify({ seq })),
      })),
    });
    sent += some.length;
  }
}

/** Lets messages be left for a strike, however long the others took. */
async function supply(): Promise<void> {
  // The producer of the library may wait forever while leaders move.
  await cluster.inSync();
  const read = () => cluster.any.committed(group, 'in').catch(() => undefined);
  await send(reserve - (sent - (await until('the offsets of the source', read, 60_000))));
}

const arrived = (): Promise<number> => cluster.any.count('out').catch(() => -1);

async function running(): Promise<void> {
  const job = await jobOf(penstock.request, pipeline);
  if (job.state === 'Failed') throw new Error(JSON.stringify(job));
}

/** Waits until messages arrive that had not. */
async function moving(): Promise<void> {
  let before = -1;
  const answers = async () => {
    before = await arrived();
    return before >= 0;
  };
  await until('Kafka to answer', answers, 60_000);
  const moved = async () => {
    await running();
    return (await arrived()) > before;
  };
  await until('messages to arrive', moved, 120_000).catch(async (error: unknown) => {
    throw new Error(JSON.stringify(await jobOf(penstock.request, pipeline)), { cause: error });
  });
}

/** Kills a node, and starts it again when something else has taken its place and messages arrive. */
const killed =
  (which: () => Promise<number | undefined>): Strike =>
  async () => {
    const id = await which();
    const node = cluster.node(id ?? 1);
    await node.kill('SIGKILL');
    const replaced = async () => {
      const now = await which().catch(() => id);
      return now !== undefined && now !== id;
    };
    await until('another node in its place', replaced, 60_000);
    await moving();
    await node.resume();
    await cluster.inSync();
  };

const strikes = {
  'leader of the sink killed': killed(() => cluster.leader('out', 0)),
  'leader of the source killed': killed(() => cluster.leader('in', 0)),
  'coordinator of the group killed': killed(() => cluster.coordinator('GROUP', group)),
  'coordinator of transactions killed': killed(() =>
    cluster.coordinator('TRANSACTION', `${group}/in/0-of-2`),
  ),
  'rolling restart': async () => {
    for (const node of cluster.nodes) {
      await node.kill('SIGTERM');
      await node.resume();
      await cluster.inSync();
    }
  },
  'two nodes restarted at once': async () => {
    const two = cluster.nodes.slice(1);
    for (const node of two) await node.kill('SIGTERM');
    await pause(10_000);
    await running();
    await Promise.all(two.map((node) => node.resume()));
    await cluster.inSync();
  },
  'two nodes killed': async () => {
    const two = cluster.nodes.slice(0, 2);
    await Promise.all(two.map((node) => node.kill('SIGKILL')));
    await pause(10_000);
    await running();
    await Promise.all(two.map((node) => node.resume()));
    await cluster.inSync();
  },
  'too few in sync': async () => {
    const config = (value: string) =>
      cluster.any.admin((admin) =>
        admin.incrementalAlterConfigs({
          resources: [
            {
              ...{ resourceType: 2, resourceName: 'out' },
              configs: [{ name: 'min.insync.replicas', configOperation: 0, value }],
            },
          ],
        }),
      );
    await config('3');
    const codes = cluster.nodes.map((node) => producedCodes(node, 'out'));
    const node = cluster.node(3);
    await node.kill('SIGTERM');
    const few = [reply.notEnoughReplicas, reply.notEnoughReplicasAfterAppend];
    const said = () => codes.some((own) => few.some((code) => own.has(code)));
    await until('a broker to say that too few are in sync', said, 60_000);
    for (const { taps } of cluster.nodes) taps.tap = () => {};
    await pause(8_000);
    await running();
    await node.resume();
    await cluster.inSync();
    await config('2');
  },
  'leaders moved': async () => {
    await cluster.moveLeader('out', 0);
    await cluster.moveLeader('in', 0);
    await cluster.inSync();
  },
  'leader silent': async () => {
    const { link } = cluster.node((await cluster.leader('out', 0)) ?? 1);
    link.blackhole();
    await pause(8_000);
    await running();
    await link.heal();
  },
};

const partitionsAdded: Strike = async () => {
  partitions = 6;
  await cluster.any.addPartitions('in', partitions);
  await supply();
  await send(2 * rate);
};

/** Strikes one after the other, each when messages arrive again. */
async function underFire(
  all: readonly (readonly [string, Strike])[],
  prepare: () => Promise<void> = async () => {},
): Promise<void> {
  for (const [name, strike] of all) {
    await prepare();
    await moving();
    const startedAt = Date.now();
    await strike();
    process.stdout.write(`${name}: ${Date.now() - startedAt} ms, ${await arrived()} there\n`);
  }
}

const seqOf = (text: string): number => (JSON.parse(text) as { seq: number }).seq;

/** Reads all that is in the topic, without transactions. */
async function everything(): Promise<number[]> {
  const enough = async () => {
    await running();
    const count = await arrived();
    if (count < sent) return false;
    let left = count;
    const isLast = () => {
      left -= 1;
      return left === 0;
    };
    const found = await readCommitted(cluster.any.profile(), 'out', isLast);
    return new Set(found.map(seqOf)).size >= sent && found.map(seqOf);
  };
  return until('every message to arrive', enough, 300_000).catch(async (error: unknown) => {
    throw new Error(`${await arrived()} there: ${JSON.stringify(await jobOf(penstock.request, pipeline))}`, {
      cause: error,
    });
  }) as Promise<number[]>;
}

/** Reads what transactions have committed. */
async function committed(): Promise<number[]> {
  const all = async () => {
    await running();
    return (await cluster.any.committed(group, 'in').catch(() => -1)) === sent;
  };
  await until('every message to be passed on', all, 300_000);
  const end = Buffer.from('end');
  const ends = [0, 1, 2, 3].map((partition) => ({ topic: 'out', partition, value: end }));
  await cluster.any.producer().send({ acks: -1, messages: ends });
  let open = ends.length;
  const isLast = (text: string): boolean => {
    if (text === 'end') open -= 1;
    return open === 0;
  };
  const found = await readCommitted(cluster.any.profile(), 'out', isLast);
  return found.filter((text) => text !== 'end').map(seqOf);
}

/** The errors after which tasks have tried again, with their number. */
async function restarts(): Promise<string> {
  const { text } = await penstock.request.get('/metrics');
  const found = [...text.matchAll(/task_restarts_total\{[^}]*code="(\w+)"[^}]*\} (\d+)/g)];
  return found.map(([, code, count]) => `${code} ${count}`).join(', ');
}

async function report(what: string, found: readonly number[]): Promise<number> {
  const distinct = new Set(found).size;
  process.stdout.write(
    `${what}: ${sent} sent, ${sent - distinct} lost, ${found.length - distinct} twice. Tried again after: ${await restarts()}\n`,
  );
  return distinct;
}

const all = Object.entries(strikes);

describe.skipIf(missing !== undefined || onlyInSoak !== undefined)(
  skipping('a cluster of three nodes of Kafka', missing ?? onlyInSoak),
  () => {
    beforeEach(async () => {
      sent = 0;
      partitions = 4;
      [cluster, penstock] = await Promise.all([KafkaCluster.start(), Penstock.start()]);
      await cluster.any.createTopic('in', partitions);
      await cluster.any.createTopic('out', 4);
    }, 300_000);

    test('asks another node if one does not know the topic', async () => {
      const [node] = cluster.nodes as [Kafka];
      const servers = (profile: KafkaProfile) => kafkaContext(profile, sourceTable('out'));
      const describe = async (context: KafkaContext, topic: string) => {
        const connections = await Cluster.open(context, context.signal);
        return connections.describe(topic).finally(() => connections.close());
      };
      falsify(node, 'Metadata', 'out', Array(1_000).fill(3));
      const alone = servers(node.profile('linked'));
      const error = { code: 'kafka_unavailable', passing: true };
      await expect(describe(alone, 'out')).rejects.toMatchObject(error);
      await expect(describe(alone, 'nowhere')).rejects.toMatchObject({ code: 'kafka_topic_missing' });
      for (const { link } of cluster.nodes.slice(1)) link.cut();
      await expect(describe(alone, 'nowhere')).rejects.toMatchObject(error);
      await Promise.all(cluster.nodes.map(({ link }) => link.heal()));
      const all = servers(cluster.profile('linked'));
      const known = () => describe(all, 'out').catch(() => undefined);
      expect((await until('another node to be asked', known, 20_000)).leaders.size).toBe(4);
    });

    test.each(['at_least_once', 'exactly_once'] as const)(
      'from Kafka to Kafka, %s',
      async (mode) => {
        await send(reserve);
        await start(ofKafka(), mode);
        const own = all.filter(([name]) => mode === 'exactly_once' || !name.includes('transactions'));
        const strikes = [...own.slice(0, 4), ['partitions added', partitionsAdded] as const, ...own.slice(4)];
        await underFire(strikes, supply);
        const found = await (mode === 'exactly_once' ? committed() : everything());
        expect(await report(mode, found)).toBe(sent);
        if (mode === 'exactly_once') expect(found.length).toBe(sent);
      },
      1_500_000,
    );

    test('from MQTT to Kafka', async () => {
      const broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
      await start(
        `connector = 'mqtt', url = '${broker.url}', topic = 'in', qos = 'AtLeastOnce'`,
        'at_least_once',
      );
      await until(
        'the job to run',
        async () => (await jobOf(penstock.request, pipeline)).state === 'Running',
        60_000,
      );
      const client = await plainClient(broker.url);
      let isOver = false;
      const publish = async () => {
        for (; !isOver; sent += 500) {
          const some = Array.from({ length: 500 }, (_, nth) => JSON.stringify({ seq: sent + nth }));
          await Promise.all(some.map((text) => client.publishAsync('in', text, { qos: 1 })));
          await pause(500_000 / rate);
        }
      };
      const strikes = all.filter(([name]) => !/source|coordinator/.test(name));
      const end = () => {
        isOver = true;
      };
      await Promise.all([underFire(strikes).finally(end), publish()]);
      expect(await report('from MQTT', await everything())).toBe(sent);
    }, 1_200_000);
  },
);
