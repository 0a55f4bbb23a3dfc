import { asPenstockError, PenstockError } from '../errors.ts';
import { hasEnded, type TaskState } from '../jobs/states.ts';
import type { TaskCounts } from '../jobs/stats.ts';
import { despiteOutages } from '../runtime/delay.ts';
import { ofSources, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import type { Tx } from '../store/db.ts';
import { weightOf } from './balance.ts';
import { alike, batchedBy, type RowChange } from './batched.ts';
import type { TaskCounters } from './counters.ts';
import type { WorkerDeps } from './deps.ts';
import type { LocalJob } from './local-jobs.ts';
import type { HeldItem } from './placement.ts';
import { positionsOf } from './positions.ts';
import type { CountedTask } from './reporting.ts';
import { JobSessions, recordSinkSession } from './sessions.ts';
import { statesOf } from './states.ts';
import { leftUnconfirmed, Task } from './task.ts';
import { placeIn, writeFailure } from './task-row.ts';
import { readWork, specOf, type TaskWork } from './task-work.ts';

interface RunningTaskTools {
  deps: WorkerDeps;
  /** The job's part in this process. */
  local(jobId: string): LocalJob;
  /** Called when there is something to write. */
  changed(): void;
  /** Whether it is safe to connect because no other worker can have the task. */
  mayConnect(): boolean;
}

/** Columns of the row in which the controller of the job says what it wants. */
interface TaskOrders {
  revision: number;
  wanted: string;
  allConnected: number;
}

interface OpenedTask {
  spec: TaskSpec;
  work: TaskWork;
  counters: TaskCounters;
  local: LocalJob;
  task: Task;
}

/** A task while this worker has it: runs it, follows what is wanted, and writes into its row what is. */
export class RunningTask {
  readonly id: string;
  readonly #epoch: number;
  readonly #tools: RunningTaskTools;
  readonly #cancel = new AbortController();
  #orders: TaskOrders | undefined;
  #opened: OpenedTask | undefined;
  #placement = '{}';
  #changes: Record<string, unknown> = {};
  #connections = 0;
  #connected = false;
  #allConnectedSeen = 0;
  #releasing = false;
  #lost = false;
  #end: TaskState | undefined;
  #done: Promise<void> = Promise.resolve();

  constructor({ id, epoch }: HeldItem, tools: RunningTaskTools) {
    this.id = id;
    this.#epoch = epoch;
    this.#tools = tools;
  }

  begin(): void {
    this.#done = this.#run().finally(() => {
      this.#close();
      this.#tools.changed();
    });
  }

  /** How it has ended; undefined while it runs. `waiting` if another worker should go on. */
  get end(): TaskState | undefined {
    return this.#end;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get unwritten(): boolean {
    return Object.keys(this.#changes).length > 0;
  }

  get weight(): number {
    return weightOf(this.#opened?.counters.messageRate ?? 0);
  }

  get placement(): string {
    return this.#placement;
  }

  get releasing(): boolean {
    return this.#releasing;
  }

  get counted(): CountedTask | undefined {
    if (!this.#opened) return undefined;
    const { spec, counters } = this.#opened;
    const { source: sourceId, sink: sinkId } = spec.insert.operatorIds;
    return { id: this.id, jobId: spec.jobId, sourceId, sinkId, index: spec.taskIndex, counters };
  }

  /** The task, if it is connected and can replay dead letters. */
  get replaying(): { spec: TaskSpec; work: TaskWork; task: Task } | undefined {
    return this.#connected && this.#cancel.signal.aborted === false ? this.#opened : undefined;
  }

  follow(orders: TaskOrders): void {
    const before = this.#orders;
    if (!before) return;
    this.#orders = orders;
    if (orders.revision !== before.revision || orders.wanted === 'stop') this.stop();
    else if (orders.wanted !== 'run' && before.wanted === 'run')
      this.#drain(orders.wanted === 'finish' ? 'finish' : 'drain');
    this.#tellAllConnected();
  }

  /** Ends it after the messages in flight, for another worker to go on. */
  async release(): Promise<void> {
    this.#releasing = true;
    this.#drain();
    await this.#done;
  }

  /** Ends it at once: another worker may have it, or nobody should. */
  stop(): void {
    this.#cancel.abort(new Error('the task was stopped'));
    this.#opened?.task.stop();
  }

  /** Another worker has it: nothing is written any more. */
  async lose(): Promise<void> {
    this.#lost = true;
    this.#changes = {};
    this.stop();
    await this.#done;
  }

  /** Writes all changes. Throws database errors and then keeps the changes. */
  async flush(): Promise<void> {
    if (!this.unwritten || this.#lost) return;
    const data = this.#changes;
    this.#changes = {};
    const { id, epoch } = this;
    await writeTask(this.#tools.deps, { id, epoch, data }).catch((error: unknown) => {
      this.#changes = { ...data, ...this.#changes };
      throw error;
    });
  }

  discard(): void {
    this.#changes = {};
  }

  #drain(how: 'drain' | 'finish' = 'drain'): void {
    this.#cancel.abort(new Error('the task was drained'));
    const opened = this.#opened;
    opened?.task[how]().catch((error: unknown) => this.#warn(opened, asPenstockError(error)));
  }

  async #run(): Promise<void> {
    try {
      const opened = await despiteOutages(() => this.#open(), this.#cancel.signal);
      if (!opened) return;
      this.#opened = opened;
      this.#enter('starting');
      await opened.task.run();
      this.#end ??= this.#endOf(opened);
      this.#enter(this.#end);
    } catch (error) {
      if (this.#cancel.signal.aborted && !this.#opened) {
        this.#end = this.#endOf();
        this.#enter(this.#end);
      } else this.#failed(asPenstockError(error));
    }
  }

  #endOf(opened?: OpenedTask): TaskState {
    if (opened?.task.sourceEnded) return 'finished';
    return this.#releasing && (this.#orders?.wanted ?? 'run') === 'run' ? 'waiting' : 'ended';
  }

  #failed(error: PenstockError): void {
    if (error.code === 'internal')
      this.#tools.deps.logger.error({ err: error, task: this.id }, 'task failed');
    this.#end = 'failed';
    this.#enter('failed', { failure: writeFailure(error) });
  }

  /** Reads the row and makes ready what it says. Returns undefined if there is nothing to do. */
  async #open(): Promise<OpenedTask | undefined> {
    const { deps, local: localJob } = this.#tools;
    const { db, catalog, owner } = deps;
    // By its id alone: those of several tasks are read together.
    const row = await db.task.findUnique({
      where: { id: this.id },
      include: { stats: true, job: { select: { startTime: true } } },
    });
    if (row?.worker !== owner || row.epoch !== this.#epoch || hasEnded(row.state)) {
      this.#end = 'ended';
      return undefined;
    }
    this.#orders = row;
    this.#allConnectedSeen = row.allConnected;
    this.#placement = row.placement;
    this.#connections = row.connections;
    if (row.wanted !== 'run') {
      this.#end = 'ended';
      this.#enter('ended');
      return undefined;
    }
    const work = readWork(catalog.openWork(this.id, row.work));
    const { index } = JSON.parse(row.place) as { index: number };
    const spec = specOf(catalog, row.jobId, work, index);
    const sessions = new JobSessions(deps, row.jobId);
    await recordSinkSession(deps, spec);
    await sessions.load(spec);
    const local = localJob(row.jobId);
    const before =
      row.stats && row.stats.updatedAt > (row.job.startTime ?? 0n)
        ? (JSON.parse(row.stats.stats) as TaskCounts)
        : undefined;
    const counters = local.counters.begin(spec, before);
    const task = this.#task(spec, { sessions, local, counters });
    local.tasks.add(this);
    return { spec, work, counters, local, task };
  }

  #task(
    spec: TaskSpec,
    { sessions, local, counters }: Pick<OpenedTask, 'local' | 'counters'> & { sessions: JobSessions },
  ): Task {
    const { deps, mayConnect } = this.#tools;
    const own = (tx: Tx): Promise<void> => this.#own(tx);
    return new Task(spec, {
      events: {
        running: () => this.#running(),
        recovering: (error, retryInMs) => this.#recovering(error, retryInMs),
        warn: (error, operatorId) => {
          const place = placeIn(spec, error);
          local.log.say('warn', error, operatorId === undefined ? place : { ...place, operatorId });
          this.#tools.changed();
        },
        mayConnect,
      },
      sessions: ofSources(spec).map((source) => sessions.of(source)),
      positions: ofSources(spec).map((source) => positionsOf(deps.db, source, own)),
      states: statesOf(spec, { ...deps, own }),
      deadLetters: local.deadLetters,
      counters,
      threads: deps.threads,
      hasRun: this.#connections > 0,
    });
  }

  /** Throws if another worker has taken the task. Locks the row, so none takes it before the transaction ends. */
  async #own(tx: Tx): Promise<void> {
    const epoch = this.#epoch;
    const where = { id: this.id, worker: this.#tools.deps.owner, epoch };
    const { count } = await tx.task.updateMany({ where, data: { epoch } });
    if (count > 0) return;
    this.stop();
    throw new PenstockError('task_taken', 'Another worker has taken over the task');
  }

  #running(): void {
    const opened = this.#opened;
    if (!opened) return;
    opened.counters.connected = true;
    this.#connected = true;
    this.#connections += 1;
    const kept = opened.counters.nextConfirmed ? {} : { failure: null };
    this.#enter('running', { connections: this.#connections, ...kept });
    this.#tellAllConnected();
  }

  #recovering(error: PenstockError, retryInMs: number): void {
    const opened = this.#opened;
    if (!opened) return;
    this.#connected = false;
    opened.counters.connected = false;
    if (leftUnconfirmed(error))
      opened.counters.nextConfirmed = () => {
        this.#changes.failure = null;
        this.#tools.changed();
      };
    this.#warn(opened, error, retryInMs);
    this.#enter('recovering', { failure: writeFailure(error) });
  }

  /** Internal errors are logged with all details, passing ones for the operator. */
  #warn({ spec, local }: OpenedTask, error: PenstockError, retryInMs?: number): void {
    const { logger } = this.#tools.deps;
    const details = { job: spec.jobId, code: error.code, retryInMs };
    if (error.code === 'internal') logger.error({ ...details, err: error }, 'task failed; it tries again');
    else logger.warn(details, error.message);
    local.log.say('warn', error, placeIn(spec, error));
  }

  #enter(state: TaskState, more: Record<string, unknown> = {}): void {
    if (this.#lost) return;
    Object.assign(this.#changes, { state, stateSince: nowMicros() }, more);
    this.#tools.changed();
  }

  #tellAllConnected(): void {
    const { allConnected = 0 } = this.#orders ?? {};
    if (!this.#connected || allConnected <= this.#allConnectedSeen) return;
    this.#allConnectedSeen = allConnected;
    this.#opened?.task.allConnected();
  }

  #close(): void {
    const opened = this.#opened;
    this.#connected = false;
    if (!opened) return;
    opened.counters.connected = false;
    opened.local.counters.end(opened.counters);
    opened.local.tasks.delete(this);
    opened.local.idleSince = performance.now();
  }
}

/** Writes tasks that have changed in the same way together. They then have the same `stateSince`. */
const writeTask = batchedBy(async ({ db, owner }: WorkerDeps, writes: readonly RowChange[]) => {
  for (const { rows, data } of alike(writes, ['stateSince']))
    await db.task.updateMany({ where: { worker: owner, ...rows }, data });
  return () => {};
});
