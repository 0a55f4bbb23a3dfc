import { randomInt } from 'node:crypto';
import type { PenstockError } from '../errors.ts';
import type { JobState } from '../jobs/states.ts';
import { printable } from '../jobs/stats.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { alike, batchedBy, type RowChange } from './batched.ts';
import type { WorkerDeps } from './deps.ts';

/** Maximum number of changes of state, and of warnings and errors, that are kept. Neither displaces the other. */
const keptMessages = 1000;
/** Number of messages after which older ones are deleted. */
const trimEvery = 20;
/** Maximum number of messages waiting for the database. Further ones are only counted. */
const maxWaiting = 100;
/** After running this long a job is healthy again. */
const healthyMs = 60_000;

/** The place of an event within a job. Null if it concerns the whole job. */
export interface MessagePlace {
  operatorId: string | null;
  taskIndex: number | null;
}

const wholeJob: MessagePlace = { operatorId: null, taskIndex: null };

interface JobMessage extends MessagePlace {
  createdAt: bigint;
  level: string;
  code: string | null;
  message: string;
  details: string;
}

export const noFailure = { failureCode: null, failureMessage: null, failureDomain: null };

/** The cause of an error: the configuration, another system, or a defect of ours. */
function domainOf({ code, passing }: PenstockError): 'user' | 'external' | 'internal' {
  if (code === 'internal') return 'internal';
  return passing ? 'external' : 'user';
}

interface JobRecordOptions {
  deps: Pick<WorkerDeps, 'db' | 'owner'>;
  jobId: string;
  /** The epoch in which this worker controls the job. */
  epoch: number;
  log: JobLog;
}

/** The actual state of one job. A flush writes it to the job's row, including changes that an earlier flush could not. */
export class JobRecord {
  readonly #options: JobRecordOptions;
  #state: JobState | undefined;
  #changes: Record<string, unknown> = {};
  #stateSince = performance.now();
  #recoveries = 0;

  constructor(options: JobRecordOptions) {
    this.#options = options;
  }

  /** Continues in the state of a former holder. */
  resume(state: JobState): void {
    this.#state = state;
  }

  get state(): JobState {
    return this.#state ?? 'Scheduling';
  }

