import { fetchV12, fetchV13, fetchV15, type RecordsBatch } from '@platformatic/kafka';
import type { PenstockError } from '../../../errors.ts';
import { pause } from '../../network/deadline.ts';
import { kafkaError } from '../config/errors.ts';
import { aclHint, type Cluster, recreated, type Topic } from './cluster.ts';
import { refusal, reply } from './replies.ts';

/** A message of a partition. */
export interface Fetched {
  topic: string;
  partition: number;
  offset: bigint;
  /** Milliseconds since 1970. */
  timestamp: bigint;
  key: Buffer | null;
  value: Buffer | null;
  headers: readonly (readonly [name: Buffer | null, value: Buffer | null])[];
}

export interface ReaderOptions {
  cluster: Cluster;
  topic: Topic;
  /** Where to begin in each partition. */
  from: ReadonlyMap<number, bigint>;
  /** Whether to leave out what no transaction has committed. */
  committed: boolean;
  /** Whether to read this partition when it is created later. */
  takes?: (partition: number) => boolean;
  /** Returns where to begin in partitions that are new; at their start by default. */
  begin?: (topic: Topic, partitions: readonly number[]) => Promise<ReadonlyMap<number, bigint>>;
  warn(error: PenstockError): void;
  /** Called for each message, in the order of its partition. The next comes when it has resolved. */
  message(message: Fetched): Promise<void> | void;
  /** Called when everything before `next` was passed to `message` or is not to be read. */
  passed?(partition: number, next: bigint): void;
}

const maxWaitMs = 500;
const maxBytes = 4 * 1024 * 1024;
const maxPartitionBytes = 1024 * 1024;
/** How often the reader looks for new partitions. */
const refreshMs = 5_000;
/** How long a partition may be without a leader before the connection counts as lost. */
const leaderlessMs = 30_000;

const isTransactional = 0x10;
const isControl = 0x20;
const isAppendTime = 0x08;

interface Reading {
  partition: number;
  next: bigint;
}

type Response = Awaited<ReturnType<typeof fetchV15.api.async>>;
type PartitionResponse = Response['responses'][number]['partitions'][number];

