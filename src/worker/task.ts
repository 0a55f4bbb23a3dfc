import { asPenstockError, PenstockError } from '../errors.ts';
import { backoffMs, delay } from '../runtime/backoff.ts';
import type { Counted } from '../runtime/counts.ts';
import type { LetterFailure } from '../runtime/dead-letter-failure.ts';
import type { DeadLetterStore, Replayed, TaskSession } from '../runtime/operations.ts';
import { fromPlain } from '../runtime/plain-error.ts';
import { writeSpec } from '../runtime/spec-text.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import type { InFlight, WorkerMetrics } from './metrics.ts';
import { SilenceWatch } from './silence.ts';
import type { TaskStats } from './task-stats.ts';
import type { Threads } from './thread-pool.ts';
import type { AttemptSide, Lane, RemoteAttempt } from './thread-slot.ts';

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
  threads: Threads;
}

/** After running this long a task counts as healthy, and its back-off starts from the beginning. */
const healthyMs = 60_000;
/** Of what comes in a thread this one learns so much later at most. */
const toldLateMs = 500;
/** How long a drain may take before what is in flight is left to the broker. */
const drainDeadlineMs = 10_000;

/**
 * One parallel slice of a job. The work is done in a thread, one attempt after the other (`Attempt`); here it is begun
 * again after what is passing, the loss of the thread included, and here is what it needs of the database.
 */
export class Task {
  readonly #spec: TaskSpec;
  readonly #tools: TaskTools;
  readonly #cancel = new AbortController();
  readonly #silence: SilenceWatch | undefined;
  #attempt: RemoteAttempt | undefined;
  #draining = false;
  #ranOut = false;

  constructor(spec: TaskSpec, tools: TaskTools) {
    this.#spec = spec;
    this.#tools = tools;
    const { maxSilenceSecs } = spec.source.connector.pace?.(spec.source.config) ?? {};
    if (maxSilenceSecs !== undefined) {
      this.#silence = new SilenceWatch(maxSilenceSecs * 1000 + toldLateMs, (silent) =>
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
    const lane = this.#tools.threads.lane();
    const leave = lane.join();
    this.#silence?.start();
    try {
      await this.#attempts(lane);
    } finally {
      this.#silence?.stop();
      leave();
    }
  }

  async #attempts(lane: Lane): Promise<void> {
    const { stats, events } = this.#tools;
    for (let failures = 0; !this.#ending; ) {
      const startedAt = performance.now();
      try {
        await this.#whenSafe();
        await this.#once(lane);
        this.#ranOut = !this.#ending;
        return;
      } catch (error) {
        if (this.#cancel.signal.aborted) return;
        const raised = asPenstockError(error);
        if (!raised.passing) throw raised;
        if (this.#draining) return;
        failures = performance.now() - startedAt > healthyMs ? 0 : failures + 1;
        const retryInMs = backoffMs(failures);
        stats.recovering(raised);
        events.recovering(raised, retryInMs);
        await delay(retryInMs, this.#cancel.signal).catch(() => {});
      }
    }
  }

  /**
   * Sends dead letters on their way once more. Answers what failed of each; undefined when it is not connected. Rejects
   * when it cannot be known what was written.
   */
  async replay(letters: Replayed[]): Promise<(LetterFailure | undefined)[] | undefined> {
    return this.#attempt?.replay(letters);
  }

  /** Takes no more messages and lets those in flight finish, within a deadline. */
  async drain(): Promise<void> {
    this.#draining = true;
    if (!this.#attempt) return this.stop();
    const { ended } = this.#attempt;
    const overdue = setTimeout(() => this.stop(), drainDeadlineMs);
    void ended.catch(() => {}).finally(() => clearTimeout(overdue));
    await this.#attempt.drain().catch((error: unknown) => {
      // Then the attempt has ended too, and says why.
      if (asPenstockError(error).code !== 'thread_lost') throw error;
    });
  }

  /** Stops at once. What is not acknowledged stays with the broker. */
  stop(): void {
    this.#cancel.abort(new Error('the task was stopped'));
    this.#attempt?.stop();
  }

  /** Another worker may have the job while our lease cannot be renewed: it has the session then. */
  async #whenSafe(): Promise<void> {
    while (!this.#tools.events.mayConnect()) await delay(250, this.#cancel.signal);
  }

  get #ending(): boolean {
    return this.#draining || this.#cancel.signal.aborted;
  }

  /** One connection of source and sink, until either is lost, the task is stopped, or the source has drained. */
  async #once(lane: Lane): Promise<void> {
    const { stats } = this.#tools;
    const inFlight = stats.attempt();
    try {
      const attempt = await lane.begin(writeSpec(this.#spec), this.#side(inFlight));
      this.#attempt = attempt;
      if (this.#ending) attempt.stop();
      const broken = await attempt.ended;
      if (!broken) return;
      const error = fromPlain(broken.error);
      if (broken.ofSink) stats.ofSink(error);
      throw error;
    } finally {
      this.#attempt = undefined;
      this.#silence?.busy(false);
      inFlight.end();
    }
  }

  /** What an attempt needs of the main thread. */
  #side(inFlight: InFlight): AttemptSide {
    const { events, session, letters, metrics } = this.#tools;
    const job = this.#spec.jobId;
    const settled = Promise.withResolvers<void>();
    let known = false;
    return {
      running: events.running,
      warn: events.warn,
      async opening() {
        const remembered = await session.opening();
        known = remembered?.known ?? false;
        return remembered;
      },
      async opened(resumed) {
        if (known && !resumed) metrics.sessionsLost.inc({ job });
        await session.opened({ resumed, settled: settled.promise });
      },
      settled: settled.resolve,
      async store(some, badData) {
        const { stored, evicted } = await letters.add(some, badData);
        metrics.deadLetters.inc({ job }, stored);
        if (evicted > 0) metrics.deadLettersEvicted.inc({ job }, evicted);
        return { stored, evicted };
      },
      counted: (counted) => this.#counted(counted, inFlight),
    };
  }

  #counted(counted: Counted, inFlight: InFlight): void {
    this.#tools.stats.add(counted, inFlight);
    if (counted.batches > 0) this.#silence?.heard();
    this.#silence?.busy(inFlight.count > 0);
  }

  #silent(silent: boolean, maxSilenceSecs: number): void {
    const { metrics, events } = this.#tools;
    const { jobId: job, insert } = this.#spec;
    metrics.silent.inc({ job }, silent ? 1 : -1);
    if (!silent) return;
    const message = `${insert.source.name} has brought no message for ${maxSilenceSecs} s`;
    const hint = 'Check that its publishers run, and that the broker lets this user read the topic.';
    events.warn(new PenstockError('source_silent', message, { hint }));
  }
}
