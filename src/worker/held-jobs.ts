import { drainsFirst, type JobState, type StopMode } from '../jobs/states.ts';
import { mayTake, type WorkerLoad } from './balance.ts';
import type { WorkerDeps } from './deps.ts';
import { type Fleet, takeItems } from './held-tasks.ts';
import type { HeldJob, JobRows, LiveWorkers } from './job-rows.ts';
import type { LocalJobs } from './local-jobs.ts';
import type { SeenTask } from './placed-task.ts';
import type { Roster } from './roster.ts';
import { RunningJob } from './running-job.ts';
import { hasEnded } from './task-row.ts';

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
  readonly #offeredAt = new Map<string, number>();
  /** Whether some wait for a worker. */
  someWait = false;

  constructor(tools: HeldJobsTools) {
    this.#tools = tools;
  }

  get count(): number {
    return this.#jobs.size;
  }

  has(id: string): boolean {
    return this.#jobs.has(id);
  }

  values(): Iterable<RunningJob> {
    return this.#jobs.values();
  }

  /** Offers jobs that nobody has, and takes some, up to the share of this worker. */
  async take({ own, all }: Fleet): Promise<void> {
    const { deps, rows, live, roster, changed } = this.#tools;
    const unheld = await rows.unheldJobs(live);
    this.someWait = unheld.length > 0;
    if (!this.someWait) return;
    const due = unheld.filter(({ id }) => this.#mayOffer(id));
    if (due.length > 0) await deps.placement.offer('job', due);
    const asController = (worker: WorkerLoad): WorkerLoad => ({
      ...worker,
      load: worker.id === own.id ? this.#jobs.size : roster.jobsOf(worker.id),
      slots: Number.POSITIVE_INFINITY,
    });
    const controllers = all.map(asController);
    const taken = await takeItems(deps, 'job', unheld, (placement, waiting) =>
      mayTake(asController(own), controllers, placement, waiting),
    );
    if (taken.length > 0) changed();
  }

  /** Offers tasks that nobody has, in case that an offer was lost. */
  async offerTasks(unheld: readonly { id: string; jobId: string }[]): Promise<void> {
    for (const { id, jobId } of unheld) {
      const job = this.#jobs.get(jobId);
      if (job && this.#mayOffer(id)) await job.offerAgain(id);
    }
  }

  #mayOffer(id: string): boolean {
    const now = performance.now();
    if (now - (this.#offeredAt.get(id) ?? Number.NEGATIVE_INFINITY) < offerAgainMs) return false;
    this.#offeredAt.set(id, now);
    return true;
  }

  /** Compares what is wanted of each job with what is. Does not begin or end any when `stopping`. */
  async reconcile(stopping: () => boolean): Promise<void> {
    const { rows } = this.#tools;
    const own = await rows.ownJobs();
    const byId = new Map(own.map((row) => [row.id, row]));
    for (const [id, job] of this.#jobs) if (byId.get(id)?.epoch !== job.epoch) await this.lose(id);
    if (own.length === 0) return;
    const tasks = Map.groupBy(await rows.tasksOfOwnJobs(), ({ jobId }) => jobId);
    for (const [id, job] of this.#jobs) job.observe(tasks.get(id) ?? []);
    for (const row of own) if (!stopping()) await this.#reconcileJob(row, tasks.get(row.id) ?? []);
  }

  async #reconcileJob(row: HeldJob, tasks: readonly SeenTask[]): Promise<void> {
    const job = this.#jobs.get(row.id);
    const wanted = row.stop as StopMode;
    const restart = row.restartRequests > row.restartsDone;
    if (job && !job.over) {
      if (wanted !== 'none') job.askToEnd(drainsFirst(wanted));
      else if (restart) job.askToEnd(!row.restartForce, 'Restarting');
      else job.edit(row.editRequests);
    } else if (job) {
      // Its last changes are written first: the row is older.
      if (job.record.unwritten) this.#tools.changed();
      else await this.#settle(row, job);
    } else if (wanted === 'none' && (restart || !isDone(row.state))) this.#begin(row, tasks);
    // A former controller may have left tasks running.
    else if (await this.#tools.rows.endTasks(row.id, drainsFirst(wanted) ? 'drain' : 'stop'))
      await this.#release(row, isDone(row.state) ? row.state : 'Stopped');
  }

  /** Restarts a job that has ended, or writes its final state and releases it. */
  async #settle(row: HeldJob, job: RunningJob): Promise<void> {
    if (row.restartRequests > row.restartsDone && row.stop === 'none') return this.#begin(row);
    await this.#release(row, job.failure ? 'Failed' : job.finished ? 'Finished' : 'Stopped');
    this.#jobs.delete(row.id);
    this.#tools.local.forget(row.id);
  }

  async #release(row: HeldJob, state: JobState): Promise<void> {
    await this.#tools.rows.release(row, state);
    this.#offeredAt.delete(row.id);
    await this.#tools.deps.placement.finish('job', [row.id]);
  }

  /** `tasks` are the tasks of the job that has just been taken. */
  #begin(row: HeldJob, tasks?: readonly SeenTask[]): void {
    const { deps, roster, local, changed } = this.#tools;
    const restart = row.restartRequests > row.restartsDone;
    const runs = ({ worker, state }: SeenTask): boolean =>
      worker !== null && !hasEnded(state) && !roster.isGone(worker);
    const adopted = !restart && !this.#jobs.has(row.id) && tasks?.some(runs) === true;
    const tools = {
      local: local.of(row.id),
      changed,
      mayConnect: () => deps.placement.holds,
      isGone: (worker: string) => roster.isGone(worker),
    };
    const job = new RunningJob(row, deps, tools, { adopted, tasks });
    this.#jobs.set(row.id, job);
    job.begin();
  }

  /** Another worker took the job, or its pipeline was deleted. */
  async lose(id: string): Promise<void> {
    const job = this.#jobs.get(id);
    if (!job) return;
    const { deps } = this.#tools;
    deps.logger.warn({ job: id }, 'job lost: it was taken over or deleted');
    this.#jobs.delete(id);
    await job.detach();
    await deps.placement.finish('job', [id]);
  }

  /** Gives jobs to others: all when this worker leaves, and those it has had for long. */
  async balance(leaving: boolean): Promise<void> {
    const { deps, roster } = this.#tools;
    const others = roster.workers.some((worker) => worker.id !== deps.owner && !worker.leaving);
    const given = leaving && others ? [...this.#jobs.keys()] : deps.placement.expiring('job');
    for (const id of given) {
      const job = this.#jobs.get(id);
      if (!job || job.over) continue;
      await job.detach();
      await job.record.flush();
      this.#jobs.delete(id);
      await deps.placement.release('job', [id]);
    }
  }

  /** Stops controlling every job. Tasks of other workers go on. Never throws. */
  async detach(): Promise<void> {
    await Promise.all(this.#jobs.values().map((job) => job.detach()));
  }

  /** Gives every job to others, once they are detached. */
  async releaseAll(): Promise<void> {
    const ids = [...this.#jobs.keys()];
    await this.#tools.rows.showWaiting(ids);
    await this.#tools.deps.placement.release('job', ids);
    this.#jobs.clear();
  }
}

const isDone = (state: string): state is Extract<JobState, 'Failed' | 'Finished'> =>
  state === 'Failed' || state === 'Finished';