/** Reads partitions from their leaders, also those that are new. */
export class PartitionReader {
  readonly #options: ReaderOptions;
  readonly #partitions: Map<number, Reading>;
  #topic: Topic;
  /** Whether partitions have moved, so that each is to be read from its new leader. */
  #moved = false;
  #leaderlessSince: number | undefined;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#topic = options.topic;
    this.#partitions = new Map(
      [...options.from].map(([partition, next]) => [partition, { partition, next }]),
    );
  }

  /** Reads until the signal aborts, or a connection is lost; rejects then. */
  async run(signal: AbortSignal): Promise<never> {
    for (;;) {
      signal.throwIfAborted();
      this.#moved = false;
      const byLeader = Map.groupBy(this.#partitions.values(), ({ partition }) => this.#leaderOf(partition));
      const reading = [...byLeader].map(([leader, own]) => this.#readFrom(leader, own, signal));
      await Promise.all([...reading, this.#watchTopic(signal)]);
    }
  }

  #leaderOf(partition: number): number {
    return this.#topic.leaders.get(partition) as number;
  }

  async #watchTopic(signal: AbortSignal): Promise<void> {
    while (!this.#moved) {
      await pause(refreshMs, signal);
      await this.#refresh();
    }
  }

  /** Looks whether partitions are new or have moved. Throws if the topic is gone, or is another one. */
  async #refresh(): Promise<void> {
    const { cluster, takes, begin } = this.#options;
    const before = this.#topic;
    const topic = await cluster.describeAgain(before.name);
    if (topic.id !== before.id) throw recreated(before.name);
    this.#topic = topic;
    const added: number[] = [];
    for (const [partition, leader] of topic.leaders) {
      if (this.#partitions.has(partition)) this.#moved ||= leader !== before.leaders.get(partition);
      else if (takes?.(partition)) added.push(partition);
    }
    if (added.length === 0) return;
    const from = await begin?.(topic, added);
    for (const partition of added)
      if (!this.#partitions.has(partition))
        this.#partitions.set(partition, { partition, next: from?.get(partition) ?? 0n });
    this.#moved = true;
  }

  async #readFrom(leader: number, own: Reading[], signal: AbortSignal): Promise<void> {
    const { cluster, committed } = this.#options;
    const broker = await cluster.node(leader, 'fetch');
    const api = broker.choose([fetchV15.api, fetchV13.api, fetchV12.api], 'Fetch');
    const topicId = api.version >= 13 ? this.#topic.id : this.#topic.name;
    for (let first = 0; !this.#moved; first += 1) {
      signal.throwIfAborted();
      // Brokers fill a response in this order: each partition comes first in turn.
      const turn = first % own.length;
      const inTurn = [...own.slice(turn), ...own.slice(0, turn)];
      const partitions = inTurn.map(({ partition, next }) => ({
        partition,
        currentLeaderEpoch: -1,
        fetchOffset: next,
        lastFetchedEpoch: -1,
        partitionMaxBytes: maxPartitionBytes,
      }));
      const topics = [{ topicId, partitions }];
      const response = await broker.call(
        api,
        maxWaitMs,
        1,
        maxBytes,
        committed ? 1 : 0,
        0,
        -1,
        topics,
        [],
        '',
      );
      if (response.errorCode !== 0)
        throw refusal(response.errorCode, `The broker ${broker.name} refuses to read ${this.#topic.name}`);
      for (const one of response.responses[0]?.partitions ?? []) {
        const reading = this.#partitions.get(one.partitionIndex);
        if (reading) await this.#take(reading, one, signal);
      }
    }
  }

  async #take(reading: Reading, response: PartitionResponse, signal: AbortSignal): Promise<void> {
    const { partition } = reading;
    if (response.errorCode === reply.offsetOutOfRange) return this.#outOfRange(reading);
    if (response.errorCode !== 0) return this.#failed(partition, response.errorCode, signal);
    this.#leaderlessSince = undefined;
    const aborted = new AbortedTransactions(this.#options.committed ? response.abortedTransactions : null);
    for (const batch of response.records ?? []) {
      const end = batch.firstOffset + BigInt(batch.lastOffsetDelta);
      const skipped = aborted.skips(batch, end);
      if (!skipped)
        for (const message of this.#messagesOf(batch, partition)) {
          if (message.offset < reading.next) continue;
          await this.#options.message(message);
          reading.next = message.offset + 1n;
        }
      if (end < reading.next) continue;
      reading.next = end + 1n;
      this.#options.passed?.(partition, reading.next);
    }
  }

  *#messagesOf(batch: RecordsBatch, partition: number): Generator<Fetched> {
    const { name: topic } = this.#topic;
    const atAppend = (batch.attributes & isAppendTime) !== 0;
    for (const record of batch.records)
      yield {
        topic,
        partition,
        offset: batch.firstOffset + BigInt(record.offsetDelta),
        timestamp: atAppend ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta,
        key: record.key,
        value: record.value,
        headers: record.headers,
      };
  }

  async #outOfRange(reading: Reading): Promise<void> {
    const { cluster, warn, committed } = this.#options;
    const { partition, next } = reading;
    await this.#refresh();
    const topic = this.#topic;
    const [first, end] = await Promise.all(
      (['earliest', 'latest'] as const).map(async (which) =>
        (await cluster.offsets(topic, [partition], which, committed)).get(partition),
      ),
    );
    if (first === undefined || end === undefined || (next >= first && next <= end)) return;
    const facts = { partition, offset: String(next), first: String(first), end: String(end) };
    warn(
      next < first
        ? kafkaError(
            'kafka_messages_deleted',
            `${first - next} messages of partition ${partition} of ${topic.name} were deleted before they were read. It goes on at offset ${first}`,
            { hint: 'Raise retention.ms or retention.bytes of the topic.', facts },
          )
        : kafkaError(
            'kafka_offset_beyond_end',
            `Partition ${partition} of ${topic.name} ends at offset ${end}, before ${next}, which is to be read next. It goes on at its end`,
            { hint: 'A broker has lost messages: look at its log.', facts },
          ),
    );
    reading.next = next < first ? first : end;
    this.#options.passed?.(partition, reading.next);
  }

  /** Another broker leads the partition now, or will; everything else ends the reader. */
  async #failed(partition: number, code: number, signal: AbortSignal): Promise<void> {
    const { name } = this.#topic;
    if (code === reply.unknownTopic || code === reply.unknownTopicId || code === reply.inconsistentTopicId)
      await this.#refresh();
    const error = refusal(code, `Partition ${partition} of ${name} cannot be read`, aclHint(name, 'Read'));
    if (error.code !== 'kafka_unavailable' && error.code !== 'kafka_topic_recreated') throw error;
    this.#leaderlessSince ??= performance.now();
    if (performance.now() - this.#leaderlessSince > leaderlessMs)
      throw kafkaError('kafka_unavailable', error.message, { facts: error.facts });
    await pause(200, signal);
    await this.#refresh();
    this.#moved = true;
  }
}

/** Tells the batches of aborted transactions, and the markers of all transactions, which are no messages. */
class AbortedTransactions {
  readonly #waiting: { producerId: bigint; firstOffset: bigint }[];
  readonly #aborted = new Set<bigint>();

  constructor(transactions: PartitionResponse['abortedTransactions']) {
    this.#waiting = (transactions ?? []).toSorted((a, b) => Number(a.firstOffset - b.firstOffset));
  }

  skips(batch: RecordsBatch, end: bigint): boolean {
    while (this.#waiting[0] && this.#waiting[0].firstOffset <= end)
      this.#aborted.add((this.#waiting.shift() as { producerId: bigint }).producerId);
    if ((batch.attributes & isControl) !== 0) {
      // The key of a marker is a version and a type: 0 aborts, 1 commits.
      if (batch.records[0]?.key?.readInt16BE(2) === 0) this.#aborted.delete(batch.producerId);
      return true;
    }
    return (batch.attributes & isTransactional) !== 0 && this.#aborted.has(batch.producerId);
  }
}
