import { asPenstockError, type PenstockError } from '../errors.ts';
import { type Counts, counted, keptSamples, type TaskError, type TaskStatus } from '../job-stats.ts';
import { RecentLatency } from './latency.ts';
import { InFlight, type WorkerMetrics } from './metrics.ts';
import { printable } from './record.ts';

/** What a task has counted, for as long as its job has this place for one. It is told of batches, never of messages. */
export class TaskStats {
  readonly totals = Object.fromEntries(counted.map((name) => [name, 0])) as Counts;
  connected = false;
  batches = 0;
  readonly #metrics: WorkerMetrics;
  readonly #job: string;
  readonly #latency = new RecentLatency();
  readonly #ofSink = new WeakSet<PenstockError>();
  #inFlight = 0;
  #reconnects = 0;
  #lastError: TaskError | null = null;
  #sampled: Counts = { ...this.totals };
  #samples: number[][] = [];
  #inFlightSamples: number[] = [];

  constructor(metrics: WorkerMetrics, job: string) {
    this.#metrics = metrics;
    this.#job = job;
  }

  /** A batch has come from the source. */
  received(messages: number, bytes: number): void {
    this.batches++;
    this.totals.messages_in += messages;
    this.totals.bytes_in += bytes;
    this.#metrics.received.inc({ job: this.#job }, messages);
    this.#metrics.receivedBytes.inc({ job: this.#job }, bytes);
  }

  /** So many rows were in a batch, and so many came of them. */
  transformed(rows: number, made: number): void {
    this.totals.rows_in += rows;
    this.totals.rows_out += made;
  }

  /** The sink has confirmed what came of a batch, whose first message arrived at `receivedAt` (ms since 1970). */
  sent(messages: number, bytes: number, receivedAt: number, batch: number): void {
    const ms = performance.timeOrigin + performance.now() - receivedAt;
    this.totals.messages_out += messages;
    this.totals.bytes_out += bytes;
    this.#latency.add(ms, batch);
    this.#metrics.sent.inc({ job: this.#job }, messages);
    this.#metrics.sentBytes.inc({ job: this.#job }, bytes);
    this.#metrics.latency.observe({ job: this.#job }, ms / 1000);
  }

  bad({ code, message }: PenstockError): void {
    this.totals.bad++;
    this.#noteError(code, message);
    this.#metrics.bad.inc({ job: this.#job, code });
  }

  /** It begins again after a passing error. */
  recovering({ code, message }: PenstockError): void {
    this.#reconnects++;
    this.#noteError(code, message);
    this.#metrics.restarts.inc({ job: this.#job, code });
  }

  /** What one attempt holds unacknowledged. */
  attempt(): InFlight {
    return new InFlight(this.#metrics, this.#job, (messages) => {
      this.#inFlight += messages;
    });
  }

  /** Remembers that an error is the sink's, and answers it. */
  ofSink(error: unknown): PenstockError {
    const raised = asPenstockError(error);
    this.#ofSink.add(raised);
    return raised;
  }

  isOfSink(error: PenstockError): boolean {
    return this.#ofSink.has(error);
  }

  /** Ends a second that took `seconds`. */
  sample(seconds: number): void {
    const sample = counted.map((name) => rate(this.totals[name] - this.#sampled[name], seconds));
    this.#samples.push(sample.some((count) => count !== 0) ? sample : quiet);
    this.#inFlightSamples.push(this.#inFlight);
    this.#sampled = { ...this.totals };
    if (this.#samples.length <= keptSamples) return;
    this.#samples.shift();
    this.#inFlightSamples.shift();
  }

  /** What changes when there is something new to tell, beside the samples. */
  get version(): string {
    const { messages_in, messages_out, bad } = this.totals;
    return [this.connected, messages_in, messages_out, bad, this.#inFlight, this.#reconnects].join();
  }

  /** Whether the newest sample has something in it. */
  get busy(): boolean {
    return this.#samples.at(-1)?.some((count) => count > 0) ?? false;
  }

  status(): Omit<TaskStatus, 'index' | 'source' | 'transform' | 'sink' | 'window'> {
    return {
      connected: this.connected,
      totals: this.totals,
      batches: this.batches,
      in_flight: this.#inFlight,
      reconnects: this.#reconnects,
      last_error: this.#lastError,
      latency: this.#latency.percentiles(),
      samples: this.#samples,
      in_flight_samples: this.#inFlightSamples,
    };
  }

  #noteError(code: string, message: string): void {
    this.#lastError = { code, message: printable(message).slice(0, 300), at: Date.now() * 1000 };
  }
}

/** One for all, as most tasks are quiet most of the time. */
const quiet = counted.map(() => 0);

const rate = (count: number, seconds: number): number => Math.round((count / seconds) * 10) / 10;
