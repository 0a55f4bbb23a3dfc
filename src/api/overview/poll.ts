import { type JobState, shownState } from '../../jobs/states.ts';
import type { TaskPlace } from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db } from '../../store/db.ts';
import { newestFirst } from '../schemas.ts';
import { withWorkers } from '../workers/alive.ts';
import {
  awaitedMs,
  digestOf,
  entryOf,
  type OverviewPipeline,
  type OverviewTask,
  type TaskDigest,
} from './entries.ts';

/** The newest pipelines are shown. */
export const maxPipelines = 10_000;
/** Maximum number of statistics read together: they are large. */
const readTogether = 200;
/** A row of statistics is written at most this long after the time that it names. */
const writtenWithinMicros = 15_000_000n;

/** An entry as it is sent. The same object as before if nothing has changed. */
export interface ShownEntry {
  id: string;
  name: string;
  labels: Record<string, string>;
  state: JobState;
  json: string;
}

export interface Snapshot {
  /** Unix microseconds. */
  at: number;
  entries: ShownEntry[];
}

interface StoredPlace {
  revision: number;
  place: TaskPlace;
}

/** Reads the overview again and again, and parses only what is new. */
export class OverviewPoll {
  readonly #db: Db;
  #entries = new Map<string, ShownEntry>();
  #labels = new Map<string, { text: string; labels: Record<string, string> }>();
  readonly #digests = new Map<string, TaskDigest>();
  readonly #places = new Map<string, StoredPlace>();
  #readUntil = 0n;

  constructor(db: Db) {
    this.#db = db;
  }

  async read(): Promise<Snapshot> {
    const pipelines = await this.#pipelines();
    const jobs = new Map((await this.#jobs()).map((job) => [job.pipelineId, job]));
    const tasks = await this.#tasks();
    const now = Number(nowMicros());
    const busy = [...this.#digests.values()].filter(({ quiet }) => !quiet).length;
    const entries = pipelines.flatMap((pipeline): ShownEntry[] => {
      const job = jobs.get(pipeline.id);
      if (!job) return [];
      const { alive } = job;
      const tools = { now, awaitedMs: awaitedMs(busy), nameOf: (worker: string) => alive.get(worker) };
      const state = shownState(job, (worker) => alive.has(worker));
      const json = JSON.stringify(entryOf(pipeline, job, state, tasks.get(job.id) ?? [], tools));
      const known = this.#entries.get(pipeline.id);
      if (known?.json === json) return [known];
      const { id, name, labels } = pipeline;
      return [{ id, name, labels, state, json }];
    });
    this.#entries = new Map(entries.map((entry) => [entry.id, entry]));
    return { at: now, entries };
  }

  async #pipelines(): Promise<OverviewPipeline[]> {
    const select = { id: true, name: true, labels: true };
    const rows = await this.#db.pipeline.findMany({ select, orderBy: [...newestFirst], take: maxPipelines });
    const parsed = rows.map(({ labels: text, ...row }) => {
      const known = this.#labels.get(row.id);
      return { ...row, text, labels: known?.text === text ? known.labels : JSON.parse(text) };
    });
    this.#labels = new Map(parsed.map((one) => [one.id, one]));
    return parsed;
  }

  async #jobs() {
    const select = {
      ...{ id: true, pipelineId: true, state: true, stateSince: true, stop: true, startTime: true },
      ...{ failureCode: true, failureMessage: true, worker: true, deadLetters: true },
    };
    return withWorkers(this.#db, await this.#db.job.findMany({ select }));
  }

  async #tasks(): Promise<Map<string, OverviewTask[]>> {
    const select = { id: true, jobId: true, worker: true, state: true, stateSince: true, revision: true };
    const rows = await this.#db.task.findMany({ where: { state: { not: 'ended' } }, select });
    const ids = new Set(rows.map(({ id }) => id));
    for (const cache of [this.#digests, this.#places])
      for (const id of cache.keys()) if (!ids.has(id)) cache.delete(id);
    await this.#readPlaces(rows.filter(({ id, revision }) => this.#places.get(id)?.revision !== revision));
    await this.#readStats(ids);
    const tasks = rows.flatMap(({ id, jobId, worker, state, stateSince }) => {
      const place = this.#places.get(id)?.place;
      return place ? [{ jobId, worker, state, stateSince, place, digest: this.#digests.get(id) }] : [];
    });
    return Map.groupBy(tasks, ({ jobId }) => jobId);
  }

  async #readPlaces(changed: readonly { id: string }[]): Promise<void> {
    for (const ids of parts(changed.map(({ id }) => id))) {
      const select = { id: true, revision: true, place: true };
      const rows = await this.#db.task.findMany({ where: { id: { in: ids } }, select });
      for (const { id, revision, place } of rows)
        this.#places.set(id, { revision, place: JSON.parse(place) });
    }
  }

  /** Reads statistics that were written since the last time. */
  async #readStats(ids: ReadonlySet<string>): Promise<void> {
    const newer = { updatedAt: { gt: this.#readUntil - writtenWithinMicros } };
    const select = { taskId: true, updatedAt: true };
    const written = await this.#db.taskStats.findMany({ where: newer, select });
    const fresh = written.filter(
      ({ taskId, updatedAt }) => ids.has(taskId) && this.#digests.get(taskId)?.updatedAt !== updatedAt,
    );
    for (const some of parts(fresh.map(({ taskId }) => taskId))) {
      const rows = await this.#db.taskStats.findMany({
        where: { taskId: { in: some } },
        select: { ...select, stats: true },
      });
      for (const { taskId, updatedAt, stats } of rows) this.#digests.set(taskId, digestOf(updatedAt, stats));
    }
    for (const { updatedAt } of written) if (updatedAt > this.#readUntil) this.#readUntil = updatedAt;
  }
}

function* parts(ids: readonly string[]): Generator<string[]> {
  for (let at = 0; at < ids.length; at += readTogether) yield ids.slice(at, at + readTogether);
}
