import { randomInt } from 'node:crypto';
import type { Logger } from '../connectors/connector.ts';
import { errorCatalog, type PenstockError } from '../errors.ts';
import type { JobState } from '../jobs/states.ts';
import { printable } from '../jobs/stats.ts';
import type { Db } from '../store/db.ts';

/** Maximum number of messages kept per job. */
const keptMessages = 1000;
/** Maximum number of messages waiting for the database. Further ones are only counted. */
const maxWaiting = 100;
/** After running this long a job is healthy again. */
const healthyMs = 60_000;

/** Where in a job something happened. Null if it concerns the whole job. */
export interface MessagePlace {
  operatorId: string | null;
  taskIndex: number | null;
}

const everywhere: MessagePlace = { operatorId: null, taskIndex: null };

interface JobMessage extends MessagePlace {
  createdAt: bigint;
  level: string;
  code: string | null;
  message: string;
  details: string;
}

const noFailure = { failureCode: null, failureMessage: null, failureDomain: null };

/** The cause of an error: the configuration, another system, or a defect of ours. */
function domainOf({ code }: PenstockError): 'user' | 'external' | 'internal' {
  if (code === 'internal') return 'internal';
  return errorCatalog[code].passing ? 'external' : 'user';
}

/**
 * The actual state of one job, in memory and with a flush in its row. No change is lost while the process lives: the next
 * flush writes what a failed one could not.
 */
export class JobRecord {
  readonly #db: Db;
  readonly #jobId: string;
  readonly #worker: string;
  readonly #logger: Logger;
  #state: JobState | undefined;
  #changes: Record<string, unknown> = {};
  #messages: JobMessage[] = [];
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

  /** Whether the row is out of date. */
  get unwritten(): boolean {
    return Object.keys(this.#changes).length > 0;
  }

  /** Records a state and its cause. `more` are other columns of the row. */
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

  /** Adds a change of state to the history. Returns the columns that show whether the job keeps failing. */
  #transition(state: JobState, error: PenstockError | undefined): Record<string, unknown> {
    const now = Date.now();
    const before = this.#state;
    const healthy = before === 'Running' && now - this.#stateSince > healthyMs;
    this.#stateSince = now;
    const createdAt = BigInt(now) * 1000n;
    this.#add(stateChange(createdAt, before ?? null, state, error));
    if (before === undefined || healthy) this.#recoveries = 0;
    if (before === undefined) return { recoveries: 0, recoveringSince: null };
    if (state !== 'Recovering') return {};
    const first = this.#recoveries === 0;
    this.#recoveries++;
    return { recoveries: this.#recoveries, ...(first ? { recoveringSince: createdAt } : {}) };
  }

  /** Shows an error as the job's failure without changing its state. */
  blame(error: PenstockError): void {
    const { code, message } = error;
    const failureMessage = printable(message);
    this.set({ failureCode: code, failureMessage, failureDomain: domainOf(error) });
  }

  /** Records other columns of the row. */
  set(columns: Record<string, unknown>): void {
    Object.assign(this.#changes, columns);
  }

  /** Adds to the job's messages. Keeps at most one warning a second for each code. */
  say(level: 'warn' | 'error', error: PenstockError, place: MessagePlace = everywhere): void {
    const last = this.#lastSampled.get(error.code) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - last < 1000 && level !== 'error') return;
    this.#lastSampled.set(error.code, performance.now());
    const details = JSON.stringify({ hint: error.hint ?? null, errors: error.errors });
    const createdAt = BigInt(Date.now()) * 1000n;
    const { code, message } = error;
    this.#add({ createdAt, level, code, message: printable(message), details, ...place });
  }

  #add(message: JobMessage): void {
    if (this.#messages.length >= maxWaiting) this.#leftOut++;
    else this.#messages.push(message);
  }

  /** Writes all changes. Throws database errors and then keeps the changes. */
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

  /** Drops unwritten changes. */
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
        'job messages dropped while the database was unavailable',
      );
    this.#leftOut = 0;
    const newestExpired = await this.#db.jobMessage.findFirst({
      where: { jobId: this.#jobId },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      skip: keptMessages,
    });
    if (newestExpired)
      await this.#db.jobMessage.deleteMany({
        where: { jobId: this.#jobId, createdAt: { lte: newestExpired.createdAt } },
      });
  }
}

/** The history entry for a change of state. */
export function stateChange(
  createdAt: bigint,
  before: string | null,
  state: JobState,
  cause?: { code: string; message: string },
): JobMessage {
  const message = before === null ? `The job is ${state}` : `The job is ${state}; it was ${before}`;
  const details = JSON.stringify({ before, state, cause: cause ? printable(cause.message) : null });
  return { createdAt, level: 'info', code: cause?.code ?? null, message, details, ...everywhere };
}

export function messageId(): string {
  return `jlm_${Date.now().toString(36)}${randomInt(2 ** 40)
    .toString(36)
    .padStart(8, '0')}`;
}
