import type { Delivery, Identity, Logger, Pace, Sink, Source } from '../connectors/connector.ts';
import { metadataCodec } from '../connectors/metadata.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { openTransform } from '../sql/open-transform.ts';
import { BadMessages } from './bad-messages.ts';
import { type Part, Passage, type Passenger } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import { type LetterFailure, letterFailure } from './dead-letter-failure.ts';
import type { DeadLetterStore, Replayed, TaskSession } from './operations.ts';
import type { Endpoint, TaskSpec } from './task-spec.ts';
import { paced } from './throttle.ts';
import { window } from './window.ts';

/** What an attempt works with. */
export interface AttemptTools {
  /** Connected at both ends, messages flow. */
  running(): void;
  /** Something to be seen: a row was dropped, the connector warns. */
  warn(error: PenstockError, operatorId?: string): void;
  session: TaskSession;
  letters: DeadLetterStore;
  counts: AttemptCounts;
  logger: Logger;
}

/** Parts of batches handed to the sink and not yet confirmed, and what they may weigh (`Part`). */
const maxPending = 16;
const maxPendingWeight = 4;
/**
 * One connection of the source and the sink of a task: reads, transforms, writes, and acknowledges each message once the
 * sink has confirmed what came of it. Invariants 1 to 4 of docs/delivery.md are kept here.
 */
export class Attempt {
  readonly #spec: TaskSpec;
  readonly #tools: AttemptTools;
  readonly #counts: AttemptCounts;
  readonly #cancel = new AbortController();
  readonly #pace: Pace;
  readonly #bad: BadMessages;
  readonly #ofSink = new WeakSet<PenstockError>();
  /** While it is connected at both ends. */
  #passage: Passage | undefined;
  #source: Source | undefined;

  constructor(spec: TaskSpec, tools: AttemptTools) {
    this.#spec = spec;
    this.#tools = tools;
    this.#counts = tools.counts;
    this.#bad = new BadMessages(spec, tools);
    this.#pace = spec.source.connector.pace?.(spec.source.config) ?? {};
  }

  /** Runs until it is stopped or its source has no more; rejects with what ended it otherwise. Call it once. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (!this.#cancel.signal.aborted) throw error;
    }
  }

  /** Whether it is the sink that an error of `run` came from. */
  isOfSink(error: unknown): boolean {
    return error instanceof PenstockError && this.#ofSink.has(error);
  }

  /**
   * Sends dead letters on their way once more, beside the messages of the source; nothing is acknowledged. Answers what
   * failed of each; undefined when it is not connected. Rejects when it cannot be known what was written.
   */
  async replay(letters: readonly Replayed[]): Promise<(LetterFailure | undefined)[] | undefined> {
    const passage = this.#passage;
    if (!passage) return undefined;
    const { decode } = metadataCodec(this.#spec.source.connector.metadata);
    const messages = letters.map(
      ({ payload, metadata, ...rest }): Passenger => ({
        ...rest,
        payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
        metadata: decode(Buffer.from(metadata)),
      }),
    );
    const failures: (LetterFailure | undefined)[] = [];
    for (const part of passage.parts(messages, () => {})) {
      await passage.prepare(part);
      await passage.write(part);
      const { outgoing, refused } = part;
      this.#counts.written(outgoing.length - refused.length, bytes(outgoing) - bytes(refused));
      failures.push(...part.messages.map((_, index) => letterFailure(part, index)));
    }
    return failures;
  }

  /** Takes no more messages and lets those in flight finish. Before it reads there is nothing to finish. */
  async drain(): Promise<void> {
    if (this.#source) await this.#source.drain();
    else this.stop();
  }

  /** Stops at once. What is not acknowledged stays with the broker. */
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
      const passage = new Passage(this.#spec.insert, transform, sink);
      this.#passage = passage;
      this.#tools.running();
      const { messagesPerSecond } = this.#pace;
      const batches = messagesPerSecond === undefined ? source : paced(source, messagesPerSecond, signal);
      await this.#pump(batches, passage, failed);
    } finally {
      this.#source = undefined;
      this.#passage = undefined;
      // The source first: it sends the acknowledgements that are due.
      for (const opened of open.reverse()) await opened.close();
    }
  }

  #context(endpoint: Endpoint, signal: AbortSignal) {
    const { jobId, taskIndex } = this.#spec;
    const { profile, targets, config, operatorId } = endpoint;
    const identity: Identity = { jobId, operatorId, taskIndex };
    const warn = (error: PenstockError): void => this.#tools.warn(error, operatorId);
    const { logger } = this.#tools;
    return { profile, targets, table: config, identity, window, signal, logger, warn };
  }

