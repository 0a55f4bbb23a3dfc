import type { PenstockError } from '../../../errors.ts';
import type { Delivery, Source } from '../../connector.ts';
import { QueueSource } from '../../network/queue-source.ts';
import { kafkaError } from '../config/errors.ts';
import { groupOf, type Share, shareOf, sourceOf } from '../config/table.ts';
import { Cluster, type Topic } from '../connection/cluster.ts';
import { type Committed, GroupOffsets } from '../connection/group.ts';
import { bytesOf, metadataOf, payloadOf } from '../connection/metadata.ts';
import { PartitionReader, type ReaderOptions } from '../connection/reader.ts';
import type { KafkaTransactions, Progress } from '../connection/transactions.ts';
import { begin, type KafkaContext, type Start, type StoredPosition } from './start.ts';
import { takeOver } from './takeover.ts';

const commitEveryMs = 1_000;
/** Offsets of a group expire, so they are committed again although nothing is new. */
const commitAgainMs = 3_600_000;

/** Positions have a maximum size. A task with more partitions has the offsets of the group alone. */
const maxStored = 1_000;

export async function openSource(context: KafkaContext): Promise<Source> {
  const { signal } = context;
  signal.throwIfAborted();
  const cluster = await Cluster.open(context, signal);
  try {
    const topic = await cluster.describe(context.table.topic);
    const group = await GroupOffsets.of(cluster, groupOf(context.table, context.identity));
    const task = new SourceTask(context, cluster, topic, group);
    const start = await task.begin();
    const offsets = new Offsets(task, start);
    // Once the offsets are there, a message that comes from now on is not missed.
    await offsets.commit(true);
    // Finds out now what the leaders have to say, and whether they can be reached.
    await Promise.all([...new Set(topic.leaders.values())].map((leader) => cluster.node(leader, 'fetch')));
    signal.throwIfAborted();
    return new KafkaReader(task, offsets, start.from);
  } catch (error) {
    await cluster.close();
    signal.throwIfAborted();
    throw error;
  }
}

/** The share of a topic that a task reads. */
class SourceTask {
  readonly context: KafkaContext;
  readonly cluster: Cluster;
  readonly topic: Topic;
  readonly group: GroupOffsets;
  /** Set if the sink commits the offsets. */
  readonly transactions: KafkaTransactions | undefined;
  readonly #share: Share;

  constructor(context: KafkaContext, cluster: Cluster, topic: Topic, group: GroupOffsets) {
    this.context = context;
    this.cluster = cluster;
    this.topic = topic;
    this.group = group;
    this.transactions = context.transactions as KafkaTransactions | undefined;
    this.#share = shareOf(context.table);
  }

  takes(partition: number): boolean {
    return partition % this.#share.of === this.#share.index;
  }

  async begin(): Promise<Start> {
    const { context, cluster, topic, group } = this;
    const own = [...topic.leaders.keys()].filter((partition) => this.takes(partition));
    const from = (committed: Committed) => begin(context, cluster, topic, committed, own);
    return this.transactions ? this.#takeOver(topic, own, from) : from(await group.read(cluster, topic));
  }

