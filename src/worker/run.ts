import type { Delivery, Identity, Logger, Pace, Sink, Source } from '../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { openTransform } from '../pipeline/transform.ts';
import { backoffMs, delay } from './backoff.ts';
import { BadMessages } from './bad-messages.ts';
import type { DeadLetterStore } from './dead-letters.ts';
import { window } from './job-stats.ts';
import type { InFlight, WorkerMetrics } from './metrics.ts';
import { paced } from './pace.ts';
import { type Part, Passage, type Passenger } from './passage.ts';
import type { TaskSession } from './sessions.ts';
import { SilenceWatch } from './silence.ts';
import type { Endpoint, TaskSpec } from './specs.ts';
import type { TaskStats } from './task-stats.ts';

/** What a task tells whoever started it. */
export interface TaskEvents {
  /** Connected at both ends, messages flow. */
  running(): void;
  /** A passing error: it tries again after `retryInMs`. */
  recovering(error: PenstockError, retryInMs: number): void;
  /** Whether connecting is safe: nobody else can hold the job. Asked again until it is. */
  mayConnect(): boolean;
  /** Something to be seen: a row was dropped, the source is silent, the connector warns. */
  warn(error: PenstockError, operatorId?: string): void;
}

/** What a task works with. */
export interface TaskTools {
  events: TaskEvents;
  session: TaskSession;
  letters: DeadLetterStore;
  metrics: WorkerMetrics;
  stats: TaskStats;
  logger: Logger;
}

/** Parts of batches handed to the sink and not yet confirmed, and what they may weigh (`Part`). */
const maxPending = 16;
const maxPendingWeight = 4;
/** After running this long a task counts as healthy, and its back-off starts from the beginning. */
const healthyMs = 60_000;
/** How long a drain may take before what is in flight is left to the broker. */
const drainDeadlineMs = 10_000;

/**
 * One parallel slice of a job: reads its source, transforms, writes to its sink, and acknowledges each message once
 * the sink has confirmed what came of it. Invariants 1 to 4 of docs/delivery.md are kept here.
 */
export class Task {
  readonly #spec: TaskSpec;
  readonly #events: TaskEvents;
  readonly #metrics: WorkerMetrics;
  readonly #stats: TaskStats;
  readonly #logger: Logger;
  readonly #cancel = new AbortController();
  readonly #pace: Pace;
  readonly #silence: SilenceWatch | undefined;
  readonly #session: TaskSession;
  readonly #bad: BadMessages;
  /** While it is connected at both ends. */
  #passage: Passage | undefined;
  #source: Source | undefined;
  #draining = false;
  #ranOut = false;
  #overdue: NodeJS.Timeout | undefined;

