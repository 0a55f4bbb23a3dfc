import {
  addOffsetsToTxnV2,
  addOffsetsToTxnV3,
  addPartitionsToTxnV2,
  addPartitionsToTxnV3,
  endTxnV2,
  endTxnV3,
  initProducerIdV2,
  initProducerIdV3,
  initProducerIdV4,
  txnOffsetCommitV3,
} from '@platformatic/kafka';
import { PenstockError } from '../../../errors.ts';
import type { Broker } from './broker.ts';
import { type Cluster, groupHint, transactionHint } from './cluster.ts';
import type { Producer } from './producer.ts';
import { errorNamed } from './replies.ts';

/** Offsets of a group for the partitions of one topic. */
export interface GroupProgress {
  group: string;
  topic: string;
  offsets: ReadonlyMap<number, bigint>;
  metadata: string;
}

/** After this time the brokers abort a transaction by themselves. Within their default maximum of 15 minutes. */
const timeoutMs = 60_000;

/**
 * A producer whose messages and offsets are committed together. Brokers know one producer for each transactional id: opening
 * the next one fences the former, whose transaction is over then.
 */
export class TransactionalProducer {
  readonly id: string;
  readonly #cluster: Cluster;
  #producer: Producer = { id: -1n, epoch: -1 };
  #coordinators = new Map<string, Promise<Broker>>();
  /** Partitions that the open transaction has. */
  readonly #partitions = new Set<number>();
  /** Requests of the transaction without a response. */
  readonly #sent = new Set<Promise<unknown>>();
  #isOpen = false;
  #isAborting = false;

  private constructor(id: string, cluster: Cluster) {
    this.id = id;
    this.#cluster = cluster;
  }

