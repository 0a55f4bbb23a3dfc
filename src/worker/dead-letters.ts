import { asPenstockError, PenstockError } from '../errors.ts';
import { type BadData, deadLetterDefaults } from '../formats/schema/schema.ts';
import type {
  DeadLetter,
  DeadLetterFailure,
  DeadLetterStore,
  DeadLettersStored,
  ReplayedDeadLetter,
} from '../runtime/operations.ts';
import { ofSources, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db, Tx } from '../store/db.ts';
import { removeDeadLetters } from '../store/dead-letters.ts';
import { newTimedId } from '../store/id.ts';
import type { WorkerDeps } from './deps.ts';
import type { Task } from './task.ts';
import type { TaskWork } from './task-work.ts';

/** Maximum number of dead letters read together to evict the oldest. */
const maxEvictedTogether = 500;

type DeadLetterBounds = Required<Omit<BadData, 'behavior'>>;

export class StoredDeadLetters implements DeadLetterStore {
  readonly #db: Db;
  readonly #jobId: string;
  #newest = 0n;
  #last: Promise<unknown> = Promise.resolve();

  constructor(db: Db, jobId: string) {
    this.#db = db;
    this.#jobId = jobId;
  }

  /** Calls run one after the other, so dead letters keep their order. */
  add(deadLetters: readonly DeadLetter[], badData: BadData): Promise<DeadLettersStored> {
    const result = this.#last.then(() => this.#add(deadLetters, { ...deadLetterDefaults, ...badData }));
    this.#last = result.catch(() => undefined);
    return result;
  }

  #add(deadLetters: readonly DeadLetter[], bounds: DeadLetterBounds): Promise<DeadLettersStored> {
    return this.#db.$transaction(async (tx) => {
      // Locks the row, so changes to the dead letters of a job happen one at a time.
      const job = await tx.job.update({
        where: { id: this.#jobId },
        data: { deadLetters: { increment: 0 } },
      });
      const held = { count: job.deadLetters, bytes: Number(job.deadLetterBytes) };
      const added = bounds.when_full === 'fail' ? fitting(deadLetters, held, bounds) : deadLetters;
      const bytes = added.reduce((sum, { payload }) => sum + payload.length, 0);
      await tx.job.update({
        where: { id: this.#jobId },
        data: { deadLetters: { increment: added.length }, deadLetterBytes: { increment: BigInt(bytes) } },
      });
      await tx.deadLetter.createMany({ data: added.map((one) => this.#row(one)) });
      const excess = held.count + added.length - bounds.max_count;
      const evicted = await this.#evict(tx, excess, held.bytes + bytes - bounds.max_bytes);
      return { stored: added.length, evicted };
    });
  }

  #row({ payload, ...rest }: DeadLetter) {
    const createdAt = this.#nextTime();
    return {
      ...rest,
      id: newTimedId('dl', createdAt),
      jobId: this.#jobId,
      createdAt,
      payload: new Uint8Array(payload),
      bytes: payload.length,
    };
  }

  /** Deletes the oldest dead letters until no excess is left. The newest stays, however large. */
  async #evict(tx: Tx, excess: number, excessBytes: number): Promise<number> {
    let evicted = 0;
    let bytes = excessBytes;
    while (excess - evicted > 0 || bytes > 0) {
      const oldest = await tx.deadLetter.findMany({
        where: { jobId: this.#jobId },
        orderBy: oldestFirst,
        take: maxEvictedTogether + 1,
        select: { id: true, bytes: true },
      });
      const ids: string[] = [];
      for (const deadLetter of oldest.slice(0, -1)) {
        if (excess - evicted - ids.length <= 0 && bytes <= 0) break;
        ids.push(deadLetter.id);
        bytes -= deadLetter.bytes;
      }
      if (ids.length === 0) break;
      evicted += await removeDeadLetters(tx, this.#jobId, { id: { in: ids } });
    }
    return evicted;
  }

  /** Later than every time before, so dead letters keep their order. */
  #nextTime(): bigint {
    const now = nowMicros();
    this.#newest = now > this.#newest ? now : this.#newest + 1n;
    return this.#newest;
  }
}

const oldestFirst = [{ createdAt: 'asc' as const }, { id: 'asc' as const }];

/** The first dead letters that fit. A single one larger than the bound fits if there is no other. */
function fitting(
  deadLetters: readonly DeadLetter[],
  held: { count: number; bytes: number },
  { max_count, max_bytes }: DeadLetterBounds,
): readonly DeadLetter[] {
  let { count, bytes } = held;
  const end = deadLetters.findIndex(({ payload }) => {
    count += 1;
    bytes += payload.length;
    return count > 1 && (count > max_count || bytes > max_bytes);
  });
  return end === -1 ? deadLetters : deadLetters.slice(0, end);
}

const maxReplayedTogether = 100;
const maxReplayedBytes = 16 * 1024 * 1024;

/** A connected task of this process. */
export interface ConnectedTask {
  spec: TaskSpec;
  work: TaskWork;
  task: Task;
}

interface ReplayTools {
  deps: WorkerDeps;
  jobId: string;
  tasks(): ConnectedTask[];
  replayed(count: number): void;
}

type WaitingDeadLetter = Awaited<ReturnType<Db['deadLetter']['findMany']>>[number];

type ReplayResult = { id: string; failure: DeadLetterFailure | undefined };

/** Replays marked dead letters, oldest first. Deletes those that succeed; the others keep their new failure. */
export class Replays {
  readonly #tools: ReplayTools;
  #running: Promise<void> | undefined;

