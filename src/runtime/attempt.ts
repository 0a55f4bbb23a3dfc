import type { Delivery, Identity, Logger, Sink, Source } from '../connectors/connector.ts';
import { metadataCodec } from '../connectors/metadata.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { openTransform } from '../sql/open-transform.ts';
import { BadMessages, deadLetterFailure } from './bad-messages.ts';
import { type Batch, BatchProcessor, type InputMessage } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import { throttle } from './delay.ts';
import type {
  AttemptOperations,
  DeadLetterFailure,
  DeadLetterStore,
  PositionStore,
  ReplayedDeadLetter,
  StateStore,
  TaskSession,
} from './operations.ts';
import { Positions } from './positions.ts';
import { type TaskEnd, type TaskSpec, window, windowOf } from './task-spec.ts';

interface AttemptTools {
  running(): void;
  warn(error: PenstockError, operatorId?: string): void;
  session(source: number): TaskSession;
  positions(source: number): PositionStore;
  states: StateStore;
  deadLetters: DeadLetterStore;
  counts: AttemptCounts;
  logger: Logger;
}

/** Maximum number and total weight (`Batch.weight`) of batches that wait for the sink's confirmation. */
const maxPending = 16;
const maxPendingWeight = 4;

/**
 * One connection of a task's source and sink. Reads, transforms and writes messages, and acknowledges each after the sink
 * has confirmed its results. Keeps invariants 1 to 4 of docs/delivery.md.
 */
export class Attempt implements AttemptOperations {
  readonly #spec: TaskSpec;
  readonly #tools: AttemptTools;
  readonly #counts: AttemptCounts;
  readonly #cancel = new AbortController();
  readonly #bad: BadMessages;
  readonly #fromSink = new WeakSet<PenstockError>();
  #processor: BatchProcessor | undefined;
  #source: Source | undefined;

  constructor(spec: TaskSpec, tools: AttemptTools) {
    this.#spec = spec;
    this.#tools = tools;
    this.#counts = tools.counts;
    this.#bad = new BadMessages(spec, tools);
  }

  /** Runs until stopped or until the source ends. Otherwise rejects with the error that ended it. Call it once. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (!this.#cancel.signal.aborted) throw error;
    }
  }

  /** Whether an error of `run` came from the sink. */
  isFromSink(error: unknown): boolean {
    return error instanceof PenstockError && this.#fromSink.has(error);
  }

