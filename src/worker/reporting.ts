import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client';
import { sampleEveryMs } from '../jobs/stats.ts';
import { JobCounters, type JobCounts } from './counters.ts';
import type { WorkerDeps } from './deps.ts';

const counters: [name: string, count: keyof JobCounts, help: string][] = [
  ['messages_received', 'messages_in', 'Messages taken from sources'],
  ['bytes_received', 'bytes_in', 'Payload bytes taken from sources'],
  ['batches_received', 'batches', 'Batches taken from sources'],
  ['messages_sent', 'messages_out', 'Messages confirmed by sinks'],
  ['bytes_sent', 'bytes_out', 'Payload bytes confirmed by sinks'],
  ['messages_dropped', 'dropped', 'Bad messages dropped wholly or partly'],
  ['dead_letters', 'dead_letters', 'Messages stored as dead letters'],
  ['dead_letters_evicted', 'dead_letters_evicted', 'Dead letters deleted to make room for newer ones'],
  ['dead_letters_replayed', 'dead_letters_replayed', 'Dead letters replayed completely and deleted'],
  ['sessions_lost', 'sessions_lost', 'Source sessions that the broker had lost'],
];

const gauges: [name: string, count: keyof JobCounts, help: string][] = [
  ['messages_in_flight', 'in_flight', 'Messages received and not yet acknowledged'],
  ['sources_silent', 'silent', 'Sources without a message for longer than their table allows'],
];

type Series = Iterable<[labels: Record<string, string>, value: number]>;

/** Prometheus metrics of the jobs of this worker, collected from their counters when somebody reads them. */
export class WorkerMetrics {
  readonly #jobs = new Map<string, JobCounters>();
  readonly #latency: Histogram<'job'>;

  /** `states` returns the state of each job. */
  constructor(registry: Registry, states: () => Iterable<string>) {
    const registers = [registry];
    const ofJobs = (of: (job: JobCounters) => Series) => () => this.#jobs.values().flatMap(of);
    const counter = (name: string, help: string, labelNames: string[], series: () => Series) =>
      new Counter({
        name: `penstock_${name}_total`,
        help,
        labelNames,
        registers,
        collect: collector(series),
      });
    const gauge = (name: string, help: string, labelNames: string[], series: () => Series) =>
      new Gauge({ name: `penstock_${name}`, help, labelNames, registers, collect: collector(series) });
    for (const [name, count, help] of counters)
      counter(
        name,
        help,
        ['job'],
        ofJobs(({ job, counts }) => (counts[count] > 0 ? [[{ job }, counts[count]]] : [])),
      );
    for (const [name, count, help] of gauges)
      gauge(
        name,
        help,
        ['job'],
        ofJobs(({ job, counts }) => [[{ job }, counts[count]]]),
      );
    counter(
      'bad_messages',
      'Messages that could not be decoded, transformed, encoded or written',
      ['job', 'code'],
      ofJobs(({ job, badByCode }) => badByCode.entries().map(([code, count]) => [{ job, code }, count])),
    );
    counter(
      'task_restarts',
      'Task restarts after a passing error',
      ['job', 'code'],
      ofJobs(({ job, restartsByCode }) =>
        restartsByCode.entries().map(([code, count]) => [{ job, code }, count]),
      ),
    );
    counter(
      'operator_rows_in',
      'Rows taken by an operator',
      ['job', 'operator'],
      ofJobs((job) => job.operators().map(({ operator, rowsIn }) => [{ job: job.job, operator }, rowsIn])),
    );
    counter(
      'operator_rows_out',
      'Rows, or messages of a sink, emitted by an operator',
      ['job', 'operator'],
      ofJobs((job) => job.operators().map(({ operator, rowsOut }) => [{ job: job.job, operator }, rowsOut])),
    );
    gauge('jobs', 'Jobs of this worker', ['state'], () =>
      Iterator.from(states()).map((state) => [{ state }, 1]),
    );
    this.#latency = new Histogram({
      name: 'penstock_end_to_end_seconds',
      help: 'Time from the arrival of a batch to the confirmation of the sink',
      labelNames: ['job'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
  }

  /** The counters of a job that starts. */
  start(job: string): JobCounters {
    const counters =
      this.#jobs.get(job) ?? new JobCounters(job, (seconds) => this.#latency.observe({ job }, seconds));
    this.#jobs.set(job, counters);
    counters.restart();
    return counters;
  }

  /** Removes the series of a job that left this worker. */
  forget(job: string): void {
    this.#jobs.delete(job);
    this.#latency.remove({ job });
  }
}

/** Fills a metric anew at each reading. */
const collector = (series: () => Series) =>
  function (this: { reset(): void; inc(labels: Record<string, string>, value: number): void }): void {
    this.reset();
    for (const [labels, value] of series()) this.inc(labels, value);
  };

const writeEveryMs = 2000;
/** Maximum number of jobs written at each interval. If more have changed they take turns. */
const maxJobsWritten = 200;
/** Maximum number of jobs per transaction: SQLite writes block this thread. */
const maxJobsTogether = 25;

/** Samples the tasks of all jobs every second and writes the changed statistics every two seconds. */
export class StatsWriter {
  readonly #deps: Pick<WorkerDeps, 'db' | 'owner' | 'logger'>;
  readonly #jobs: () => Iterable<[string, JobCounters]>;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Jobs already written, in the order of their last turn. */
  readonly #turns = new Map<string, true>();
  #sampledAt = performance.now();
  #writing: Promise<void> | undefined;