  constructor(tools: ReplayTools) {
    this.#tools = tools;
  }

  /** Starts unless already running. Ends when none are left or none can be replayed now. */
  begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { deps, jobId } = this.#tools;
    try {
      for (let more = true; more; ) more = await this.#replaySome();
    } catch (error) {
      deps.logger.warn({ err: error, job: jobId }, 'replay of dead letters failed; it is retried later');
    }
  }

  /** Replays the oldest group. Returns whether to go on. */
  async #replaySome(): Promise<boolean> {
    const tasks = this.#tools.tasks();
    if (tasks.length === 0) return false;
    const rows = await this.#next(tasks);
    for (const [member, group] of Map.groupBy(rows, (row) => taskFor(tasks, row))) {
      const results = member ? await replayBy(member, group) : group.map(withoutTask);
      if (!results) return false;
      await this.#settle(results);
    }
    return rows.length > 0;
  }

  async #next(tasks: readonly ConnectedTask[]): Promise<WaitingDeadLetter[]> {
    const { deadLetter } = this.#tools.deps.db;
    const oldest = await deadLetter.findMany({
      where: { jobId: this.#tools.jobId, state: 'replaying', OR: tasks.flatMap(lettersOf) },
      orderBy: oldestFirst,
      take: maxReplayedTogether,
      select: { id: true, bytes: true },
    });
    let sum = 0;
    const group = oldest.filter(({ bytes }, index) => {
      sum += bytes;
      return index === 0 || sum <= maxReplayedBytes;
    });
    const where = { id: { in: group.map(({ id }) => id) } };
    return deadLetter.findMany({ where, orderBy: oldestFirst });
  }

  async #settle(results: readonly ReplayResult[]): Promise<void> {
    const { deps, jobId, replayed } = this.#tools;
    const done = results.filter(({ failure }) => !failure).map(({ id }) => id);
    const replayedAt = nowMicros();
    await deps.db.$transaction(async (tx) => {
      await removeDeadLetters(tx, jobId, { id: { in: done } });
      for (const { id, failure } of results) {
        if (!failure) continue;
        const data = { ...failure, state: 'waiting', replays: { increment: 1 }, replayedAt };
        await tx.deadLetter.updateMany({ where: { id }, data });
      }
    });
    if (done.length > 0) replayed(done.length);
  }
}

