import type { Outgoing, Refusal, TransactionPart, Transactions } from '../../connector.ts';
import type { Cluster } from './cluster.ts';
import type { GroupProgress, TransactionalProducer } from './transactional-producer.ts';

/** Where the source is in one partition: the offset that it reads next. */
export interface Progress {
  partition: number;
  next: bigint;
}

/** Duration of a transaction. Each costs a few requests, and a marker in every partition that it has written to. */
const maxMs = 100;
/** Maximum number of messages of the source in a transaction: half a window, so that the next one fills meanwhile. */
const maxMessages = 5_000;
/** Offsets of a group expire, so all of them are committed again although nothing is new. */
const allAgainMs = 3_600_000;
/** How long the end of the sink waits until the open transaction is aborted. */
const maxAbortMs = 2_000;

/** A transaction from its first part until it is committed. */
interface Transaction {
  readonly progress: Map<number, bigint>;
  readonly ended: Promise<void>;
  readonly committed: Promise<void>;
  commit(): void;
  fail(error: unknown): void;
  messages: number;
  /** Parts that are not complete. */
  open: number;
  /** Whether no further part begins in it. */
  isFull: boolean;
  /** Whether it asks the brokers even if it has nothing to commit: see `prove`. */
  isProof: boolean;
  timer: NodeJS.Timeout;
}

interface Writer {
  cluster: Cluster;
  write(messages: Outgoing[]): Promise<Refusal[]>;
  /** Called when a transaction fails. */
  failed(error: unknown): void;
}

/**
 * Transactions of a sink, one after the other, each with the messages and the progress of its parts. Parts begin in the order of the source,
 * so a transaction has all messages up to its progress. See decision 32.
 */
export class KafkaTransactions implements Transactions {
  readonly #writer: Writer;
  #producer: TransactionalProducer | undefined;
  #source: Pick<GroupProgress, 'group' | 'topic' | 'metadata'> | undefined;
  /** Transactions that are not committed, in order. */
  readonly #open = new Set<Transaction>();
  #filling: Transaction | undefined;
  #last: Promise<void> = Promise.resolve();
  readonly #progress = new Map<number, bigint>();
  #allCommitted = performance.now();
  #failure: { error: unknown } | undefined;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  get cluster(): Cluster {
    return this.#writer.cluster;
  }

  get hasBegun(): boolean {
    return this.#producer !== undefined;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** The producer, once the source has taken over its partitions. */
  get producer(): TransactionalProducer {
    if (!this.#producer) throw new Error('The source has not begun');
    return this.#producer;
  }

  /** Begins with the progress that the source has committed. Called again for partitions that are new. */
  follow(producer: TransactionalProducer, { offsets, ...source }: GroupProgress): void {
    this.#producer = producer;
    this.#source = source;
    for (const [partition, next] of offsets) this.#progress.set(partition, next);
  }

  begin(positions: readonly unknown[]): TransactionPart {
    this.#filling ??= this.#next();
    const transaction = this.#filling;
    for (const { partition, next } of positions as readonly Progress[])
      transaction.progress.set(partition, next);
    transaction.messages += positions.length;
    transaction.open += 1;
    if (transaction.messages >= maxMessages) this.flush();
    return {
      write: async (messages) => {
        await transaction.ended;
        return this.#writer.write(messages);
      },
      commit: () => {
        transaction.open -= 1;
        if (transaction.isFull && transaction.open === 0) transaction.commit();
        return transaction.committed;
      },
    };
  }

  /** Commits the progress of a source that has no message in flight, such as over markers of transactions. */
  async reached(progress: ReadonlyMap<number, bigint>): Promise<void> {
    const fresh = [...progress].filter(([partition, next]) => this.#progress.get(partition) !== next);
    if (fresh.length === 0 && !this.#mustCommitAll) return;
    const part = this.begin(fresh.map(([partition, next]) => ({ partition, next })));
    this.flush();
    await part.commit();
  }

  /** Resolves if no other producer of the transactional id was opened before the call. Rejects otherwise, when all transactions have failed. */
  async prove(): Promise<void> {
    const part = this.begin([]);
    if (this.#filling) this.#filling.isProof = true;
    this.flush();
    await part.commit();
  }

  /** Lets no further part begin in the open transaction. */
  flush(): void {
    const transaction = this.#filling;
    if (!transaction) return;
    this.#filling = undefined;
    clearTimeout(transaction.timer);
    transaction.isFull = true;
    if (transaction.open === 0) transaction.commit();
  }

  /** Ends all transactions, which are not committed any more. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    clearTimeout(this.#filling?.timer);
    for (const transaction of this.#open) transaction.fail(this.#failure.error);
  }

  /**
   * Aborts the open transaction, so that nobody waits for its end, unless its commit was sent: how it ends is up to the brokers then.
   * Resolves after a while also if that fails. Close the connections afterwards, so that it is not aborted later.
   */
  async abort(): Promise<void> {
    if (!this.#producer) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, maxAbortMs);
    // The next producer aborts it otherwise, or the brokers do.
    await Promise.race([this.#producer.abort().catch(() => {}), late.promise]);
    clearTimeout(timer);
  }

  get #mustCommitAll(): boolean {
    return performance.now() - this.#allCommitted > allAgainMs;
  }

  #next(): Transaction {
    const complete = Promise.withResolvers<void>();
    const progress = new Map<number, bigint>();
    const ended = this.#last;
    const committed = Promise.all([ended, complete.promise]).then(() => this.#commit(transaction));
    const transaction: Transaction = {
      ...{ progress, ended, committed, commit: complete.resolve, fail: complete.reject },
      ...{ messages: 0, open: 0, isFull: false, isProof: false },
      timer: setTimeout(() => this.flush(), maxMs),
    };
    this.#last = committed;
    this.#open.add(transaction);
    committed
      .catch((error: unknown) => this.#writer.failed(error))
      .finally(() => this.#open.delete(transaction));
    if (this.#failure) this.fail(this.#failure.error);
    return transaction;
  }

  async #commit({ progress, isProof }: Transaction): Promise<void> {
    const { producer } = this;
    for (const [partition, next] of progress) this.#progress.set(partition, next);
    const all = this.#mustCommitAll;
    const offsets = all ? this.#progress : progress;
    if (this.#source && (offsets.size > 0 || isProof))
      await producer.addOffsets({ ...this.#source, offsets });
    // It may have been aborted meanwhile.
    if (this.#failure) throw this.#failure.error;
    await producer.end('commit');
    if (all) this.#allCommitted = performance.now();
  }
}
