import { asPenstockError, PenstockError } from '../errors.ts';
import type { CountsDelta } from '../runtime/counts.ts';
import { backoffMs, delay } from '../runtime/delay.ts';
import { fromPlain } from '../runtime/link.ts';
import type {
  AttemptHandlers,
  DeadLetterFailure,
  DeadLetterStore,
  PositionStore,
  ReplayedDeadLetter,
  StateStore,
  TaskSession,
} from '../runtime/operations.ts';
import { type TaskSpec, writeSpec } from '../runtime/task-spec.ts';
import type { TaskCounters } from './counters.ts';
import { Patience } from './patience.ts';
import type { RemoteAttempt, ThreadPool, ThreadSlot } from './thread-pool.ts';

export interface TaskEvents {
  running(): void;
  /** A passing error: the task tries again after `retryInMs`. */
  recovering(error: PenstockError, retryInMs: number): void;
  /** Whether it is safe to connect because no other worker can hold the job. Polled until it is. */
  mayConnect(): boolean;
  /** A problem that does not end the task: a dropped row, a silent source, a warning of the connector. */
  warn(error: PenstockError, operatorId?: string): void;
}

interface TaskTools {
  events: TaskEvents;
  /** Of each source, by its number. */
  sessions: readonly TaskSession[];
  positions: readonly PositionStore[];
  states: StateStore;
  deadLetters: DeadLetterStore;
  counters: TaskCounters;
  threads: ThreadPool;
  /** Whether it was connected before, with the same definitions. */
  hasRun: boolean;
}

/** After running this long a task is healthy, and its back-off starts from the beginning. */
const healthyMs = 60_000;
/** Upper bound on how late the main thread learns of activity in a worker thread. */
const maxReportDelayMs = 500;
/** Maximum duration of a drain. After that, messages in flight stay with the broker. */
const drainDeadlineMs = 10_000;

/** The errors of sinks, with the number of messages that were in flight. */
const sinkErrors = new WeakMap<PenstockError, number>();

/** Marks an error as one of a sink that left so many messages unconfirmed. */
export function markFromSink(error: PenstockError, unconfirmed: number): void {
  sinkErrors.set(error, unconfirmed);
}

/** Whether an error that a task reported came from its sink. */
export const isFromSink = (error: PenstockError): boolean => sinkErrors.has(error);

/** Whether such an error left messages unconfirmed. */
export const leftUnconfirmed = (error: PenstockError): boolean => (sinkErrors.get(error) ?? 0) > 0;

/**
 * One parallel slice of a job. A worker thread runs it, one attempt at a time (`runtime/attempt.ts`). This class retries
 * after passing errors, including the loss of the thread, and serves the attempt's calls that need the database.
 */
export class Task {
  readonly #spec: TaskSpec;
  readonly #tools: TaskTools;
  readonly #cancel = new AbortController();
  readonly #silence: SilenceWatch | undefined;
  #attempt: RemoteAttempt | undefined;
  #draining = false;
  #sourceEnded = false;
  readonly #patience: Patience;
  /** Half of the time that the broker keeps the session of a source. A session that it does not keep hurries nobody. */
  readonly #maxRetryMs = new Map<number, number>();