/** Which dead letters a task replays: those of each of its sources. */
const lettersOf = ({ spec, work }: ConnectedTask): object[] =>
  ofSources(spec).flatMap((source) => lettersOfSource(source, work));

/**
 * The dead letters of a task with one source: those of this source, wherever the other tasks of the job run. The first task of a
 * source also takes those of tasks that are no more, and of other sources of the same table that are no more. The first task
 * of the job takes the rest.
 */
function lettersOfSource(spec: TaskSpec, work: TaskWork): object[] {
  const { operatorId } = spec.source;
  const { taskIndex } = spec;
  const own = { operatorId, taskIndex };
  if (taskIndex > 0) return [own];
  const { sources, parallelism } = work;
  const known = { notIn: sources.map((source) => source.operatorId) };
  const sourceTable = spec.insert.source.name;
  const first = sources.find(({ table }) => table === sourceTable)?.operatorId === operatorId;
  const rest = { operatorId: known, sourceTable: { notIn: sources.map(({ table }) => table) } };
  return [
    own,
    { operatorId, taskIndex: { gte: parallelism } },
    ...(first ? [{ operatorId: known, sourceTable }] : []),
    ...(sources[0]?.operatorId === operatorId ? [rest] : []),
  ];
}

/** The task of this process that replays a dead letter; undefined if no query reads its table. */
function taskFor(tasks: readonly ConnectedTask[], row: WaitingDeadLetter): ConnectedTask | undefined {
  const same = tasks.filter(({ spec }) => sourceOf(spec, row, true) !== -1);
  return (
    same.find(({ spec }) => spec.taskIndex === row.taskIndex) ??
    same.find(({ spec }) => spec.taskIndex === 0) ??
    tasks.find(({ spec }) => spec.taskIndex === 0 && sourceOf(spec, row) !== -1)
  );
}

/** The number of the source that a dead letter came from, or of another one of its table; -1 if there is none. */
function sourceOf(spec: TaskSpec, row: WaitingDeadLetter, exact = false): number {
  const sources = ofSources(spec);
  const same = sources.findIndex(({ source }) => source.operatorId === row.operatorId);
  if (same !== -1 || exact) return same;
  return sources.findIndex(({ insert }) => insert.source.name === row.sourceTable);
}

/** Returns undefined if the task is no longer connected. Throws passing errors: the group is replayed later. */
async function replayBy(
  { task, spec }: ConnectedTask,
  rows: readonly WaitingDeadLetter[],
): Promise<ReplayResult[] | undefined> {
  try {
    const failures = await task.replay(rows.map((row) => toReplay(row, Math.max(0, sourceOf(spec, row)))));
    return failures && rows.map(({ id }, index) => ({ id, failure: failures[index] }));
  } catch (error) {
    const raised = asPenstockError(error);
    if (raised.passing) throw raised;
    return rows.map((row) => failedWith(row, raised));
  }
}

const toReplay = (
  { payload, metadata, failedRows, rowCount }: WaitingDeadLetter,
  source: number,
): ReplayedDeadLetter => ({
  source,
  // Copied: a payload may be a view of a large buffer, which would be cloned whole.
  payload: new Uint8Array(payload),
  metadata,
  ...(failedRows !== null && rowCount !== null
    ? { left: { rows: new Set(JSON.parse(failedRows) as number[]), of: rowCount } }
    : {}),
});

/** The result of a dead letter that failed before any row was tried. Its rows stay as they were. */
function failedWith(row: WaitingDeadLetter, { code, message }: PenstockError): ReplayResult {
  const { id, stage, failedRows, rowCount } = row;
  const errors = JSON.stringify([{ stage, code, row: null, path: '', message }]);
  return { id, failure: { stage, code, message, errors, failedRows, rowCount } };
}

const withoutTask = (row: WaitingDeadLetter): ReplayResult =>
  failedWith(row, new PenstockError('not_found', `Delete it: no query reads ${row.sourceTable}`));
