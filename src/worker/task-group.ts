import { asPenstockError, type PenstockError } from '../errors.ts';
import { placeOf, sameWork, type TaskSpec } from '../runtime/task-spec.ts';
import type { Task, TaskEvents } from './task.ts';

/** The events of a task that its group handles. */
export type MemberEvents = Pick<TaskEvents, 'running' | 'recovering'>;

interface TaskGroupEvents {
  running(): void;
  recovering(error: PenstockError, retryInMs: number, spec: TaskSpec): void;
  /** The source of every task has ended. */
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

  /** Ends every task, after draining or at once. */
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
