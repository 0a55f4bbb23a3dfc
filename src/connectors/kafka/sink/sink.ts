import { type CompressionAlgorithmValue, NumericMap, produceV8, produceV9 } from '@platformatic/kafka';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import { pause } from '../../network/deadline.ts';
import { PendingWrite } from '../../network/pending-write.ts';
import { kafkaError } from '../config/errors.ts';
import { type KafkaProfile, requestTimeoutMs } from '../config/profile.ts';
import { type KafkaTable, sinkOf } from '../config/table.ts';
import { aclHint, Cluster, recreated, type Topic } from '../connection/cluster.ts';
import { newProducer, type Producer } from '../connection/producer.ts';
import { errorNamed, refusal, reply } from '../connection/replies.ts';
import { KafkaTransactions } from '../connection/transactions.ts';
import { type Entry, Lane } from './lane.ts';
import { type OutgoingRecord, RecordMaker, sizeOf } from './records.ts';

type KafkaContext = RunContext<KafkaProfile, KafkaTable>;

const refreshMs = 30_000;
/** How long a partition may refuse the same batch for now before the connection counts as lost. */
const maxHoldMs = 30_000;
/**
 * Replies after which a batch is sent again: too few replicas are in sync, or the broker has not heard that it leads the partition, such as
 * of a topic that was just created. If it has appended the batch, it recognises it.
 */
const notNow: ReadonlySet<number> = new Set([
  ...[reply.unknownTopic, reply.notLeader, reply.requestTimedOut, reply.corruptMessage],
  ...[reply.notEnoughReplicas, reply.notEnoughReplicasAfterAppend],
]);

