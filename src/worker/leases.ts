import type { JobState } from '../jobs/states.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import type { WorkerDeps } from './deps.ts';
import { messageId, noFailure, stateChange } from './job-record.ts';

/**
 * A worker holds a job by a lease on its row and renews it. If it dies, another worker takes over after watching the lease
 * unchanged for the whole duration. Two workers can still overlap briefly, for example if a process was frozen. Then the
 * broker prevents double processing: it knows one client per client id.
 */

/** Duration of a lease without renewal. */
export const leaseTtlMs = 15_000;
export const renewEveryMs = 5_000;

interface WorkerProcess {
  host: string;
  pid: number;
  nonce: string;
}

export const ownerName = ({ host, pid, nonce }: WorkerProcess): string => `${host}/${pid}/${nonce}`;

/**
 * Whether the worker `name` may be alive, as seen from the process `own`. It is known to be dead only if it ran on the same
 * host and its process is gone or its process id is ours now. `probe` throws if there is no such process.
 */
export function isOwnerAlive(name: string, own: WorkerProcess, probe: (pid: number) => void): boolean {
  const [host, pid, nonce] = name.split('/');
  if (host !== own.host) return true;
  if (Number(pid) === own.pid) return nonce === own.nonce;
  try {
    probe(Number(pid));
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

const jobRow = {
  id: true,
  stop: true,
  state: true,
  restartRequests: true,
  restartForce: true,
  restartsDone: true,
  editRequests: true,
} as const;

type Job = Awaited<ReturnType<Db['job']['findUniqueOrThrow']>>;
export type HeldJob = Pick<Job, keyof typeof jobRow>;
type LeaseRow = Pick<Job, 'id' | 'worker' | 'leaseUntil'>;

/** The lease of another worker, and how long it has been watched unchanged. */
interface ObservedLease {
  worker: string;
  leaseUntil: bigint | null;
  forMs: number;
}

const nextExpiry = (): bigint => nowMicros() + BigInt(leaseTtlMs) * 1000n;

/** The leases of this worker. All methods but `hold` and `discardObservations` throw database errors. */
export class Leases {
  readonly #db: Db;
  readonly #own: { worker: string };
  readonly #isDead: (owner: string) => boolean;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #observed = new Map<string, ObservedLease>();
  #observedAt = Number.NEGATIVE_INFINITY;

  constructor({ db, owner, isDead }: Pick<WorkerDeps, 'db' | 'owner' | 'isDead'>) {
    this.#db = db;
    this.#own = { worker: owner };
    this.#isDead = isDead;
  }

  /** Whether no other worker can have taken our jobs yet. */
  get hold(): boolean {
    return performance.now() - this.#renewedAt < leaseTtlMs;
  }

  /** Call after a database outage. No lease could be renewed during it, so earlier observations are discarded. */
  discardObservations(): void {
    this.#observed.clear();
  }

  async renew(): Promise<void> {
    const at = performance.now();
    if (at - this.#renewedAt < renewEveryMs) return;
    await this.#db.job.updateMany({ where: this.#own, data: { leaseUntil: nextExpiry() } });
    // Counts from the time of sending, as the query may have taken long.
    this.#renewedAt = Math.max(this.#renewedAt, at);
  }

  own(): Promise<HeldJob[]> {
    return this.#db.job.findMany({ where: this.#own, select: jobRow });
  }

  /** Ids of our jobs with dead letters to replay. */
  async withReplays(): Promise<string[]> {
    const where = { state: 'replaying', job: this.#own };
    const jobs = await this.#db.deadLetter.groupBy({ by: ['jobId'], where });
    return jobs.map(({ jobId }) => jobId);
  }

  async claim(): Promise<void> {
    const candidates = await this.#db.job.findMany({
      where: {
        AND: [{ OR: this.#unsettled() }, { OR: [{ worker: null }, { NOT: this.#own }] }],
      },
      select: { id: true, worker: true, leaseUntil: true },
    });
    const before = this.#observed;
    this.#observed = new Map();
    const at = performance.now();
    // At most one renewal interval: a renewal may have waited as long as our own query did.
    const watchedMs = Math.min(at - this.#observedAt, renewEveryMs);
    this.#observedAt = at;
    for (const candidate of candidates) {
      const { id, worker, leaseUntil } = candidate;
      if (!this.#isFree(candidate, before.get(id), watchedMs)) continue;
      // Conditional, so only one of several workers gets it.
      const data = { ...this.#own, leaseUntil: nextExpiry() };
      await this.#db.job.updateMany({ where: { id, worker, leaseUntil }, data });
    }
  }

  #unsettled() {
    const done: JobState[] = ['Failed', 'Finished'];
    return [
      { stop: 'none', state: { notIn: done } },
      { stop: { not: 'none' }, state: { notIn: [...done, 'Created', 'Stopped'] } },
      { restartRequests: { gt: this.#db.job.fields.restartsDone } },
      // Its worker died after writing the final state and before releasing the job.
      { state: { in: [...done, 'Stopped'] }, worker: { not: null } },
    ];
  }

  /** Watches by our own clock: that of the worker may differ, and after an outage a lease is old but may be renewed. */
  #isFree(
    { id, worker, leaseUntil }: LeaseRow,
    before: ObservedLease | undefined,
    watchedMs: number,
  ): boolean {
    if (worker === null || this.#isDead(worker)) return true;
    const same = before?.worker === worker && before.leaseUntil === leaseUntil;
    const forMs = same ? before.forMs + watchedMs : 0;
    this.#observed.set(id, { worker, leaseUntil, forMs });
    return forMs > leaseTtlMs;
  }

  async release(row: HeldJob, state: JobState): Promise<void> {
    const now = nowMicros();
    const ended = state === row.state ? {} : { state, stateSince: now, finishTime: now };
    const failure = state === 'Failed' ? {} : noFailure;
    const free = { worker: null, leaseUntil: null, tasks: null, updatedAt: now };
    // One transaction: a released job may be deleted at once, and then takes no message.
    await this.#db.$transaction(async (tx) => {
      const { count } = await tx.job.updateMany({
        where: { id: row.id, ...this.#own },
        data: { ...ended, ...failure, ...free, restartsDone: row.restartRequests },
      });
      if (count === 0 || state === row.state) return;
      const change = { id: messageId(), jobId: row.id, ...stateChange(now, row.state, state) };
      await tx.jobMessage.create({ data: change });
    });
  }

  /** Releases every lease. Jobs that should run become Scheduling: they wait for a worker. */
  async releaseAll(): Promise<void> {
    await this.#db.job.updateMany({
      where: { ...this.#own, stop: 'none', state: { notIn: ['Failed', 'Finished'] satisfies JobState[] } },
      data: { state: 'Scheduling', stateSince: nowMicros() },
    });
    await this.#db.job.updateMany({ where: this.#own, data: { worker: null, leaseUntil: null } });
  }
}
