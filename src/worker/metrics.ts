import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client';
import { errorCatalog } from '../connectors/registry.ts';

/** What a task counts. One set a process; the labels are ids of jobs, so there are as many series as jobs. */
export interface WorkerMetrics {
  received: Counter<'job'>;
  receivedBytes: Counter<'job'>;
  sent: Counter<'job'>;
  sentBytes: Counter<'job'>;
  bad: Counter<'job' | 'code'>;
  dropped: Counter<'job'>;
  deadLetters: Counter<'job'>;
  deadLettersEvicted: Counter<'job'>;
  deadLettersReplayed: Counter<'job'>;
  restarts: Counter<'job' | 'code'>;
  sessionsLost: Counter<'job'>;
  inFlight: Gauge<'job'>;
  silent: Gauge<'job'>;
  latency: Histogram<'job'>;
  jobs: Gauge<'state'>;
}

export function createMetrics(
  registry: Registry,
  counts: () => Iterable<JobCounts> = () => [],
): WorkerMetrics {
  const registers = [registry];
  collectCounts(registry, counts);
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name: `penstock_${name}_total`, help, labelNames, registers });
  return {
    received: counter('messages_received', 'Messages taken from sources', 'job'),
    receivedBytes: counter('bytes_received', 'Payload bytes taken from sources', 'job'),
    sent: counter('messages_sent', 'Messages confirmed by sinks', 'job'),
    sentBytes: counter('bytes_sent', 'Payload bytes confirmed by sinks', 'job'),
    bad: counter(
      'bad_messages',
      'Messages that could not be decoded, transformed, encoded or written',
      'job',
      'code',
    ),
    dropped: counter('messages_dropped', 'Messages of which all or some was bad and dropped', 'job'),
    deadLetters: counter('dead_letters', 'Messages stored as dead letters', 'job'),
    deadLettersEvicted: counter(
      'dead_letters_evicted',
      'Dead letters deleted to make room for newer ones',
      'job',
    ),
    deadLettersReplayed: counter('dead_letters_replayed', 'Dead letters replayed wholly, and deleted', 'job'),
    restarts: counter('task_restarts', 'Tasks begun again after a passing error', 'job', 'code'),
    sessionsLost: counter('sessions_lost', 'Sessions that the broker of a source had forgotten', 'job'),
    inFlight: new Gauge({
      name: 'penstock_messages_in_flight',
      help: 'Messages received and not yet acknowledged',
      labelNames: ['job'],
      registers,
    }),
    silent: new Gauge({
      name: 'penstock_sources_silent',
      help: 'Sources without a message for longer than their table allows',
      labelNames: ['job'],
      registers,
    }),
    latency: new Histogram({
      name: 'penstock_end_to_end_seconds',
      help: 'From the arrival of a batch to the confirmation of the sink',
      labelNames: ['job'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    jobs: new Gauge({ name: 'penstock_jobs', help: 'Jobs of this worker', labelNames: ['state'], registers }),
  };
}

/** What the tasks of a job have counted themselves: it is asked for when somebody reads the metrics. */
export interface JobCounts {
  job: string;
  batches: number;
  /** An operator may come up several times, once for each task. */
  operators: readonly { operator: string; rowsIn: number; rowsOut: number }[];
}

function collectCounts(registry: Registry, counts: () => Iterable<JobCounts>): void {
  const registers = [registry];
  const labelNames = ['job', 'operator'] as const;
  const rowsOut = new Counter({
    name: 'penstock_operator_rows_out_total',
    help: 'Rows, or messages of a sink, that an operator has given',
    labelNames,
    registers,
  });
  const batches = new Counter({
    name: 'penstock_batches_received_total',
    help: 'Batches that messages came in',
    labelNames: ['job'],
    registers,
  });
  new Counter({
    name: 'penstock_operator_rows_in_total',
    help: 'Rows that an operator has taken',
    labelNames,
    registers,
    collect() {
      for (const metric of [this, rowsOut, batches]) metric.reset();
      for (const { job, operators, batches: count } of counts()) {
        batches.inc({ job }, count);
        for (const { operator, rowsIn, rowsOut: out } of operators) {
          this.inc({ job, operator }, rowsIn);
          rowsOut.inc({ job, operator }, out);
        }
      }
    },
  });
}

/** What one attempt of a task holds unacknowledged, as part of what its job does. */
export class InFlight {
  readonly #gauge: Gauge<'job'>;
  readonly #job: string;
  readonly #changed: (messages: number) => void;
  #count = 0;
  #ended = false;

  /** `changed` is told by how many it grows, or shrinks. */
  constructor({ inFlight }: WorkerMetrics, job: string, changed: (messages: number) => void) {
    this.#gauge = inFlight;
    this.#job = job;
    this.#changed = changed;
    this.#gauge.inc({ job }, 0);
  }

  get count(): number {
    return this.#count;
  }

  add(messages: number): void {
    if (this.#ended || messages === 0) return;
    this.#count += messages;
    this.#changed(messages);
    this.#gauge.inc({ job: this.#job }, messages);
  }

  /** What is in flight belongs to nobody any more; what settles later is not counted. */
  end(): void {
    this.add(-this.#count);
    this.#ended = true;
  }
}

/** Drops the series of a job that has gone. */
export function forgetJob(metrics: WorkerMetrics, job: string): void {
  const { received, receivedBytes, sent, sentBytes, sessionsLost, inFlight, silent, latency } = metrics;
  const { dropped, deadLetters, deadLettersEvicted, deadLettersReplayed } = metrics;
  for (const metric of [received, receivedBytes, sent, sentBytes, sessionsLost, inFlight, silent, latency])
    metric.remove({ job });
  for (const metric of [dropped, deadLetters, deadLettersEvicted, deadLettersReplayed])
    metric.remove({ job });
  for (const code of Object.keys(errorCatalog)) {
    metrics.bad.remove({ job, code });
    metrics.restarts.remove({ job, code });
  }
}
