import { type Fleet, mayTake, toGiveAway } from './balance.ts';
import type { WorkerDeps } from './deps.ts';
import type { JobRows } from './job-rows.ts';
import type { LocalJobs } from './local-jobs.ts';
import type { HeldItem, UnheldItem } from './placement.ts';
import { type CountedTask, StatsWriter } from './reporting.ts';
import { RunningTask } from './running-task.ts';

interface HeldTasksTools {
  deps: WorkerDeps;
  rows: JobRows;
  local: LocalJobs;
  /** Called when there is something to write. */
  changed(): void;
  /** Called when tasks have been given to other workers. */
  moved(count: number): void;
}

/** The tasks that this worker runs. Methods throw database errors unless they say otherwise. */
export class HeldTasks {
  readonly stats: StatsWriter;
  readonly #tools: HeldTasksTools;
  readonly #tasks = new Map<string, RunningTask>();
  readonly #losing = new Losing();
  /** Those that nobody has. */
  #waiting: readonly UnheldItem[] = [];
  #allRun = false;

  constructor(tools: HeldTasksTools) {
    this.#tools = tools;
    this.stats = new StatsWriter(tools.deps, () => counted(this.#tasks.values()));
  }

  get count(): number {
    return this.#tasks.size;
  }

  /** Whether some wait for a worker, so that the loads of all are about to change. */
  get someWait(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether, as last read, none waits and all of this worker run. */
  get isSettled(): boolean {
    return this.#allRun && !this.someWait;
  }

  /** Sum of the weights. */
  get load(): number {
    return this.#tasks.values().reduce((sum, { weight }) => sum + weight, 0);
  }

  /** Takes tasks that nobody has, up to the share of this worker. */
  async take(fleet: Fleet, unheld: readonly UnheldItem[]): Promise<void> {
    this.#waiting = unheld;
    if (unheld.length === 0) return;
    const taken = await takeItems(this.#tools.deps, 'task', unheld, (placement, waiting) =>
      mayTake(fleet, placement, waiting),
    );
    for (const item of taken) await this.#begin(item);
    if (taken.length > 0) this.#tools.changed();
  }

  async #begin(item: HeldItem): Promise<void> {
    this.lose(item.id);
    await this.#losing.ended(item.id);
    const { deps, local, changed } = this.#tools;
    const task = new RunningTask(item, {
      deps,
      local: (jobId) => local.of(jobId),
      changed,
      mayConnect: () => deps.placement.holds('task', item.id),
    });
    this.#tasks.set(item.id, task);
    task.begin();
  }

  values(): Iterable<RunningTask> {
    return this.#tasks.values();
  }

  /** Lets the tasks know what is wanted of them, and gives back those that have ended. */
  async follow(): Promise<void> {
    const { deps, rows } = this.#tools;
    const own = new Map((await rows.ownTasks()).map((row) => [row.id, row]));
    for (const [id, task] of this.#tasks) {
      const row = own.get(id);
      if (row?.epoch === task.epoch) task.follow(row);
      else this.lose(id);
    }
    // Others never take an item that a worker holds or whose row names it.
    const held = new Set([...own.keys(), ...deps.placement.held('task')]);
    const unused = [...held].filter((id) => !this.#tasks.has(id));
    if (unused.length > 0) await deps.placement.release('task', unused);
    await this.settle();
    this.#allRun = unused.length === 0 && this.#tasks.values().every(({ end }) => end === undefined);
  }

  /** Gives back what has ended and whose end is written. */
  async settle(): Promise<void> {
    const { placement } = this.#tools.deps;
    const ended = [...this.#tasks.values()].filter(({ end, unwritten }) => end !== undefined && !unwritten);
    if (ended.length === 0) return;
    await this.stats.write(counted(ended));
    const moved = ended.filter(({ end }) => end === 'waiting').map(({ id }) => id);
    const over = ended.filter(({ end }) => end !== 'waiting').map(({ id }) => id);
    if (moved.length > 0) await placement.release('task', moved);
    if (over.length > 0) await placement.finish('task', over);
    this.#tools.moved(moved.length);
    for (const { id } of ended) this.#tasks.delete(id);
    this.#tools.changed();
  }

  /** Another worker has taken a task, or its pipeline was deleted. Never throws. */
  lose(id: string): void {
    const task = this.#tasks.get(id);
    if (!task) return;
    this.#tools.deps.logger.warn({ task: id }, 'task lost: it was taken over or deleted');
    this.#tasks.delete(id);
    this.#losing.add(id, task.lose());
  }

  /** Begins to give tasks to workers that have less to do. Never throws. */
  balance({ own, all }: Fleet): void {
    const tasks = [...this.#tasks.values()].filter(({ end, releasing }) => end === undefined && !releasing);
    const held = tasks.map(({ id, weight, placement }) => ({ id, weight, placement }));
    const given = new Set([
      ...toGiveAway(own, all, held, this.#waiting),
      ...this.#tools.deps.placement.expiring('task'),
    ]);
    for (const task of tasks) if (given.has(task.id)) void task.release();
  }

  /** Drains every task for others to go on. Never throws. */
  async release(): Promise<void> {
    await Promise.all([...this.#tasks.values().map((task) => task.release()), this.#losing.allEnded()]);
  }

  /** Gives every task to others, once they are drained. By their rows: some may have been taken, and not begun. */
  async releaseAll(): Promise<void> {
    await this.settle();
    this.#tasks.clear();
    await this.stats.finish();
    const { deps, rows } = this.#tools;
    const own = await rows.ownTasks();
    await deps.placement.release(
      'task',
      own.map(({ id }) => id),
    );
  }
}

/** The ends of jobs or tasks that this worker has lost. */
export class Losing {
  readonly #ends = new Map<string, Promise<void>>();

  add(id: string, end: Promise<void>): void {
    const ended = Promise.all([this.#ends.get(id), end]).then(() => {
      if (this.#ends.get(id) === ended) this.#ends.delete(id);
    });
    this.#ends.set(id, ended);
  }

  has(id: string): boolean {
    return this.#ends.has(id);
  }

  async ended(id: string): Promise<void> {
    await this.#ends.get(id);
  }

  async allEnded(): Promise<void> {
    await Promise.all(this.#ends.values());
  }
}

const counted = (tasks: Iterable<RunningTask>): CountedTask[] =>
  [...tasks].flatMap((task) => task.counted ?? []);

/** Takes items of each placement, as many as there is room for. */
export async function takeItems(
  { placement }: WorkerDeps,
  kind: 'job' | 'task',
  unheld: readonly UnheldItem[],
  room: (placement: string, waiting: number) => number,
): Promise<HeldItem[]> {
  const taken: HeldItem[] = [];
  for (const [selector, same] of Map.groupBy(unheld, (item) => item.placement)) {
    const max = room(selector, same.length);
    if (max > 0) taken.push(...(await placement.take(kind, selector, max, same)));
  }
  return taken;
}
