import { isDeepStrictEqual } from 'node:util';
import { asPenstockError, PenstockError } from '../errors.ts';
import { hasEnded, notEnded } from '../jobs/states.ts';
import { despiteOutages } from '../runtime/delay.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { batchedBy } from './batched.ts';
import type { WorkerDeps } from './deps.ts';
import type { Item, Placement } from './placement.ts';
import type { GroupTask, MemberEvents } from './task-group.ts';
import {
  errorOf,
  readFailure,
  type seenByController,
  type TaskFailure,
  type WantedState,
} from './task-row.ts';
import type { PlannedTask } from './task-work.ts';

export type SeenTask = Pick<
  Awaited<ReturnType<Db['task']['findUniqueOrThrow']>>,
  keyof typeof seenByController
>;

export interface PlacedTaskEvents extends MemberEvents {
  /** The error of the sink that left messages unconfirmed; undefined when messages are confirmed again. */
  unconfirmed(failure: TaskFailure | undefined): void;
}

interface PlacedTaskTools {
  deps: WorkerDeps;
  planned: PlannedTask;
  events: PlacedTaskEvents;
  /** The job, while this worker controls it: a part of the condition of every write. */
  controlled: { worker: string; epoch: number };
  /** Whether no worker of that name lives. */
  isGone(worker: string): boolean;
  /** Called when another worker, or this one, has something to do. */
  changed(): void;
}

/**
 * A task as the controller of its job sees it: a row that says what is wanted, and on which the worker that runs the task says
 * what is. It may run on any worker. A task that already runs as wanted, for a former controller, goes on undisturbed.
 */
export class PlacedTask implements GroupTask {
  readonly id: string;
  readonly #tools: PlacedTaskTools;
  readonly #cancel = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #revision: number | undefined;
  #seen: (SeenTask & { held: boolean }) | undefined;
  #wanted: WantedState = 'run';
  #sourceEnded = false;
  #over = false;
  #writing = false;
  #former: PlacedTask | undefined;

  constructor(tools: PlacedTaskTools) {
    this.#tools = tools;
    this.id = tools.planned.id;
    this.#ended.promise.catch(() => {});
  }

  get sourceEnded(): boolean {
    return this.#sourceEnded;
  }

  async run(): Promise<void> {
    const begun = await this.#unlessCancelled(() => this.#begin());
    if (begun && !this.#over) {
      await this.#offer();
      if (this.#wanted !== 'run') this.#write(this.#wanted);
    }
    return this.#ended.promise;
  }

  async drain(): Promise<void> {
    this.#want('drain');
    await this.#ended.promise.catch(() => {});
  }

  async finish(): Promise<void> {
    this.#want('finish');
    await this.#ended.promise.catch(() => {});
  }

  stop(): void {
    this.#want('stop');
  }

  detach(): void {
    this.#cancel.abort(new Error('another worker controls the job'));
    this.#former?.detach();
    this.#end();
  }

  /** Takes note of the row. Rows of former work are ignored. */
  observe(row: SeenTask): void {
    if (this.#over || row.revision !== this.#revision) return;
    const before = this.#seen;
    // The worker that should end it is gone, and perhaps no other may take it.
    if (this.#wanted !== 'run' && row.worker && !hasEnded(row.state) && this.#tools.isGone(row.worker))
      this.#write(this.#wanted);
    const { events, isGone } = this.#tools;
    const held = row.worker !== null && !isGone(row.worker);
    // A worker that counted as gone may come back, with the row unchanged.
    const seen = { ...row, held };
    if (isDeepStrictEqual(before, seen)) return;
    this.#seen = seen;
    const failure = row.failure === null ? undefined : readFailure(row.failure);
    if (hasEnded(row.state)) {
      // Before its worker has given it back it cannot be offered again.
      if (!held) this.#settle(row.state, failure);
      return;
    }
    const moved = before?.held === true && before.epoch !== row.epoch;
    // A move may be over before it is seen. The job waited all the same.
    if (moved || !held || row.state === 'waiting' || row.state === 'starting') events.waiting();
    if (held && row.state === 'recovering' && failure) events.recovering(errorOf(failure));
    events.unconfirmed(failure?.unconfirmed ? failure : undefined);
    if (held && row.state === 'running') {
      const again = before?.connections !== row.connections || before.epoch !== row.epoch;
      if (again || before.state !== 'running' || !before.held) events.running();
    }
  }

  /** Offers a task that nobody has, in case that the offer was lost. */
  async offerAgain(): Promise<void> {
    if (!this.#over && this.#revision !== undefined) await this.#offer();
  }

  #settle(state: string, failure: TaskFailure | undefined): void {
    this.#sourceEnded = state === 'finished';
    if (state === 'failed' && failure) this.#fail(errorOf(failure));
    else this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#ended.resolve();
  }

  #fail(error: unknown): void {
    this.#over = true;
    this.#ended.reject(error);
  }

  /** Writes the row, unless it is there and its work is the same. Returns whether the task is to run. */
  async #begin(): Promise<boolean> {
    const { deps, planned, controlled: job } = this.#tools;
    const { db, catalog } = deps;
    const { id } = this;
    const text = JSON.stringify(planned.work);
    const row = await db.task.findUnique({ where: { id } });
    const held = row?.worker != null && !this.#tools.isGone(row.worker);
    if (row && (held || !hasEnded(row.state))) {
      this.#revision = row.revision;
      const same = row.wanted === 'run' && !hasEnded(row.state) && row.placement === planned.placement;
      if (same && this.#opened(row.work) === text) {
        this.observe(row);
        return true;
      }
      await this.#endFormer(row.revision);
    }
    const columns = {
      placement: planned.placement,
      wanted: 'run',
      place: JSON.stringify(planned.place),
      work: catalog.sealWork(id, text),
      worker: null,
      state: 'waiting',
      stateSince: nowMicros(),
      connections: 0,
      failure: null,
    };
    const revision = (row?.revision ?? 0) + 1;
    if (row) {
      const where = { id, revision: row.revision, job };
      const { count } = await db.task.updateMany({ where, data: { revision, ...columns } });
      if (count === 0) throw new PenstockError('task_taken', 'Another worker controls the job');
    } else {
      const ofJob = { connect: { id: planned.spec.jobId, ...job } };
      await db.task.create({ data: { id, job: ofJob, revision, ...columns } });
    }
    this.#revision = revision;
    this.#seen = undefined;
    return true;
  }

  #opened(work: string): string | undefined {
    try {
      return this.#tools.deps.catalog.openWork(this.id, work);
    } catch {
      // The key is gone. The work is written again.
      return undefined;
    }
  }

