import { endingOf, hasEnded, type JobState, type StopMode } from '../jobs/states.ts';
import { type Fleet, fits, mayTake, type WorkerLoad } from './balance.ts';
import type { WorkerDeps } from './deps.ts';
import { Losing, takeItems } from './held-tasks.ts';
import type { HeldJob, JobRows, LiveWorkers } from './job-rows.ts';
import type { LocalJobs } from './local-jobs.ts';
import type { SeenTask } from './placed-task.ts';
import type { UnheldItem } from './placement.ts';
import type { Roster } from './roster.ts';
import { RunningJob } from './running-job.ts';

/** Interval of offering again what nobody has taken, in case that an offer was lost. */
const offerAgainMs = 30_000;

interface HeldJobsTools {
  deps: WorkerDeps;
  rows: JobRows;
  roster: Roster;
  live: LiveWorkers;
  local: LocalJobs;
  /** Called when there is something to write. */
  changed(): void;
}

/** The jobs that this worker controls. Methods throw database errors unless they say otherwise. */
export class HeldJobs {
  readonly #tools: HeldJobsTools;
  readonly #jobs = new Map<string, RunningJob>();
  readonly #losing = new Losing();
  readonly #offers = { job: new Offers(), task: new Offers() };
  /** Whether some wait for a worker. */
  someWait = false;
  #wantedIs = false;

  constructor(tools: HeldJobsTools) {
    this.#tools = tools;
  }

  get count(): number {
    return this.#jobs.size;
  }

  has(id: string): boolean {
    return this.#jobs.has(id);
  }

  /** Whether, as last read, none waits and all do what is wanted of them. */
  get isSettled(): boolean {
    return this.#wantedIs && !this.someWait;
  }

  values(): Iterable<RunningJob> {
    return this.#jobs.values();
  }

  /** Offers jobs that nobody has, and takes some, up to the share of this worker. */
  async take({ own, all, alone }: Fleet): Promise<void> {
    const { deps, rows, live, roster, changed } = this.#tools;
    const unheld = await rows.unheldJobs(live);
    this.someWait = unheld.length > 0;
    const due = this.#offers.job.due(unheld);
    if (!this.someWait) return;
    if (due.length > 0) await deps.placement.offer('job', due);
    const asController = (worker: WorkerLoad): WorkerLoad => ({
      ...worker,
      load: worker.id === own.id ? this.#jobs.size : roster.jobsOf(worker.id),
      slots: Number.POSITIVE_INFINITY,
    });
    const controllers = { own: asController(own), all: all.map(asController), alone };
    const taken = await takeItems(deps, 'job', unheld, (placement, waiting) =>
      mayTake(controllers, placement, waiting),
    );
    if (taken.length > 0) changed();
  }

