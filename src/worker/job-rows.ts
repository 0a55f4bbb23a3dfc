import { type Ending, type JobState, notEnded } from '../jobs/states.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import type { WorkerDeps } from './deps.ts';
import { messageId, noFailure, stateChange } from './job-record.ts';
import { endUnheld } from './placed-task.ts';
import type { UnheldItem } from './placement.ts';
import { seenByController, seenByRunner } from './task-row.ts';

const jobRow = {
  id: true,
  epoch: true,
  stop: true,
  state: true,
  stateSince: true,
  restartRequests: true,
  restartForce: true,
  restartsDone: true,
  editRequests: true,
} as const;

export type HeldJob = Pick<Awaited<ReturnType<Db['job']['findUniqueOrThrow']>>, keyof typeof jobRow>;

/** Which workers live. `alive` names those that certainly do. */
export interface LiveWorkers {
  alive: string[];
  isGone(worker: string): boolean;
}

const done: JobState[] = ['Failed', 'Finished'];

/** The rows of jobs and tasks that the main loop of a worker reads and writes. Methods throw database errors. */
export class JobRows {
  readonly #db: Db;
  readonly #own: { worker: string };

  constructor({ db, owner }: Pick<WorkerDeps, 'db' | 'owner'>) {
    this.#db = db;
    this.#own = { worker: owner };
  }

  ownJobs(): Promise<HeldJob[]> {
    return this.#db.job.findMany({ where: this.#own, select: jobRow });
  }

  /** The tasks of the jobs that this worker controls. */
  tasksOfOwnJobs() {
    return this.#db.task.findMany({ where: { job: this.#own }, select: seenByController });
  }

  ownTasks() {
    return this.#db.task.findMany({ where: this.#own, select: seenByRunner });
  }

  /** Jobs that something must be done for, and that no worker has, or one that is gone. */
  async unheldJobs({ alive, isGone }: LiveWorkers): Promise<UnheldItem[]> {
    const rows = await this.#db.job.findMany({
      where: { AND: [{ OR: this.#unsettled() }, { OR: [{ worker: null }, { worker: { notIn: alive } }] }] },
      select: { id: true, worker: true },
    });
    const free = new Map(
      rows.filter(({ worker }) => worker === null || isGone(worker)).map(({ id, worker }) => [id, worker]),
    );
    if (free.size === 0) return [];
    const pipelines = await this.#db.pipeline.findMany({
      where: { job: { id: { in: [...free.keys()] } } },
      select: { placement: true, job: { select: { id: true } } },
    });
    return pipelines.flatMap(({ job, placement }) =>
      job ? [{ id: job.id, placement, worker: free.get(job.id) ?? null }] : [],
    );
  }

  #unsettled() {
    return [
      { stop: 'none', state: { notIn: done } },
      { stop: { not: 'none' }, state: { notIn: [...done, 'Created', 'Stopped'] } },
      { restartRequests: { gt: this.#db.job.fields.restartsDone } },
      // Its worker died after writing the final state and before releasing the job.
      { state: { in: [...done, 'Stopped'] }, worker: { not: null } },
    ];
  }

  /** Tasks that no worker has, or one that is gone. */
  async unheldTasks({ alive, isGone }: LiveWorkers) {
    const rows = await this.#db.task.findMany({
      where: { ...notEnded, OR: [{ worker: null }, { worker: { notIn: alive } }] },
      select: { id: true, jobId: true, placement: true, worker: true },
    });
    return rows.filter(({ worker }) => worker === null || isGone(worker));
  }

  /** Ids of jobs with tasks here and dead letters to replay. */
  async withReplays(): Promise<string[]> {
    const where = { state: 'replaying', job: { placedTasks: { some: this.#own } } };
    const jobs = await this.#db.deadLetter.groupBy({ by: ['jobId'], where });
    return jobs.map(({ jobId }) => jobId);
  }

  /** Asks every task of a job that this worker controls to end. Returns whether all have. */
  async endTasks({ id, epoch }: HeldJob, wanted: Ending, { isGone }: LiveWorkers): Promise<boolean> {
    const tasks = { jobId: id, job: { ...this.#own, epoch } };
    await this.#db.task.updateMany({ where: { ...tasks, ...notEnded, wanted: 'run' }, data: { wanted } });
    await endUnheld(this.#db, tasks, isGone);
    return (await this.#db.task.count({ where: { jobId: id, ...notEnded } })) === 0;
  }

  /** Writes the final state of a job that this worker controls, and frees it. */
  async release(row: HeldJob, state: JobState): Promise<void> {
    const now = nowMicros();
    const ended = state === row.state ? {} : { state, stateSince: now, finishTime: now };
    const failure = state === 'Failed' ? {} : noFailure;
    const free = { worker: null, tasks: null, updatedAt: now };
    // One transaction: a released job may be deleted at once, and then takes no message.
    await this.#db.$transaction(async (tx) => {
      const { count } = await tx.job.updateMany({
        where: { id: row.id, ...this.#own, epoch: row.epoch },
        data: { ...ended, ...failure, ...free, restartsDone: row.restartRequests },
      });
      if (count === 0 || state === row.state) return;
      const change = { id: messageId(), jobId: row.id, ...stateChange(now, row.state, state) };
      await tx.jobMessage.create({ data: change });
    });
  }

  /** Shows that jobs which should run, and of which no task runs any more, wait for a worker. */
  async showWaiting(ids: readonly string[]): Promise<void> {
    await this.#db.job.updateMany({
      where: {
        id: { in: [...ids] },
        ...this.#own,
        stop: 'none',
        state: { notIn: done },
        placedTasks: { none: { ...notEnded, worker: { not: null } } },
      },
      data: { state: 'Scheduling', stateSince: nowMicros() },
    });
  }
}