  constructor(spec: TaskSpec, { events, session, letters, metrics, stats, logger }: TaskTools) {
    this.#spec = spec;
    this.#events = events;
    this.#session = session;
    this.#metrics = metrics;
    this.#stats = stats;
    this.#logger = logger;
    this.#bad = new BadMessages(spec, { metrics, stats, letters, events });
    this.#pace = spec.source.connector.pace?.(spec.source.config) ?? {};
    const { maxSilenceSecs } = this.#pace;
    if (maxSilenceSecs !== undefined) {
      this.#silence = new SilenceWatch(maxSilenceSecs * 1000, (silent) =>
        this.#silent(silent, maxSilenceSecs),
      );
    }
  }

  /** Whether it ended because its source had no more, not because it was asked to. */
  get ranOut(): boolean {
    return this.#ranOut;
  }

  /** Runs until it is stopped or its source has no more; rejects with the first error that is not passing. Call it once. */
  async run(): Promise<void> {
    this.#silence?.start();
    try {
      await this.#attempts();
    } finally {
      this.#silence?.stop();
    }
  }

  async #attempts(): Promise<void> {
    for (let failures = 0; !this.#ending; ) {
      const startedAt = performance.now();
      try {
        await this.#whenSafe();
        await this.#attempt();
        this.#ranOut = !this.#ending;
        return;
      } catch (error) {
        if (this.#cancel.signal.aborted) return;
        const raised = asPenstockError(error);
        if (!raised.passing) throw raised;
        if (this.#draining) return;
        failures = performance.now() - startedAt > healthyMs ? 0 : failures + 1;
        const retryInMs = backoffMs(failures);
        this.#stats.recovering(raised);
        this.#events.recovering(raised, retryInMs);
        await delay(retryInMs, this.#cancel.signal).catch(() => {});
      }
    }
  }

  /**
   * Sends messages on their way once more, beside those of the source; nothing is acknowledged. Answers them in parts,
   * with what failed of them; undefined when it is not connected. Rejects when it cannot be known what was written.
   */
  async replay<M extends Passenger>(messages: readonly M[]): Promise<Part<M>[] | undefined> {
    const passage = this.#passage;
    if (!passage) return undefined;
    const done: Part<M>[] = [];
    for (const part of passage.parts(messages, () => {})) {
      await passage.prepare(part);
      await passage.write(part);
      const { outgoing, refused } = part;
      this.#stats.written(outgoing.length - refused.length, bytes(outgoing) - bytes(refused));
      done.push(part);
    }
    return done;
  }

  /** Takes no more messages and lets those in flight finish, within a deadline. */
  async drain(): Promise<void> {
    this.#draining = true;
    if (!this.#source) return this.stop();
    clearTimeout(this.#overdue);
    this.#overdue = setTimeout(() => this.stop(), drainDeadlineMs);
    await this.#source.drain();
  }

  /** Stops at once. What is not acknowledged stays with the broker. */
  stop(): void {
    this.#cancel.abort(new Error('the task was stopped'));
  }

  /** Another worker may have the job while our lease cannot be renewed: it has the session then. */
  async #whenSafe(): Promise<void> {
    while (!this.#events.mayConnect()) await delay(250, this.#cancel.signal);
  }

  get #ending(): boolean {
    return this.#draining || this.#cancel.signal.aborted;
  }

  /** One connection of source and sink, until either is lost, the task is stopped, or the source has drained. */
  async #attempt(): Promise<void> {
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#cancel.signal, failed.signal]);
    const open: { close(): Promise<void> | void }[] = [];
    const inFlight = this.#stats.attempt();
    try {
      const transform = await openTransform(this.#spec.insert);
      open.push(transform);
      const sink = await this.#openSink(signal, failed);
      open.push(sink);
      const source = await this.#openSource(signal, open);
      this.#source = source;
      const passage = new Passage(this.#spec.insert, transform, sink);
      this.#passage = passage;
      this.#events.running();
      const { messagesPerSecond } = this.#pace;
      const batches = messagesPerSecond === undefined ? source : paced(source, messagesPerSecond, signal);
      await this.#pump(batches, passage, failed, inFlight);
    } finally {
      this.#source = undefined;
      this.#passage = undefined;
      // The source first: it sends the acknowledgements that are due.
      for (const opened of open.reverse()) await opened.close();
      inFlight.end();
      clearTimeout(this.#overdue);
    }
  }

  #context(endpoint: Endpoint, signal: AbortSignal) {
    const { jobId, taskIndex } = this.#spec;
    const { profile, targets, config, operatorId } = endpoint;
    const identity: Identity = { jobId, operatorId, taskIndex };
    const warn = (error: PenstockError): void => this.#events.warn(error, operatorId);
    return { profile, targets, table: config, identity, window, signal, logger: this.#logger, warn };
  }

  /** Opens the source with what is remembered of its session, and adds it to what is open. */
  async #openSource(signal: AbortSignal, open: { close(): Promise<void> | void }[]): Promise<Source> {
    const { connector } = this.#spec.source;
    if (!connector.openSource)
      throw new PenstockError('invalid_query', `${connector.name} cannot be read from`);
    const session = await this.#session.opening();
    const context = this.#context(this.#spec.source, signal);
    const source = await connector.openSource(session ? { ...context, session } : context);
    open.push(source);
    if (source.session && session?.known && !source.session.resumed)
      this.#metrics.sessionsLost.inc({ job: this.#spec.jobId });
    if (source.session) await this.#session.opened(source.session);
    return source;
  }

  async #openSink(signal: AbortSignal, failed: AbortController): Promise<Sink> {
    const { connector } = this.#spec.sink;
    if (!connector.openSink)
      throw new PenstockError('invalid_query', `${connector.name} cannot be written to`);
    const lost = (error: PenstockError): void => failed.abort(this.#stats.ofSink(error));
    try {
      return await connector.openSink({ ...this.#context(this.#spec.sink, signal), lost });
    } catch (error) {
      throw this.#stats.ofSink(error);
    }
  }

  /**
   * Moves batches from the source to the sink, in parts. Several may wait for the sink; they reach it in order. The first
   * write that fails ends the attempt by aborting `failed`, so that nothing behind it is acknowledged by mistake.
   */
  async #pump(
    batches: AsyncIterable<Delivery[]>,
    passage: Passage,
    failed: AbortController,
    inFlight: InFlight,
  ): Promise<void> {
    const pending = new Set<Promise<void>>();
    const signal = AbortSignal.any([this.#cancel.signal, failed.signal]);
    let weight = 0;
    for await (const deliveries of batches) {
      this.#stats.received(deliveries.length, bytes(deliveries));
      for (const part of passage.parts(deliveries, this.#bad.failed)) {
        await passage.prepare(part);
        this.#stats.transformed(part.rows.length, part.made);
        signal.throwIfAborted();
        this.#silence?.heard();
        weight += part.weight;
        const settled = this.#settle(part, passage, signal, inFlight)
          .catch((error: unknown) => failed.abort(error))
          .finally(() => {
            this.#silence?.settled();
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
  async #settle(
    part: Part<Delivery>,
    passage: Passage,
    signal: AbortSignal,
    inFlight: InFlight,
  ): Promise<void> {
    const { messages, failures } = part;
    inFlight.add(messages.length);
    await passage.write(part).catch((error: unknown) => {
      throw this.#stats.ofSink(error);
    });
    messages.forEach((delivery, index) => {
      if (!failures.has(index)) delivery.ack();
    });
    await this.#bad.settle(part, signal);
    inFlight.add(-messages.length);
    this.#countSent(part, messages[0]?.receivedAt ?? 0, messages.length);
  }

  /** `since` is when the first of so many `messages` arrived. */
  #countSent({ outgoing, refused }: Part<Passenger>, since: number, messages: number): void {
    const sentBytes = bytes(outgoing) - bytes(refused);
    this.#stats.sent(outgoing.length - refused.length, sentBytes, since, messages);
  }

  #silent(silent: boolean, maxSilenceSecs: number): void {
    const { jobId: job, insert } = this.#spec;
    this.#metrics.silent.inc({ job }, silent ? 1 : -1);
    if (!silent) return;
    const message = `${insert.source.name} has brought no message for ${maxSilenceSecs} s`;
    const hint = 'Check that its publishers run, and that the broker lets this user read the topic.';
    this.#events.warn(new PenstockError('source_silent', message, { hint }));
  }
}

function bytes(messages: readonly { payload: Buffer }[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}
