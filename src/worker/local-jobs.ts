import type { JobCounters } from './counters.ts';
import { type ConnectedTask, Replays, StoredDeadLetters } from './dead-letters.ts';
import type { WorkerDeps } from './deps.ts';
import { JobLog } from './job-record.ts';
import type { WorkerMetrics } from './reporting.ts';

/** Time after which a job without tasks here is forgotten, and its metrics with it. */
const forgetAfterMs = 60_000;

/** A task of this process. */
interface LocalTask {
  /** The task, if it is connected and can replay dead letters. */
  readonly replaying: ConnectedTask | undefined;
}

/** Counters, dead letters and history that the tasks of one job share in this process. */
export class LocalJob {
  readonly id: string;
  readonly deadLetters: StoredDeadLetters;
  readonly log: JobLog;
  readonly replays: Replays;
  readonly tasks = new Set<LocalTask>();
  idleSince = performance.now();
  readonly #startCounters: () => JobCounters;
  #counters: JobCounters | undefined;

  constructor(deps: WorkerDeps, id: string, startCounters: () => JobCounters) {
    this.id = id;
    this.#startCounters = startCounters;
    this.deadLetters = new StoredDeadLetters(deps.db, id);
    this.log = new JobLog(deps, id);
    this.replays = new Replays({
      deps,
      jobId: id,
      tasks: () => [...this.tasks].flatMap((running) => running.replaying ?? []),
      replayed: (count) => {
        this.counters.counts.dead_letters_replayed += count;
      },
    });
  }

  /** A process that only controls the job counts nothing, and shows no metrics of it. */
  get counters(): JobCounters {
    this.#counters ??= this.#startCounters();
    return this.#counters;
  }
}

/** The jobs that this process controls or has tasks of. */
export class LocalJobs {
  readonly #deps: WorkerDeps;
  readonly #metrics: WorkerMetrics;
  readonly #jobs = new Map<string, LocalJob>();

  constructor(deps: WorkerDeps, metrics: WorkerMetrics) {
    this.#deps = deps;
    this.#metrics = metrics;
  }

  get(id: string): LocalJob | undefined {
    return this.#jobs.get(id);
  }

  of(id: string): LocalJob {
    const known = this.#jobs.get(id);
    if (known) return known;
    const job = new LocalJob(this.#deps, id, () => this.#metrics.start(id));
    this.#jobs.set(id, job);
    return job;
  }

  values(): Iterable<LocalJob> {
    return this.#jobs.values();
  }

  /** Forgets jobs that had no task here for a while, unless this process controls them. */
  sweep(controlled: (id: string) => boolean): void {
    const now = performance.now();
    for (const [id, job] of this.#jobs) {
      if (controlled(id) || job.tasks.size > 0) job.idleSince = now;
      else if (now - job.idleSince > forgetAfterMs) this.forget(id);
    }
  }

  forget(id: string): void {
    if ((this.#jobs.get(id)?.tasks.size ?? 0) > 0) return;
    this.#jobs.delete(id);
    this.#metrics.forget(id);
  }
}
