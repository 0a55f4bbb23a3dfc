import { asPenstockError, isDatabaseFailure } from '../errors.ts';
import { drainsFirst, type JobState, type StopMode } from '../jobs/states.ts';
import { delay } from '../runtime/delay.ts';
import { mayTake, toGiveAway, type WorkerLoad } from './balance.ts';
import type { WorkerDeps } from './deps.ts';
import { type HeldJob, JobRows, type LiveWorkers } from './job-rows.ts';
import { LocalJobs } from './local-jobs.ts';
import type { ItemKind } from './placement.ts';
import { type CountedTask, StatsWriter, WorkerMetrics } from './reporting.ts';
import { heartbeatEveryMs, Roster } from './roster.ts';
import { RunningJob } from './running-job.ts';
import { RunningTask } from './running-task.ts';
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
/** Interval of offering again what nobody has taken, in case that an offer was lost. */
const offerAgainMs = 30_000;

/**
 * Runs jobs: controls some, and runs tasks of some, its own or those of other workers. It compares desired and actual state
 * again and again, so no missed change matters.
 *
 * Everything in `worker/` runs in the main thread, which owns what exists once: the database, placement, sessions, dead
 * letters and the visible state of jobs. Messages move in worker threads (`runtime/`). The calls between the two are listed
 * in `runtime/operations.ts`.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #metrics: WorkerMetrics;
  readonly #rows: JobRows;
  readonly #roster: Roster;
  readonly #local: LocalJobs;
  readonly #live: LiveWorkers;
  /** The jobs that this worker controls. */
  readonly #jobs = new Map<string, RunningJob>();
  /** The tasks that it runs. */
  readonly #tasks = new Map<string, RunningTask>();
  /** The ends of jobs and tasks that this worker has lost. */
  readonly #losing = new Map<string, Promise<void>>();
  readonly #offeredAt: Record<ItemKind, Map<string, number>> = { job: new Map(), task: new Map() };
  readonly #stats: StatsWriter;
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

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#metrics = new WorkerMetrics(deps.metrics, {
      worker: deps.identity.name,
      states: () => this.#jobs.values().map(({ record }) => record.state),
      tasks: () => this.#tasks.size,
    });
    this.#rows = new JobRows(deps);
    const roster = new Roster(deps);
    this.#roster = roster;
    this.#live = {
      get alive() {
        return roster.alive;
      },
      isGone: (worker) => roster.isGone(worker),
    };
    this.#local = new LocalJobs(deps, this.#metrics);
    this.#stats = new StatsWriter(deps, () => this.#counted(this.#tasks.values()));
  }

  start(): void {
    this.#loop = this.#run();
    this.#heartbeat = this.#sendHeartbeats();
    this.#stats.start();
  }

  nudge(): void {
    this.#nudge.abort();
  }

  /** Drains every task, even if the database is unavailable, and gives everything to others. Broker sessions stay. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.nudge();
    const written = this.#stats.stop();
    await this.#releaseAll();
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

  async #releaseAll(): Promise<void> {
    const tasks = [...this.#tasks.values()].map((task) => task.release());
    const jobs = [...this.#jobs.values()].map((job) => job.detach());
    await Promise.all([...tasks, ...jobs, ...this.#losing.values()]);
  }

  async #shutdown(): Promise<void> {
    await this.#loop;
    // What the loop has begun meanwhile.
    await this.#releaseAll();
    this.#resting.abort();
    await this.#heartbeat;
    await this.#cleaning;
    if (!this.#started) return;
    await this.#flush();
    await this.#settleTasks();
    this.#tasks.clear();
    this.#jobs.clear();
    // By their rows: some may have been taken, and not begun.
    const [jobs, tasks] = await Promise.all([this.#rows.ownJobs(), this.#rows.ownTasks()]);
    const idsOf = (rows: readonly { id: string }[]) => rows.map(({ id }) => id);
    await this.#rows.showWaiting(idsOf(jobs));
    await this.#deps.placement.release('task', idsOf(tasks));
    await this.#deps.placement.release('job', idsOf(jobs));
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
    await this.#deps.placement.renew();
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
        const { job, task } = await this.#deps.placement.renew();
        for (const id of task) this.#loseTask(id);
        for (const id of job) this.#loseJob(id);
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
    if (this.#roster.due) await this.#roster.refresh(this.#activity());
    if (this.#databaseDown) this.#databaseBack();
    await this.#takeJobs();
    // Before the rows are read, so they are not older than the records here.
    await this.#flush();
    await this.#reconcileJobs();
    await this.#takeTasks();
    await this.#followTasks();
    for (const id of await this.#rows.withReplays()) this.#local.get(id)?.replays.begin();
    await this.#balance();
    this.#local.sweep((id) => this.#jobs.has(id));
    this.#cleaning ??= cleanUpSessions(this.#deps)
      .catch((err: unknown) => this.#deps.logger.warn({ err }, 'cleanup of orphaned sessions is delayed'))
      .finally(() => {
        this.#cleaning = undefined;
      });
  }

  #activity() {
    const tasks = [...this.#tasks.values()];
    const load = tasks.reduce((sum, { weight }) => sum + weight, 0);
    return {
      tasks: tasks.length,
      jobs: this.#jobs.size,
      load,
      ending: this.#stopping.signal.aborted,
    };
  }

  /** This worker as it is now, and the others as they were at their last heartbeat. */
  #workers(): { own: WorkerLoad; all: WorkerLoad[] } | undefined {
    const row = this.#roster.own;
    if (!row) return undefined;
    const { load, tasks } = this.#activity();
    const own = {
      ...row,
      load,
      tasks,
      leaving: this.#roster.drainRequested || this.#stopping.signal.aborted,
    };
    return { own, all: this.#roster.workers.map((worker) => (worker.id === own.id ? own : worker)) };
  }

  async #takeJobs(): Promise<void> {
    const workers = this.#workers();
    if (!workers || this.#stopping.signal.aborted) return;
    const unheld = await this.#rows.unheldJobs(this.#live);
    this.#forgetOffers('job', unheld);
    if (unheld.length === 0) return;
    const asControllers = (worker: WorkerLoad): WorkerLoad => ({
      ...worker,
      load: worker.id === workers.own.id ? this.#jobs.size : this.#roster.jobsOf(worker.id),
      slots: Number.POSITIVE_INFINITY,
    });
    const all = workers.all.map(asControllers);
    const own = asControllers(workers.own);
    const taken = await this.#take('job', unheld, (placement, waiting) =>
      mayTake(own, all, placement, waiting),
    );
    if (taken.length > 0) this.nudge();
  }

  async #takeTasks(): Promise<void> {
    const workers = this.#workers();
    if (!workers || this.#stopping.signal.aborted) return;
    const unheld = await this.#rows.unheldTasks(this.#live);
    this.#forgetOffers('task', unheld);
    if (unheld.length === 0) return;
    await this.#offerOwn(unheld);
    const taken = await this.#take('task', unheld, (placement, waiting) =>
      mayTake(workers.own, workers.all, placement, waiting),
    );
    for (const item of taken) {
      if (this.#stopping.signal.aborted) return;
      this.#loseTask(item.id);
      await this.#losing.get(item.id);
      const task = new RunningTask(item, {
        deps: this.#deps,
        local: (jobId) => this.#local.of(jobId),
        changed: () => this.nudge(),
        mayConnect: () => this.#deps.placement.holds('task', item.id),
      });
      this.#tasks.set(item.id, task);
      task.begin();
    }
    if (taken.length > 0) this.nudge();
  }

  /** Takes items of each placement. Jobs are offered by whoever sees that nobody has them. */
  async #take(
    kind: ItemKind,
    unheld: readonly { id: string; placement: string }[],
    room: (placement: string, waiting: number) => number,
  ) {
    const { placement } = this.#deps;
    if (kind === 'job') {
      const due = unheld.filter(({ id }) => this.#mayOffer(kind, id));
      if (due.length > 0) await placement.offer('job', due);
    }
    const all = [];
    for (const [selector, same] of Map.groupBy(unheld, (item) => item.placement)) {
      const max = room(selector, same.length);
      if (max > 0)
        all.push(
          ...(await placement.take(
            kind,
            selector,
            max,
            same.map(({ id }) => id),
          )),
        );
    }
    return all;
  }

  #mayOffer(kind: ItemKind, id: string): boolean {
    const now = performance.now();
    const offeredAt = this.#offeredAt[kind];
    if (now - (offeredAt.get(id) ?? Number.NEGATIVE_INFINITY) < offerAgainMs) return false;
    offeredAt.set(id, now);
    return true;
  }

  /** What was taken since its offer may be offered again at once. */
  #forgetOffers(kind: ItemKind, unheld: readonly { id: string }[]): void {
    const offeredAt = this.#offeredAt[kind];
    if (offeredAt.size === 0) return;
    const waiting = new Set(unheld.map(({ id }) => id));
    for (const id of offeredAt.keys()) if (!waiting.has(id)) offeredAt.delete(id);
  }

  /** A task whose offer was lost is offered again by the controller of its job. */
  async #offerOwn(unheld: readonly { id: string; jobId: string }[]): Promise<void> {
    for (const { id, jobId } of unheld) {
      const job = this.#jobs.get(jobId);
      if (job && this.#mayOffer('task', id)) await job.offerAgain(id);
    }
  }

  /** Writes what has changed. What cannot be written, for example because it is gone, does not delay the rest. */
  async #flush(): Promise<void> {
    const write = async (work: () => Promise<void>, discard: () => void, id: string): Promise<void> => {
      try {
        await work();
      } catch (err) {
        if (isDatabaseFailure(asPenstockError(err))) throw err;
        this.#deps.logger.error({ err, id }, 'state cannot be written and is discarded');
        discard();
      }
    };
    for (const task of this.#tasks.values())
      await write(
        () => task.flush(),
        () => {},
        task.id,
      );
    for (const { id, record } of this.#jobs.values())
      await write(
        () => record.flush(),
        () => record.discard(),
        id,
      );
    for (const { id, log } of this.#local.values())
      await write(
        () => log.flush(),
        () => log.discard(),
        id,
      );
  }

  async #reconcileJobs(): Promise<void> {
    const { placement } = this.#deps;
    const [own, lost] = apart(await this.#rows.ownJobs(), ({ id }) => placement.has('job', id));
    const rows = new Map(own.map((row) => [row.id, row]));
    for (const [id, job] of this.#jobs) if (rows.get(id)?.epoch !== job.epoch) this.#loseJob(id);
    const unused = placement.held('job').filter((id) => !rows.has(id));
    await placement.release('job', [...lost.map(({ id }) => id), ...unused]);
    if (own.length === 0) return;
    const tasks = Map.groupBy(await this.#rows.tasksOfOwnJobs(), ({ jobId }) => jobId);
    for (const [id, job] of this.#jobs) job.observe(tasks.get(id) ?? []);
    for (const row of own) await this.#reconcileJob(row);
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
    } else if (wanted === 'none' && (restart || !isDone(row.state))) await this.#beginJob(row);
    // A former controller may have left tasks running.
    else if (await this.#rows.endTasks(row, drainsFirst(wanted) ? 'drain' : 'stop', this.#live))
      await this.#release(row, isDone(row.state) ? row.state : 'Stopped');
  }

  /** Restarts a job that has ended, or writes its final state and releases it. */
  async #settle(row: HeldJob, job: RunningJob): Promise<void> {
    if (row.restartRequests > row.restartsDone && row.stop === 'none') return this.#beginJob(row);
    await this.#release(row, job.failure ? 'Failed' : job.finished ? 'Finished' : 'Stopped');
    this.#jobs.delete(row.id);
    this.#local.forget(row.id);
  }

  async #release(row: HeldJob, state: JobState): Promise<void> {
    await this.#rows.release(row, state);
    await this.#deps.placement.finish('job', [row.id]);
  }

  async #beginJob(row: HeldJob): Promise<void> {
    if (this.#losing.has(row.id)) return;
    const restart = row.restartRequests > row.restartsDone;
    const adopted = !restart && !this.#jobs.has(row.id) && (await this.#rows.hasLiveTask(row.id, this.#live));
    const tools = {
      local: this.#local.of(row.id),
      changed: () => this.nudge(),
      mayConnect: () => this.#deps.placement.holds('job', row.id),
      isGone: (worker: string) => this.#roster.isGone(worker),
    };
    const job = new RunningJob(row, this.#deps, tools, adopted);
    this.#jobs.set(row.id, job);
    job.begin();
  }

  /** Another worker took the job, or its pipeline was deleted. */
  #loseJob(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    this.#deps.logger.warn({ job: id }, 'job lost: it was taken over or deleted');
    this.#jobs.delete(id);
    this.#untilLost(id, job.detach());
  }

  #loseTask(id: string): void {
    const task = this.#tasks.get(id);
    if (!task) return;
    this.#deps.logger.warn({ task: id }, 'task lost: it was taken over or deleted');
    this.#tasks.delete(id);
    this.#untilLost(id, task.lose());
  }

  #untilLost(id: string, end: Promise<void>): void {
    const ended = Promise.all([this.#losing.get(id), end]).then(() => {
      if (this.#losing.get(id) === ended) this.#losing.delete(id);
    });
    this.#losing.set(id, ended);
  }

  /** Lets the tasks know what is wanted of them, and gives back those that have ended. */
  async #followTasks(): Promise<void> {
    const rows = new Map((await this.#rows.ownTasks()).map((row) => [row.id, row]));
    for (const [id, task] of this.#tasks) {
      const row = rows.get(id);
      if (row?.epoch === task.epoch) task.follow(row);
      else this.#loseTask(id);
    }
    // Others never take an item that a worker holds or whose row names it.
    const { placement } = this.#deps;
    const held = new Set([...rows.keys(), ...placement.held('task')]);
    await placement.release(
      'task',
      [...held].filter((id) => !this.#tasks.has(id)),
    );
    await this.#settleTasks();
  }

  #counted(tasks: Iterable<RunningTask>): CountedTask[] {
    return [...tasks].flatMap(({ counted }) => counted ?? []);
  }

  /** Gives back what has ended and whose end is written. */
  async #settleTasks(): Promise<void> {
    const { placement } = this.#deps;
    const ended = [...this.#tasks.values()].filter(({ end, unwritten }) => end !== undefined && !unwritten);
    if (ended.length === 0) return;
    await this.#stats.write(this.#counted(ended));
    const [moved, over] = [true, false].map((waiting) =>
      ended.filter(({ end }) => (end === 'waiting') === waiting).map(({ id }) => id),
    ) as [string[], string[]];
    if (moved.length > 0) await placement.release('task', moved);
    if (over.length > 0) await placement.finish('task', over);
    this.#metrics.moved.inc(moved.length);
    for (const { id } of ended) this.#tasks.delete(id);
    this.nudge();
  }

  /** Gives tasks to workers that have less to do. */
  async #balance(): Promise<void> {
    const now = performance.now();
    const workers = this.#workers();
    if (!workers || now - this.#balancedAt < balanceEveryMs) return;
    this.#balancedAt = now;
    const tasks = [...this.#tasks.values()].filter(({ end, releasing }) => end === undefined && !releasing);
    const held = tasks.map(({ id, weight, placement }) => ({ id, weight, placement }));
    const given = new Set([
      ...toGiveAway(workers.own, workers.all, held),
      ...this.#deps.placement.expiring('task'),
    ]);
    for (const task of tasks) if (given.has(task.id)) void task.release();
    await this.#giveJobs(workers.own.leaving);
  }

  /** Gives the control of jobs to others: of all when this worker leaves, and of those it has had for long. */
  async #giveJobs(leaving: boolean): Promise<void> {
    const others = this.#roster.workers.some((worker) => worker.id !== this.#deps.owner && !worker.leaving);
    const given =
      leaving && others
        ? [...this.#jobs.keys()]
        : this.#deps.placement.expiring('job').filter((id) => this.#jobs.has(id));
    for (const id of given) {
      const job = this.#jobs.get(id);
      if (!job || job.over) continue;
      await job.detach();
      // First: if the rest fails it begins anew, and has not ended.
      this.#jobs.delete(id);
      await job.record.flush();
      await this.#deps.placement.release('job', [id]);
    }
  }
}

function apart<T>(all: readonly T[], first: (one: T) => boolean): [T[], T[]] {
  return [all.filter(first), all.filter((one) => !first(one))];
}

const isDone = (state: string): state is Extract<JobState, 'Failed' | 'Finished'> =>
  state === 'Failed' || state === 'Finished';
