import type { JobStats as Stats } from '../jobs/stats.ts';
import { placeOf, type TaskSpec } from '../runtime/task-spec.ts';
import { window } from '../runtime/window.ts';
import { nodesOf } from '../sql/graph.ts';
import type { JobCounts, WorkerMetrics } from './metrics.ts';
import { TaskStats } from './task-stats.ts';

/** What the tasks of one job have counted. */
export class JobStats {
  readonly #metrics: WorkerMetrics;
  readonly #job: string;
  readonly #tasks = new Map<string, TaskStats>();
  #specs: readonly TaskSpec[] = [];
  #at = 0;
  #written = '';

  constructor(metrics: WorkerMetrics, job: string) {
    this.#metrics = metrics;
    this.#job = job;
  }

  /** These are the tasks of the job from now on. */
  become(specs: readonly TaskSpec[]): void {
    this.#specs = specs;
    const places = new Set(specs.map(placeOf));
    for (const place of this.#tasks.keys()) if (!places.has(place)) this.#tasks.delete(place);
  }

  of(spec: TaskSpec): TaskStats {
    const place = placeOf(spec);
    const known = this.#tasks.get(place);
    if (known) return known;
    const stats = new TaskStats(this.#metrics, this.#job);
    this.#tasks.set(place, stats);
    return stats;
  }

  sample(seconds: number): void {
    this.#at = Date.now() * 1000;
    for (const stats of this.#tasks.values()) stats.sample(seconds);
  }

  /** Whether there is something new to write. Of a job that falls quiet, a quiet second is the last to be written. */
  get changed(): boolean {
    return this.#at > 0 && this.#version !== this.#written;
  }

  /** What to write now, as JSON; `written` is to be called when it is in the database. */
  unwritten(): { stats: string; written(): void } {
    const version = this.#version;
    const written = (): void => {
      this.#written = version;
    };
    return { stats: JSON.stringify(this.#stats()), written };
  }

  counts(): JobCounts {
    const all = this.#specs.map((spec) => ({ spec, stats: this.of(spec) }));
    const operators = all.flatMap(({ spec: { insert }, stats: { totals } }) => {
      const { source, transform, sink } = insert.operatorIds;
      const between = { operator: transform, rowsIn: totals.rows_in, rowsOut: totals.rows_out };
      return [
        { operator: source, rowsIn: totals.rows_in, rowsOut: totals.rows_in },
        ...(insert.select.kind === 'passthrough' ? [] : [between]),
        { operator: sink, rowsIn: totals.rows_out, rowsOut: totals.messages_out },
      ];
    });
    return { job: this.#job, operators, batches: all.reduce((sum, { stats }) => sum + stats.batches, 0) };
  }

  get #version(): string {
    const tasks = [...this.#tasks.values()];
    return tasks.map((stats) => `${stats.version},${stats.busy ? this.#at : 0}`).join(' ');
  }

  #stats(): Stats {
    const inserts = [...new Set(this.#specs.map(({ insert }) => insert))];
    const nodes = nodesOf(inserts);
    const tasks = this.#specs.map((spec) => {
      const { insert, taskIndex } = spec;
      const node = nodes[inserts.indexOf(insert)] as (typeof nodes)[number];
      const { source, transform, sink } = insert.operatorIds;
      return {
        index: taskIndex,
        source: { id: source, node: node.source },
        transform: node.transform === null ? null : { id: transform, node: node.transform },
        sink: { id: sink, node: node.sink },
        window,
        ...this.of(spec).status(),
      };
    });
    return { at: this.#at, tasks };
  }
}
