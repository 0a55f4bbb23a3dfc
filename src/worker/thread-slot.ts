import { Worker as Thread } from 'node:worker_threads';
import type { Logger, RememberedSession } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';
import type { BadData } from '../formats/schema/schema.ts';
import type { Counted } from '../runtime/counts.ts';
import type { LetterFailure } from '../runtime/dead-letter-failure.ts';
import { Link } from '../runtime/link.ts';
import type {
  Broken,
  DeadLetter,
  MainOperations,
  Replayed,
  Stored,
  ThreadData,
  ThreadOperations,
  Which,
} from '../runtime/operations.ts';
import { fromPlain } from '../runtime/plain-error.ts';

/** What the main thread does for one attempt of a task, and is told of it. */
export interface AttemptSide {
  running(): void;
  warn(error: PenstockError, operatorId: string | undefined): void;
  opening(): Promise<RememberedSession<unknown> | undefined>;
  opened(resumed: boolean): Promise<void>;
  settled(): void;
  store(letters: readonly DeadLetter[], badData: BadData): Promise<Stored>;
  counted(counted: Counted): void;
}

/** An attempt that runs in a thread. */
export interface RemoteAttempt {
  /** How it has ended, undefined when as it should; rejects with `thread_lost`. */
  ended: Promise<Broken | undefined>;
  drain(): Promise<void>;
  stop(): void;
  replay(letters: Replayed[]): Promise<(LetterFailure | undefined)[] | undefined>;
}

export interface LaneOptions extends ThreadData {
  /** The file that a thread begins with. */
  entry: URL;
  /** A thread is asked this often whether it still runs; it is lost when it leaves `patience` of these in a row out. */
  pingEveryMs: number;
  patience: number;
  logger: Logger;
}

/** A thread that does not end by itself is not waited for longer before its tasks are told. */
const endingMs = 5_000;
/** What moved so long ago counts for a third. */
const recentMs = 10_000;

/**
 * A thread, and after it was lost the next one: it starts with the first attempt that is begun in it. Tasks stay in
 * their lane, so what makes a thread fall over never gets to the tasks of another, and connectors remember what they
 * have learnt.
 */
export class Lane {
  readonly #options: LaneOptions;
  #running: RunningThread | undefined;
  /** Resolves when the last thread that was lost has ended. */
  #gone: Promise<void> = Promise.resolve();
  #tasks = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get used(): boolean {
    return this.#tasks > 0;
  }

  /** What it carries: its tasks, and a task's worth for every 100 messages a second lately. */
  get load(): number {
    return this.#tasks + (this.#running?.lately ?? 0) / 100;
  }

  /** A task runs here from now on, until it calls what this answers. */
  join(): () => void {
    this.#tasks += 1;
    return () => {
      this.#tasks -= 1;
    };
  }

  /** Begins an attempt, as `writeSpec` wrote it, in the thread of this lane; a lost one must have ended before. */
  async begin(spec: string, side: AttemptSide): Promise<RemoteAttempt> {
    while (!this.#running) {
      const gone = this.#gone;
      await gone;
      if (gone === this.#gone) this.#running ??= this.#start();
    }
    return this.#running.begin(spec, side);
  }

  /** Ends its thread, in which nothing should run any more. */
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
  readonly #link: Link<ThreadOperations>;
  readonly #sides = new Map<number, AttemptSide>();
  readonly #logger: Logger;
  readonly #pings: NodeJS.Timeout;
  readonly #lost: () => void;
  #last = 0;
  #missed = 0;
  #recent = 0;
  #recentAt = performance.now();
  #cause: unknown;
  #reason = 'has ended';
  #ending = false;

  /** `lost` is called once, when nothing is to be begun in it any more. */
  constructor(options: LaneOptions, lost: () => void) {
    const { entry, pingEveryMs, patience, logger, targets } = options;
    this.#logger = logger;
    this.#lost = lost;
    const workerData: ThreadData = { targets };
    this.#thread = new Thread(entry, { workerData, name: 'tasks' });
    this.#link = new Link<ThreadOperations>(this.#thread, this.#operations(), (err) =>
      logger.error({ err }, 'what a thread tells cannot be taken in'),
    );
    this.#thread.on('error', (error: NodeJS.ErrnoException) => {
      this.#cause = error;
      // V8 may as well have ended the whole process.
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') this.#reason = 'has run out of memory';
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.#thread.once('exit', () => {
      clearInterval(this.#pings);
      this.#over();
      resolve();
    });
    this.#pings = setInterval(() => this.#ping(pingEveryMs, patience), pingEveryMs);
  }

  /** Messages a second of about the last ten. */
  get lately(): number {
    const now = performance.now();
    this.#recent *= Math.exp((this.#recentAt - now) / recentMs);
    this.#recentAt = now;
    return (this.#recent * 1000) / recentMs;
  }

  begin(spec: string, side: AttemptSide): RemoteAttempt {
    this.#last += 1;
    const attempt = this.#last;
    this.#sides.set(attempt, side);
    const link = this.#link;
    const ended = link.call('begin', { attempt, spec }).finally(() => this.#sides.delete(attempt));
    return {
      ended,
      drain: () => link.call('drain', { attempt }),
      stop: () => link.tell('stop', { attempt }),
      replay: (letters) => link.call('replay', { attempt, letters }),
    };
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#thread.terminate();
  }

  /** Counts what it leaves out rather than the time: this thread may have stood still itself, or the whole machine. */
  #ping(everyMs: number, patience: number): void {
    if (this.#ending) return;
    this.#missed += 1;
    if (this.#missed > patience) {
      this.#reason = `has not answered for ${Math.round((patience * everyMs) / 1000)} s`;
      this.#hung();
    } else if (this.#missed === 1) {
      this.#link.call('ping', undefined).then(
        () => {
          this.#missed = 0;
        },
        () => {},
      );
    }
  }

  /** Nothing of it runs any more once it was told to end, but what is not JavaScript; who is to follow waits for that. */
  #hung(): void {
    void this.end();
    const late = setTimeout(() => this.#over(), endingMs);
    void this.gone.then(() => clearTimeout(late));
    this.#lost();
  }

  #over(): void {
    this.#lost();
    const message = `The thread that ran the task ${this.#reason}`;
    const lost = new PenstockError('thread_lost', message, { cause: this.#cause });
    if (this.#sides.size > 0)
      this.#logger.error({ err: lost, tasks: this.#sides.size }, 'a thread was lost; its tasks begin again');
    this.#link.cut(lost);
  }

  #operations(): MainOperations {
    const side = ({ attempt }: Which): AttemptSide => {
      const found = this.#sides.get(attempt);
      if (found) return found;
      throw new PenstockError('connection_lost', 'The task is not connected any more');
    };
    return {
      running: (input) => side(input).running(),
      warn: ({ error, operatorId, ...which }) => side(which).warn(fromPlain(error), operatorId),
      opening: (input) => side(input).opening(),
      opened: ({ resumed, ...which }) => side(which).opened(resumed),
      // Who is not there any more needs not know.
      settled: ({ attempt }) => this.#sides.get(attempt)?.settled(),
      store: ({ letters, badData, ...which }) => side(which).store(letters, badData),
      counted: (all) => {
        for (const { attempt, counted } of all) this.#count(attempt, counted);
      },
      log: ({ level, details, message }) => this.#logger[level](details, message),
    };
  }

  #count(attempt: number, counted: Counted): void {
    this.#recent = (this.lately * recentMs) / 1000 + counted.totals.messages_in;
    this.#sides.get(attempt)?.counted(counted);
  }
}