  /** Opens the source with what is remembered of its session, and adds it to what is open. */
  async #openSource(signal: AbortSignal, open: { close(): Promise<void> | void }[]): Promise<Source> {
    const { connector } = this.#spec.source;
    if (!connector.openSource)
      throw new PenstockError('invalid_query', `${connector.name} cannot be read from`);
    const session = await this.#tools.session.opening();
    const context = this.#context(this.#spec.source, signal);
    const source = await connector.openSource(session ? { ...context, session } : context);
    open.push(source);
    if (source.session) await this.#tools.session.opened(source.session);
    return source;
  }

  async #openSink(signal: AbortSignal, failed: AbortController): Promise<Sink> {
    const { connector } = this.#spec.sink;
    if (!connector.openSink)
      throw new PenstockError('invalid_query', `${connector.name} cannot be written to`);
    const lost = (error: PenstockError): void => failed.abort(this.#sinks(error));
    try {
      return await connector.openSink({ ...this.#context(this.#spec.sink, signal), lost });
    } catch (error) {
      throw this.#sinks(error);
    }
  }

  /**
   * Moves batches from the source to the sink, in parts. Several may wait for the sink; they reach it in order. The first
   * write that fails ends the attempt by aborting `failed`, so that nothing behind it is acknowledged by mistake.
   */
  async #pump(batches: AsyncIterable<Delivery[]>, passage: Passage, failed: AbortController): Promise<void> {
    const pending = new Set<Promise<void>>();
    const signal = AbortSignal.any([this.#cancel.signal, failed.signal]);
    let weight = 0;
    for await (const deliveries of batches) {
      this.#counts.received(deliveries.length, bytes(deliveries));
      for (const part of passage.parts(deliveries, this.#bad.failed)) {
        await passage.prepare(part);
        this.#counts.transformed(part.rows.length, part.made);
        signal.throwIfAborted();
        weight += part.weight;
        const settled = this.#settle(part, passage, signal)
          .catch((error: unknown) => failed.abort(error))
          .finally(() => {
            weight -= part.weight;
            pending.delete(settled);
          });
        pending.add(settled);
        while (pending.size >= maxPending || (weight >= maxPendingWeight && pending.size > 0))
          await Promise.race(pending);
      }
    }
    await Promise.all(pending);
    failed.signal.throwIfAborted();
  }

  /** Writes what came of a part, and acknowledges its messages: what was bad about them is settled before (invariant 1). */
  async #settle(part: Part<Delivery>, passage: Passage, signal: AbortSignal): Promise<void> {
    const { messages, failures } = part;
    this.#counts.inFlight(messages.length);
    await passage.write(part).catch((error: unknown) => {
      throw this.#sinks(error);
    });
    messages.forEach((delivery, index) => {
      if (!failures.has(index)) delivery.ack();
    });
    await this.#bad.settle(part, signal);
    this.#counts.inFlight(-messages.length);
    this.#countSent(part, messages[0]?.receivedAt ?? 0, messages.length);
  }

  /** `since` is when the first of so many `messages` arrived. */
  #countSent({ outgoing, refused }: Part<Passenger>, since: number, messages: number): void {
    const sentBytes = bytes(outgoing) - bytes(refused);
    this.#counts.sent(outgoing.length - refused.length, sentBytes, since, messages);
  }

  #sinks(error: unknown): PenstockError {
    const raised = asPenstockError(error);
    this.#ofSink.add(raised);
    return raised;
  }
}

function bytes(messages: readonly { payload: Buffer }[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}