  /** Fences the former producer of this id. Its transaction is committed or aborted when this resolves. */
  static async open(cluster: Cluster, id: string): Promise<TransactionalProducer> {
    const opened = new TransactionalProducer(id, cluster);
    opened.#producer = await opened.#ask('cannot start', async (broker) => {
      const api = broker.choose(
        [initProducerIdV4.api, initProducerIdV3.api, initProducerIdV2.api],
        'InitProducerId',
      );
      const { errorCode, producerId, producerEpoch } = await broker.call(api, id, timeoutMs, -1n, -1);
      return { code: errorCode, value: { id: producerId, epoch: producerEpoch } };
    });
    return opened;
  }

  /** Throws `kafka_forbidden` if the user may not use this id, which no producer has. Leaves nothing at the brokers. */
  static async mayUse(cluster: Cluster, id: string): Promise<void> {
    const nobody = new TransactionalProducer(id, cluster);
    nobody.#producer = { id: 0n, epoch: 0 };
    nobody.#isOpen = true;
    // Brokers look at the permissions before they look for the producer.
    await nobody.end('abort').catch((error: unknown) => {
      if (!isFenced(error)) throw error;
    });
  }

  get producer(): Producer {
    return this.#producer;
  }

  /** Sends a request that belongs to the transaction. Rejects once it is to be aborted. */
  async send<T>(request: () => Promise<T>): Promise<T> {
    if (this.#isAborting) throw new PenstockError('connection_lost', 'The transaction is aborted');
    const sent = request();
    this.#sent.add(sent);
    try {
      return await sent;
    } finally {
      this.#sent.delete(sent);
    }
  }

  /** Adds partitions to the transaction. Messages may be written to them then. */
  async add(topic: string, partitions: Iterable<number>): Promise<void> {
    const fresh = [...new Set(partitions)].filter((partition) => !this.#partitions.has(partition));
    if (fresh.length === 0) return;
    this.#isOpen = true;
    await this.#ask(`cannot write to ${topic}`, async (broker) => {
      const api = broker.choose([addPartitionsToTxnV3.api, addPartitionsToTxnV2.api], 'AddPartitionsToTxn');
      const transaction = {
        transactionalId: this.id,
        producerId: this.#producer.id,
        producerEpoch: this.#producer.epoch,
        verifyOnly: false,
        topics: [{ name: topic, partitions: fresh }],
      };
      const { resultsByTransaction } = await this.send(() => broker.call(api, [transaction]));
      const results = resultsByTransaction[0]?.topicResults[0]?.resultsByPartition ?? [];
      const codes = results.map(({ partitionErrorCode }) => partitionErrorCode);
      return { code: worst(codes), value: undefined };
    });
    for (const partition of fresh) this.#partitions.add(partition);
  }

  /** Adds offsets of a group to the transaction. Rejects if the producer is fenced, also without any offsets. */
  async addOffsets({ group, topic, offsets, metadata }: GroupProgress): Promise<void> {
    this.#isOpen = true;
    const { id: producerId, epoch } = this.#producer;
    await this.#ask(`cannot commit offsets of the group ${group}`, async (broker) => {
      const api = broker.choose([addOffsetsToTxnV3.api, addOffsetsToTxnV2.api], 'AddOffsetsToTxn');
      const { errorCode } = await this.send(() => broker.call(api, this.id, producerId, epoch, group));
      return { code: errorCode, value: undefined };
    });
    if (offsets.size === 0) return;
    const partitions = [...offsets].map(([partitionIndex, committedOffset]) => ({
      partitionIndex,
      committedOffset,
      committedLeaderEpoch: -1,
      committedMetadata: metadata,
    }));
    const commit = async (broker: Broker) => {
      const api = broker.choose([txnOffsetCommitV3.api], 'TxnOffsetCommit');
      const topics = [{ name: topic, partitions }];
      const response = await this.send(() =>
        broker.call(api, this.id, group, producerId, epoch, -1, '', null, topics),
      );
      const codes = response.topics[0]?.partitions.map(({ errorCode }) => errorCode) ?? [];
      return { code: worst(codes), value: undefined };
    };
    await this.#ask(`cannot commit offsets of the group ${group}`, commit, group);
  }

  /** Ends the transaction, if it has anything. When this rejects it is not known how it ended. */
  async end(how: 'commit' | 'abort'): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#partitions.clear();
    await this.#ask(`cannot ${how} its transaction`, async (broker) => {
      const api = broker.choose([endTxnV3.api, endTxnV2.api], 'EndTxn');
      const { id, epoch } = this.#producer;
      const { errorCode } = await broker.call(api, this.id, id, epoch, how === 'commit');
      return { code: errorCode, value: undefined };
    });
  }

  /**
   * Aborts the transaction once its requests have their responses: one that arrives behind the end would write to no transaction, or
   * open another one.
   */
  async abort(): Promise<void> {
    this.#isAborting = true;
    await Promise.allSettled(this.#sent);
    await this.end('abort');
  }

  /** Asks the coordinator of the transactions, or that of `group`, and the next one when it has moved. */
  #ask<T>(
    what: string,
    ask: (broker: Broker) => Promise<{ code: number; value: T }>,
    group?: string,
  ): Promise<T> {
    const key = group ?? '';
    const asking = async () => {
      const known = this.#coordinators.get(key);
      const broker =
        known ??
        (group === undefined
          ? this.#cluster.coordinator(this.id, 'transaction')
          : this.#cluster.coordinator(group));
      if (!known) this.#coordinators.set(key, broker);
      const result = await ask(await broker);
      if (moved.has(errorNamed(result.code))) this.#coordinators.delete(key);
      return result;
    };
    const hint = group === undefined ? transactionHint(this.id) : groupHint(group);
    return this.#cluster.settled(asking, `The transactional producer ${this.id} ${what}`, hint, 10);
  }
}

const moved = new Set(['NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE']);

/** Of several partitions one is to blame. The others say that they were not attempted. */
function worst(codes: readonly number[]): number {
  if (codes.length === 0) return -1;
  const failed = codes.filter((code) => code !== 0);
  return failed.find((code) => errorNamed(code) !== 'OPERATION_NOT_ATTEMPTED') ?? failed[0] ?? 0;
}

/** Whether a later producer of the same transactional id has taken over, or the brokers have given the transaction up. */
export const isFenced = (error: unknown): boolean =>
  error instanceof PenstockError && error.code === 'kafka_producer_fenced';
