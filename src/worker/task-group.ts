import { asPenstockError, type PenstockError } from '../errors.ts';
import { placeOf, sameWork, type TaskSpec } from '../runtime/task-spec.ts';
import type { Task, TaskEvents } from './task.ts';

/** The part of a task's events that the crew is told of. */
type MemberEvents = Pick<TaskEvents, 'running' | 'recovering'>;

interface CrewEvents {
  /** Every task is connected at both ends. */
  running(): void;
  recovering(error: PenstockError, retryInMs: number, spec: TaskSpec): void;
  /** The source of every task has no more. */
  finished(): void;
  /** A task has ended with an error that is not passing. */
  failed(error: PenstockError, spec: TaskSpec): void;
  /** So has one whose place another one takes. */
  left(error: PenstockError, spec: TaskSpec): void;
}

interface Member {
  spec: TaskSpec;
  task: Task;
  connected: boolean;
  leaving: boolean;
  over: boolean;
  done: Promise<void>;
}

/** The tasks that a job has just now. */
export class Crew {
  readonly #create: (spec: TaskSpec, events: MemberEvents) => Task;
  readonly #events: CrewEvents;
  readonly #members = new Map<string, Member>();
  #changing = false;
  #ending = false;

  constructor(create: (spec: TaskSpec, events: MemberEvents) => Task, events: CrewEvents) {
    this.#create = create;
    this.#events = events;
  }

  get specs(): TaskSpec[] {
    return [...this.#members.values()].map(({ spec }) => spec);
  }

  /** Those that move messages just now. */
  get connected(): { spec: TaskSpec; task: Task }[] {
    return [...this.#members.values()].filter(({ connected, leaving }) => connected && !leaving);
  }

  /** Tasks that have something else to do, or nothing, drain and end; then those that are missing begin. */
  async become(specs: readonly TaskSpec[]): Promise<void> {
    this.#changing = true;
    const wanted = new Map(specs.map((spec) => [placeOf(spec), spec]));
    const leaving = [...this.#members].filter(([place, { spec, task, over }]) => {
      const next = wanted.get(place);
      return (over && !task.ranOut) || !next || !sameWork(spec, next);
    });
    for (const [, member] of leaving) member.leaving = true;
    await Promise.all(leaving.map(([, member]) => this.#drained(member)));
    for (const [place] of leaving) this.#members.delete(place);
    this.#changing = false;
    if (this.#ending) return;
    for (const [place, spec] of wanted) if (!this.#members.has(place)) this.#begin(place, spec);
    this.#look();
  }

  /** Ends every task: after what is in flight is done, or at once. */
  end(drain: boolean): void {
    this.#ending = true;
    for (const member of this.#members.values()) {
      if (drain) void this.#drained(member);
      else member.task.stop();
    }
  }

  /** Resolves when no task runs. */
  async ended(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ done }) => done));
  }

  async #drained(member: Member): Promise<void> {
    await member.task.drain().catch((error: unknown) => this.#failed(member, error));
    await member.done;
  }

  #failed(member: Member, error: unknown): void {
    const raised = asPenstockError(error);
    if (member.leaving) this.#events.left(raised, member.spec);
    else this.#events.failed(raised, member.spec);
  }

  #begin(place: string, spec: TaskSpec): void {
    const task = this.#create(spec, {
      running: () => {
        member.connected = true;
        this.#look();
      },
      recovering: (error, retryInMs) => {
        member.connected = false;
        this.#events.recovering(error, retryInMs, spec);
      },
    });
    const state = { connected: false, leaving: false, over: false };
    const member: Member = { spec, task, ...state, done: Promise.resolve() };
    this.#members.set(place, member);
    member.done = task.run().then(
      () => {
        member.over = true;
        this.#look();
      },
      (error: unknown) => {
        Object.assign(member, { over: true, connected: false });
        this.#failed(member, error);
      },
    );
  }

  #look(): void {
    if (this.#changing || this.#ending) return;
    const members = [...this.#members.values()];
    if (members.every(({ over, task }) => over && task.ranOut)) this.#events.finished();
    else if (members.every(({ connected }) => connected)) this.#events.running();
  }
}
