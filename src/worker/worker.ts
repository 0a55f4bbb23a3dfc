import { drains, type JobState, type StopMode } from '../job.ts';
import type { WorkerDeps } from './deps.ts';
import { leaseTtlMs, ownerName, renewEveryMs } from './lease.ts';
import { clearLeftovers } from './leftovers.ts';
import { createMetrics, forgetJob, type WorkerMetrics } from './metrics.ts';
import { JobRecord } from './record.ts';
import { RunningJob } from './running-job.ts';

/** How often the database is asked for changes; a nudge asks at once. */
const pollEveryMs = 1000;

/** The part of a job's row that decides what to do with it. */
interface JobRow {
  id: string;
  stop: string;
  state: string;
  restartRequests: number;
  restartsDone: number;
  worker: string | null;
  leaseUntil: bigint | null;
}

/**
 * Runs jobs: claims those that should run, starts them, keeps their rows true, and stops them when that is wanted.
 * It compares the desired state with the actual one again and again, so it does not matter which change it missed.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #name: string;
  readonly #metrics: WorkerMetrics;
  readonly #jobs = new Map<string, RunningJob>();
  readonly #stopping = new AbortController();
  #wake = (): void => {};
  #nudged = false;
  #loop: Promise<void> = Promise.resolve();
  #renewedAt = 0;
  #databaseDown = false;
  #clearing: Promise<void> | undefined;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#name = ownerName(deps.owner);
    this.#metrics = createMetrics(deps.metrics);
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Looks for changes now rather than at the next poll. */
  nudge(): void {
    this.#nudged = true;
    this.#wake();
  }

  /** Drains every job, gives up the leases, and leaves the broker sessions for whoever runs the jobs next. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#loop;
    await this.#clearing;
    const jobs = [...this.#jobs.values()];
    await Promise.all(jobs.map((job) => job.end(true)));
    this.#jobs.clear();
    for (const { record } of jobs) await record.flush();
    await this.#letGo();
  }

  /** Gives up every lease. What should run says so: it waits for a worker. */
  async #letGo(): Promise<void> {
    const stateSince = BigInt(Date.now()) * 1000n;
    const mine = { worker: this.#name };
    await this.#deps.db.job.updateMany({
      where: { ...mine, stop: 'none', state: { not: 'Failed' } },
      data: { state: 'Scheduling', stateSince },
    });
    await this.#deps.db.job.updateMany({ where: mine, data: { worker: null, leaseUntil: null } });
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#nudged = false;
      try {
        await this.#reconcile();
        if (this.#databaseDown) this.#deps.logger.info({}, 'the database answers again');
        this.#databaseDown = false;
      } catch (err) {
        // Jobs that run go on running: only what they report waits.
        if (!this.#databaseDown) this.#deps.logger.error({ err }, 'the database does not answer; jobs go on');
        this.#databaseDown = true;
      }
      if (!this.#nudged) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pollEveryMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#stopping.signal.aborted || this.#nudged) this.#wake();
    });
  }

  async #reconcile(): Promise<void> {
    await this.#renew();
    await this.#claim();
    // Before the rows are read, so that they are not older than what is known here.
    for (const { record } of this.#jobs.values()) await record.flush();
    const mine = await this.#deps.db.job.findMany({ where: { worker: this.#name } });
    const ids = new Set(mine.map(({ id }) => id));
    for (const [id, job] of this.#jobs) if (!ids.has(id)) await this.#lost(id, job);
    for (const row of mine) await this.#bringAbout(row);
    this.#clearing ??= clearLeftovers(this.#deps).finally(() => {
      this.#clearing = undefined;
    });
    this.#count();
  }

  async #renew(): Promise<void> {
    if (performance.now() - this.#renewedAt < renewEveryMs && this.#renewedAt > 0) return;
    const leaseUntil = BigInt(Date.now() + leaseTtlMs) * 1000n;
    await this.#deps.db.job.updateMany({ where: { worker: this.#name }, data: { leaseUntil } });
    this.#renewedAt = performance.now();
  }

  /** Takes every job that nobody holds and that is not as it is wanted. */
  async #claim(): Promise<void> {
    const now = BigInt(Date.now()) * 1000n;
    const unsettled = [
      { stop: 'none', state: { notIn: ['Failed', 'Finished'] satisfies JobState[] } },
      {
        stop: { not: 'none' },
        state: { notIn: ['Created', 'Stopped', 'Failed', 'Finished'] satisfies JobState[] },
      },
      { restartRequests: { gt: this.#deps.db.job.fields.restartsDone } },
    ];
    const held = { worker: { not: null }, NOT: { worker: this.#name } };
    const candidates = await this.#deps.db.job.findMany({
      where: { AND: [{ OR: unsettled }, { OR: [{ worker: null }, held] }] },
      select: { id: true, worker: true, leaseUntil: true },
    });
    for (const { id, worker, leaseUntil } of candidates) {
      const free = worker === null || (leaseUntil ?? 0n) < now || this.#deps.isDead(worker);
      if (!free) continue;
      // Conditional, so that of several workers one gets it.
      await this.#deps.db.job.updateMany({
        where: { id, worker, leaseUntil },
        data: { worker: this.#name, leaseUntil: now + BigInt(leaseTtlMs) * 1000n },
      });
    }
  }

  /** A job of ours is another's now, or its pipeline was deleted. */
  async #lost(id: string, job: RunningJob): Promise<void> {
    this.#deps.logger.warn({ job: id }, 'the job is no longer ours');
    this.#jobs.delete(id);
    forgetJob(this.#metrics, id);
    await job.end(false);
  }

  async #bringAbout(row: JobRow): Promise<void> {
    const job = this.#jobs.get(row.id);
    const wanted = row.stop as StopMode;
    const restart = row.restartRequests > row.restartsDone;
    if (job && !job.over) {
      if (wanted !== 'none') job.askToEnd(drains(wanted));
      else if (restart) job.askToEnd(true, 'Restarting');
      return;
    }
    if (job?.record.unwritten) this.#nudged = true;
    else if (job) await this.#settle(row, job);
    else if (wanted !== 'none') await this.#release(row, 'Stopped');
    else this.#begin(row, row.restartRequests);
  }

  /** A job of ours has come to its end: begin again, or write down how it ended and let go of it. */
  async #settle(row: JobRow, job: RunningJob): Promise<void> {
    this.#jobs.delete(row.id);
    if (row.restartRequests > row.restartsDone && row.stop === 'none')
      return this.#begin(row, row.restartRequests);
    forgetJob(this.#metrics, row.id);
    await this.#release(row, job.failure ? 'Failed' : 'Stopped');
  }

  #begin(row: JobRow, restartsDone: number): void {
    const record = new JobRecord(this.#deps.db, row.id, this.#name, this.#deps.logger);
    const job = new RunningJob(row.id, this.#deps, record, this.#metrics, () => this.nudge());
    this.#jobs.set(row.id, job);
    job.begin(restartsDone);
  }

  async #release(row: JobRow, state: JobState): Promise<void> {
    const now = BigInt(Date.now()) * 1000n;
    const ended = state === row.state ? {} : { state, stateSince: now, finishTime: now };
    await this.#deps.db.job.updateMany({
      where: { id: row.id, worker: this.#name },
      data: {
        ...ended,
        restartsDone: row.restartRequests,
        tasks: null,
        worker: null,
        leaseUntil: null,
        updatedAt: now,
      },
    });
  }

  #count(): void {
    this.#metrics.jobs.reset();
    for (const job of this.#jobs.values()) this.#metrics.jobs.inc({ state: job.record.state });
  }
}
