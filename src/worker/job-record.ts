import { randomInt } from 'node:crypto';
import type { Logger } from '../connectors/connector.ts';
import type { PenstockError } from '../errors.ts';
import type { JobState } from '../jobs/states.ts';
import { printable } from '../runtime/printable.ts';
import type { Db } from '../store/db.ts';

/** Messages kept of a job; the oldest go. */
const keptMessages = 1000;
/** Messages waiting to be written while the database does not answer; the newest are dropped, counted. */
const maxWaiting = 100;

/** After running this long a job counts as healthy again. */
const healthyMs = 60_000;

/** Where in a job something happened; null for what concerns all of it. */
export interface MessagePlace {
  operatorId: string | null;
  taskIndex: number | null;
}

const everywhere: MessagePlace = { operatorId: null, taskIndex: null };

interface Message extends MessagePlace {
  createdAt: bigint;
  level: string;
  code: string | null;
  message: string;
  details: string;
}

interface Failure {
  failureCode: string | null;
  failureMessage: string | null;
  failureDomain: string | null;
}

const noFailure: Failure = { failureCode: null, failureMessage: null, failureDomain: null };

/** Whose business an error is: the person's who configured the pipeline, another system's, or ours. */
function domainOf({ code, passing }: PenstockError): 'user' | 'external' | 'internal' {
  if (code === 'internal') return 'internal';
  return passing ? 'external' : 'user';
}

/**
 * The actual state of one job, as it is in memory and, as soon as the database lets us, in its row. Changes are never
 * lost while the process lives: what could not be written is written with the next flush.
 */
export class JobRecord {
  readonly #db: Db;
  readonly #jobId: string;
  readonly #worker: string;
  readonly #logger: Logger;
  #state: JobState | undefined;
  #changes: Record<string, unknown> = {};
  #messages: Message[] = [];
  #leftOut = 0;
  #lastSampled = new Map<string, number>();
  #stateSince = Date.now();
  #recoveries = 0;

  constructor(db: Db, jobId: string, worker: string, logger: Logger) {
    this.#db = db;
    this.#jobId = jobId;
    this.#worker = worker;
    this.#logger = logger;
  }

  get state(): JobState {
    return this.#state ?? 'Scheduling';
  }

  /** Whether the row is behind. */
  get unwritten(): boolean {
    return Object.keys(this.#changes).length > 0;
  }

  /** Notes a state, and why; `more` are other columns of the row. */
  enter(
    state: JobState,
    error?: PenstockError,
    more: Record<string, unknown> = {},
    place: MessagePlace = everywhere,
  ): void {
    const now = BigInt(Date.now()) * 1000n;
    const since = state === this.#state ? {} : { stateSince: now, ...this.#transition(state, error) };
    this.#state = state;
    Object.assign(this.#changes, { state, ...since, updatedAt: now }, noFailure, more);
    if (!error) return;
    this.blame(error);
    this.say(state === 'Failed' ? 'error' : 'warn', error, place);
  }

  /** Another state: it goes into the history. Answers what that says about whether the job keeps falling over. */
  #transition(state: JobState, error: PenstockError | undefined): Record<string, unknown> {
    const now = Date.now();
    const before = this.#state;
    const healthy = before === 'Running' && now - this.#stateSince > healthyMs;
    this.#stateSince = now;
    const createdAt = BigInt(now) * 1000n;
    this.#add(changeOfState(createdAt, before ?? null, state, error));
    if (before === undefined || healthy) this.#recoveries = 0;
    if (before === undefined) return { recoveries: 0, recoveringSince: null };
    if (state !== 'Recovering') return {};
    const first = this.#recoveries === 0;
    this.#recoveries++;
    return { recoveries: this.#recoveries, ...(first ? { recoveringSince: createdAt } : {}) };
  }

  /** Shows what is wrong with the job in the state that it is in. */
  blame(error: PenstockError): void {
    const failure: Failure = {
      failureCode: error.code,
      failureMessage: printable(error.message),
      failureDomain: domainOf(error),
    };
    Object.assign(this.#changes, failure);
  }

  /** Notes other columns of the row. */
  set(columns: Record<string, unknown>): void {
    Object.assign(this.#changes, columns);
  }

  /** Adds to the job's messages. Of those with one code at most one a second is kept, with the number left out. */
  say(level: 'warn' | 'error', error: PenstockError, place: MessagePlace = everywhere): void {
    const last = this.#lastSampled.get(error.code) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - last < 1000 && level !== 'error') return;
    this.#lastSampled.set(error.code, performance.now());
    const details = JSON.stringify({ hint: error.hint ?? null, errors: error.errors });
    const createdAt = BigInt(Date.now()) * 1000n;
    const { code, message } = error;
    this.#add({ createdAt, level, code, message: printable(message), details, ...place });
  }

  #add(message: Message): void {
    if (this.#messages.length >= maxWaiting) this.#leftOut++;
    else this.#messages.push(message);
  }

  /** Writes what is not written yet. Throws when the database does not answer; nothing is lost then. */
  async flush(): Promise<void> {
    if (this.unwritten) {
      const changes = this.#changes;
      this.#changes = {};
      try {
        await this.#db.job.updateMany({ where: { id: this.#jobId, worker: this.#worker }, data: changes });
      } catch (error) {
        this.#changes = { ...changes, ...this.#changes };
        throw error;
      }
    }
    if (this.#messages.length > 0) await this.#flushMessages();
  }

  /** Forgets what is not written. */
  discard(): void {
    this.#changes = {};
    this.#messages = [];
  }

  async #flushMessages(): Promise<void> {
    const batch = this.#messages.slice();
    const data = batch.map((message) => ({ id: messageId(), jobId: this.#jobId, ...message }));
    await this.#db.jobMessage.createMany({ data });
    this.#messages.splice(0, batch.length);
    if (this.#leftOut > 0)
      this.#logger.warn(
        { job: this.#jobId, count: this.#leftOut },
        'job messages left out while the database was away',
      );
    this.#leftOut = 0;
    const newestToGo = await this.#db.jobMessage.findFirst({
      where: { jobId: this.#jobId },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      skip: keptMessages,
    });
    if (newestToGo)
      await this.#db.jobMessage.deleteMany({
        where: { jobId: this.#jobId, createdAt: { lte: newestToGo.createdAt } },
      });
  }
}

/** The entry that a change of state makes in the history of a job. */
export function changeOfState(
  createdAt: bigint,
  before: string | null,
  state: JobState,
  cause?: { code: string; message: string },
): Message {
  const message = before === null ? `The job is ${state}` : `The job is ${state}; it was ${before}`;
  const details = JSON.stringify({ before, state, cause: cause ? printable(cause.message) : null });
  return { createdAt, level: 'info', code: cause?.code ?? null, message, details, ...everywhere };
}

export function messageId(): string {
  return `jlm_${Date.now().toString(36)}${randomInt(2 ** 40)
    .toString(36)
    .padStart(8, '0')}`;
}
