import { asPenstockError, type PenstockError } from '../errors.ts';
import type { JobState } from '../job.ts';
import { compileQuery } from '../pipeline/compile.ts';
import type { InsertPlan } from '../pipeline/plan.ts';
import { backoffMs, delay } from './backoff.ts';
import type { WorkerDeps } from './deps.ts';
import type { WorkerMetrics } from './metrics.ts';
import type { JobRecord } from './record.ts';
import { Task, type TaskSpec } from './run.ts';

/** What the worker that holds a job gives it. */
interface Holder {
  metrics: WorkerMetrics;
  /** Called whenever there is something new to write down. */
  changed(): void;
  /** Whether connecting is safe: nobody else can hold the job. */
  mayConnect(): boolean;
}

/** One job while this worker holds it: compiles the query as it and its tables are now, and runs its tasks. */
export class RunningJob {
  readonly record: JobRecord;
  readonly id: string;
  /** Whether it has come to its end, by itself or because it was asked to. */
  over = false;
  /** Why it ended by itself. */
  failure: PenstockError | undefined;
  readonly #deps: WorkerDeps;
  readonly #holder: Holder;
  readonly #cancel = new AbortController();
  readonly #recovering = new Set<Task>();
  readonly #starting = new Set<Task>();
  #tasks: Task[] = [];
  #ending = false;
  #done: Promise<void> = Promise.resolve();

  constructor(id: string, deps: WorkerDeps, record: JobRecord, holder: Holder) {
    this.id = id;
    this.#deps = deps;
    this.record = record;
    this.#holder = holder;
  }

  begin(restartsDone: number): void {
    const startTime = BigInt(Date.now()) * 1000n;
    this.record.enter('Scheduling', undefined, {
      restartsDone,
      startTime,
      finishTime: null,
      runId: { increment: 1 },
    });
    this.#done = this.#run().finally(() => {
      this.over = true;
      this.#holder.changed();
    });
  }

  /** Asks it to end: after what is in flight is done, or at once. A second call can only make it more urgent. */
  askToEnd(drain: boolean, state: JobState = 'Stopping'): void {
    if (!this.#ending) this.record.enter(state);
    if (this.#ending && drain) return;
    this.#ending = true;
    if (!drain || this.#tasks.length === 0) this.#cancel.abort(new Error('the job was stopped'));
    for (const task of this.#tasks) {
      if (drain) task.drain().catch((error: unknown) => this.#endedBy(error));
      else task.stop();
    }
  }

  /** Asks it to end and waits until it has. */
  async end(drain: boolean): Promise<void> {
    this.askToEnd(drain);
    await this.#done;
  }

  async #run(): Promise<void> {
    try {
      const specs = await this.#prepare();
      this.#tasks = specs.map((spec) => this.#task(spec));
      for (const task of this.#tasks) this.#starting.add(task);
      // It may have been asked to end while it was being prepared.
      if (this.#ending) return;
      this.record.enter('Scheduling', undefined, { tasks: specs.length });
      await Promise.all(
        this.#tasks.map((task) => task.run().catch((error: unknown) => this.#endedBy(error))),
      );
    } catch (error) {
      this.#endedBy(error);
    }
  }

  /** Compiles the query; tries again for as long as the database is what is missing. */
  async #prepare(): Promise<TaskSpec[]> {
    for (let failures = 0; ; failures++) {
      try {
        return await this.#compile();
      } catch (error) {
        const raised = asPenstockError(error);
        if (raised.code !== 'database_unavailable') throw raised;
        this.record.enter('Recovering', raised);
        await delay(backoffMs(failures), this.#cancel.signal);
      }
    }
  }

  async #compile(): Promise<TaskSpec[]> {
    const { db, catalog } = this.#deps;
    const { pipeline } = await db.job.findUniqueOrThrow({
      where: { id: this.id },
      include: { pipeline: true },
    });
    const plan = await compileQuery(pipeline.query, catalog);
    return plan.inserts.flatMap((insert) =>
      Array.from({ length: pipeline.parallelism }, (_, taskIndex) => this.#spec(insert, taskIndex)),
    );
  }

  #spec(insert: InsertPlan, taskIndex: number): TaskSpec {
    const { catalog } = this.#deps;
    const source = { ...catalog.usable(insert.source), operatorId: insert.operatorIds.source };
    const sink = { ...catalog.usable(insert.sink), operatorId: insert.operatorIds.sink };
    return { jobId: this.id, taskIndex, insert, source, sink };
  }

  #task(spec: TaskSpec): Task {
    const task: Task = new Task(
      spec,
      {
        running: () => {
          this.#starting.delete(task);
          this.#recovering.delete(task);
          if (!this.#ending && this.#starting.size + this.#recovering.size === 0) this.#note('Running');
        },
        recovering: (error, retryInMs) => {
          this.#recovering.add(task);
          this.#log(error, retryInMs);
          if (!this.#ending) this.#note('Recovering', error);
        },
        warn: (error) => {
          this.record.say('warn', error);
        },
        mayConnect: () => this.#holder.mayConnect(),
      },
      this.#holder.metrics,
      this.#deps.logger,
    );
    return task;
  }

  /** What is passing is the business of an operator; what is internal is ours, with all there is to know. */
  #log(error: PenstockError, retryInMs: number): void {
    const details = { job: this.id, code: error.code, retryInMs };
    if (error.code === 'internal')
      this.#deps.logger.error({ ...details, err: error }, 'a task failed; it tries again');
    else this.#deps.logger.warn(details, error.message);
  }

  #note(state: JobState, error?: PenstockError): void {
    this.record.enter(state, error);
    this.#holder.changed();
  }

  /** One task failed for good, so the job did: the others stop too. */
  #endedBy(error: unknown): void {
    if (this.#cancel.signal.aborted) return;
    const raised = asPenstockError(error);
    if (raised.code === 'internal') this.#deps.logger.error({ err: error, job: this.id }, 'the job failed');
    this.failure ??= raised;
    this.record.enter('Failed', raised);
    this.#cancel.abort(raised);
    for (const task of this.#tasks) task.stop();
  }
}
