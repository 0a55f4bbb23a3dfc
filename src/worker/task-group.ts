import { asPenstockError, type PenstockError } from '../errors.ts';
import type { Ending } from '../jobs/states.ts';
import { placeOf, type TaskSpec } from '../runtime/task-spec.ts';
import { type PlannedTask, sameTask } from './task-work.ts';

export interface MemberEvents {
  running(): void;
  /** A passing error: the task tries again. */
  recovering(error: PenstockError): void;
  /** No worker runs it now. */
  waiting(): void;
}

/** A task as the controller of its job sees it. */
export interface GroupTask {
  /** Whether it ended because its source had no more messages, and not by request. */
  readonly sourceEnded: boolean;
  /** Resolves when the task has ended. Rejects with the first error that is not passing. Call it once. */
  run(): Promise<void>;
  /** Ends it after the messages in flight. Resolves when it has ended. */
  drain(): Promise<void>;
  /** The same, and closes all open windows first. */
  finish(): Promise<void>;
  stop(): void;
  /** Leaves it to another controller. */
  detach(): void;
}

interface TaskGroupEvents {
  running(): void;
  recovering(error: PenstockError, spec: TaskSpec): void;
  /** A task that was connected waits for a worker. */
  waiting(): void;
  finished(): void;
  /** A task ended with an error that is not passing. */
  failed(error: PenstockError, spec: TaskSpec): void;
  /** A task that is being replaced ended with such an error. */
  replacedFailed(error: PenstockError, spec: TaskSpec): void;
}

interface GroupMember {
  planned: PlannedTask;
  task: GroupTask;
  connected: boolean;
  leaving: boolean;
  over: boolean;
  done: Promise<void>;
}

export class TaskGroup {
  readonly #create: (planned: PlannedTask, events: MemberEvents) => GroupTask;
  readonly #events: TaskGroupEvents;
  readonly #members = new Map<string, GroupMember>();
  #changing = false;
  #ending = false;

  constructor(create: (planned: PlannedTask, events: MemberEvents) => GroupTask, events: TaskGroupEvents) {
    this.#create = create;
    this.#events = events;
  }

  get planned(): PlannedTask[] {
    return [...this.#members.values()].map(({ planned }) => planned);
  }

  /** Drains and ends tasks whose work changed or is gone, then starts the missing ones. The others continue. */
  async apply(tasks: readonly PlannedTask[]): Promise<void> {
    this.#changing = true;
    const wanted = new Map(tasks.map((planned) => [placeOf(planned.spec), planned]));
    const leaving = [...this.#members].filter(([place, { planned, task, over }]) => {
      const next = wanted.get(place);
      return (over && !task.sourceEnded) || !next || !sameTask(planned, next);
    });
    for (const [, member] of leaving) member.leaving = true;
    await Promise.all(leaving.map(([, member]) => this.#drain(member)));
    for (const [place] of leaving) this.#members.delete(place);
    this.#changing = false;
    if (this.#ending) return;
    for (const [place, planned] of wanted) if (!this.#members.has(place)) this.#begin(place, planned);
    this.#checkRunning();
  }

  end(ending: Ending): void {
    this.#ending = true;
    for (const member of this.#members.values()) {
      if (ending === 'stop') member.task.stop();
      else void this.#drain(member, ending);
    }
  }

  detach(): void {
    this.#ending = true;
    for (const { task } of this.#members.values()) task.detach();
  }

  async ended(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ done }) => done));
  }

  async #drain(member: GroupMember, how: 'drain' | 'finish' = 'drain'): Promise<void> {
    await member.task[how]().catch((error: unknown) => this.#failed(member, error));
    await member.done;
  }

  #failed(member: GroupMember, error: unknown): void {
    const raised = asPenstockError(error);
    if (member.leaving) this.#events.replacedFailed(raised, member.planned.spec);
    else this.#events.failed(raised, member.planned.spec);
  }

  #begin(place: string, planned: PlannedTask): void {
    const task = this.#create(planned, {
      running: () => {
        member.connected = true;
        this.#checkRunning();
      },
      recovering: (error) => {
        member.connected = false;
        this.#events.recovering(error, planned.spec);
      },
      waiting: () => {
        if (member.connected && !member.leaving && !this.#ending) this.#events.waiting();
        member.connected = false;
      },
    });
    const state = { connected: false, leaving: false, over: false };
    const member: GroupMember = { planned, task, ...state, done: Promise.resolve() };
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

/** Edits of a job. Until all tasks of a new version were connected once, it can roll back to the last version that was. */
export class Rollout {
  requested: number;
  /** Why the last edit does not run. */
  refusal: PenstockError | undefined;
  #started: number;
  /** Whether every task of the current version has been connected. */
  #proven = false;
  #fallback: readonly PlannedTask[] | undefined;
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

  replace(current: readonly PlannedTask[]): void {
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
  takeFallback(): readonly PlannedTask[] | undefined {
    if (!this.#rollingBack) return undefined;
    const fallback = this.#fallback;
    this.#rollingBack = false;
    this.#fallback = undefined;
    return fallback;
  }
}