  constructor(spec: TaskSpec, tools: TaskTools) {
    this.#spec = spec;
    this.#tools = tools;
    this.#patience = new Patience(tools.hasRun);
    const { maxSilenceSecs } = spec.source.connector.pace?.(spec.source.config) ?? {};
    if (maxSilenceSecs !== undefined) {
      this.#silence = new SilenceWatch(maxSilenceSecs * 1000 + maxReportDelayMs, (silent) =>
        this.#silent(silent, maxSilenceSecs),
      );
    }
  }

  /** Whether it ended because its source had no more messages, and not by request. */
  get sourceEnded(): boolean {
    return this.#sourceEnded;
  }

  /**
   * Runs until stopped or until the source ends. Rejects with the first error that is not passing, unless it was connected before
   * and that error keeps it from connecting again: then only when it has tried for five minutes. Call it once.
   */
  async run(): Promise<void> {
    const slot = this.#tools.threads.slot();
    slot.tasks += 1;
    this.#silence?.start();
    try {
      await this.#attempts(slot);
    } finally {
      this.#silence?.stop();
      slot.tasks -= 1;
    }
  }

  async #attempts(slot: ThreadSlot): Promise<void> {
    const { counters, events } = this.#tools;
    for (let failures = 0; !this.#ending; ) {
      const startedAt = performance.now();
      try {
        await this.#whenSafe();
        await this.#attemptOnce(slot);
        this.#sourceEnded = !this.#ending;
        return;
      } catch (error) {
        if (this.#cancel.signal.aborted) return;
        const raised = asPenstockError(error);
        const refused = raised.passing ? undefined : this.#patience.pauseMs(raised);
        if (this.#draining) return;
        failures = performance.now() - startedAt > healthyMs ? 0 : failures + 1;
        const retryInMs = Math.min(refused ?? backoffMs(failures), ...this.#maxRetryMs.values());
        counters.recovering(raised);
        events.recovering(refused === undefined ? raised : explained(raised), retryInMs);
        await delay(retryInMs, this.#cancel.signal).catch(() => {});
      }
    }
  }

  /**
   * Processes dead letters again. Returns the failure of each, or undefined when not connected. Rejects if it is unknown what
   * was written.
   */
  async replay(deadLetters: ReplayedDeadLetter[]): Promise<(DeadLetterFailure | undefined)[] | undefined> {
    return this.#attempt?.replay(deadLetters);
  }

  /** Every task of the job is connected: see `Source.allConnected`. */
  allConnected(): void {
    this.#attempt?.allConnected();
  }

  /** Takes no more messages and finishes those in flight, within a deadline. Open windows stay open. */
  drain(): Promise<void> {
    return this.#drain('drain');
  }

  /** The same, and closes all open windows. Those of a task that is not connected stay open. */
  finish(): Promise<void> {
    return this.#drain('finish');
  }

  async #drain(how: 'drain' | 'finish'): Promise<void> {
    this.#draining = true;
    if (!this.#attempt) return this.stop();
    const { ended } = this.#attempt;
    const overdue = setTimeout(() => this.stop(), drainDeadlineMs);
    void ended.catch(() => {}).finally(() => clearTimeout(overdue));
    await this.#attempt[how]().catch((error: unknown) => {
      // The attempt has ended with the same error.
      if (asPenstockError(error).code !== 'thread_lost') throw error;
    });
  }

  /** Stops at once. Unacknowledged messages stay with the broker. */
  stop(): void {
    this.#cancel.abort(new Error('the task was stopped'));
    this.#attempt?.stop();
  }

  /** While the lease cannot be renewed, another worker may have the job and its session. */
  async #whenSafe(): Promise<void> {
    while (!this.#tools.events.mayConnect()) await delay(250, this.#cancel.signal);
  }

  get #ending(): boolean {
    return this.#draining || this.#cancel.signal.aborted;
  }

  async #attemptOnce(slot: ThreadSlot): Promise<void> {
    let inFlight = 0;
    this.#patience.connecting();
    const counted = (delta: CountsDelta): void => {
      inFlight += delta.counts.in_flight;
      this.#tools.counters.add(delta);
      if (delta.counts.batches > 0) this.#silence?.heard();
      this.#silence?.busy(inFlight > 0);
    };
    try {
      const attempt = await slot.begin(writeSpec(this.#spec), { ...this.#handlers(), counted });
      this.#attempt = attempt;
      if (this.#ending) attempt.stop();
      const failure = await attempt.ended;
      if (!failure) return;
      const error = fromPlain(failure.error);
      if (failure.fromSink) markFromSink(error, inFlight);
      throw error;
    } finally {
      this.#attempt = undefined;
      this.#silence?.busy(false);
      this.#tools.counters.abandon(inFlight);
    }
  }

  #handlers(): Omit<AttemptHandlers, 'counted'> {
    const { events, sessions, positions, states, deadLetters, counters } = this.#tools;
    const { counts } = counters.job;
    const settled = sessions.map(() => Promise.withResolvers<void>());
    return {
      running: () => {
        this.#patience.connected();
        events.running();
      },
      warn: ({ error, operatorId }) => events.warn(fromPlain(error), operatorId),
      sessionOpening: (source) => of(sessions, source).opening(),
      sessionOpened: async ({ source, keptSecs = Number.POSITIVE_INFINITY, ...found }) => {
        this.#maxRetryMs.set(source, keptSecs > 0 ? keptSecs * 500 : Number.POSITIVE_INFINITY);
        if (found.lost) counts.sessions_lost++;
        await of(sessions, source).opened({ ...found, settled: of(settled, source).promise });
      },
      sessionSettled: (source) => of(settled, source).resolve(),
      lastPosition: (source) => of(positions, source).last(),
      storePosition: ({ source, position }) => of(positions, source).store(position),
      loadState: () => states.load(),
      readState: (segment) => states.read(segment),
      stageState: (segments) => states.stage(segments),
      commitState: (commit) => states.commit(commit),
      async storeDeadLetters({ deadLetters: added, badData }) {
        const result = await deadLetters.add(added, badData);
        counts.dead_letters += result.stored;
        counts.dead_letters_evicted += result.evicted;
        return result;
      },
    };
  }

  #silent(silent: boolean, maxSilenceSecs: number): void {
    const { counters, events } = this.#tools;
    counters.job.counts.silent += silent ? 1 : -1;
    if (!silent) return;
    const message = `${this.#spec.insert.source.name} has received no message for ${maxSilenceSecs} s`;
    const hint = 'Check that its publishers run, and that the broker lets this user read the topic.';
    events.warn(new PenstockError('source_silent', message, { hint }));
  }
}

