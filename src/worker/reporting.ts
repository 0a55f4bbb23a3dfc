import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client';
import { type StateGauges, sampleEveryMs } from '../jobs/stats.ts';
import { untilTick } from '../runtime/delay.ts';
import { writeStats } from '../store/task-stats.ts';
import { JobCounters, type TaskCounters } from './counters.ts';
import type { WorkerDeps } from './deps.ts';
import { type RecordedTask, SeriesWriter } from './series.ts';

/** The count to read, or the values by a second label. */
type ReadCount = keyof JobCounters['counts'] | ((job: JobCounters) => Iterable<readonly [string, number]>);

/** A gauge of the states of a job, in the unit of the metric. */
const ofStates =
  (name: keyof StateGauges, unit = 1): ReadCount =>
  (job) =>
    job.ofStates((gauges) => {
      const value = gauges[name];
      return value === null ? null : value / unit;
    });

/** Metrics per job: counters end in `_total`, the others are gauges. */
const metrics: [name: string, help: string, read: ReadCount, label?: string][] = [
  ['messages_received_total', 'Messages taken from sources', 'messages_in'],
  ['bytes_received_total', 'Payload bytes taken from sources', 'bytes_in'],
  ['batches_received_total', 'Batches taken from sources', 'batches'],
  ['messages_sent_total', 'Messages confirmed by sinks', 'messages_out'],
  ['bytes_sent_total', 'Payload bytes confirmed by sinks', 'bytes_out'],
  ['operator_rows_in_total', 'Rows taken by an operator', (job) => job.operatorRows('in'), 'operator'],
  ['operator_rows_out_total', 'Rows emitted by an operator', (job) => job.operatorRows('out'), 'operator'],
  ['bad_messages_total', 'Messages that could not be processed', (job) => job.bad, 'code'],
  ['messages_dropped_total', 'Bad messages dropped wholly or partly', 'dropped'],
  ['dead_letters_total', 'Messages stored as dead letters', 'dead_letters'],
  ['dead_letters_evicted_total', 'Dead letters deleted to make room for newer ones', 'dead_letters_evicted'],
  ['dead_letters_replayed_total', 'Dead letters replayed completely and deleted', 'dead_letters_replayed'],
  ['task_restarts_total', 'Task restarts after a passing error', (job) => job.restarts, 'code'],
  ['sessions_lost_total', 'Source sessions that the broker had lost', 'sessions_lost'],
  ['messages_in_flight', 'Messages whose rows wait for the sink', 'in_flight'],
  ['windows_closed_total', 'Windows closed since the state began', ofStates('closedWindows'), 'operator'],
  ['late_rows_total', 'Rows that came after their windows had closed', ofStates('lateRows'), 'operator'],
  ['windows_open', 'Windows that collect rows', ofStates('openWindows'), 'operator'],
  ['watermark_seconds', 'Watermark, in Unix seconds', ofStates('watermark', 1_000_000), 'operator'],
  [
    'watermark_lag_seconds',
    'Time from the watermark to the clock',
    ofStates('watermarkLagMs', 1000),
    'operator',
  ],
  ['state_bytes', 'Size of the stored state', ofStates('stateBytes'), 'operator'],
  [
    'checkpoint_seconds',
    'Duration of the last commit of the state',
    ofStates('checkpointMs', 1000),
    'operator',
  ],
  ['sources_silent', 'Sources silent for longer than their table allows', 'silent'],
];

interface WorkerMetricsTools {
  worker: string;
  /** The states of the jobs that this worker controls. */
  states(): Iterable<string>;
  /** Number of the tasks that it runs. */
  tasks(): number;
}

/** Prometheus metrics of the jobs of this worker, read from their counters on request. */
export class WorkerMetrics {
  /** Tasks that this worker gave to others. */
  readonly moved: Counter;
  readonly #jobs = new Map<string, JobCounters>();
  readonly #latency: Histogram<'job'>;

