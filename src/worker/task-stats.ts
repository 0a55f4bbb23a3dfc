import type { PenstockError } from '../errors.ts';
import { type Counts, counted, keptSamples, type TaskError, type TaskStatus } from '../jobs/stats.ts';
import type { Counted } from '../runtime/counts.ts';
import { printable } from '../runtime/printable.ts';
import { RecentLatency } from './latency.ts';
import { InFlight, type WorkerMetrics } from './metrics.ts';

/** What a task has counted, for as long as its job has this place for one. */
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
  #busySamples = 0;
  #lastError: TaskError | null = null;
  #sampled: Counts = { ...this.totals };
  #samples: number[][] = [];
  #inFlightSamples: number[] = [];

  constructor(metrics: WorkerMetrics, job: string) {
    this.#metrics = metrics;
    this.#job = job;
  }

  /** What an attempt has counted lately; `inFlight` is what it holds. */
  add(since: Counted, inFlight: InFlight): void {
    const { totals, latencies, bad, lastBad } = since;
    const job = { job: this.#job };
    this.batches += since.batches;
    for (const name of counted) this.totals[name] += totals[name];
    inFlight.add(since.inFlight);
    if (since.batches > 0) {
      this.#metrics.received.inc(job, totals.messages_in);
      this.#metrics.receivedBytes.inc(job, totals.bytes_in);
    }
    if (latencies.length > 0 || totals.messages_out > 0) {
      this.#metrics.sent.inc(job, totals.messages_out);
      this.#metrics.sentBytes.inc(job, totals.bytes_out);
    }
    for (let at = 0; at < latencies.length; at += 2) {
      const [ms, messages] = [latencies[at] as number, latencies[at + 1] as number];
      this.#latency.add(ms, messages);
      this.#metrics.latency.observe(job, ms / 1000);
    }
    for (const [code, count] of Object.entries(bad)) this.#metrics.bad.inc({ ...job, code }, count);
    if (since.dropped > 0) this.#metrics.dropped.inc(job, since.dropped);
    if (lastBad) this.#noteError(lastBad.code, lastBad.message, lastBad.at);
  }

  /** It begins again after a passing error. */
  recovering({ code, message }: PenstockError): void {
    this.#reconnects++;
    this.#noteError(code, message, Date.now() * 1000);
    this.#metrics.restarts.inc({ job: this.#job, code });
  }

  /** What one attempt holds unacknowledged. */
  attempt(): InFlight {
    return new InFlight(this.#metrics, this.#job, (messages) => {
      this.#inFlight += messages;
    });
  }

  /** Remembers that an error is the sink's. */
  ofSink(error: PenstockError): void {
    this.#ofSink.add(error);
  }

  isOfSink(error: PenstockError): boolean {
    return this.#ofSink.has(error);
  }

  /** Ends a second; one that took as long as several, because nobody got round to it, is as many of them. */
  sample(seconds: number): void {
    const counts = counted.map((name) => rate(this.totals[name] - this.#sampled[name], seconds));
    const busy = counts.some((count) => count !== 0);
    const sample = busy ? counts : quiet;
    if (busy) this.#busySamples++;
    const times = Math.min(Math.max(1, Math.round(seconds)), keptSamples);
    for (let time = 0; time < times; time++) {
      this.#samples.push(sample);
      this.#inFlightSamples.push(this.#inFlight);
    }
    this.#sampled = { ...this.totals };
    const over = Math.max(0, this.#samples.length - keptSamples);
    this.#samples.splice(0, over);
    this.#inFlightSamples.splice(0, over);
  }

  /** What changes when there is something new to tell, be it in a sample that is not the newest any more. */
  get version(): string {
    const { messages_in, messages_out, bad } = this.totals;
    const counts = [messages_in, messages_out, bad, this.#inFlight, this.#reconnects, this.#busySamples];
    return [this.connected, ...counts].join();
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

  #noteError(code: string, message: string, at: number): void {
    this.#lastError = { code, message: printable(message).slice(0, 300), at };
  }
}

/** One for all, as most tasks are quiet most of the time. */
const quiet = counted.map(() => 0);

const rate = (count: number, seconds: number): number => Math.round((count / seconds) * 10) / 10;
