import {
  findCoordinatorV3,
  findCoordinatorV4,
  listOffsetsV6,
  listOffsetsV7,
  metadataV9,
  metadataV12,
} from '@platformatic/kafka';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { pause } from '../../network/deadline.ts';
import type { Endpoint } from '../../network/dial.ts';
import { kafkaError } from '../config/errors.ts';
import { addressOf, connectTimeoutMs, endpointsOf, hasTls, type KafkaProfile } from '../config/profile.ts';
import { type Broker, checked } from './broker.ts';
import { openBroker, refusesUser } from './login.ts';
import { errorNamed, refusal, reply } from './replies.ts';

export interface Node extends Endpoint {
  id: number;
}

export interface Topic {
  name: string;
  /** Empty at brokers that have no identities of topics. */
  id: string;
  /** The leader of each partition. */
  leaders: Map<number, number>;
  /** Permissions of the user on it, if they were asked for. */
  may: { read: boolean; write: boolean };
}

/** Bits of the operations in Metadata: READ is the fourth, WRITE the fifth. */
const mayRead = 1 << 3;
const mayWrite = 1 << 4;

/** Whether an id is that of a former topic of the same name. Undefined and empty ids are not known. */
export const isAnother = (id: string | undefined, topic: Topic): boolean =>
  (id ?? '') !== '' && topic.id !== '' && id !== topic.id;

const noId = '00000000-0000-0000-0000-000000000000';

/** Errors that are over a moment later: a coordinator is elected, or a transaction ends. */
const notYet = [
  'COORDINATOR_NOT_AVAILABLE',
  'COORDINATOR_LOAD_IN_PROGRESS',
  'NOT_COORDINATOR',
  'CONCURRENT_TRANSACTIONS',
  'UNSTABLE_OFFSET_COMMIT',
];

/** Permanent errors that do not depend on the address of a server: the other servers have them too. */
const ofAll: ReadonlySet<string> = new Set([
  ...['kafka_login_refused', 'kafka_too_old'],
  ...['tls_bad_material', 'tls_client_certificate_required', 'tls_client_certificate_refused'],
]);

const isOfAll = (error: unknown): boolean => error instanceof PenstockError && ofAll.has(error.code);

const isPassing = (error: unknown): boolean => error instanceof PenstockError && error.passing;

/** Connections to the brokers of a cluster. All of them end with the first that is lost. */
export class Cluster {
  readonly #reachable: Reachable<KafkaProfile>;
  readonly #signal: AbortSignal;
  readonly #ended = new AbortController();
  readonly #brokers = new Map<string, Promise<Broker>>();
  readonly #bootstrap: Broker;
  #nodes = new Map<number, Node>();
  #id = '';
  #failure: unknown;
  #lost: (error: PenstockError) => void = () => {};