  constructor(registry: Registry, { worker, states, tasks }: WorkerMetricsTools) {
    const registers = [registry];
    for (const metric of metrics) this.#register(registers, metric);
    new Gauge({
      name: 'penstock_jobs',
      help: 'Jobs that this worker controls',
      labelNames: ['state'],
      registers,
      collect() {
        this.reset();
        for (const state of states()) this.inc({ state });
      },
    });
    new Gauge({
      name: 'penstock_tasks',
      help: 'Tasks that run on this worker',
      labelNames: ['worker'],
      registers,
      collect() {
        this.set({ worker }, tasks());
      },
    });
    this.moved = new Counter({
      name: 'penstock_tasks_moved_total',
      help: 'Tasks that this worker gave to others, to balance the load or because it ended',
      registers,
    });
    this.#latency = new Histogram({
      name: 'penstock_end_to_end_seconds',
      help: 'Time from the arrival of a batch to the confirmation of the sink',
      labelNames: ['job'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
  }

  #register(registers: Registry[], [name, help, read, label = '']: (typeof metrics)[number]): void {
    const jobs = this.#jobs;
    const labelNames = label ? ['job', label] : ['job'];
    const Metric = name.endsWith('_total') ? Counter : Gauge;
    new Metric({
      name: `penstock_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [job, counters] of jobs) {
          if (typeof read === 'string') this.inc({ job }, counters.counts[read]);
          else for (const [value, count] of read(counters)) this.inc({ job, [label]: value }, count);
        }
      },
    });
  }

  start(job: string): JobCounters {
    const counters =
      this.#jobs.get(job) ?? new JobCounters((seconds) => this.#latency.observe({ job }, seconds));
    this.#jobs.set(job, counters);
    return counters;
  }

  forget(job: string): void {
    this.#jobs.delete(job);
    this.#latency.remove({ job });
  }
}

/** Number of samples after which counts are written. */
const samplesPerWrite = 2;
/** Maximum number of tasks written at each interval. If more have changed they take turns. */
const maxTasksWritten = 200;
/** Maximum number of tasks per statement: SQLite writes block this thread. */
const maxTasksTogether = 50;

/** A task whose counts are written. */
export interface CountedTask {
  id: string;
  jobId: string;
  /** Operators of its INSERT. */
  sourceId: string;
  sinkId: string;
  index: number;
  counters: TaskCounters;
}

/** Rates over a shorter time say too little. */
const shortestSampleSecs = 0.5;

type StatsDeps = Pick<WorkerDeps, 'db' | 'owner' | 'logger' | 'identity'>;

/** Samples the tasks of this worker every second, and every two seconds writes changed counts and what is due of the series. */
export class StatsWriter {
  readonly #deps: StatsDeps;
  readonly #tasks: () => Iterable<CountedTask>;
  readonly #series: SeriesWriter;
  #timer: NodeJS.Timeout | undefined;
  #sampledAt = performance.now();
  #samples = 0;
  #turn = 0;
  #writing: Promise<void> | undefined;

  constructor(deps: StatsDeps, tasks: () => Iterable<CountedTask>) {
    this.#deps = deps;
    this.#tasks = tasks;
    this.#series = new SeriesWriter(deps, () => [...tasks()].map(recorded));
  }

  start(): void {
    this.#sampledAt = performance.now();
    this.#wait();
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#wait();
      this.#sample();
      this.#samples++;
      if (this.#samples % samplesPerWrite === 0) this.#begin();
    }, untilTick(sampleEveryMs));
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.all([this.#writing, this.#series.settled()]);
  }

  #sample(): void {
    const now = performance.now();
    const seconds = (now - this.#sampledAt) / 1000;
    // Soon after a late one: what was counted since belongs to the next.
    if (seconds < shortestSampleSecs) return;
    this.#sampledAt = now;
    for (const { counters } of this.#tasks()) counters.sample(seconds);
  }

  /** Writes the counts of tasks that this worker is about to give away. Failures are logged only. */
  async write(tasks: readonly CountedTask[]): Promise<void> {
    await this.#writing;
    await this.#write(tasks);
  }

  /** Writes the rest of the series, once no task runs any more. */
  async finish(): Promise<void> {
    await this.#series.finish();
  }

  #begin(): void {
    this.#series.begin();
    this.#writing ??= this.#write(this.#due()).finally(() => {
      this.#writing = undefined;
    });
  }

  /** Nothing is lost by a failure: the next round writes it. */
  async #write(tasks: readonly CountedTask[]): Promise<void> {
    try {
      for (let at = 0; at < tasks.length; at += maxTasksTogether)
        await writeCounts(this.#deps, tasks.slice(at, at + maxTasksTogether));
    } catch (err) {
      this.#deps.logger.debug({ err }, 'task statistics not written yet');
    }
  }

  /** Changed tasks, those waiting longest first. */
  #due(): CountedTask[] {
    const changed = [...this.#tasks()].filter(({ counters }) => counters.changed);
    const due = changed.sort((a, b) => a.counters.lastTurn - b.counters.lastTurn).slice(0, maxTasksWritten);
    this.#turn++;
    for (const { counters } of due) counters.lastTurn = this.#turn;
    return due;
  }
}

const recorded = ({ jobId, sourceId, sinkId, index, counters }: CountedTask): RecordedTask => ({
  ...{ jobId, sourceId, sinkId, taskIndex: index, recorder: counters.recorder },
});

/** Writes the counts of those of these tasks that this worker still has. */
async function writeCounts({ db, owner, identity }: StatsDeps, tasks: readonly CountedTask[]): Promise<void> {
  const rows = tasks.map(({ id, counters }) => ({ id, stats: counters.take(identity.name) }));
  await writeStats(db, owner, rows).catch((error: unknown) => {
    for (const { counters } of tasks) counters.touch();
    throw error;
  });
}
