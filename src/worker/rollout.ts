import { PenstockError } from '../errors.ts';
import type { TaskEnd, TaskSpec } from '../runtime/task-spec.ts';
import { compileQuery } from '../sql/compile.ts';
import type { WorkerDeps } from './deps.ts';

/** Compiles the tasks of a job from the stored definitions. The only passing error is `database_unavailable`. */
export async function compileJob({ db, catalog }: WorkerDeps, jobId: string): Promise<TaskSpec[]> {
  const { pipeline } = await db.job.findUniqueOrThrow({ where: { id: jobId }, include: { pipeline: true } });
  const { parallelism } = pipeline;
  const { inserts } = await compileQuery(catalog.query(pipeline), catalog);
  return inserts.flatMap((insert) => {
    const sink = { ...catalog.usable(insert.sink), operatorId: insert.operatorIds.sink };
    const alone = { ...catalog.usable(insert.source), operatorId: insert.operatorIds.source };
    const source = parallelism > 1 ? sharedBy(jobId, alone, parallelism) : alone;
    return Array.from({ length: parallelism }, (_, taskIndex) => ({
      jobId,
      taskIndex,
      insert,
      source,
      sink,
    }));
  });
}

/** The source as several tasks share it. The name of their group does not change when the job restarts. */
function sharedBy(jobId: string, source: TaskEnd, tasks: number): TaskEnd {
  const { connector, config, operatorId } = source;
  if (!connector.shared)
    throw new PenstockError('cannot_share', `Several tasks cannot share a source of ${connector.name}`, {
      hint: 'Set the parallelism of the pipeline to 1.',
    });
  return { ...source, config: connector.shared(config, `${jobId}_${operatorId}`, tasks) };
}

/** Edits of a job. Until all tasks of a new version were connected once, it can roll back to the last version that was. */
export class Rollout {
  /** Number of edits requested so far. */
  requested: number;
  /** Why the last edit does not run. */
  refusal: PenstockError | undefined;
  #started: number;
  /** Whether every task of the current version has been connected. */
  #proven = false;
  #fallback: readonly TaskSpec[] | undefined;
  #rollingBack = false;

  /** `done` is the number of edits in the version that the job starts with. */
  constructor(done: number) {
    this.requested = done;
    this.#started = done;
  }

  get pending(): boolean {
    return this.requested > this.#started;
  }

  /** Starts all requested edits together and returns their number. */
  start(): number {
    this.#started = this.requested;
    return this.#started;
  }

  /** A new version replaces `current`. */
  replace(current: readonly TaskSpec[]): void {
    if (this.#proven) this.#fallback = current;
    this.#proven = false;
    this.refusal = undefined;
  }

  /** Every task of the current version is connected. */
  connected(): void {
    if (this.#rollingBack) return;
    this.#proven = true;
    this.#fallback = undefined;
  }

  get canRollBack(): boolean {
    return this.#fallback !== undefined;
  }

  /** Returns false if already rolling back. */
  rollBack(): boolean {
    if (this.#rollingBack) return false;
    this.#rollingBack = true;
    return true;
  }

  /** Returns the version to roll back to, once. */
  takeFallback(): readonly TaskSpec[] | undefined {
    if (!this.#rollingBack) return undefined;
    const fallback = this.#fallback;
    this.#rollingBack = false;
    this.#fallback = undefined;
    return fallback;
  }
}
