import { asPenstockError, PenstockError } from '../errors.ts';
import { type Ending, type JobState, notEnded } from '../jobs/states.ts';
import { delay, despiteOutages } from '../runtime/delay.ts';
import { ofSources, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import { batchedBy } from './batched.ts';
import type { WorkerDeps } from './deps.ts';
import { JobRecord, type MessagePlace } from './job-record.ts';
import type { HeldJob } from './job-rows.ts';
import type { LocalJob } from './local-jobs.ts';
import { endUnheld, PlacedTask, type SeenTask } from './placed-task.ts';
import { SessionDrains } from './session-cleanup.ts';
import { JobSessions } from './sessions.ts';
import { forgetStates } from './states.ts';
import { type MemberEvents, Rollout, TaskGroup } from './task-group.ts';
import { errorOf, placeIn, type TaskFailure } from './task-row.ts';
import { compileJob, type PlannedTask, sameTasks } from './task-work.ts';

/** Interval of looking whether tasks of a former controller have ended. */
const endingPollMs = 200;

interface RunningJobTools {
  local: LocalJob;
  /** Called when there is something to write, or something to do for a worker. */
  changed(): void;
  /** Whether it is safe to connect because no other worker can have the job. */
  mayConnect(): boolean;
  /** Whether no worker of that name lives. */
  isGone(worker: string): boolean;
}

/**
 * One job while this worker controls it: places its tasks, follows edits, and rolls back one that does not start. The tasks
 * run on any worker; what they do and what is wanted of them is in their rows.
 */
export class RunningJob {
  readonly id: string;
  readonly epoch: number;
  readonly record: JobRecord;
  /** Whether it has ended, on its own or by request. */
  over = false;
  /** Why it ended on its own. */
  failure: PenstockError | undefined;
  finished = false;
  readonly #deps: WorkerDeps;
  readonly #tools: RunningJobTools;
  readonly #cancel = new AbortController();
  readonly #sessions: JobSessions;
  readonly #tasks: TaskGroup;
  readonly #placed = new Map<string, PlacedTask>();
  readonly #drains: SessionDrains;
  readonly #rollout: Rollout;
  /** Errors of sinks that left messages unconfirmed, by task. A new connection proves nothing: a confirmed message does. */
  readonly #sinkErrors = new Map<string, TaskFailure>();
  readonly #adopted: boolean;
  /** The job, while this worker controls it: a condition of every write to its tasks. */
  readonly #controlled: { worker: string; epoch: number };
  #former: readonly SeenTask[] | undefined;
  #ending = false;
  /** Whether the states of transforms that the job no longer has are deleted. */
  #statesChecked = false;
  #changed = Promise.withResolvers<void>();
  #done: Promise<void> = Promise.resolve();

  /**
   * `row` is the job as it was taken, and `tasks` are its tasks then, if they are known. `adopted` says that some of them run:
   * the job goes on, and does not begin.
   */
  constructor(
    row: HeldJob,
    deps: WorkerDeps,
    tools: RunningJobTools,
    { adopted, tasks }: { adopted: boolean; tasks: readonly SeenTask[] | undefined },
  ) {
    const { id } = row;
    this.id = id;
    this.epoch = row.epoch;
    this.#deps = deps;
    this.#tools = tools;
    this.#controlled = { worker: deps.owner, epoch: row.epoch };
    const { log } = tools.local;
    this.record = new JobRecord({ deps, jobId: id, epoch: row.epoch, log });
    this.#rollout = new Rollout(row.editRequests);
    this.#sessions = new JobSessions(deps, id);
    this.#tasks = new TaskGroup((planned, events) => this.#member(planned, events), {
      running: () => this.#running(),
      recovering: (error, spec) => {
        if (!this.#ending) this.#note('Recovering', error, placeIn(spec, error));
      },
      waiting: () => {
        if (!this.#ending) this.#note('Scheduling');
      },
      finished: () => this.#finished(),
      failed: (error, spec) => this.#failed(error, placeIn(spec, error)),
      replacedFailed: (error, spec) => log.say('warn', error, placeIn(spec, error)),
    });
    this.#drains = new SessionDrains({
      deps,
      jobId: id,
      sessions: this.#sessions,
      local: tools.local,
      mayConnect: tools.mayConnect,
    });
    const requests = { restartsDone: row.restartRequests, editsDone: row.editRequests };
    if (adopted) {
      this.record.resume(row.state as JobState);
      this.record.set(requests);
      // The history tells of moves while nobody controlled the job too.
      const undisturbed = ({ worker, state, stateSince }: SeenTask): boolean =>
        worker !== null && !tools.isGone(worker) && state === 'running' && stateSince <= row.stateSince;
      if (row.state === 'Running' && !tasks?.every(undisturbed)) this.record.enter('Scheduling');
    } else
      this.record.enter('Scheduling', undefined, {
        ...requests,
        startTime: nowMicros(),
        finishTime: null,
        runId: { increment: 1 },
      });
    this.#adopted = adopted;
    this.#former = tasks;
  }

  begin(): void {
    this.#done = this.#run().finally(() => {
      this.over = true;
      this.#tools.changed();
    });
  }

  /** JSON: the labels that its tasks ask for, as last compiled. */
  get placement(): string | undefined {
    return this.#tasks.planned[0]?.placement;
  }

  edit(editRequests: number): void {
    this.#rollout.requested = editRequests;
    if (this.#rollout.pending) this.#changed.resolve();
  }

  /** Takes note of the rows of its tasks. */
  observe(rows: readonly SeenTask[]): void {
    for (const row of rows) this.#placed.get(row.id)?.current.observe(row);
  }

  /** Offers a task that nobody has, in case that the offer was lost. */
  async offerAgain(taskId: string): Promise<void> {
    await this.#placed.get(taskId)?.offerAgain();
  }

  /** Leaves the job to another worker. Its tasks go on. */
  async detach(): Promise<void> {
    this.#ending = true;
    this.#cancel.abort(new Error('another worker controls the job'));
    this.#tasks.detach();
    this.#drains.end(true);
    this.#changed.resolve();
    await this.#done;
  }

  /** Asks it to end. A second call can only make it end at once. */
  askToEnd(ending: Ending, state: JobState = 'Stopping'): void {
    if (!this.#ending) this.record.enter(state);
    if (this.#ending && ending !== 'stop') return;
    this.#end(ending);
  }

  #end(ending: Ending): void {
    this.#ending = true;
    // Cancels retries. Tasks end in their own way.
    this.#cancel.abort(new Error('the job was stopped'));
    this.#tasks.end(ending);
    this.#drains.end(ending !== 'stop');
    this.#changed.resolve();
  }

  async #run(): Promise<void> {
    try {
      await this.#apply(await this.#prepare());
      while (!this.#ending) {
        const fallback = this.#rollout.takeFallback();
        if (fallback) await this.#apply(fallback);
        else if (this.#rollout.pending) await this.#edit();
        else {
          await this.#changed.promise;
          this.#changed = Promise.withResolvers<void>();
        }
      }
    } catch (error) {
      if (!this.#ending) this.#endedBy(asPenstockError(error));
    }
    await this.#tasks.ended();
    await this.#drains.ended();
  }

  async #prepare(): Promise<PlannedTask[]> {
    const work = (): Promise<PlannedTask[]> => compileJob(this.#deps, this.id);
    const tasks = await despiteOutages(work, this.#cancel.signal, (error) => this.#note('Recovering', error));
    if (!this.#ending && !this.#adopted) this.record.enter('Scheduling');
    await this.#endOthers(tasks);
    return tasks;
  }

  /** Ends tasks that a former controller let run and that the job no longer has, and deletes rows of former tasks. */
  async #endOthers(tasks: readonly PlannedTask[]): Promise<void> {
    const { db } = this.#deps;
    const former = this.#former;
    this.#former = undefined;
    if (former?.every(({ id }) => tasks.some((planned) => planned.id === id))) return;
    const others = { jobId: this.id, job: this.#controlled, id: { notIn: tasks.map(({ id }) => id) } };
    const work = async (): Promise<void> => {
      await db.task.updateMany({
        where: { ...others, ...notEnded, wanted: 'run' },
        data: { wanted: 'drain' },
      });
      await endUnheld(db, others, this.#tools.isGone);
      await db.task.deleteMany({ where: { ...others, NOT: notEnded } });
    };
    const left = () => despiteOutages(() => db.task.count({ where: others }), this.#cancel.signal);
    while ((await left()) > 0) {
      await despiteOutages(work, this.#cancel.signal);
      if ((await left()) > 0) await delay(endingPollMs, this.#cancel.signal);
    }
  }

  async #apply(tasks: readonly PlannedTask[]): Promise<void> {
    if (this.#ending) return;
    this.record.set({ tasks: tasks.length });
    await this.#drains.release(specsOf(tasks));
    await this.#tasks.apply(tasks);
    for (const id of this.#placed.keys())
      if (!tasks.some((planned) => planned.id === id)) this.#placed.delete(id);
  }

  /** Applies the stored version. If it does not compile, the current one continues and the job reports the error. */
  async #edit(): Promise<void> {
    const editsDone = this.#rollout.start();
    try {
      const tasks = await despiteOutages(() => compileJob(this.#deps, this.id), this.#cancel.signal);
      this.record.set({ editsDone });
      if (sameTasks(tasks, this.#tasks.planned)) {
        this.#rollout.refusal = undefined;
        if (this.record.state === 'Running') this.#note('Running');
        return;
      }
      // Arroyo's clients wait for a new run after a rescale.
      if (tasks.length !== this.#tasks.planned.length) this.record.set({ runId: { increment: 1 } });
      this.#rollout.replace(this.#tasks.planned);
      this.#statesChecked = false;
      this.#note('Restarting');
      await this.#apply(tasks);
    } catch (error) {
      if (this.#ending) return;
      this.record.set({ editsDone });
      this.#refused('The edit cannot run. The previous version continues', asPenstockError(error));
    }
  }

  #member(planned: PlannedTask, events: MemberEvents): PlacedTask {
    const { changed, isGone } = this.#tools;
    const unconfirmed = (failure: TaskFailure | undefined): void => {
      if (failure) this.#sinkErrors.set(planned.id, failure);
      else if (this.#sinkErrors.delete(planned.id)) this.#disproven();
    };
    const placed = new PlacedTask({
      deps: this.#deps,
      planned,
      events: { ...events, unconfirmed },
      controlled: this.#controlled,
      isGone,
      changed,
    });
    this.#placed.set(planned.id, placed);
    return placed;
  }

  #running(): void {
    if (this.#ending) return;
    this.#rollout.connected();
    this.#note('Running');
    this.#tellAllConnected();
    const specs = specsOf(this.#tasks.planned);
    this.#drains.begin(specs).catch((error: unknown) => {
      this.#deps.logger.warn({ err: error, job: this.id }, 'session drains are delayed');
    });
    if (this.#statesChecked) return;
    this.#statesChecked = true;
    forgetStates(this.#deps.db, this.id, specs).catch((error: unknown) => {
      this.#statesChecked = false;
      this.#deps.logger.warn({ err: error, job: this.id }, 'former states are deleted later');
    });
  }

  /** Lets the workers of all tasks know that every task is connected. */
  #tellAllConnected(): void {
    const work = () => tellAllConnected(this.#deps, this.id);
    despiteOutages(work, this.#cancel.signal).then(
      () => this.#tools.changed(),
      (error: unknown) => {
        if (!this.#ending) this.#endedBy(asPenstockError(error));
      },
    );
  }

  #finished(): void {
    this.finished = true;
    this.askToEnd('drain', 'Finishing');
  }

  #note(state: JobState, error?: PenstockError, place?: MessagePlace): void {
    this.record.enter(state, error, {}, place);
    const [sinkError] = state === 'Running' ? this.#sinkErrors.values() : [];
    const shown = this.#rollout.refusal ?? (sinkError && errorOf(sinkError));
    if (!error && shown) this.record.blame(shown);
    this.#tools.changed();
  }

  /** Shows an error of a sink no longer, as rows are confirmed again. */
  #disproven(): void {
    if (this.record.state !== 'Running') return;
    this.#note('Running');
  }

  /** A task failed for good: rolls back an edit that has never run completely. Otherwise the job ends. */
  #failed(error: PenstockError, place: MessagePlace): void {
    if (this.#ending || !this.#rollout.canRollBack) {
      this.#endedBy(error, place);
    } else if (this.#rollout.rollBack()) {
      this.#refused('The edit did not start and was rolled back', error);
      this.#changed.resolve();
    }
  }

  #refused(what: string, error: PenstockError): void {
    const { message, hint, errors } = error;
    const refusal = new PenstockError(error, `${what}: ${message}`, { ...(hint ? { hint } : {}), errors });
    this.#rollout.refusal = refusal;
    this.#tools.local.log.say('error', refusal);
    this.record.blame(refusal);
    this.#tools.changed();
  }

  #endedBy(raised: PenstockError, place?: MessagePlace): void {
    if (this.failure) return;
    if (raised.code === 'internal') this.#deps.logger.error({ err: raised, job: this.id }, 'job failed');
    this.failure = raised;
    this.record.enter('Failed', raised, {}, place);
    this.#end('stop');
  }
}

/** Writes to tasks of jobs that this worker still controls only. */
const tellAllConnected = batchedBy(async ({ db, owner }: WorkerDeps, jobs: readonly string[]) => {
  const where = { jobId: { in: [...jobs] }, job: { worker: owner }, ...notEnded };
  await db.task.updateMany({ where, data: { allConnected: { increment: 1 } } });
  return () => {};
});

/** Each task once for each of its sources. */
const specsOf = (tasks: readonly PlannedTask[]): TaskSpec[] => tasks.flatMap(({ spec }) => ofSources(spec));
