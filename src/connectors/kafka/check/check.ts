import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { listGroupsV3, listGroupsV4 } from '@platformatic/kafka';
import { asPenstockError, type PenstockError } from '../../../errors.ts';
import type { AutocompleteContext, CheckContext } from '../../connector.ts';
import { CheckSteps, decodeStep, type Finding } from '../../network/check-steps.ts';
import { forUpTo, untilReported } from '../../network/deadline.ts';
import { dialSteps } from '../../network/dial-steps.ts';
import { kafkaError } from '../config/errors.ts';
import { addressOf, endpointsOf, type KafkaProfile, saslOf, tlsOf } from '../config/profile.ts';
import { direction, groupOf, isExact, type KafkaTable, sourceOf } from '../config/table.ts';
import { Broker } from '../connection/broker.ts';
import { aclHint, Cluster, type Topic, transactionHint } from '../connection/cluster.ts';
import { GroupOffsets } from '../connection/group.ts';
import { beginOn, logIn } from '../connection/login.ts';
import { newProducer } from '../connection/producer.ts';
import { type Fetched, PartitionReader } from '../connection/reader.ts';
import { TransactionalProducer } from '../connection/transactional-producer.ts';

type KafkaCheckContext = CheckContext<KafkaProfile, KafkaTable>;

/**
 * Tests a profile or a table against the real cluster: `resolve → tcp → tls → versions → sasl → brokers`, then `topic → read →
 * group → first_message → decode` or `topic → write`. Nothing is written. See `check` in the connector contract.
 */
export async function check(context: KafkaCheckContext): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: { socket?: Socket; cluster?: Cluster } = {};
  const abort = () => void opened.socket?.destroy();
  context.signal.addEventListener('abort', abort, { once: true });
  try {
    const cluster = await connectSteps(context, steps, opened);
    await brokersStep(steps, cluster);
    if (context.table === undefined) return;
    const { table } = context;
    const topic = await steps.run('topic', async (signal) =>
      topicFinding(await onCluster(cluster as Cluster, signal, (one) => one.describe(table.topic, true))),
    );
    if (direction(table) === 'source') await sourceSteps(context, steps, cluster as Cluster, topic as Topic);
    else await sinkSteps(steps, cluster as Cluster, topic as Topic, isExact(table));
  } finally {
    context.signal.removeEventListener('abort', abort);
    opened.socket?.destroy();
    await opened.cluster?.close();
    await closed(opened.socket);
  }
}