  /**
   * Processes dead letters again, interleaved with the messages of the source, and acknowledges nothing. Returns the failure of each,
   * or undefined when not connected. Rejects if it is unknown what was written.
   */
  async replay(
    deadLetters: readonly ReplayedDeadLetter[],
  ): Promise<(DeadLetterFailure | undefined)[] | undefined> {
    const processor = this.#processor;
    if (!processor) return undefined;
    const { decode } = metadataCodec(this.#spec.source.connector.metadata);
    const messages = deadLetters.map(
      ({ payload, metadata, left }): InputMessage => ({
        ...(left ? { left } : {}),
        payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
        metadata: decode(Buffer.from(metadata)),
      }),
    );
    const failures: (DeadLetterFailure | undefined)[] = [];
    for (const batch of processor.batches(messages, () => {})) {
      await processor.prepare(batch);
      await processor.write(batch);
      this.#counts.add(written(batch));
      failures.push(...batch.messages.map((_, index) => deadLetterFailure(batch, index)));
    }
    return failures;
  }

  /** Takes no more messages and finishes those in flight. */
  async drain(): Promise<void> {
    if (this.#source) await this.#source.drain();
    else this.stop();
  }

  /** The same, and closes all open windows. */
  async finish(): Promise<void> {
    await this.drain();
  }

  allConnected(): void {
    this.#source?.allConnected?.();
  }

  /** Stops at once. Unacknowledged messages stay with the broker. */
  stop(): void {
    this.#cancel.abort(new Error('the task was stopped'));
  }

  async #run(): Promise<void> {
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#cancel.signal, failed.signal]);
    const open: { close(): Promise<void> | void }[] = [];
    try {
      const transform = await openTransform(this.#spec.insert);
      open.push(transform);
      const sink = await this.#openSink(signal, failed);
      open.push(sink);
      const source = await this.#openSource(signal, open);
      this.#source = source;
      const processor = new BatchProcessor(this.#spec.insert, transform, sink);
      this.#processor = processor;
      this.#tools.running();
      const { connector, config } = this.#spec.source;
      const { messagesPerSecond } = connector.pace?.(config) ?? {};
      const deliveries =
        messagesPerSecond === undefined ? source : throttle(this.#held(source), messagesPerSecond, signal);
      await this.#pump(deliveries, processor, failed);
    } finally {
      this.#source = undefined;
      this.#processor = undefined;
      // The source first: it sends the acknowledgements that are due.
      for (const opened of open.reverse()) await opened.close();
    }
  }

  #context(end: TaskEnd, signal: AbortSignal) {
    const { jobId, taskIndex, insert } = this.#spec;
    const { profile, targets, config, operatorId } = end;
    const { schema } = end === this.#spec.source ? insert.source : insert.sink;
    const identity: Identity = { jobId, operatorId, taskIndex };
    const window = windowOf(this.#spec);
    const warn = (error: PenstockError): void => this.#tools.warn(error, operatorId);
    const { logger } = this.#tools;
    return { profile, targets, table: config, schema, identity, window, signal, logger, warn };
  }

  async #openSource(signal: AbortSignal, open: { close(): Promise<void> | void }[]): Promise<Source> {
    const { connector } = this.#spec.source;
    if (!connector.openSource)
      throw new PenstockError('invalid_query', `${connector.name} only writes: read another table`);
    const known = this.#tools.session(0);
    const session = await known.opening();
    const context = this.#context(this.#spec.source, signal);
    const position = connector.position && (await Positions.open(this.#tools.positions(0), context.warn));
    // Closed after the source, which commits the last position when it closes.
    if (position) open.push(position);
    const source = await connector.openSource({
      ...context,
      ...(session ? { session } : {}),
      ...(position ? { position } : {}),
    });
    open.push(source);
    if (source.session) await known.opened(source.session);
    return source;
  }

  async #openSink(signal: AbortSignal, failed: AbortController): Promise<Sink> {
    const { connector } = this.#spec.sink;
    if (!connector.openSink)
      throw new PenstockError('invalid_query', `${connector.name} only reads: write another table`);
    const lost = (error: PenstockError): void => failed.abort(this.#sinkError(error));
    try {
      return await connector.openSink({ ...this.#context(this.#spec.sink, signal), lost });
    } catch (error) {
      throw this.#sinkError(error);
    }
  }

  /**
   * Moves messages from the source to the sink in batches. Several may wait for the sink, which receives them in order. The
   * first failed write aborts `failed` and ends the attempt, so nothing behind it is acknowledged.
   */
  async #pump(
    source: AsyncIterable<Delivery[]>,
    processor: BatchProcessor,
    failed: AbortController,
  ): Promise<void> {
    const pending = new Set<Promise<void>>();
    const signal = AbortSignal.any([this.#cancel.signal, failed.signal]);
    const mayWait = windowOf(this.#spec) > window ? windowOf(this.#spec) : maxPending;
    let weight = 0;
    for await (const deliveries of source) {
      const inBatches = this.#counts.waiting(arrivalOf(deliveries));
      this.#counts.add({ batches: 1, messages_in: deliveries.length, bytes_in: bytes(deliveries) });
      for (const batch of processor.batches(deliveries, this.#bad.failed)) {
        await processor.prepare(batch);
        this.#counts.add({ rows_in: batch.rows.length, rows_out: batch.rowsOut });
        signal.throwIfAborted();
        weight += batch.weight;
        const settled = this.#settle(batch, processor, signal)
          .catch((error: unknown) => failed.abort(error))
          .finally(() => {
            weight -= batch.weight;
            pending.delete(settled);
          });
        pending.add(settled);
        while (pending.size >= mayWait || (weight >= maxPendingWeight && pending.size > 0)) {
          processor.flush();
          await Promise.race(pending);
        }
      }
      inBatches();
    }
    processor.flush();
    await Promise.all(pending);
    failed.signal.throwIfAborted();
  }

  /** Counts what a throttle holds as not acknowledged: it asks for more when it has handed out everything. */
  async *#held(source: AsyncIterable<Delivery[]>): AsyncGenerator<Delivery[]> {
    for await (const deliveries of source) {
      const handedOut = this.#counts.waiting(arrivalOf(deliveries));
      yield deliveries;
      handedOut();
    }
  }

  /** Writes the results of a batch and acknowledges its messages, the bad ones once they are handled (invariant 1). */
  async #settle(batch: Batch<Delivery>, processor: BatchProcessor, signal: AbortSignal): Promise<void> {
    const { messages, failures } = batch;
    const acknowledged = this.#counts.waiting(arrivalOf(messages));
    this.#counts.add({ in_flight: messages.length });
    await processor.write(batch).catch((error: unknown) => {
      throw this.#sinkError(error);
    });
    messages.forEach((delivery, index) => {
      if (!failures.has(index)) delivery.ack();
    });
    await this.#bad.settle(batch, signal);
    acknowledged();
    this.#counts.add({ ...written(batch), in_flight: -messages.length });
    this.#counts.confirmed(messages.length, arrivalOf(messages));
  }

  #sinkError(error: unknown): PenstockError {
    const raised = asPenstockError(error);
    this.#fromSink.add(raised);
    return raised;
  }
}

const arrivalOf = ([first]: readonly Delivery[]): number => first?.receivedAt ?? 0;

const written = ({ outgoing, refused }: Batch<InputMessage>) => ({
  messages_out: outgoing.length - refused.length,
  bytes_out: bytes(outgoing) - bytes(refused),
});

function bytes(messages: readonly { payload: Buffer }[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}