  constructor(
    deps: Pick<WorkerDeps, 'db' | 'owner' | 'logger'>,
    jobs: () => Iterable<[string, JobCounters]>,
  ) {
    this.#deps = deps;
    this.#jobs = jobs;
  }

  start(): void {
    this.#sampledAt = performance.now();
    this.#timers.push(
      setInterval(() => this.#sample(), sampleEveryMs),
      setInterval(() => this.#begin(), writeEveryMs),
    );
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#writing;
  }

  #sample(): void {
    const now = performance.now();
    const seconds = (now - this.#sampledAt) / 1000;
    this.#sampledAt = now;
    for (const [, counters] of this.#jobs()) counters.sample(seconds);
  }

  #begin(): void {
    // Nothing is lost by a failure: the next round writes it.
    this.#writing ??= this.#write()
      .catch((err: unknown) => this.#deps.logger.debug({ err }, 'job statistics not written yet'))
      .finally(() => {
        this.#writing = undefined;
      });
  }

  async #write(): Promise<void> {
    const due = [...this.#due()];
    for (let at = 0; at < due.length; at += maxJobsTogether)
      await this.#writeSome(new Map(due.slice(at, at + maxJobsTogether)));
  }

  async #writeSome(due: Map<string, JobCounters>): Promise<void> {
    const { db, owner } = this.#deps;
    const where = { id: { in: [...due.keys()] }, worker: owner };
    const own = (await db.job.findMany({ where, select: { id: true } })).map(({ id }) => id);
    const updatedAt = BigInt(Date.now()) * 1000n;
    const taken = own.map((jobId) => ({ jobId, ...(due.get(jobId) as JobCounters).unwritten() }));
    await db.$transaction([
      db.jobStats.deleteMany({ where: { jobId: { in: own } } }),
      db.jobStats.createMany({ data: taken.map(({ jobId, stats }) => ({ jobId, updatedAt, stats })) }),
    ]);
    for (const { written } of taken) written();
  }

  /** Changed jobs, those waiting longest first. */
  #due(): Map<string, JobCounters> {
    const jobs = new Map(this.#jobs());
    for (const id of this.#turns.keys()) if (!jobs.has(id)) this.#turns.delete(id);
    const waiting = [...jobs.keys()].filter((id) => !this.#turns.has(id));
    const due = new Map<string, JobCounters>();
    for (const id of [...waiting, ...this.#turns.keys()]) {
      const counters = jobs.get(id);
      if (due.size >= maxJobsWritten || !counters?.changed) continue;
      due.set(id, counters);
      this.#turns.delete(id);
      this.#turns.set(id, true);
    }
    return due;
  }
}