const closed = async (socket: Socket | undefined): Promise<void> => {
  if (socket && !socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
};

/** Runs requests that end with the connections when the signal of a step aborts. */
async function onCluster<T>(
  cluster: Cluster,
  signal: AbortSignal,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  return untilReported<T>(signal, (resolve, reject) => void work(cluster).then(resolve, reject));
}

/** Connects to the first bootstrap server that works: those before it are reported as warnings. */
async function connectSteps(
  context: KafkaCheckContext,
  steps: CheckSteps,
  opened: { socket?: Socket; cluster?: Cluster },
): Promise<Cluster | undefined> {
  const endpoints = endpointsOf(context.profile);
  const several = endpoints.length > 1;
  for (const [index, endpoint] of endpoints.entries()) {
    const last = index === endpoints.length - 1;
    if (several) steps.beginServer(addressOf(endpoint), !last);
    const cluster = await serverSteps(context, steps, endpoint, opened);
    if (several && (cluster || last)) steps.endServers(cluster === undefined);
    if (cluster) return cluster;
    opened.socket?.destroy();
    await closed(opened.socket);
  }
  return undefined;
}

async function serverSteps(
  { profile, targets, signal }: KafkaCheckContext,
  steps: CheckSteps,
  endpoint: ReturnType<typeof endpointsOf>[number],
  opened: { socket?: Socket; cluster?: Cluster },
): Promise<Cluster | undefined> {
  const { socket } = await dialSteps(steps, {
    endpoint,
    host: () => endpoint.host,
    reachable: { profile: tlsOf(profile), targets },
    opened: (one) => {
      opened.socket = one;
    },
  });
  const versions = async (inner: AbortSignal): Promise<Finding<Broker>> => {
    const broker = await beginOn(new Broker(socket as Socket, endpoint, profile), inner, (one) =>
      one.askVersions(),
    );
    return { value: broker, message: `The server speaks Kafka, with ${broker.kinds} kinds of requests` };
  };
  const broker = await steps.run('versions', versions, { late: versionsLate });
  const sasl = saslOf(profile);
  if (sasl) {
    const loggedIn = async (inner: AbortSignal): Promise<Finding<true>> => {
      await beginOn(broker as Broker, inner, (one) => logIn(one, profile));
      const as = sasl.mechanism === 'OAUTHBEARER' ? 'with the token' : `as ${sasl.username}`;
      return {
        value: true,
        message: `Logged in ${as} by ${sasl.mechanism}`,
        details: { mechanism: sasl.mechanism },
      };
    };
    await steps.run('sasl', loggedIn);
  }
  return steps.run('cluster', async (inner) => {
    const cluster = Cluster.over(broker as Broker, { profile, targets }, signal);
    opened.cluster = cluster;
    const names = await onCluster(cluster, inner, (one) => one.topicNames());
    const brokers = cluster.nodes.map((node) => ({ id: node.id, address: addressOf(node) }));
    return {
      value: cluster,
      message: `The cluster ${cluster.id} has ${plural(brokers.length, 'broker')} and ${plural(names.length, 'topic')} that this user can see`,
      details: { cluster: cluster.id, brokers, topics: names.length },
    };
  });
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const versionsLate = (ms: number): PenstockError =>
  kafkaError('connection_timeout', `The server did not respond to the first request within ${ms} ms`, {
    hint: 'The port accepts connections, so no firewall blocks it. Check that it is a port of Kafka, and whether it uses TLS.',
  });

/** Clients connect to the addresses that brokers advertise, not to the bootstrap servers. */
async function brokersStep(steps: CheckSteps, cluster: Cluster | undefined): Promise<void> {
  await steps.run('brokers', async (signal): Promise<Finding<true>> => {
    const one = cluster as Cluster;
    await onCluster(one, signal, () => Promise.all(one.nodes.map(({ id }) => one.node(id))));
    const addresses = one.nodes.map(addressOf).join(', ');
    return { value: true, message: `Connected to every broker by its advertised address: ${addresses}` };
  });
}

function topicFinding(topic: Topic): Finding<Topic> {
  const partitions = topic.leaders.size;
  return {
    value: topic,
    message: `The topic ${topic.name} has ${plural(partitions, 'partition')}`,
    details: { topic: topic.name, id: topic.id, partitions },
  };
}

async function sourceSteps(
  context: KafkaCheckContext,
  steps: CheckSteps,
  cluster: Cluster,
  topic: Topic,
): Promise<void> {
  const table = context.table as KafkaTable;
  const committed = sourceOf(table).read_mode === 'read_committed';
  const first = new FirstMessage();
  const stop = new AbortController();
  const from = await steps.run('read', async (signal): Promise<Finding<Map<number, bigint>>> => {
    if (!topic?.may.read) throw forbidden(topic.name, 'Read');
    const begin = await onCluster(cluster, signal, () => newest(cluster, topic, committed));
    const waiting = begin.messages;
    return {
      value: begin.from,
      message: `May read the topic, which has about ${plural(Number(waiting), 'message')}`,
      details: { messages: Number(waiting) },
    };
  });
  await steps.run('group', async (signal): Promise<Finding<true>> => {
    const group = groupOf(table, { jobId: 'test', operatorId: 'test', taskIndex: 0 });
    const { offsets, partitionsAtFirst = topic.leaders.size } = await onCluster(cluster, signal, async () =>
      (await GroupOffsets.of(cluster, group)).read(cluster, topic),
    );
    const own = sourceOf(table).group_id;
    // Those that came later are read from their start.
    const missing = [...topic.leaders.keys()].filter(
      (partition) => partition < partitionsAtFirst && !offsets.has(partition),
    );
    if (sourceOf(table).offset === 'group' && missing.length > 0)
      throw kafkaError(
        'kafka_group_offsets_missing',
        `The consumer group ${group} has no offset for ${plural(missing.length, 'partition')} of ${topic.name}`,
        { hint: 'Set offset to earliest or latest, or correct group_id.' },
      );
    return {
      value: true,
      message: own
        ? `May use the consumer group ${group}, which has offsets for ${plural(offsets.size, 'partition')}`
        : `May use a consumer group such as ${group}`,
    };
  });
  try {
    await steps.run('first_message', async (signal) => {
      const reader = new PartitionReader({
        cluster,
        topic,
        from: from as Map<number, bigint>,
        committed,
        warn: () => {},
        message: (message) => first.take(message),
      });
      reader.run(stop.signal).catch((error: unknown) => first.fail(error));
      const ms = Math.min(3_000, context.stepTimeoutMs / 2);
      const message = await forUpTo(ms, signal, (soon) =>
        untilReported<Fetched>(soon, (resolve, reject) => void first.found.then(resolve, reject)),
      );
      if (!message)
        return {
          value: undefined,
          message: `No message came within ${ms / 1000} s, which need not be wrong`,
        };
      const { partition, offset, value } = message;
      return {
        value: message,
        message: `A message of ${value?.length ?? 0} bytes from partition ${partition}`,
        details: { partition, offset: String(offset), bytes: value?.length ?? 0 },
      };
    });
    await decodeStep(steps, context, () => first.samples);
  } finally {
    stop.abort(new Error('the test is over'));
  }
}

class FirstMessage {
  readonly samples: Buffer[] = [];
  readonly #found = Promise.withResolvers<Fetched>();

  constructor() {
    this.#found.promise.catch(() => {});
  }

  get found(): Promise<Fetched> {
    return this.#found.promise;
  }

  take(message: Fetched): void {
    if (this.samples.length === 0 && message.value) this.samples.push(message.value);
    this.#found.resolve(message);
  }

  fail(error: unknown): void {
    this.#found.reject(error);
  }
}

/** The place of the newest message of each partition, and the number of all. */
async function newest(
  cluster: Cluster,
  topic: Topic,
  committed: boolean,
): Promise<{ from: Map<number, bigint>; messages: bigint }> {
  const all = [...topic.leaders.keys()];
  const first = await cluster.offsets(topic, all, 'earliest', committed);
  const end = await cluster.offsets(topic, all, 'latest', committed);
  const from = new Map<number, bigint>();
  let messages = 0n;
  for (const [partition, next] of end) {
    const oldest = first.get(partition) ?? next;
    messages += next - oldest;
    from.set(partition, next > oldest ? next - 1n : next);
  }
  return { from, messages };
}

/** The brokers say what the user may do, so that nothing is written. */
async function sinkSteps(
  steps: CheckSteps,
  cluster: Cluster,
  topic: Topic,
  exactlyOnce: boolean,
): Promise<void> {
  await steps.run('write', async (signal): Promise<Finding<true>> => {
    if (!topic?.may.write) throw forbidden(topic.name, 'Write');
    await onCluster(cluster, signal, () => newProducer(cluster, topic.name));
    const written = `May write to the topic ${topic.name}`;
    if (!exactlyOnce) return { value: true, message: `${written}. Nothing was written` };
    const id = `penstock-test-${randomBytes(8).toString('hex')}/${topic.name}/0-of-1`;
    const ids = 'use transactional ids that begin with penstock-';
    // The source is not known here.
    const others =
      'With a group_id or group_id_prefix of the source they begin with that, which was not tested';
    const may = () => TransactionalProducer.mayUse(cluster, id);
    const error = await onCluster(cluster, signal, may).then(() => undefined, asPenstockError);
    if (error && error.code !== 'kafka_forbidden') throw error;
    if (!error) return { value: true, message: `${written}, and ${ids}. ${others}. Nothing was written` };
    const message = `${written}, but not ${ids}: ${error.message}. ${others}`;
    return { value: true, message, code: error.code, hint: transactionHint(id) };
  });
}

const forbidden = (topic: string, operation: 'Read' | 'Write'): PenstockError =>
  kafkaError('kafka_forbidden', `The user may not ${operation.toLowerCase()} the topic ${topic}`, {
    hint: aclHint(topic, operation),
    facts: { operation },
  });

/** See `autocomplete` in the connector contract. */
export async function autocomplete({
  profile,
  targets,
  signal,
}: AutocompleteContext<KafkaProfile>): Promise<Record<string, string[]>> {
  const cluster = await Cluster.open({ profile, targets }, signal);
  try {
    const topics = await cluster.topicNames();
    return { topic: topics.slice(0, maxNames), group_id: (await groups(cluster)).slice(0, maxNames) };
  } catch (error) {
    signal.throwIfAborted();
    throw asPenstockError(error);
  } finally {
    await cluster.close();
  }
}

const maxNames = 1_000;

/** Groups are known to their coordinators only, so every broker is asked. Those that cannot be reached are left out. */
async function groups(cluster: Cluster): Promise<string[]> {
  const found = await Promise.allSettled(
    cluster.nodes.map(async ({ id }) => {
      const broker = await cluster.node(id);
      const api = broker.choose([listGroupsV4.api, listGroupsV3.api], 'ListGroups');
      const response = await broker.call(api, [], []);
      return response.groups.map(({ groupId }) => groupId);
    }),
  );
  return found.flatMap((one) => (one.status === 'fulfilled' ? one.value : [])).sort();
}
