import { asPenstockError } from '../errors.ts';
import { drains, type JobState, type StopMode } from '../jobs/states.ts';
import { delay } from '../runtime/backoff.ts';
import type { WorkerDeps } from './deps.ts';
import { JobRecord } from './job-record.ts';
import { type JobRow, Leases } from './leases.ts';
import { createMetrics, forgetJob, type WorkerMetrics } from './metrics.ts';
import { ownerName, renewEveryMs } from './owner.ts';
import { RunningJob } from './running-job.ts';
import { clearLeftovers } from './session-cleanup.ts';
import { StatsWriter } from './stats-writer.ts';

/** How often the database is asked for changes; a nudge asks at once. */
const pollEveryMs = 1000;
/**
 * Looking takes longer the more jobs there are, and each of them nudges: between two looks there is this many times what
 * a look takes for everything else.
 */
const restPerLook = 4;
/** How long a stopping worker waits for the database; leases that are not given up run out. */
const farewellMs = 5000;

/**
 * Runs jobs: claims those that should run, starts them, keeps their rows true, and stops them when that is wanted.
 * It compares the desired state with the actual one again and again, so it does not matter which change it missed.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #metrics: WorkerMetrics;
  readonly #leases: Leases;
  readonly #jobs = new Map<string, RunningJob>();
  readonly #stats: StatsWriter;
  readonly #stopping = new AbortController();
  #wake = (): void => {};
  #nudged = false;
  #loop: Promise<void> = Promise.resolve();
  #heartbeat: Promise<void> = Promise.resolve();
  #databaseDown = false;
  #clearing: Promise<void> | undefined;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#metrics = createMetrics(deps.metrics, () =>
      [...this.#jobs.values()].map(({ stats }) => stats.counts()),
    );
    this.#leases = new Leases(deps);
    this.#stats = new StatsWriter(deps, () => [...this.#jobs].map(([id, { stats }]) => [id, stats]));
  }

  start(): void {
    this.#loop = this.#run();
    this.#heartbeat = this.#beat();
    this.#stats.start();
  }

  /** Looks for changes now rather than at the next poll. */
  nudge(): void {
    this.#nudged = true;
    this.#wake();
  }

  /**
   * Drains every job, gives up the leases, and leaves the broker sessions for whoever runs the jobs next. Jobs drain
   * whether the database answers or not.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    const written = this.#stats.stop();
    const jobs = [...this.#jobs.values()];
    await Promise.all(jobs.map((job) => job.end(true)));
    const farewell = written
      .then(() => this.#sayFarewell(jobs))
      .catch((err: unknown) =>
        this.#deps.logger.warn({ err }, 'leases could not be given up; they run out by themselves'),
      );
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, farewellMs);
    await Promise.race([farewell, late]);
    clearTimeout(timer);
  }

  async #sayFarewell(jobs: RunningJob[]): Promise<void> {
    await this.#loop;
    await this.#heartbeat;
    await this.#clearing;
    this.#jobs.clear();
    for (const { id, record } of jobs) await this.#write(id, record);
    await this.#leases.letGo();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#nudged = false;
      const since = performance.now();
      try {
        await this.#reconcile();
        if (this.#databaseDown) this.#answersAgain();
      } catch (err) {
        // Jobs that run go on running: only what they report waits.
        if (!this.#databaseDown) this.#deps.logger.error({ err }, 'the database does not answer; jobs go on');
        this.#databaseDown = true;
      }
      await this.#rest(Math.min(restPerLook * (performance.now() - since), pollEveryMs));
      if (!this.#nudged) await this.#pause();
    }
  }

  /** Renews the leases also while the loop waits, on a connection that is dead say, for longer than they last. */
  async #beat(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await delay(renewEveryMs, signal).catch(() => {});
      // What the database has against it, the loop hears as well.
      if (!signal.aborted) await this.#leases.renew().catch(() => {});
    }
  }

  #answersAgain(): void {
    this.#databaseDown = false;
    this.#leases.answersAgain();
    this.#deps.logger.info({}, 'the database answers again');
  }

  /** Whatever nudges meanwhile is not missed. */
  async #rest(ms: number): Promise<void> {
    await delay(ms, this.#stopping.signal).catch(() => {});
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
    await this.#leases.renew();
    if (this.#databaseDown) this.#answersAgain();
    await this.#leases.claim();
    // Before the rows are read, so that they are not older than what is known here.
    for (const { id, record } of this.#jobs.values()) await this.#write(id, record);
    const mine = await this.#leases.mine();
    const ids = new Set(mine.map(({ id }) => id));
    for (const [id, job] of this.#jobs) if (!ids.has(id)) await this.#lost(id, job);
    for (const row of mine) await this.#bringAbout(row);
    for (const id of await this.#leases.withReplays()) this.#jobs.get(id)?.replay();
    this.#clearing ??= clearLeftovers(this.#deps)
      .catch((err: unknown) =>
        this.#deps.logger.warn({ err }, 'what deleted pipelines left on brokers waits'),
      )
      .finally(() => {
        this.#clearing = undefined;
      });
    this.#count();
  }

  /** Writes a job's record. A row that takes nothing, because it is gone say, must not hold up the others. */
  async #write(id: string, record: JobRecord): Promise<void> {
    try {
      await record.flush();
    } catch (err) {
      if (asPenstockError(err).code === 'database_unavailable') throw err;
      this.#deps.logger.error({ err, job: id }, 'what a job reports cannot be written');
      record.discard();
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
    if (this.#stopping.signal.aborted) return;
    const job = this.#jobs.get(row.id);
    const wanted = row.stop as StopMode;
    const restart = row.restartRequests > row.restartsDone;
    if (job && !job.over) {
      if (wanted !== 'none') job.askToEnd(drains(wanted));
      else if (restart) job.askToEnd(!row.restartForce, 'Restarting');
      else job.edit(row.editRequests);
    } else if (job) {
      // What it has reported since is written first; the row is older than that.
      if (job.record.unwritten) this.#nudged = true;
      else await this.#settle(row, job);
    } else if (wanted === 'none' && (restart || !isDone(row.state))) this.#begin(row);
    else await this.#leases.release(row, isDone(row.state) ? row.state : 'Stopped');
  }

  /** A job of ours has come to its end: begin again, or write down how it ended and let go of it. */
  async #settle(row: JobRow, job: RunningJob): Promise<void> {
    if (row.restartRequests > row.restartsDone && row.stop === 'none') return this.#begin(row);
    await this.#leases.release(row, job.failure ? 'Failed' : job.finished ? 'Finished' : 'Stopped');
    forgetJob(this.#metrics, row.id);
    this.#jobs.delete(row.id);
  }

  #begin(row: JobRow): void {
    const { db, owner, logger } = this.#deps;
    const record = new JobRecord(db, row.id, ownerName(owner), logger);
    const holder = {
      metrics: this.#metrics,
      changed: () => this.nudge(),
      mayConnect: () => !this.#deps.shared || this.#leases.hold,
    };
    const job = new RunningJob(row.id, this.#deps, record, holder, row);
    this.#jobs.set(row.id, job);
    job.begin();
  }

  #count(): void {
    this.#metrics.jobs.reset();
    for (const job of this.#jobs.values()) this.#metrics.jobs.inc({ state: job.record.state });
  }
}

const isDone = (state: string): state is Extract<JobState, 'Failed' | 'Finished'> =>
  state === 'Failed' || state === 'Finished';
