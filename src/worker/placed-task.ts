import { isDeepStrictEqual } from 'node:util';
import { asPenstockError } from '../errors.ts';
import { despiteOutages } from '../runtime/delay.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { batchedBy } from './batched.ts';
import type { WorkerDeps } from './deps.ts';
import type { Item, Placement } from './placement.ts';
import type { GroupTask, MemberEvents } from './task-group.ts';
import {
  errorOf,
  hasEnded,
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
  #seen: SeenTask | undefined;
  #wanted: WantedState = 'run';
  #sourceEnded = false;
  #over = false;
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

  stop(): void {
    this.#want('stop');
  }

  detach(): void {
    this.#cancel.abort(new Error('another worker controls the job'));
    this.#end();
  }

  /** Takes note of the row. Rows of former work are ignored. */
  observe(row: SeenTask): void {
    if (this.#over || row.revision !== this.#revision) return;
    const before = this.#seen;
    if (isDeepStrictEqual(before, row) && !(row.worker && this.#tools.isGone(row.worker))) return;
    this.#seen = row;
    const { events, isGone } = this.#tools;
    const failure = row.failure === null ? undefined : readFailure(row.failure);
    const held = row.worker !== null && !isGone(row.worker);
    if (hasEnded(row.state)) {
      // Before its worker has given it back it cannot be offered again.
      if (!held) this.#settle(row.state, failure);
      return;
    }
    if (!held || row.state === 'waiting' || row.state === 'starting') events.waiting();
    else if (row.state === 'recovering' && failure) events.recovering(errorOf(failure), failure.retryInMs);
    events.unconfirmed(failure?.unconfirmed ? failure : undefined);
    if (held && row.state === 'running') {
      const again = before?.connections !== row.connections || before.epoch !== row.epoch;
      if (again || before.state !== 'running') events.running();
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
    const { deps, planned } = this.#tools;
    const { db, catalog } = deps;
    const { id } = this;
    const { jobId } = planned.spec;
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
      failure: null,
    };
    const revision = (row?.revision ?? 0) + 1;
    await db.task.upsert({
      where: { id },
      create: { id, jobId, revision, ...columns },
      update: { revision, ...columns },
    });
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
    if (this.#over || this.#wanted === 'stop' || this.#wanted === wanted) return;
    this.#wanted = wanted;
    if (this.#revision !== undefined) this.#write(wanted);
  }

  #write(wanted: WantedState): void {
    const { deps, changed } = this.#tools;
    const where = { id: this.id, revision: this.#revision as number };
    const work = async (): Promise<void> => {
      await deps.db.task.updateMany({ where, data: { wanted } });
      await endUnheld(deps.db, where);
    };
    void this.#unlessCancelled(work).then(changed);
  }

  /** Does `work` despite outages of the database. An error of another kind ends the task. */
  async #unlessCancelled<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await despiteOutages(work, this.#cancel.signal);
    } catch (error) {
      if (!this.#cancel.signal.aborted) this.#fail(asPenstockError(error));
      return undefined;
    }
  }
}

const offerTask = batchedBy(async (placement: Placement, items: readonly Item[]) => {
  await placement.offer('task', items);
  return () => {};
});

/** Ends tasks that nobody runs and nobody should. */
export async function endUnheld(db: Db, where: object): Promise<void> {
  await db.task.updateMany({
    where: { ...where, worker: null, wanted: { not: 'run' }, state: 'waiting' },
    data: { state: 'ended', stateSince: nowMicros() },
  });
}
