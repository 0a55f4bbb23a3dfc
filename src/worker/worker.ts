import { asPenstockError, isDatabaseFailure } from '../errors.ts';
import { delay } from '../runtime/delay.ts';
import type { WorkerDeps } from './deps.ts';
import { HeldJobs } from './held-jobs.ts';
import { type Fleet, HeldTasks } from './held-tasks.ts';
import { JobRows, type LiveWorkers } from './job-rows.ts';
import { LocalJobs } from './local-jobs.ts';
import { WorkerMetrics } from './reporting.ts';
import { heartbeatEveryMs, Roster } from './roster.ts';
import { removeOldSeries } from './series.ts';
import { cleanUpSessions } from './session-cleanup.ts';

/** Interval of reading changes from the database. A nudge reads them at once. */
const pollEveryMs = 1000;
/**
 * Ratio of the pause between two rounds to the duration of a round. More jobs make rounds longer and nudges more frequent, so
 * the pause leaves time for other work.
 */
const pausePerRound = 4;
/** Time that a stopping worker waits for the database. What it has not given back by then comes free when it counts as dead. */
const shutdownMs = 5000;
const balanceEveryMs = 5_000;
const cleanEveryMs = 3_000;
const cleanSeriesEveryMs = 60_000;

/**
 * Controls some jobs, and runs tasks, of its own jobs or of those of other workers. It compares desired and actual state
 * again and again, so no missed change matters.
 *
 * Everything in `worker/` runs in the main thread, which owns what exists once: the database, placement, sessions, dead
 * letters and the visible state of jobs. Messages move in worker threads (`runtime/`). The calls between the two are listed
 * in `runtime/operations.ts`.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #rows: JobRows;
  readonly #roster: Roster;
  readonly #local: LocalJobs;
  readonly #live: LiveWorkers;
  readonly #jobs: HeldJobs;
  readonly #tasks: HeldTasks;
  readonly #stopping = new AbortController();
  /** Aborted when a stopping worker runs nothing any more. */
  readonly #resting = new AbortController();
  #nudge = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #heartbeat: Promise<void> = Promise.resolve();
  #started = false;
  #databaseDown = false;
  #balancedAt = performance.now();
  #cleaning: Promise<void> | undefined;
  #cleanAgainAt = 0;
  #cleaningSeries: Promise<void> = Promise.resolve();
  #cleanSeriesAt = 0;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    const metrics = new WorkerMetrics(deps.metrics, {
      worker: deps.identity.name,
      states: () => [...this.#jobs.values()].map(({ record }) => record.state),
      tasks: () => this.#tasks.count,
    });
    const rows = new JobRows(deps);
    const roster = new Roster(deps);
    const local = new LocalJobs(deps, metrics);
    const live: LiveWorkers = {
      get alive() {
        return roster.alive;
      },
      isGone: (worker) => roster.isGone(worker),
    };
    const changed = (): void => this.nudge();
    [this.#rows, this.#roster, this.#local, this.#live] = [rows, roster, local, live];
    this.#jobs = new HeldJobs({ deps, rows, roster, live, local, changed });
    const moved = (count: number): void => metrics.moved.inc(count);
    this.#tasks = new HeldTasks({ deps, rows, local, changed, moved });
  }

  start(): void {
    this.#loop = this.#run();
    this.#heartbeat = this.#sendHeartbeats();
    this.#tasks.stats.start();
  }

  nudge(): void {
    this.#nudge.abort();
  }

  /** Drains every task, even if the database is unavailable, and gives everything to others. Broker sessions stay. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.nudge();
    const written = this.#tasks.stats.stop();
    await this.#endAll();
    const released = written
      .then(() => this.#shutdown())
      .catch((err: unknown) =>
        this.#deps.logger.warn({ err }, 'tasks could not be given back; others take them over later'),
      );
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, shutdownMs);
    await Promise.race([released, late]);
    clearTimeout(timer);
    this.#resting.abort();
  }

  async #endAll(): Promise<void> {
    await Promise.all([this.#tasks.release(), this.#jobs.detach()]);
  }

  async #shutdown(): Promise<void> {
    await this.#loop;
    // Tasks and jobs that the loop has begun meanwhile.
    await this.#endAll();
    this.#resting.abort();
    await this.#heartbeat;
    await this.#cleaning;
    await this.#cleaningSeries;
    if (!this.#started) return;
    await this.#flush();
    await this.#tasks.releaseAll();
    await this.#jobs.releaseAll();
    await this.#roster.leave();
    await this.#deps.placement.stop();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#nudge = new AbortController();
      const since = performance.now();
      try {
        await this.#begin();
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

  async #begin(): Promise<void> {
    if (this.#started) return;
    await this.#deps.placement.start();
    await this.#deps.placement.renew(false);
    this.#started = true;
  }

  /**
   * Sends heartbeats apart from the main loop, which may hang on a dead connection for longer than they count. They go on while
   * a stopping worker drains its tasks.
   */
  async #sendHeartbeats(): Promise<void> {
    const [stopping, resting] = [this.#stopping.signal, this.#resting.signal];
    while (!resting.aborted) {
      await delay(heartbeatEveryMs, stopping.aborted ? resting : stopping).catch(() => {});
      if (!this.#started || resting.aborted) continue;
      try {
        const { job, task } = await this.#deps.placement.renew(this.#roster.leads);
        for (const id of task) this.#tasks.lose(id);
        for (const id of job) this.#jobs.lose(id);
        await this.#roster.refresh(this.#activity());
      } catch {
        // The main loop reports database errors.
      }
    }
  }

  #databaseBack(): void {
    this.#databaseDown = false;
    this.#deps.logger.info({}, 'database available again');
  }

  async #reconcile(): Promise<void> {
    // Who may take how much depends on what the others have taken.
    const news = this.#jobs.someWait || this.#tasks.someWait;
    if (this.#roster.due || (news && this.#roster.age > pollEveryMs))
      await this.#roster.refresh(this.#activity());
    if (this.#databaseDown) this.#databaseBack();
    const stopping = (): boolean => this.#stopping.signal.aborted;
    const fleet = this.#fleet();
    if (fleet && !stopping()) await this.#jobs.take(fleet);
    // Before the rows are read, so they are not older than the records here.
    await this.#flush();
    await this.#jobs.reconcile(stopping);
    await this.#takeTasks();
    await this.#tasks.follow();
    for (const id of await this.#rows.withReplays()) this.#local.get(id)?.replays.begin();
    await this.#balance();
    this.#local.sweep((id) => this.#jobs.has(id));
    this.#cleanUp();
    this.#cleanUpSeries();
  }

  /** Removes an orphaned session, and looks again in the next round as long as there is one. */
  #cleanUp(): void {
    if (performance.now() < this.#cleanAgainAt) return;
    this.#cleaning ??= cleanUpSessions(this.#deps, this.#roster.leads)
      .then((found) => {
        if (!found) this.#cleanAgainAt = performance.now() + cleanEveryMs;
      })
      .catch((err: unknown) => this.#deps.logger.warn({ err }, 'cleanup of orphaned sessions is delayed'))
      .finally(() => {
        this.#cleaning = undefined;
      });
  }

  #cleanUpSeries(): void {
    if (!this.#roster.leads || performance.now() < this.#cleanSeriesAt) return;
    this.#cleanSeriesAt = performance.now() + cleanSeriesEveryMs;
    this.#cleaningSeries = removeOldSeries(this.#deps).catch((err: unknown) =>
      this.#deps.logger.warn({ err }, 'old series of tasks are removed later'),
    );
  }

  #activity() {
    const { count, load } = this.#tasks;
    return { tasks: count, jobs: this.#jobs.count, load, ending: this.#stopping.signal.aborted };
  }

  /** Undefined until the first heartbeat. */
  #fleet(): Fleet | undefined {
    const row = this.#roster.own;
    if (!row) return undefined;
    const { count, load } = this.#tasks;
    const leaving = this.#roster.drainRequested || this.#stopping.signal.aborted;
    const own = { ...row, load, tasks: count, leaving };
    return { own, all: this.#roster.workers.map((worker) => (worker.id === own.id ? own : worker)) };
  }

  async #takeTasks(): Promise<void> {
    const fleet = this.#fleet();
    if (!fleet || this.#stopping.signal.aborted) return;
    const unheld = await this.#rows.unheldTasks(this.#live);
    await this.#jobs.offerTasks(unheld);
    await this.#tasks.take(fleet, unheld);
  }

  /** Gives work to workers that have less to do, and everything when this one leaves. */
  async #balance(): Promise<void> {
    const now = performance.now();
    const fleet = this.#fleet();
    if (!fleet || now - this.#balancedAt < balanceEveryMs) return;
    this.#balancedAt = now;
    this.#tasks.balance(fleet);
    await this.#jobs.balance(fleet);
  }

  /** Writes what has changed. */
  async #flush(): Promise<void> {
    await Promise.all([...this.#tasks.values()].map((task) => this.#write(task.id, task)));
    await Promise.all([...this.#jobs.values()].map(({ id, record }) => this.#write(id, record)));
    await Promise.all([...this.#local.values()].map(({ id, log }) => this.#write(id, log)));
  }

  /** Writes changes, or discards them if that is refused, for example because the job is gone. The rest is not delayed. */
  async #write(id: string, changes: { flush(): Promise<void>; discard(): void }): Promise<void> {
    try {
      await changes.flush();
    } catch (err) {
      if (isDatabaseFailure(asPenstockError(err))) throw err;
      this.#deps.logger.error({ err, id }, 'state cannot be written and is discarded');
      changes.discard();
    }
  }
}