  private constructor(bootstrap: Broker, reachable: Reachable<KafkaProfile>, signal: AbortSignal) {
    this.#bootstrap = bootstrap;
    this.#reachable = reachable;
    this.#signal = signal;
    signal.addEventListener('abort', this.#aborted, { once: true });
    bootstrap.whenLost((error) => this.#fail(error));
  }

  /**
   * Connects to the first bootstrap server that responds, from a random one on: one that is cut off from the others responds too, and
   * another attempt is to find another one. Throws a passing error if any server may respond later, unless an error of another one is
   * that of all. Tries no further server once one has refused the user: that could lock the user out.
   */
  static async open(reachable: Reachable<KafkaProfile>, signal: AbortSignal): Promise<Cluster> {
    const errors: unknown[] = [];
    const endpoints = endpointsOf(reachable.profile);
    const turn = Math.floor(Math.random() * endpoints.length);
    for (const endpoint of [...endpoints.slice(turn), ...endpoints.slice(0, turn)]) {
      try {
        return new Cluster(await openBroker(endpoint, reachable, signal), reachable, signal);
      } catch (error) {
        signal.throwIfAborted();
        errors.push(error);
        if (refusesUser(error)) break;
      }
    }
    throw errors.find(isOfAll) ?? errors.find(isPassing) ?? errors[0];
  }

  /** A cluster over a connection that is open. */
  static over(bootstrap: Broker, reachable: Reachable<KafkaProfile>, signal: AbortSignal): Cluster {
    return new Cluster(bootstrap, reachable, signal);
  }

  get bootstrap(): Broker {
    return this.#bootstrap;
  }

  /** Known after `describe` or `describeAll`. */
  get id(): string {
    return this.#id;
  }

  get nodes(): Node[] {
    return [...this.#nodes.values()];
  }

  /** Calls `lost` once, when a connection is lost before `close`. */
  whenLost(lost: (error: PenstockError) => void): void {
    this.#lost = lost;
    if (this.#failure instanceof PenstockError) lost(this.#failure);
  }

  /** The topic as the cluster has it now. Throws `kafka_topic_missing`. */
  async describe(topic: string, operations = false): Promise<Topic> {
    const [found] = await this.#topics([topic], operations);
    const code = found?.errorCode ?? reply.unknownTopic;
    if (code === reply.unknownTopic) throw await this.#missing(topic);
    checked(code, `The topic ${topic} cannot be used`, aclHint(topic, 'Describe'));
    const partitions = found?.partitions ?? [];
    const without = partitions.find(({ leaderId }) => leaderId < 0);
    if (without || partitions.length === 0)
      throw kafkaError(
        'kafka_unavailable',
        `The partition ${without?.partitionIndex ?? 0} of ${topic} has no leader`,
        {
          hint: 'A broker that has it must be running: kafka-topics.sh --describe names them.',
          facts: { error: errorNamed(without?.errorCode ?? 5) },
        },
      );
    const id = found?.topicId;
    return {
      name: topic,
      id: id === undefined || id === noId ? '' : id,
      leaders: new Map(partitions.map(({ partitionIndex, leaderId }) => [partitionIndex, leaderId])),
      may: {
        read: ((found?.topicAuthorizedOperations ?? 0) & mayRead) !== 0,
        write: ((found?.topicAuthorizedOperations ?? 0) & mayWrite) !== 0,
      },
    };
  }

  /** The same for a topic that was there: it may come back, so that it is missing is a passing fault. */
  async describeAgain(topic: string): Promise<Topic> {
    return this.describe(topic).catch((error: unknown) => {
      if (!(error instanceof PenstockError) || error.code !== 'kafka_topic_missing') throw error;
      const facts = { topic };
      throw kafkaError('kafka_unavailable', `The topic ${topic} is no longer there`, { facts, cause: error });
    });
  }

  /**
   * The error for a topic that the bootstrap server does not know. A broker hears of a new topic a moment after others, or much later if it is
   * cut off from them, so two brokers must not know it, unless the cluster has only one.
   */
  async #missing(topic: string): Promise<PenstockError> {
    const { name } = this.#bootstrap;
    const ask = async ({ id }: Node): Promise<number | undefined> => {
      const broker = await this.node(id);
      if (broker === this.#bootstrap) return reply.unknownTopic;
      return (await this.#metadata(broker, [topic])).topics[0]?.errorCode;
    };
    // One that cannot be reached says nothing.
    const codes = await Promise.all(this.nodes.map((node) => ask(node).catch(() => undefined)));
    // A connection that is lost ends the others, which say nothing then.
    if (this.#failure !== undefined) throw this.#failure;
    const said = codes.filter((code) => code !== undefined);
    const isKnown = said.some((code) => code !== reply.unknownTopic);
    if (!isKnown && (said.length > 1 || codes.length === 1)) return topicMissing(topic, name);
    return kafkaError(
      'kafka_unavailable',
      `The broker ${name} does not know the topic ${topic}, ${isKnown ? 'as others do' : 'and no other one can be asked'}`,
      {
        hint: isKnown
          ? 'Look at the log of this broker if it lasts: it does not follow the controller.'
          : 'Look whether the other brokers are running.',
        facts: { topic },
      },
    );
  }

  /** The names of all topics but internal ones. */
  async topicNames(): Promise<string[]> {
    const topics = await this.#topics(null);
    return topics.flatMap(({ name, isInternal }) => (name && !isInternal ? [name] : [])).sort();
  }

  async #topics(names: string[] | null, operations = false) {
    const response = await this.#metadata(this.#bootstrap, names, operations);
    // It has not heard of topics either.
    if (response.brokers.length === 0)
      throw kafkaError(
        'kafka_unavailable',
        `The broker ${this.#bootstrap.name} knows no brokers yet: it starts`,
      );
    this.#id = response.clusterId ?? '';
    const tls = hasTls(this.#reachable.profile);
    this.#nodes = new Map(
      response.brokers.map(({ nodeId, host, port }) => [nodeId, { id: nodeId, host, port, tls }]),
    );
    return response.topics as {
      errorCode: number;
      name: string | null;
      topicId?: string;
      isInternal: boolean;
      topicAuthorizedOperations: number;
      partitions: { errorCode: number; partitionIndex: number; leaderId: number }[];
    }[];
  }

  #metadata(broker: Broker, names: string[] | null, operations = false) {
    return broker.call(
      broker.choose([metadataV12.api, metadataV9.api], 'Metadata'),
      names,
      false,
      operations,
    );
  }

  /**
   * The connection to a broker. A broker handles the requests of a connection one after the other, so one that makes it wait
   * needs a connection of its own: `purpose` names it.
   */
  node(id: number, purpose = ''): Promise<Broker> {
    const key = `${id} ${purpose}`;
    let broker = this.#brokers.get(key);
    if (!broker) {
      broker = this.#open(id, purpose);
      broker.catch(() => {});
      this.#brokers.set(key, broker);
    }
    return broker;
  }

  async #open(id: number, purpose: string): Promise<Broker> {
    const node = this.#nodes.get(id);
    if (!node)
      throw kafkaError(
        'kafka_unavailable',
        `The cluster names the broker ${id} as a leader, which is not there`,
      );
    const isNode = ({ host, port }: Endpoint): boolean => node.host === host && node.port === port;
    if (isNode(this.#bootstrap.endpoint) && purpose === '') return this.#bootstrap;
    // An address that the profile has too is the right one.
    const isRight = endpointsOf(this.#reachable.profile).some(isNode);
    const broker = await openBroker(node, this.#reachable, this.#ended.signal).catch((error: unknown) => {
      this.#ended.signal.throwIfAborted();
      throw isRight ? error : unreachable(node, this.#bootstrap.endpoint, error);
    });
    broker.whenLost((error) => this.#fail(error));
    return broker;
  }

  /** The broker that keeps the offsets of a group, or the transactions of a transactional id. */
  async coordinator(key: string, of: 'group' | 'transaction' = 'group'): Promise<Broker> {
    const api = this.#bootstrap.choose([findCoordinatorV4.api, findCoordinatorV3.api], 'FindCoordinator');
    const isGroup = of === 'group';
    const found = await this.settled(
      async () => {
        const response = await this.#bootstrap.call(api, isGroup ? 0 : 1, [key]);
        const [coordinator] = response.coordinators;
        return { code: coordinator?.errorCode ?? -1, value: coordinator?.nodeId ?? -1 };
      },
      `The ${isGroup ? 'consumer group' : 'transactional id'} ${key} has no coordinator`,
      isGroup ? groupHint(key) : transactionHint(key),
    );
    return this.node(found);
  }

  /** Repeats a request while another change of the cluster is under way, for as long as a connection may take. */
  async settled<T>(
    ask: () => Promise<{ code: number; value: T }>,
    what: string,
    hint?: string,
    everyMs = 100,
  ): Promise<T> {
    const until = performance.now() + connectTimeoutMs(this.#reachable.profile);
    for (;;) {
      const { code, value } = await ask();
      if (code === 0) return value;
      if (!notYet.includes(errorNamed(code)) || performance.now() > until) throw refusal(code, what, hint);
      await pause(everyMs, this.#ended.signal);
    }
  }

  /** The first offset of partitions that is there (`earliest`), or that comes next (`latest`). */
  async offsets(
    topic: Topic,
    partitions: readonly number[],
    which: 'earliest' | 'latest',
    committed: boolean,
  ): Promise<Map<number, bigint>> {
    const timestamp = which === 'earliest' ? -2n : -1n;
    const byLeader = Map.groupBy(partitions, (partition) => topic.leaders.get(partition) as number);
    const found = new Map<number, bigint>();
    for (const [leader, own] of byLeader) {
      const broker = await this.node(leader);
      const api = broker.choose([listOffsetsV7.api, listOffsetsV6.api], 'ListOffsets');
      const request = own.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp }));
      const response = await broker.call(api, -1, committed ? 1 : 0, [
        { name: topic.name, partitions: request },
      ]);
      for (const { partitionIndex, errorCode, offset } of response.topics[0]?.partitions ?? []) {
        checked(
          errorCode,
          `The offsets of partition ${partitionIndex} of ${topic.name} cannot be listed`,
          aclHint(topic.name, 'Describe'),
        );
        found.set(partitionIndex, offset);
      }
    }
    return found;
  }

  /** Ends all connections and waits until they are closed. Never throws. */
  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#aborted);
    this.#lost = () => {};
    this.#end(new PenstockError('connection_lost', 'The connection was closed'));
    await Promise.all([
      this.#bootstrap.close(),
      ...[...this.#brokers.values()].map((broker) =>
        broker.then(
          (one) => one.close(),
          () => {},
        ),
      ),
    ]);
  }

  readonly #aborted = (): void => this.#end(this.#signal.reason);

  #fail(error: PenstockError): void {
    if (this.#failure !== undefined) return;
    this.#end(error);
    this.#lost(error);
  }

  #end(reason: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#ended.abort(reason);
    this.#bootstrap.destroy(reason);
    for (const broker of this.#brokers.values())
      broker.then(
        (one) => one.destroy(reason),
        () => {},
      );
  }
}

/** Hint for the most frequent mistake with Kafka: the address that a broker tells its clients to use. */
export function unreachable(node: Node, bootstrap: Endpoint, error: unknown): unknown {
  if (!(error instanceof PenstockError)) return error;
  const about =
    `The broker ${node.id} tells clients to connect to ${addressOf(node)} (advertised.listeners). The bootstrap server ` +
    `${addressOf(bootstrap)} responds, and that address does not work from here: ${error.message}`;
  const hint =
    'Set advertised.listeners of the broker to an address that Penstock can reach, such as ' +
    `PLAINTEXT://${addressOf({ host: bootstrap.host, port: node.port })}. Brokers in containers or behind NAT need a ` +
    'listener for clients outside.';
  const facts = {
    ...error.facts,
    broker: node.id,
    advertised: addressOf(node),
    bootstrap: addressOf(bootstrap),
  };
  const kept = ['target_not_allowed', 'kafka_login_refused', 'kafka_too_old'].includes(error.code);
  if (kept || error.code.startsWith('tls_'))
    return new PenstockError(error, about, {
      hint:
        error.code === 'target_not_allowed'
          ? `${error.hint ?? ''} Otherwise set advertised.listeners of the broker to an address that is allowed.`.trim()
          : (error.hint ?? hint),
      facts,
      cause: error,
    });
  return kafkaError('kafka_advertised_unreachable', about, { hint, facts, cause: error });
}

export const topicMissing = (topic: string, server: string): PenstockError =>
  kafkaError('kafka_topic_missing', `The cluster has no topic ${topic}`, {
    hint: `Create it: kafka-topics.sh --bootstrap-server ${server} --create --topic ${topic}. Without the permission to describe it, a topic looks missing too.`,
    facts: { topic },
  });

export const recreated = (topic: string): PenstockError =>
  kafkaError('kafka_topic_recreated', `The topic ${topic} was deleted and created again`, {
    facts: { topic },
  });

export const aclHint = (topic: string, operation: 'Read' | 'Write' | 'Describe'): string =>
  `kafka-acls.sh --add --allow-principal User:… --operation ${operation} --topic ${topic}`;

export const groupHint = (group: string): string =>
  `kafka-acls.sh --add --allow-principal User:… --operation Read --group '${group}'`;

/** The ids of a source differ by the number of its tasks, so all that begin like this one are meant. */
export const transactionHint = (id: string): string =>
  'kafka-acls.sh --add --allow-principal User:… --operation Write --operation Describe ' +
  `--transactional-id '${transactionPrefix.exec(id)?.[0] ?? id}' --resource-pattern-type prefixed`;

/** The beginning of the name of default groups, with the prefix of the table, or a group and the slash behind it. */
const transactionPrefix = /^(?:[^/]{1,100}?-)??penstock-|^.+\/(?=[^/]+\/[^/]+$)/s;