export async function openSink(context: KafkaContext): Promise<Sink> {
  const { signal, table, transactional } = context;
  signal.throwIfAborted();
  // Once it is open, a sink with transactions ends its connections by itself: it aborts the last transaction first.
  const opening = new AbortController();
  const abort = () => opening.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const cluster = await Cluster.open(context, transactional ? opening.signal : signal);
  try {
    const topic = await cluster.describe(table.topic);
    const producer = transactional ? undefined : await newProducer(cluster, table.topic);
    await Promise.all([...new Set(topic.leaders.values())].map((leader) => cluster.node(leader)));
    signal.throwIfAborted();
    return new KafkaSink(context, cluster, topic, producer);
  } catch (error) {
    await cluster.close();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/**
 * Writes messages, one request at a time to each broker: what comes while one is on its way makes the next. So a batch that is
 * refused can be divided without changing the order.
 */
class KafkaSink implements Sink {
  readonly transactions?: KafkaTransactions;
  readonly #context: KafkaContext;
  readonly #cluster: Cluster;
  /** Undefined with transactions, which have their own. */
  readonly #producer: Producer | undefined;
  readonly #maker: RecordMaker;
  readonly #compression: CompressionAlgorithmValue;
  readonly #pending = new Set<PendingWrite>();
  readonly #lanes = new Map<number, Lane>();
  /** The sequence number of the next batch of each partition, by the keys that the library asks for. */
  readonly #sequences = new NumericMap();
  #topic: Topic;
  #refreshed = performance.now();
  /** Number of messages in requests and in batches that are held. */
  #inFlight = 0;
  #failure: unknown;
  #closed: Promise<void> | undefined;

  constructor(context: KafkaContext, cluster: Cluster, topic: Topic, producer: Producer | undefined) {
    this.#context = context;
    this.#cluster = cluster;
    this.#topic = topic;
    this.#producer = producer;
    this.#maker = new RecordMaker(context.table, context.schema);
    this.#compression = sinkOf(context.table).compression ?? 'none';
    if (!producer)
      this.transactions = new KafkaTransactions({
        cluster,
        write: (messages) => this.write(messages),
        failed: (error) => this.#lose(error),
      });
    context.signal.addEventListener('abort', this.#aborted, { once: true });
    cluster.whenLost((error) => this.#lose(error));
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure !== undefined) throw this.#failure;
    if (messages.length === 0) return [];
    if (performance.now() - this.#refreshed > refreshMs) void this.#refresh();
    const write = new PendingWrite(messages);
    this.#pending.add(write);
    try {
      for (const [index, message] of messages.entries()) this.#enqueue(write, index, message);
      this.#writeAll();
      return await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  flush(): void {
    this.transactions?.flush();
  }

  close(): Promise<void> {
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    return this.#disconnect();
  }

  #disconnect(): Promise<void> {
    const disconnect = async () => {
      await this.transactions?.abort();
      await this.#cluster.close();
    };
    this.#closed ??= disconnect();
    return this.#closed;
  }

  #enqueue(write: PendingWrite, index: number, message: Outgoing): void {
    try {
      const record = this.#maker.record(message, this.#topic.leaders.size);
      const leader = this.#topic.leaders.get(record.partition) as number;
      const lane = this.#lanes.get(leader) ?? new Lane(this.#context.window);
      this.#lanes.set(leader, lane);
      lane.push({ write, index, record, bytes: sizeOf(record) });
    } catch (error) {
      const raised = asPenstockError(error);
      if (raised.code !== 'bad_row') throw raised;
      write.refuse(index, raised);
    }
  }

  #writeAll(): void {
    for (const [leader, lane] of this.#lanes) if (!lane.isEmpty) void this.#writeLane(leader, lane);
  }

  async #writeLane(leader: number, lane: Lane): Promise<void> {
    if (lane.writing) return;
    lane.writing = true;
    try {
      while (!lane.isEmpty && this.#failure === undefined) {
        const held = lane.heldMessages;
        const batch = lane.next(this.#context.window - this.#inFlight);
        // Other lanes have the window, and begin this one again.
        if (batch.length === 0) return;
        this.#inFlight += batch.length - held;
        await this.#produce(leader, lane, batch);
        this.#inFlight -= batch.length - lane.heldMessages;
        this.#writeAll();
        if (lane.held.size > 0) await this.#hold(lane);
      }
    } catch (error) {
      this.#lose(error);
      await this.#disconnect();
    } finally {
      lane.writing = false;
    }
  }

  /** Resolves when every message is confirmed, refused, held or back in the queue. */
  async #produce(leader: number, lane: Lane, batch: readonly Entry[]): Promise<void> {
    const broker = await this.#cluster.node(leader);
    const api = broker.choose([produceV9.api, produceV8.api], 'Produce');
    const records = batch.map(({ record }) => record);
    const identity = await this.#identity(records);
    // Another lane may have failed meanwhile.
    if (this.#failure !== undefined) throw this.#failure;
    // The broker is to say that it has waited too long before the connection counts as lost.
    const maxWaitMs = Math.ceil(requestTimeoutMs(this.#context.profile) / 2);
    const produce = () =>
      broker.call(api, -1, maxWaitMs, records, {
        compression: this.#compression,
        ...identity,
        sequences: this.#sequences,
      });
    const response = await (this.transactions?.producer.send(produce) ?? produce());
    if (typeof response === 'boolean')
      throw new PenstockError('internal', 'The broker was not asked to confirm');
    const byPartition = Map.groupBy(batch, ({ record }) => record.partition);
    for (const one of response.responses[0]?.partitionResponses ?? []) {
      const own = byPartition.get(one.index) ?? [];
      byPartition.delete(one.index);
      this.#settle(lane, own, one);
    }
    if (byPartition.size > 0)
      throw kafkaError('kafka_not_readable', `The broker ${broker.name} does not say what became of a batch`);
  }

  /** The producer of records, which may write to their partitions when this resolves. */
  async #identity(records: readonly OutgoingRecord[]) {
    const transactional = this.transactions?.producer;
    const { id: producerId, epoch: producerEpoch } = transactional?.producer ?? (this.#producer as Producer);
    if (!transactional) return { producerId, producerEpoch };
    await transactional.add(this.#topic.name, new Set(records.map(({ partition }) => partition)));
    return { producerId, producerEpoch, transactionalId: transactional.id };
  }

  #settle(
    lane: Lane,
    batch: readonly Entry[],
    { index: partition, errorCode: code, recordErrors, errorMessage }: PartitionResponse,
  ): void {
    const { name } = this.#topic;
    if (code === 0 || code === reply.duplicateSequence) {
      const key = `${name}:${partition}`;
      // The number after 2^31 - 1 is 0.
      this.#sequences.set(key, (this.#sequences.getWithDefault(key, 0) + batch.length) % 2 ** 31);
      lane.release(partition);
      lane.grow(partition);
      for (const { write } of batch) write.confirm();
      return;
    }
    const text = errorMessage ? ` (${errorMessage.slice(0, 300)})` : '';
    const error = refusal(
      code,
      `Partition ${partition} of ${name} takes no messages${text}`,
      aclHint(name, 'Write'),
    );
    if (notNow.has(code)) {
      lane.hold(partition, batch, error);
      return;
    }
    lane.release(partition);
    if (error.code !== 'kafka_message_refused') throw error;
    const named = new Set(recordErrors.map(({ batchIndex }) => batchIndex));
    if (named.size === 0 && batch.length > 1) {
      // One of them is to blame, or all of them together are too large: smaller batches tell.
      lane.divide(partition, batch, code !== reply.invalidTimestamp);
      return;
    }
    const bad = (place: number) => named.size === 0 || named.has(place);
    for (const [place, { write, index, bytes }] of batch.entries())
      if (bad(place)) write.refuse(index, refused(name, code, bytes, text));
    lane.putBack(batch.filter((_, place) => !bad(place)));
  }

  /** Resolves when it is worth another try. Rejects when another broker leads a partition that is held, or one is held for too long. */
  async #hold({ held }: Lane): Promise<void> {
    await pause(100, this.#context.signal);
    const topic = await this.#cluster.describeAgain(this.#topic.name);
    for (const [partition, { since, error }] of held) {
      const isOver = topic.id !== this.#topic.id || performance.now() - since > maxHoldMs;
      if (isOver || topic.leaders.get(partition) !== this.#topic.leaders.get(partition))
        throw error.passing ? error : kafkaError('kafka_unavailable', error.message, { facts: error.facts });
    }
  }

  /** Looks for new partitions. A failure shows when messages are written. */
  async #refresh(): Promise<void> {
    this.#refreshed = performance.now();
    const topic = await this.#cluster.describe(this.#topic.name).catch(() => undefined);
    if (!topic || this.#failure !== undefined) return;
    if (topic.id !== this.#topic.id) this.#context.warn(recreated(topic.name));
    const moved = [...this.#topic.leaders].some(
      ([partition, leader]) => topic.leaders.get(partition) !== leader,
    );
    // A former leader refuses what waits for it, and the task connects anew.
    if (!moved) this.#topic = topic;
  }

  /** Ends the attempt too, which may have no message on its way. */
  #lose(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#fail(error);
    this.#context.lost?.(asPenstockError(error));
  }

  readonly #aborted = (): void => this.#fail(this.#context.signal.reason);

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.transactions?.fail(error);
    for (const lane of this.#lanes.values()) lane.clear();
    for (const write of this.#pending) write.fail(this.#failure);
  }
}

function refused(topic: string, code: number, bytes: number, text: string): PenstockError {
  const name = errorNamed(code);
  const large = code === reply.messageTooLarge || code === reply.recordListTooLarge;
  return kafkaError(
    'kafka_message_refused',
    large
      ? `A message of about ${bytes} bytes is larger than the topic ${topic} takes`
      : `The topic ${topic} refuses a message: ${name}${text}`,
    {
      hint: large
        ? `Raise max.message.bytes: kafka-configs.sh --alter --add-config max.message.bytes=… --topic ${topic}, or set compression.`
        : 'A compacted topic needs a key. Times must be within message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic.',
      facts: { error: name, bytes },
    },
  );
}

type PartitionResponse = Exclude<
  Awaited<ReturnType<typeof produceV9.api.async>>,
  boolean
>['responses'][number]['partitionResponses'][number];