  /** Where to begin in partitions that are new. Only tasks with transactions may find them begun. */
  async beginNew(topic: Topic, partitions: readonly number[], partitionsAtFirst: number) {
    const { from } = await this.#takeOver(topic, partitions, async ({ offsets }) => ({
      from: new Map(partitions.map((partition) => [partition, offsets.get(partition) ?? 0n])),
      partitionsAtFirst,
    }));
    return from;
  }

  #takeOver(
    topic: Topic,
    partitions: readonly number[],
    from: (committed: Committed) => Promise<Start>,
  ): Promise<Start> {
    const { cluster, group, context } = this;
    const transactions = this.transactions as KafkaTransactions;
    const { signal } = context;
    if (cluster.id === '' || transactions.cluster.id !== cluster.id)
      throw otherCluster(transactions.cluster, cluster);
    return takeOver({ cluster, transactions, group, topic, share: this.#share, partitions, signal }, from);
  }
}

const otherCluster = (sink: Cluster, source: Cluster): PenstockError =>
  kafkaError(
    'kafka_other_cluster',
    source.id === ''
      ? 'The brokers report no cluster id, so it is not known whether source and sink are at the same cluster'
      : `The source is at the cluster ${source.id}, the sink at ${sink.id}: a transaction cannot span both`,
    {
      hint: 'Set commit_mode of the sink to at_least_once.',
      facts: { source: source.id, sink: sink.id },
    },
  );

/** Commits how far everything is acknowledged: to the group, unless transactions do, and as the position of the job. */
class Offsets {
  readonly #task: SourceTask;
  /** Everything before these is acknowledged. */
  readonly reached: Map<number, bigint>;
  readonly #partitionsAtFirst: number;
  readonly #confirmed = new Map<number, bigint>();
  #changed = new Map<number, bigint>();
  #committed = performance.now();

  constructor(task: SourceTask, { from, partitionsAtFirst }: Start) {
    this.#task = task;
    this.#partitionsAtFirst = partitionsAtFirst;
    this.reached = new Map(from);
  }

  /** Where to begin in partitions that are new. */
  get ofNew(): ReaderOptions['begin'] {
    if (!this.#task.transactions) return undefined;
    return (topic, partitions) => this.#task.beginNew(topic, partitions, this.#partitionsAtFirst);
  }

  passed({ partition, next }: Progress): void {
    this.reached.set(partition, next);
    this.#changed.set(partition, next);
  }

  /** With `all` the position is stored even if it is empty: it tells a later start that the task was there. */
  async commit(all = false): Promise<void> {
    const due = all || performance.now() - this.#committed > commitAgainMs ? this.reached : this.#changed;
    if (due.size === 0 && !all) return;
    this.#changed = new Map();
    this.#committed = performance.now();
    const sent = new Map(due);
    this.store();
    if (sent.size === 0 || this.#task.transactions) return;
    await this.#task.group.commit(this.#task.topic, sent, this.#partitionsAtFirst);
    for (const [partition, next] of sent) this.#confirmed.set(partition, next);
  }

  /** Stores the position, also if the cluster cannot be reached. */
  store(): void {
    if (this.reached.size > maxStored) return;
    const { cluster, topic, context, transactions } = this.#task;
    const position: StoredPosition = {
      cluster: cluster.id,
      topic: topic.id,
      offsets: texts(this.reached),
      // Only what a transaction has committed is acknowledged.
      group: texts(transactions ? this.reached : this.#confirmed),
      partitionsAtFirst: this.#partitionsAtFirst,
    };
    context.position?.commit(position);
  }
}

const texts = (offsets: ReadonlyMap<number, bigint>): Record<string, string> =>
  Object.fromEntries([...offsets].map(([partition, next]) => [partition, String(next)]));

/** A source over partitions. Offsets are committed every second, and when it is closed. */
class KafkaReader implements Source {
  readonly #task: SourceTask;
  readonly #offsets: Offsets;
  readonly #queue: QueueSource;
  readonly #failed = Promise.withResolvers<never>();
  #committing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #broken = false;

  constructor(task: SourceTask, offsets: Offsets, from: ReadonlyMap<number, bigint>) {
    const { context, cluster, topic } = task;
    const ofNew = offsets.ofNew;
    this.#task = task;
    this.#offsets = offsets;
    this.#failed.promise.catch(() => {});
    this.#queue = new QueueSource({
      window: context.window,
      signal: context.signal,
      passed: (position) => offsets.passed(position as Progress),
      read: (queue, reading) => {
        const reader = new PartitionReader({
          cluster,
          topic,
          from,
          committed: sourceOf(context.table).read_mode === 'read_committed',
          takes: (partition) => task.takes(partition),
          ...(ofNew ? { begin: ofNew } : {}),
          warn: context.warn,
          message: (message) => {
            const { partition, offset } = message;
            const position: Progress = { partition, next: offset + 1n };
            return queue.add({
              payload: payloadOf(message),
              metadata: metadataOf(message),
              bytes: bytesOf(message),
              position,
            });
          },
          passed: (partition, next) => queue.reached({ partition, next } satisfies Progress),
        });
        return Promise.race([reader.run(reading), this.#failed.promise]);
      },
    });
    cluster.whenLost((error) => this.#fail(error));
    this.#timer = setInterval(() => void this.#commit(), commitEveryMs);
  }

  [Symbol.asyncIterator](): AsyncIterator<Delivery[]> {
    return this.#queue[Symbol.asyncIterator]();
  }

  drain(): Promise<void> {
    return this.#queue.drain();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#queue.drain();
    await this.#commit();
    this.#offsets.store();
    await this.#queue.close();
    await this.#task.cluster.close();
  }

  #commit(): Promise<void> {
    this.#committing = this.#committing
      .then(async () => {
        if (this.#broken) return;
        await this.#offsets.commit();
        // With nothing in flight no later progress overtakes this one.
        if (this.#queue.isIdle) await this.#task.transactions?.reached(this.#offsets.reached);
      })
      .catch((error: PenstockError) => this.#fail(error));
    return this.#committing;
  }

  #fail(error: PenstockError): void {
    this.#broken = true;
    this.#failed.reject(error);
  }
}
