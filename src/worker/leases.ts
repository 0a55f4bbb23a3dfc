import type { JobState } from '../jobs/states.ts';
import type { Db } from '../store/db.ts';
import type { WorkerDeps } from './deps.ts';
import { changeOfState, messageId } from './job-record.ts';
import { leaseTtlMs, ownerName, renewEveryMs } from './owner.ts';

/** The part of a job's row that decides what to do with it. */
export interface JobRow {
  id: string;
  stop: string;
  state: string;
  restartRequests: number;
  restartForce: boolean;
  restartsDone: number;
  editRequests: number;
}

/** All of it, and no more: it is read of every job, every second. */
const jobRow = {
  id: true,
  stop: true,
  state: true,
  restartRequests: true,
  restartForce: true,
  restartsDone: true,
  editRequests: true,
} as const satisfies Record<keyof JobRow, true>;

/** A job that may be anybody's. */
interface Candidate {
  id: string;
  worker: string | null;
  leaseUntil: bigint | null;
}

/** The lease of another worker, and for how long it was watched and did not change. */
interface Observed {
  worker: string;
  leaseUntil: bigint | null;
  forMs: number;
}

const nowMicros = (): bigint => BigInt(Date.now()) * 1000n;
const ttlMicros = BigInt(leaseTtlMs) * 1000n;

/** The jobs that this worker holds, in their rows. Every method talks to the database and throws as `Db` does. */
export class Leases {
  readonly #db: Db;
  readonly #name: string;
  readonly #isDead: (owner: string) => boolean;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #observed = new Map<string, Observed>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor({ db, owner, isDead }: Pick<WorkerDeps, 'db' | 'owner' | 'isDead'>) {
    this.#db = db;
    this.#name = ownerName(owner);
    this.#isDead = isDead;
  }

  /** Whether nobody else can have taken a job of ours yet. */
  get hold(): boolean {
    return performance.now() - this.#renewedAt < leaseTtlMs;
  }

  /** The database answers after it did not: nobody could renew meanwhile, so that what was seen before says nothing. */
  answersAgain(): void {
    this.#observed.clear();
  }

  async renew(): Promise<void> {
    const at = performance.now();
    if (at - this.#renewedAt < renewEveryMs) return;
    const leaseUntil = nowMicros() + ttlMicros;
    await this.#db.job.updateMany({ where: { worker: this.#name }, data: { leaseUntil } });
    // From before it was sent: it may have taken its time.
    this.#renewedAt = Math.max(this.#renewedAt, at);
  }

  mine(): Promise<JobRow[]> {
    return this.#db.job.findMany({ where: { worker: this.#name }, select: jobRow });
  }

  /** The jobs of ours of which dead letters are to be replayed. */
  async withReplays(): Promise<string[]> {
    const where = { state: 'replaying', job: { worker: this.#name } };
    const jobs = await this.#db.deadLetter.groupBy({ by: ['jobId'], where });
    return jobs.map(({ jobId }) => jobId);
  }

  /** Takes every job that nobody holds and that is not as it is wanted. */
  async claim(): Promise<void> {
    const candidates = await this.#db.job.findMany({
      where: {
        AND: [{ OR: this.#unsettled() }, { OR: [{ worker: null }, { worker: { not: this.#name } }] }],
      },
      select: { id: true, worker: true, leaseUntil: true },
    });
    const before = this.#observed;
    this.#observed = new Map();
    const at = performance.now();
    // While our question waited for its answer, so may have a renewal.
    const watchedMs = Math.min(at - this.#lookedAt, renewEveryMs);
    this.#lookedAt = at;
    for (const candidate of candidates) {
      const { id, worker, leaseUntil } = candidate;
      if (!this.#isFree(candidate, before.get(id), watchedMs)) continue;
      // Conditional, so that of several workers one gets it.
      const data = { worker: this.#name, leaseUntil: nowMicros() + ttlMicros };
      await this.#db.job.updateMany({ where: { id, worker, leaseUntil }, data });
    }
  }

  #unsettled() {
    const done: JobState[] = ['Failed', 'Finished'];
    return [
      { stop: 'none', state: { notIn: done } },
      { stop: { not: 'none' }, state: { notIn: [...done, 'Created', 'Stopped'] } },
      { restartRequests: { gt: this.#db.job.fields.restartsDone } },
      // Its worker died between writing down how it ended and letting go of it.
      { state: { in: [...done, 'Stopped'] }, worker: { not: null } },
    ];
  }

  /**
   * A lease has run out when it was watched for so long without being renewed, by our own clock: that of its worker may be
   * another one, and just after our start, or an outage, a lease may be old because nobody could renew it.
   */
  #isFree({ id, worker, leaseUntil }: Candidate, before: Observed | undefined, watchedMs: number): boolean {
    if (worker === null || this.#isDead(worker)) return true;
    const same = before?.worker === worker && before.leaseUntil === leaseUntil;
    const forMs = same ? before.forMs + watchedMs : 0;
    this.#observed.set(id, { worker, leaseUntil, forMs });
    return forMs > leaseTtlMs;
  }

  /** Lets go of a job that has come to rest in `state`. */
  async release(row: JobRow, state: JobState): Promise<void> {
    const now = nowMicros();
    const ended = state === row.state ? {} : { state, stateSince: now, finishTime: now };
    const noFailure =
      state === 'Failed' ? {} : { failureCode: null, failureMessage: null, failureDomain: null };
    const free = { worker: null, leaseUntil: null, tasks: null, updatedAt: now };
    // At once: as soon as it is nobody's it may be deleted, and nothing can be said of it any more.
    await this.#db.$transaction(async (tx) => {
      const { count } = await tx.job.updateMany({
        where: { id: row.id, worker: this.#name },
        data: { ...ended, ...noFailure, ...free, restartsDone: row.restartRequests },
      });
      if (count === 0 || state === row.state) return;
      const change = { id: messageId(), jobId: row.id, ...changeOfState(now, row.state, state) };
      await tx.jobMessage.create({ data: change });
    });
  }

  /** Gives up every lease. What should run says so: it waits for a worker. */
  async letGo(): Promise<void> {
    const mine = { worker: this.#name };
    await this.#db.job.updateMany({
      where: { ...mine, stop: 'none', state: { notIn: ['Failed', 'Finished'] satisfies JobState[] } },
      data: { state: 'Scheduling', stateSince: nowMicros() },
    });
    await this.#db.job.updateMany({ where: mine, data: { worker: null, leaseUntil: null } });
  }
}
