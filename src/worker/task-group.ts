import { asPenstockError, PenstockError } from '../errors.ts';
import { placeOf, sameWork, type TaskEnd, type TaskSpec } from '../runtime/task-spec.ts';
import { compileQuery } from '../sql/compile.ts';
import type { WorkerDeps } from './deps.ts';
import type { Task, TaskEvents } from './task.ts';

export type MemberEvents = Pick<TaskEvents, 'running' | 'recovering'>;

interface TaskGroupEvents {
  running(): void;
  recovering(error: PenstockError, retryInMs: number, spec: TaskSpec): void;
  finished(): void;
  /** A task ended with an error that is not passing. */
  failed(error: PenstockError, spec: TaskSpec): void;
  /** A task that is being replaced ended with such an error. */
  replacedFailed(error: PenstockError, spec: TaskSpec): void;
}

interface GroupMember {
  spec: TaskSpec;
  task: Task;
  connected: boolean;
  leaving: boolean;
  over: boolean;
  done: Promise<void>;
}

export class TaskGroup {
  readonly #create: (spec: TaskSpec, events: MemberEvents) => Task;
  readonly #events: TaskGroupEvents;
  readonly #members = new Map<string, GroupMember>();
  #changing = false;
  #ending = false;

  constructor(create: (spec: TaskSpec, events: MemberEvents) => Task, events: TaskGroupEvents) {
    this.#create = create;
    this.#events = events;
  }

  get specs(): TaskSpec[] {
    return [...this.#members.values()].map(({ spec }) => spec);
  }

  get connected(): { spec: TaskSpec; task: Task }[] {
    return [...this.#members.values()].filter(({ connected, leaving }) => connected && !leaving);
  }

  /** Drains and ends tasks whose work changed or is gone, then starts the missing ones. The others continue. */
  async apply(specs: readonly TaskSpec[]): Promise<void> {
    this.#changing = true;
    const wanted = new Map(specs.map((spec) => [placeOf(spec), spec]));
    const leaving = [...this.#members].filter(([place, { spec, task, over }]) => {
      const next = wanted.get(place);
      return (over && !task.sourceEnded) || !next || !sameWork(spec, next);
    });
    for (const [, member] of leaving) member.leaving = true;
    await Promise.all(leaving.map(([, member]) => this.#drain(member)));
    for (const [place] of leaving) this.#members.delete(place);
    this.#changing = false;
    if (this.#ending) return;
    for (const [place, spec] of wanted) if (!this.#members.has(place)) this.#begin(place, spec);
    this.#checkRunning();
  }

  end(drain: boolean): void {
    this.#ending = true;
    for (const member of this.#members.values()) {
      if (drain) void this.#drain(member);
      else member.task.stop();
    }
  }

  async ended(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ done }) => done));
  }

  async #drain(member: GroupMember): Promise<void> {
    await member.task.drain().catch((error: unknown) => this.#failed(member, error));
    await member.done;
  }

  #failed(member: GroupMember, error: unknown): void {
    const raised = asPenstockError(error);
    if (member.leaving) this.#events.replacedFailed(raised, member.spec);
    else this.#events.failed(raised, member.spec);
  }

  #begin(place: string, spec: TaskSpec): void {
    const task = this.#create(spec, {
      running: () => {
        member.connected = true;
        this.#checkRunning();
      },
      recovering: (error, retryInMs) => {
        member.connected = false;
        this.#events.recovering(error, retryInMs, spec);
      },
    });
    const state = { connected: false, leaving: false, over: false };
    const member: GroupMember = { spec, task, ...state, done: Promise.resolve() };
    this.#members.set(place, member);
    member.done = task.run().then(
      () => {
        member.over = true;
        this.#checkRunning();
      },
      (error: unknown) => {
        Object.assign(member, { over: true, connected: false });
        this.#failed(member, error);
      },
    );
  }

  #checkRunning(): void {
    if (this.#changing || this.#ending) return;
    const members = [...this.#members.values()];
    if (members.every(({ over, task }) => over && task.sourceEnded)) this.#events.finished();
    else if (members.every(({ connected }) => connected)) this.#events.running();
  }
}

/** Compiles the tasks of a job from the stored definitions. The only passing error is `database_unavailable`. */
export async function compileJob({ db, catalog }: WorkerDeps, jobId: string): Promise<TaskSpec[]> {
  const { pipeline } = await db.job.findUniqueOrThrow({ where: { id: jobId }, include: { pipeline: true } });
  const { parallelism } = pipeline;
  const { inserts } = await compileQuery(catalog.query(pipeline), catalog);
  return inserts.flatMap((insert) => {
    const sink = { ...catalog.usable(insert.sink), operatorId: insert.operatorIds.sink };
    const alone = { ...catalog.usable(insert.source), operatorId: insert.operatorIds.source };
    return Array.from({ length: parallelism }, (_, taskIndex) => ({
      jobId,
      taskIndex,
      insert,
      source: parallelism > 1 ? sharedBy(alone, taskIndex, parallelism) : alone,
      sink,
    }));
  });
}

/** The source as one of several tasks reads it. */
function sharedBy(source: TaskEnd, taskIndex: number, tasks: number): TaskEnd {
  const { connector, config } = source;
  if (!connector.shared)
    throw new PenstockError('cannot_share', `Several tasks cannot share a source of ${connector.name}`, {
      hint: 'Set the parallelism of the pipeline to 1.',
    });
  return { ...source, config: connector.shared(config, taskIndex, tasks) };
}

/** Edits of a job. Until all tasks of a new version were connected once, it can roll back to the last version that was. */
export class Rollout {
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

  start(): number {
    this.#started = this.requested;
    return this.#started;
  }

  replace(current: readonly TaskSpec[]): void {
    if (this.#proven) this.#fallback = current;
    this.#proven = false;
    this.refusal = undefined;
  }

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