  /** Ends what a former controller let run here, and waits for it. */
  async #endFormer(revision: number): Promise<void> {
    const former = new PlacedTask({
      ...this.#tools,
      events: { running() {}, recovering() {}, waiting() {}, unconfirmed() {} },
    });
    former.#revision = revision;
    this.#former = former;
    await former.drain();
    this.#former = undefined;
  }

  /** The task that rows of this id are about: the former one while it ends. */
  get current(): PlacedTask {
    return this.#former ?? this;
  }

  async #offer(): Promise<void> {
    const { deps, planned, changed } = this.#tools;
    const { id } = this;
    const item = { id, placement: planned.placement };
    await this.#unlessCancelled(() => offerTask(deps.placement, item));
    changed();
  }

  #want(wanted: WantedState): void {
    if (this.#over || this.#wanted === wanted || (this.#wanted !== 'run' && wanted !== 'stop')) return;
    this.#wanted = wanted;
    if (this.#revision !== undefined) this.#write(wanted);
  }

  #write(wanted: WantedState): void {
    if (this.#writing) return;
    this.#writing = true;
    const { deps, changed, controlled: job, isGone } = this.#tools;
    const where = { id: this.id, revision: this.#revision as number, job };
    const work = async (): Promise<void> => {
      await deps.db.task.updateMany({ where, data: { wanted } });
      await endUnheld(deps.db, where, isGone);
    };
    void this.#unlessCancelled(work).then(() => {
      this.#writing = false;
      if (this.#wanted === wanted) changed();
      else this.#write(this.#wanted);
    });
  }

  /**
   * Does `work` despite outages of the database. An error of another kind ends the task, unless the job was taken over or
   * deleted, which the worker notices.
   */
  async #unlessCancelled<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await despiteOutages(work, this.#cancel.signal);
    } catch (error) {
      const raised = asPenstockError(error);
      if (raised.code === 'task_taken' || raised.code === 'not_found') this.detach();
      else if (!this.#cancel.signal.aborted) this.#fail(raised);
      return undefined;
    }
  }
}

const offerTask = batchedBy(async (placement: Placement, items: readonly Item[]) => {
  await placement.offer('task', items);
  return () => {};
});

/** Ends tasks that nobody who lives runs, and nobody should. */
export async function endUnheld(db: Db, where: object, isGone: (worker: string) => boolean): Promise<void> {
  const unwanted = { ...where, ...notEnded, wanted: { not: 'run' } };
  const ended = { state: 'ended', stateSince: nowMicros() };
  await db.task.updateMany({ where: { ...unwanted, worker: null }, data: ended });
  const held = await db.task.findMany({
    where: { ...unwanted, worker: { not: null } },
    select: { worker: true },
    distinct: ['worker'],
  });
  const gone = held.flatMap(({ worker }) => (worker !== null && isGone(worker) ? [worker] : []));
  if (gone.length === 0) return;
  await db.task.updateMany({
    where: { ...unwanted, worker: { in: gone } },
    data: { ...ended, worker: null, epoch: { increment: 1 } },
  });
}
