import { asPenstockError, isDatabaseFailure } from '../errors.ts';
import { delay, untilTick } from '../runtime/delay.ts';
import { versionOf } from '../store/db.ts';
import type { Fleet } from './balance.ts';
import type { WorkerDeps } from './deps.ts';
import { HeldJobs } from './held-jobs.ts';
import { HeldTasks } from './held-tasks.ts';
import { JobRows, type LiveWorkers } from './job-rows.ts';
import { LocalJobs } from './local-jobs.ts';
import { WorkerMetrics } from './reporting.ts';
import { heartbeatEveryMs, Roster } from './roster.ts';
import { removeOldSeries } from './series.ts';
import { cleanUpSessions } from './session-cleanup.ts';

/** Interval of looking for changes in the database. A nudge looks at once. */
const pollEveryMs = 1000;
/** Interval of reading the rows of an SQLite file that says that nothing has changed. */
const rereadEveryMs = 60_000;
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

/** Changes of a row that are not written yet. */
interface Changes {
  readonly unwritten: boolean;
  flush(): Promise<void>;
  discard(): void;
}

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
  /** The version of what the last complete round has read, and when. Undefined if the next round must be complete. */
  #seen: { version: string; at: number } | undefined;
  #replaying = false;
  #balancedAt = performance.now();
  #cleaning: Promise<void> | undefined;
  #cleanAgainAt = 0;
  #cleanAgain = true;
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
      if (this.#nudge.signal.aborted) this.#seen = undefined;
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
        this.#seen = undefined;
      }
      const roundMs = performance.now() - since;
      await delay(untilTick(pollEveryMs), this.#nudge.signal).catch(() => {});
      const pauseMs = Math.min(pausePerRound * roundMs, pollEveryMs) + roundMs - (performance.now() - since);
      if (pauseMs > 0) await delay(pauseMs, signal).catch(() => {});
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
      await delay(untilTick(heartbeatEveryMs), stopping.aborted ? resting : stopping).catch(() => {});
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
    const version = await this.#version();
    if (this.#isUnchanged(version)) await this.#flush();
    else {
      await this.#readAll();
      // A worker that this round has asked about may turn out to be gone when the roster is read.
      const isFinal = version !== undefined && !this.#roster.due;
      this.#seen = isFinal ? { version, at: performance.now() } : undefined;
      this.#cleanAgain = true;
    }
    await this.#balance();
    this.#local.sweep((id) => this.#jobs.has(id));
    this.#cleanUp();
    this.#cleanUpSeries();
  }

  /** A text that stays the same as long as neither the rows change nor the workers that live. */
  async #version(): Promise<string | undefined> {
    const rows = await versionOf(this.#deps.db);
    return rows && `${rows} ${this.#live.alive.join(' ')}`;
  }

  /** Whether reading all rows again would find nothing to do. */
  #isUnchanged(version: string | undefined): boolean {
    const seen = this.#seen;
    if (seen === undefined || seen.version !== version) return false;
    if (performance.now() - seen.at > rereadEveryMs) return false;
    return this.#jobs.isSettled && this.#tasks.isSettled && !this.#replaying;
  }

  async #readAll(): Promise<void> {
    const stopping = (): boolean => this.#stopping.signal.aborted;
    const fleet = this.#fleet();
    if (fleet && !stopping()) await this.#jobs.take(fleet);
    // Before the rows are read, so they are not older than the records here.
    await this.#flush();
    await this.#jobs.reconcile(stopping);
    await this.#takeTasks();
    await this.#tasks.follow();
    const replays = await this.#rows.withReplays();
    this.#replaying = replays.length > 0;
    for (const id of replays) this.#local.get(id)?.replays.begin();
  }

  /** Removes an orphaned session, and looks again in the next round as long as there is one. */
  #cleanUp(): void {
    if (!this.#cleanAgain || this.#cleaning || performance.now() < this.#cleanAgainAt) return;
    // A change that comes meanwhile asks for another look.
    this.#cleanAgain = false;
    this.#cleaning = cleanUpSessions(this.#deps, this.#roster.leads)
      .then((found) => {
        if (found !== 'none') this.#cleanAgain = true;
        if (found !== 'one') this.#cleanAgainAt = performance.now() + cleanEveryMs;
      })
      .catch((err: unknown) => {
        this.#cleanAgain = true;
        this.#deps.logger.warn({ err }, 'cleanup of orphaned sessions is delayed');
      })
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
    const all = this.#roster.workers.map((worker) => (worker.id === own.id ? own : worker));
    return { own, all, alone: this.#roster.alone };
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
    await Promise.all(this.#unwritten(this.#tasks.values(), (task) => task));
    await Promise.all(this.#unwritten(this.#jobs.values(), ({ record }) => record));
    await Promise.all(this.#unwritten(this.#local.values(), ({ log }) => log));
  }

  *#unwritten<T extends { id: string }>(all: Iterable<T>, of: (one: T) => Changes): Iterable<Promise<void>> {
    for (const one of all) if (of(one).unwritten) yield this.#write(one.id, of(one));
  }

  /** Writes changes, or discards them if that is refused, for example because the job is gone. The rest is not delayed. */
  async #write(id: string, changes: Changes): Promise<void> {
    try {
      await changes.flush();
    } catch (err) {
      if (isDatabaseFailure(asPenstockError(err))) throw err;
      this.#deps.logger.error({ err, id }, 'state cannot be written and is discarded');
      changes.discard();
    }
  }
}