  /** Offers tasks that nobody has, in case that an offer was lost. */
  async offerTasks(unheld: readonly (UnheldItem & { jobId: string })[]): Promise<void> {
    const own = unheld.filter(({ jobId }) => this.#jobs.has(jobId));
    for (const { id, jobId } of this.#offers.task.due(own)) await this.#jobs.get(jobId)?.offerAgain(id);
  }

  /** Compares what is wanted of each job with what is. Does not begin or end any when `stopping`. */
  async reconcile(stopping: () => boolean): Promise<void> {
    const { deps, rows } = this.#tools;
    const all = await rows.ownJobs();
    const own = all.filter(({ id }) => deps.placement.has('job', id));
    const byId = new Map(own.map((row) => [row.id, row]));
    for (const [id, job] of this.#jobs) if (byId.get(id)?.epoch !== job.epoch) this.lose(id);
    // Others never take an item that a worker holds or whose row names it.
    const held = new Set([...all.map(({ id }) => id), ...deps.placement.held('job')]);
    const unused = [...held].filter((id) => !byId.has(id));
    if (unused.length > 0) await deps.placement.release('job', unused);
    this.#wantedIs = unused.length === 0 && own.every((row) => this.#runsAsWanted(row));
    if (own.length === 0) return;
    const tasks = Map.groupBy(await rows.tasksOfOwnJobs(), ({ jobId }) => jobId);
    for (const [id, job] of this.#jobs) job.observe(tasks.get(id) ?? []);
    for (const row of own) if (!stopping()) await this.#reconcileJob(row, tasks.get(row.id) ?? []);
  }

  #runsAsWanted({ id, stop, restartRequests, restartsDone }: HeldJob): boolean {
    return stop === 'none' && restartRequests <= restartsDone && this.#jobs.get(id)?.over === false;
  }

  async #reconcileJob(row: HeldJob, tasks: readonly SeenTask[]): Promise<void> {
    const job = this.#jobs.get(row.id);
    const wanted = row.stop as StopMode;
    const restart = row.restartRequests > row.restartsDone;
    if (job && !job.over) {
      if (wanted !== 'none') job.askToEnd(endingOf(wanted));
      else if (restart) job.askToEnd(row.restartForce ? 'stop' : 'drain', 'Restarting');
      else job.edit(row.editRequests);
    } else if (job) {
      // Its last changes are written first: the row is older.
      if (job.record.unwritten) this.#tools.changed();
      else await this.#settle(row, job);
    } else if (wanted === 'none' && (restart || !isDone(row.state))) this.#begin(row, tasks);
    // A former controller may have left tasks running.
    else if (await this.#tools.rows.endTasks(row, endingOf(wanted), this.#tools.live))
      await this.#release(row, isDone(row.state) ? row.state : 'Stopped');
  }

  /** Restarts a job that has ended, or writes its final state and releases it. */
  async #settle(row: HeldJob, job: RunningJob): Promise<void> {
    if (row.restartRequests > row.restartsDone && row.stop === 'none') return this.#begin(row, []);
    await this.#release(row, job.failure ? 'Failed' : job.finished ? 'Finished' : 'Stopped');
    this.#jobs.delete(row.id);
    this.#tools.local.forget(row.id);
  }

  async #release(row: HeldJob, state: JobState): Promise<void> {
    await this.#tools.rows.release(row, state);
    await this.#tools.deps.placement.finish('job', [row.id]);
  }

  /** `tasks` are those of the job as it was taken; undefined when it begins again. */
  #begin(row: HeldJob, tasks?: readonly SeenTask[]): void {
    if (this.#losing.has(row.id)) return;
    const { deps, roster, local, changed } = this.#tools;
    const restart = row.restartRequests > row.restartsDone;
    const runs = ({ worker, state }: SeenTask): boolean =>
      worker !== null && !hasEnded(state) && !roster.isGone(worker);
    const adopted = !restart && !this.#jobs.has(row.id) && tasks?.some(runs) === true;
    const tools = {
      local: local.of(row.id),
      changed,
      mayConnect: () => deps.placement.holds('job', row.id),
      isGone: (worker: string) => roster.isGone(worker),
    };
    const job = new RunningJob(row, deps, tools, { adopted, tasks });
    this.#jobs.set(row.id, job);
    job.begin();
  }

  /** Another worker took the job, or its pipeline was deleted. Never throws. */
  lose(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    this.#tools.deps.logger.warn({ job: id }, 'job lost: it was taken over or deleted');
    this.#jobs.delete(id);
    this.#losing.add(id, job.detach());
  }

  /** Gives jobs to others: all when this worker leaves, those it has had for long, and those that belong elsewhere. */
  async balance({ own }: Fleet): Promise<void> {
    const { deps, roster } = this.#tools;
    const others = roster.workers.some((worker) => worker.id !== deps.owner && !worker.leaving);
    const old = new Set(deps.placement.expiring('job'));
    for (const [id, job] of this.#jobs) {
      const placement = job.placement;
      const misplaced = placement !== undefined && !fits(own, placement);
      if (job.over || !(misplaced || old.has(id) || (own.leaving && others))) continue;
      await job.detach();
      // First: if the rest fails it begins anew, and has not ended.
      this.#jobs.delete(id);
      await job.record.flush();
      if (!misplaced) await deps.placement.release('job', [id]);
      else {
        await deps.placement.finish('job', [id]);
        await deps.placement.offer('job', [{ id, placement }]);
      }
    }
  }

  /** Stops controlling every job. Tasks of other workers go on. Never throws. */
  async detach(): Promise<void> {
    await Promise.all([...this.#jobs.values().map((job) => job.detach()), this.#losing.allEnded()]);
  }

  /** Gives every job to others, once they are detached. By their rows: some may have been taken, and not begun. */
  async releaseAll(): Promise<void> {
    this.#jobs.clear();
    const { deps, rows } = this.#tools;
    const ids = (await rows.ownJobs()).map(({ id }) => id);
    await rows.showWaiting(ids);
    await deps.placement.release('job', ids);
  }
}

/** When items were last offered. */
class Offers {
  readonly #at = new Map<string, number>();

  /** Those that are to be offered now. What was taken since its offer may be offered again at once. */
  due<T extends { id: string }>(unheld: readonly T[]): T[] {
    const now = performance.now();
    const waiting = new Set(unheld.map(({ id }) => id));
    for (const id of this.#at.keys()) if (!waiting.has(id)) this.#at.delete(id);
    const due = unheld.filter(({ id }) => now - (this.#at.get(id) ?? -offerAgainMs) >= offerAgainMs);
    for (const { id } of due) this.#at.set(id, now);
    return due;
  }
}

const isDone = (state: string): state is Extract<JobState, 'Failed' | 'Finished'> =>
  state === 'Failed' || state === 'Finished';
