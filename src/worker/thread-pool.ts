import { Worker as Thread } from 'node:worker_threads';
import type { Logger } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';
import { Link } from '../runtime/link.ts';
import type {
  AttemptFailure,
  AttemptHandlers,
  AttemptOperations,
  MainOperations,
  ThreadData,
  ThreadOperations,
} from '../runtime/operations.ts';

export interface RemoteAttempt extends AttemptOperations {
  /** Resolves when the attempt has ended, with its failure if any. Rejects with `thread_lost`. */
  ended: Promise<AttemptFailure | undefined>;
}

interface SlotOptions extends ThreadData {
  entry: URL;
  /** Interval of pings. A thread is lost after `maxMissedPings` in a row. */
  pingEveryMs: number;
  maxMissedPings: number;
  logger: Logger;
}

interface ThreadPoolOptions extends Partial<SlotOptions> {
  max: number;
  /** The entries of PENSTOCK_TARGETS. */
  targets: readonly string[];
  logger: Logger;
}

/** A thread that does not respond for 30 s is lost. */
const defaults = {
  entry: new URL('../runtime/thread.ts', import.meta.url),
  pingEveryMs: 5_000,
  maxMissedPings: 6,
};
/** Time for a hung thread to end before its tasks are told that it is lost. */
const endingMs = 5_000;
/** Time constant of the average message rate. */
const recentMs = 10_000;

/** The worker threads that run tasks. Each starts when the first task needs it. */
export class ThreadPool {
  readonly #options: SlotOptions;
  readonly #max: number;
  readonly #slots: ThreadSlot[] = [];

  constructor({ max, ...options }: ThreadPoolOptions) {
    this.#max = max;
    this.#options = { ...defaults, ...options };
  }

  /** Returns the slot for another task: an unused one, a new one below the maximum, or the one with the lowest load. */
  slot(): ThreadSlot {
    const free = this.#slots.find(({ tasks }) => tasks === 0);
    if (free) return free;
    if (this.#slots.length < this.#max) {
      const slot = new ThreadSlot(this.#options);
      this.#slots.push(slot);
      return slot;
    }
    return this.#slots.reduce((least, slot) => (slot.load < least.load ? slot : least));
  }

  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }
}

/**
 * A worker thread, and its successor after it is lost. The thread starts with its first attempt. Tasks stay in their slot, so
 * one that crashes threads affects no other slot, and connectors keep what they learnt in memory.
 */
export class ThreadSlot {
  readonly #options: SlotOptions;
  #running: RunningThread | undefined;
  /** Resolves when the last lost thread has ended. */
  #gone: Promise<void> = Promise.resolve();
  /** Number of tasks that have this slot. They count themselves. */
  tasks = 0;

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /** Number of tasks, plus one for every 100 messages a second. */
  get load(): number {
    return this.tasks + (this.#running?.messageRate ?? 0) / 100;
  }

  /** Begins an attempt in the thread of this slot, once a lost one has ended. `spec` is the text of `writeSpec`. */
  async begin(spec: string, handlers: AttemptHandlers): Promise<RemoteAttempt> {
    while (!this.#running) {
      const gone = this.#gone;
      await gone;
      if (gone === this.#gone) this.#running ??= this.#start();
    }
    return this.#running.begin(spec, handlers);
  }

  async close(): Promise<void> {
    await this.#running?.end();
    await this.#gone;
  }

  #start(): RunningThread {
    const running = new RunningThread(this.#options, () => {
      this.#running = undefined;
    });
    this.#gone = running.gone;
    return running;
  }
}

class RunningThread {
  readonly gone: Promise<void>;
  readonly #thread: Thread;
  readonly #link: Link<ThreadOperations & AttemptOperations>;
  readonly #attempts = new Map<number, AttemptHandlers>();
  readonly #logger: Logger;
  readonly #pings: NodeJS.Timeout;
  readonly #lost: () => void;
  #lastId = 0;
  #missedPings = 0;
  #recent = 0;
  #recentAt = performance.now();
  #cause: unknown;
  #reason = 'has ended';
  #ending = false;

  /** `lost` is called once, when no further attempt can begin in this thread. */
  constructor(options: SlotOptions, lost: () => void) {
    const { entry, pingEveryMs, maxMissedPings, logger, targets, fileDir } = options;
    this.#logger = logger;
    this.#lost = lost;
    const workerData: ThreadData = { targets, fileDir };
    this.#thread = new Thread(entry, { workerData, name: 'tasks' });
    this.#link = new Link<ThreadOperations & AttemptOperations>(
      this.#thread,
      (attempt) => (attempt === undefined ? this.#operations : this.#attempts.get(attempt)),
      (err) => logger.error({ err }, 'report of a worker thread could not be handled'),
    );
    this.#thread.on('error', (error: NodeJS.ErrnoException) => {
      this.#cause = error;
      // V8 may instead end the whole process.
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') this.#reason = 'has run out of memory';
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.#thread.once('exit', () => {
      clearInterval(this.#pings);
      this.#over();
      resolve();
    });
    this.#pings = setInterval(() => this.#ping(pingEveryMs, maxMissedPings), pingEveryMs);
  }

  get messageRate(): number {
    const now = performance.now();
    this.#recent *= Math.exp((this.#recentAt - now) / recentMs);
    this.#recentAt = now;
    return (this.#recent * 1000) / recentMs;
  }

  begin(spec: string, handlers: AttemptHandlers): RemoteAttempt {
    this.#lastId += 1;
    const attempt = this.#lastId;
    this.#attempts.set(attempt, handlers);
    const link = this.#link;
    const ended = link.call('begin', { attempt, spec }).finally(() => this.#attempts.delete(attempt));
    return {
      ended,
      drain: () => link.call('drain', undefined, attempt),
      finish: () => link.call('finish', undefined, attempt),
      stop: () => link.notify('stop', undefined, attempt),
      allConnected: () => link.notify('allConnected', undefined, attempt),
      replay: (deadLetters) => link.call('replay', deadLetters, attempt),
    };
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#thread.terminate();
  }

  /** Counts missed pings instead of time, as this thread or the machine may have been suspended. */
  #ping(everyMs: number, maxMissed: number): void {
    if (this.#ending) return;
    this.#missedPings += 1;
    if (this.#missedPings > maxMissed) {
      this.#reason = `has not responded for ${Math.round((maxMissed * everyMs) / 1000)} s`;
      this.#hung();
    } else if (this.#missedPings === 1) {
      this.#link.call('ping', undefined).then(
        () => {
          this.#missedPings = 0;
        },
        () => {},
      );
    }
  }

  /** Terminating ends JavaScript at once, but native code may go on. The successor waits for that. */
  #hung(): void {
    void this.end();
    const late = setTimeout(() => this.#over(), endingMs);
    void this.gone.then(() => clearTimeout(late));
    this.#lost();
  }

  #over(): void {
    this.#lost();
    const message = `The worker thread of the task ${this.#reason}`;
    const lost = new PenstockError('thread_lost', message, { cause: this.#cause });
    const tasks = this.#attempts.size;
    if (tasks > 0) this.#logger.error({ err: lost, tasks }, 'worker thread lost; its tasks restart');
    this.#link.close(lost);
  }

  readonly #operations: MainOperations = {
    countedAll: (all) => {
      for (const { attempt, delta } of all) {
        this.#recent = (this.messageRate * recentMs) / 1000 + delta.counts.messages_in;
        this.#attempts.get(attempt)?.counted(delta);
      }
    },
    log: ({ level, details, message }) => this.#logger[level](details, message),
  };
}
