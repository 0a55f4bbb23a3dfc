import { asPenstockError, isDatabaseFailure } from '../errors.ts';
import { drainsFirst, type JobState, type StopMode } from '../jobs/states.ts';
import { delay } from '../runtime/delay.ts';
import type { WorkerDeps } from './deps.ts';
import type { JobRecord } from './job-record.ts';
import { type HeldJob, Leases, renewEveryMs } from './leases.ts';
import { StatsWriter, WorkerMetrics } from './reporting.ts';
import { RunningJob } from './running-job.ts';
import { cleanUpSessions } from './session-cleanup.ts';

/** Interval of reading changes from the database. A nudge reads them at once. */
const pollEveryMs = 1000;
/**
 * Ratio of the pause between two rounds to the duration of a round. More jobs make rounds longer and nudges more frequent, so
 * the pause leaves time for other work.
 */
const pausePerRound = 4;
/** Time that a stopping worker waits for the database. Leases not released by then expire. */
const shutdownMs = 5000;

/**
 * Runs jobs: claims those that should run, starts and stops them, and keeps their rows up to date. It compares desired and
 * actual state again and again, so no missed change matters.
 *
 * Everything in `worker/` runs in the main thread, which owns what exists once: the database, leases, sessions, dead letters
 * and the visible state of jobs. Messages move in worker threads (`runtime/`). The calls between the two are listed in
 * `runtime/operations.ts`.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #metrics: WorkerMetrics;
  readonly #leases: Leases;
  readonly #jobs = new Map<string, RunningJob>();
  readonly #stats: StatsWriter;
  readonly #stopping = new AbortController();
  #nudge = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #heartbeat: Promise<void> = Promise.resolve();
  #databaseDown = false;
  #cleaning: Promise<void> | undefined;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#metrics = new WorkerMetrics(deps.metrics, () =>
      this.#jobs.values().map(({ record }) => record.state),
    );
    this.#leases = new Leases(deps);
    this.#stats = new StatsWriter(deps, () =>
      this.#jobs.entries().map(([id, { counters }]) => [id, counters]),
    );
  }

  start(): void {
    this.#loop = this.#run();
    this.#heartbeat = this.#renewLeases();
    this.#stats.start();
  }

  nudge(): void {
    this.#nudge.abort();
  }

  /** Drains every job, even if the database is unavailable, and releases the leases. Broker sessions stay. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.nudge();
    const written = this.#stats.stop();
    const jobs = [...this.#jobs.values()];
    await Promise.all(jobs.map((job) => job.end(true)));
    const released = written
      .then(() => this.#shutdown(jobs))
      .catch((err: unknown) =>
        this.#deps.logger.warn({ err }, 'leases could not be released; they will expire'),
      );
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, shutdownMs);
    await Promise.race([released, late]);
    clearTimeout(timer);
  }

  async #shutdown(jobs: RunningJob[]): Promise<void> {
    await this.#loop;
    await this.#heartbeat;
    await this.#cleaning;
    this.#jobs.clear();
    for (const { id, record } of jobs) await this.#write(id, record);
    await this.#leases.releaseAll();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#nudge = new AbortController();
      const since = performance.now();
      try {
        await this.#reconcile();
        if (this.#databaseDown) this.#databaseBack();
      } catch (err) {
        const { code, facts } = asPenstockError(err);
        if (!this.#databaseDown)
          this.#deps.logger.error(
            { err, code, said: facts.said },
            'database unavailable; running jobs continue',
          );
        this.#databaseDown = true;
      }
      const pause = Math.min(pausePerRound * (performance.now() - since), pollEveryMs);
      await delay(pause, signal).catch(() => {});
      await delay(pollEveryMs, this.#nudge.signal).catch(() => {});
    }
  }

  /** Renews leases apart from the main loop, which may hang on a dead connection for longer than leases last. */
  async #renewLeases(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await delay(renewEveryMs, signal).catch(() => {});
      // The main loop reports database errors.
      if (!signal.aborted) await this.#leases.renew().catch(() => {});
    }
  }

  #databaseBack(): void {
    this.#databaseDown = false;
    this.#leases.discardObservations();
    this.#deps.logger.info({}, 'database available again');
  }

  async #reconcile(): Promise<void> {
    await this.#leases.renew();
    if (this.#databaseDown) this.#databaseBack();
    await this.#leases.claim();
    // Before the rows are read, so they are not older than the records here.
    for (const { id, record } of this.#jobs.values()) await this.#write(id, record);
    const own = await this.#leases.own();
    const ids = new Set(own.map(({ id }) => id));
    for (const [id, job] of this.#jobs) if (!ids.has(id)) await this.#lost(id, job);
    for (const row of own) await this.#reconcileJob(row);
    for (const id of await this.#leases.withReplays()) this.#jobs.get(id)?.replay();
    this.#cleaning ??= cleanUpSessions(this.#deps)
      .catch((err: unknown) => this.#deps.logger.warn({ err }, 'cleanup of orphaned sessions is delayed'))
      .finally(() => {
        this.#cleaning = undefined;
      });
  }

  /** Writes a job's record. A row that cannot be written, for example because it is gone, does not delay the others. */
  async #write(id: string, record: JobRecord): Promise<void> {
    try {
      await record.flush();
    } catch (err) {
      if (isDatabaseFailure(asPenstockError(err))) throw err;
      this.#deps.logger.error({ err, job: id }, 'job state cannot be written and is discarded');
      record.discard();
    }
  }

  /** Another worker took the job, or its pipeline was deleted. */
  async #lost(id: string, job: RunningJob): Promise<void> {
    this.#deps.logger.warn({ job: id }, 'job lost: it was taken over or deleted');
    this.#jobs.delete(id);
    this.#metrics.forget(id);
    await job.end(false);
  }

  async #reconcileJob(row: HeldJob): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const job = this.#jobs.get(row.id);
    const wanted = row.stop as StopMode;
    const restart = row.restartRequests > row.restartsDone;
    if (job && !job.over) {
      if (wanted !== 'none') job.askToEnd(drainsFirst(wanted));
      else if (restart) job.askToEnd(!row.restartForce, 'Restarting');
      else job.edit(row.editRequests);
    } else if (job) {
      // Its last changes are written first: the row is older.
      if (job.record.unwritten) this.nudge();
      else await this.#settle(row, job);
    } else if (wanted === 'none' && (restart || !isDone(row.state))) this.#begin(row);
    else await this.#leases.release(row, isDone(row.state) ? row.state : 'Stopped');
  }

  /** Restarts a job that has ended, or writes its final state and releases it. */
  async #settle(row: HeldJob, job: RunningJob): Promise<void> {
    if (row.restartRequests > row.restartsDone && row.stop === 'none') return this.#begin(row);
    await this.#leases.release(row, job.failure ? 'Failed' : job.finished ? 'Finished' : 'Stopped');
    this.#metrics.forget(row.id);
    this.#jobs.delete(row.id);
  }

  #begin(row: HeldJob): void {
    const tools = {
      counters: this.#metrics.start(row.id),
      changed: () => this.nudge(),
      mayConnect: () => !this.#deps.shared || this.#leases.hold,
    };
    const job = new RunningJob(row.id, this.#deps, tools, row);
    this.#jobs.set(row.id, job);
    job.begin();
  }
}

const isDone = (state: string): state is Extract<JobState, 'Failed' | 'Finished'> =>
  state === 'Failed' || state === 'Finished';