function of<T>(sources: readonly T[], number: number): T {
  const found = sources[number];
  if (found === undefined) throw new PenstockError('internal', `The task has no source ${number}`);
  return found;
}

/** A refusal, with a hint that the task tries again. */
function explained(refusal: PenstockError): PenstockError {
  const { message, errors, facts } = refusal;
  const hint = [refusal.hint, Patience.hint].filter(Boolean).join(' ');
  const shown = new PenstockError(refusal, message, { hint, errors, facts });
  const unconfirmed = sinkErrors.get(refusal);
  if (unconfirmed !== undefined) markFromSink(shown, unconfirmed);
  return shown;
}

/** Detects that a source has been silent for too long. A report of activity sets no timer. */
export class SilenceWatch {
  readonly #maxMs: number;
  readonly #changed: (silent: boolean) => void;
  #timer: NodeJS.Timeout | undefined;
  #heardAt = 0;
  #silent = false;
  #busy = false;

  /** `changed` is called with true after `maxMs` without a batch, and with false at the next batch. */
  constructor(maxMs: number, changed: (silent: boolean) => void) {
    this.#maxMs = maxMs;
    this.#changed = changed;
  }

  start(): void {
    this.#heardAt = performance.now();
    this.#timer = setTimeout(this.#check, this.#maxMs);
  }

  heard(): void {
    this.#heardAt = performance.now();
    if (!this.#silent) return;
    this.#silent = false;
    this.#changed(false);
  }

  /** Whether messages are on their way to the sink. The source may pause then, which is not silence. */
  busy(busy: boolean): void {
    if (this.#busy && !busy) this.#heardAt = performance.now();
    this.#busy = busy;
  }

  stop(): void {
    clearTimeout(this.#timer);
    if (this.#silent) this.#changed(false);
    this.#silent = false;
  }

  readonly #check = (): void => {
    const left = this.#busy ? this.#maxMs : this.#heardAt + this.#maxMs - performance.now();
    if (left <= 0 && !this.#silent) {
      this.#silent = true;
      this.#changed(true);
    }
    this.#timer = setTimeout(this.#check, left > 0 ? Math.ceil(left) : this.#maxMs);
  };
}