  get unwritten(): boolean {
    return Object.keys(this.#changes).length > 0;
  }

  /** Records a state and its cause. `more` are other columns of the row. */
  enter(state: JobState, error?: PenstockError, more: object = {}, place = wholeJob): void {
    const now = nowMicros();
    // An edit may come while the job is still restarting for an earlier one.
    const isSame = state === this.#state && state !== 'Restarting';
    const since = isSame ? {} : { stateSince: now, ...this.#transition(state, error) };
    this.#state = state;
    Object.assign(this.#changes, { state, ...since, updatedAt: now }, noFailure, more);
    if (!error) return;
    this.blame(error);
    // The worker of the task has reported a passing error.
    if (state === 'Failed') this.#options.log.say('error', error, place);
  }

  /** Adds a change of state to the history. Returns the columns that show whether the job keeps failing. */
  #transition(state: JobState, error: PenstockError | undefined): Record<string, unknown> {
    const now = performance.now();
    const before = this.#state;
    if (before === 'Running' && now - this.#stateSince > healthyMs) this.#recoveries = 0;
    this.#stateSince = now;
    const createdAt = nowMicros();
    this.#options.log.add(stateChange(createdAt, before ?? null, state, error));
    if (before === undefined) return { recoveries: 0, recoveringSince: null };
    if (state !== 'Recovering') return {};
    this.#recoveries++;
    const since = this.#recoveries === 1 ? { recoveringSince: createdAt } : {};
    return { recoveries: this.#recoveries, ...since };
  }

  /** Shows an error as the job's failure without changing its state. */
  blame(error: PenstockError): void {
    const { code, message } = error;
    const failureMessage = printable(message);
    this.set({ failureCode: code, failureMessage, failureDomain: domainOf(error) });
  }

  set(columns: Record<string, unknown>): void {
    Object.assign(this.#changes, columns);
  }

  /** Writes all changes. Throws database errors and then keeps the changes. */
  async flush(): Promise<void> {
    if (!this.unwritten) return;
    const data = this.#changes;
    this.#changes = {};
    const { deps, jobId, epoch } = this.#options;
    await writeJob(deps, { id: jobId, epoch, data }).catch((error: unknown) => {
      this.#changes = { ...data, ...this.#changes };
      throw error;
    });
  }

  discard(): void {
    this.#changes = {};
  }
}

/** The messages that this process adds to the history of a job. */
export class JobLog {
  readonly #deps: Pick<WorkerDeps, 'db' | 'logger'>;
  readonly #jobId: string;
  #messages: JobMessage[] = [];
  #dropped = 0;
  #lastSampled = new Map<string, number>();
  /** Begins anywhere, so that a job whose controller changes often is trimmed too. */
  #sinceTrim = randomInt(trimEvery);

  constructor(deps: Pick<WorkerDeps, 'db' | 'logger'>, jobId: string) {
    this.#deps = deps;
    this.#jobId = jobId;
  }

  /** Adds an error. Keeps at most one warning a second for each code. */
  say(level: 'warn' | 'error', error: PenstockError, place = wholeJob): void {
    const last = this.#lastSampled.get(error.code) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - last < 1000 && level !== 'error') return;
    this.#lastSampled.set(error.code, performance.now());
    const details = JSON.stringify({ hint: error.hint ?? null, errors: error.errors });
    const createdAt = nowMicros();
    const { code, message } = error;
    this.add({ createdAt, level, code, message: printable(message), details, ...place });
  }

  add(message: JobMessage): void {
    if (this.#messages.length >= maxWaiting) this.#dropped++;
    else this.#messages.push(message);
  }

  get unwritten(): boolean {
    return this.#messages.length > 0;
  }

  discard(): void {
    this.#messages = [];
  }

  /** Writes all messages. Throws database errors and then keeps them. */
  async flush(): Promise<void> {
    if (!this.unwritten) return;
    const { db, logger } = this.#deps;
    const jobId = this.#jobId;
    const data = this.#messages.map((message) => ({ id: messageId(), jobId, ...message }));
    await writeMessages(db, data);
    this.#messages.splice(0, data.length);
    this.#sinceTrim += data.length;
    const count = this.#dropped;
    if (count > 0)
      logger.warn({ job: jobId, count }, 'job messages dropped while the database was unavailable');
    this.#dropped = 0;
    if (this.#sinceTrim < trimEvery) return;
    this.#sinceTrim = 0;
    await this.#trim('info');
    await this.#trim({ not: 'info' });
  }

  async #trim(level: string | { not: string }): Promise<void> {
    const where = { jobId: this.#jobId, level };
    const orderBy = [{ createdAt: 'desc' }, { id: 'desc' }] as const;
    const { jobMessage } = this.#deps.db;
    const expired = await jobMessage.findFirst({ where, orderBy: [...orderBy], skip: keptMessages });
    if (expired) await jobMessage.deleteMany({ where: { ...where, createdAt: { lte: expired.createdAt } } });
  }
}

/** Writes jobs that have changed in the same way together. They then have the same times. */
const writeJob = batchedBy(
  async ({ db, owner }: Pick<WorkerDeps, 'db' | 'owner'>, writes: readonly RowChange[]) => {
    for (const { rows, data } of alike(writes, ['stateSince', 'updatedAt', 'startTime']))
      await db.job.updateMany({ where: { worker: owner, ...rows }, data });
    return () => {};
  },
);

const writeMessages = batchedBy(
  async (db: Db, messages: readonly (JobMessage & { jobId: string; id: string })[][]) => {
    await db.jobMessage.createMany({ data: messages.flat() });
    return () => {};
  },
);

export function stateChange(
  createdAt: bigint,
  before: string | null,
  state: JobState,
  cause?: { code: string; message: string },
): JobMessage {
  const message = `The job is ${state}${before === null ? '' : `; it was ${before}`}`;
  const details = JSON.stringify({ before, state, cause: cause ? printable(cause.message) : null });
  return { createdAt, level: 'info', code: cause?.code ?? null, message, details, ...wholeJob };
}

export function messageId(): string {
  const random = randomInt(2 ** 40).toString(36);
  return `jlm_${(nowMicros() / 1000n).toString(36)}${random.padStart(8, '0')}`;
}
