import type { PenstockError } from '../errors.ts';
import type { StoredCounts } from '../jobs/series.ts';
import {
  counted,
  keptSamples,
  type Latency,
  printable,
  type StateGauges,
  sampledGauges,
  type TaskCounts,
  type TaskError,
} from '../jobs/stats.ts';
import { type CountsDelta, noCounts, taskCounts } from '../runtime/counts.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import { fromMachineMs, nowMicros } from '../store/clock.ts';
import { StepRecorder } from './series.ts';

/** Everything that is counted of one job in this process. `counts`, `bad` and `restarts` continue when the job restarts. */
export class JobCounters {
  readonly counts = {
    ...noCounts(),
    dead_letters: 0,
    dead_letters_evicted: 0,
    dead_letters_replayed: 0,
    sessions_lost: 0,
    silent: 0,
  };
  /** Bad messages and task restarts, by error code. */
  readonly bad = new Map<string, number>();
  readonly restarts = new Map<string, number>();
  readonly observeLatency: (seconds: number) => void;
  readonly #tasks = new Map<TaskCounters, TaskSpec>();

  constructor(observeLatency: (seconds: number) => void) {
    this.observeLatency = observeLatency;
  }

  /** Counters of a task from now on, after what it counted elsewhere since its job began. */
  begin(spec: TaskSpec, before?: TaskCounts): TaskCounters {
    const counters = new TaskCounters(this, before);
    this.#tasks.set(counters, spec);
    return counters;
  }

  end(counters: TaskCounters): void {
    this.#tasks.delete(counters);
  }

  /** Rows into or out of each operator, once for each task. */
  operatorRows(side: 'in' | 'out'): [operator: string, rows: number][] {
    return [...this.#tasks].flatMap(([{ counts }, spec]) => {
      const { source, transform, sink } = spec.insert.operatorIds;
      const { rows_in, rows_out, messages_out } = counts;
      const rows: [string, number][] = [
        [source, rows_in],
        [transform, side === 'in' ? rows_in : rows_out],
        [sink, side === 'in' ? rows_out : messages_out],
      ];
      return spec.insert.select.kind === 'passthrough' ? rows.toSpliced(1, 1) : rows;
    });
  }

  /** One number of each task with a state, by the operator that has it. */
  ofStates(read: (gauges: StateGauges) => number | null): [operator: string, value: number][] {
    return [...this.#tasks].flatMap(([{ windows }, spec]): [string, number][] => {
      const value = windows ? read(windows) : null;
      return value === null ? [] : [[spec.insert.operatorIds.transform, value]];
    });
  }
}

/** Counts of one task while this process has it, over all its attempts. */
export class TaskCounters {
  readonly counts = noCounts();
  /** When its counts were last due to be written (`StatsWriter`). */
  lastTurn = 0;
  readonly job: JobCounters;
  readonly recorder = new StepRecorder();
  readonly #before: TaskCounts | undefined;
  #connected = false;
  #at = 0;
  #touched = true;
  /** Whether something has changed since the last sample. */
  #stirred = true;
  /** Number of quiet samples that are not in the lists yet: most tasks are quiet most of the time. */
  #quietSamples = 0;
  /** Called once, at the next batch that the sink confirms. */
  nextConfirmed: (() => void) | undefined;
  readonly #latency = new RecentLatency();
  readonly #percentiles = () => this.#latency.percentiles();
  #reconnects = 0;
  #busy = false;
  #lastError: TaskError | null = null;
  readonly #sampled = noCounts();
  #samples: number[][] = [];
  #inFlightSamples: number[] = [];
  #waitingSince: number | null = Date.now();
  #waitingSamples: number[] = [];
  #windows: StateGauges | undefined;
  #windowSamples: number[][] = [];

  constructor(job: JobCounters, before?: TaskCounts) {
    this.job = job;
    this.#before = before;
    this.#lastError = before?.last_error ?? null;
    this.#samples = before?.samples ?? [];
    this.#inFlightSamples = before?.in_flight_samples ?? [];
    this.#waitingSamples = before?.waiting_samples ?? [];
    this.#windows = before?.windows;
    this.#windowSamples = before?.window_samples ?? [];
  }

  get windows(): StateGauges | undefined {
    return this.#windows;
  }

  /** Call it before a change. */
  touch(): void {
    this.#addQuietSamples();
    this.#touched = true;
    this.#stirred = true;
  }

  get changed(): boolean {
    return this.#at > 0 && this.#touched;
  }

  /** Messages a second in the last sample. */
  get messageRate(): number {
    if (this.#quietSamples > 0) return 0;
    return this.#samples.at(-1)?.[counted.indexOf('messages_in')] ?? 0;
  }

  /** Returns what the worker of this name is to write, as JSON. Call `touch` if it cannot be written. */
  take(worker: string): string {
    this.#touched = false;
    const { since, unwritten: steps } = this.recorder;
    return JSON.stringify({ ...this.status(), series: { since, worker, steps } } satisfies StoredCounts);
  }

  set connected(connected: boolean) {
    this.touch();
    this.#connected = connected;
    // Unacknowledged messages arrive again.
    this.#waitingSince = connected ? null : (this.#waitingSince ?? Date.now());
  }

  add({ counts, latencies, badByCode, lastBad, waitingSince, state }: CountsDelta): void {
    this.touch();
    this.#windows = state ?? this.#windows;
    if (this.#connected) this.#waitingSince = waitingSince;
    for (const name of taskCounts) {
      this.counts[name] += counts[name];
      this.job.counts[name] += counts[name];
    }
    for (let at = 0; at < latencies.length; at += 2) {
      const [ms, messages] = [latencies[at] as number, latencies[at + 1] as number];
      this.#latency.add(ms, messages);
      this.job.observeLatency(ms / 1000);
    }
    for (const [code, count] of Object.entries(badByCode)) increment(this.job.bad, code, count);
    if (latencies.length > 0) {
      this.nextConfirmed?.();
      this.nextConfirmed = undefined;
    }
    if (lastBad) this.#noteError(lastBad.code, lastBad.message, Number(nowMicros()));
  }

  /** Takes back messages that were in flight when their attempt ended. */
  abandon(inFlight: number): void {
    this.touch();
    this.counts.in_flight -= inFlight;
    this.job.counts.in_flight -= inFlight;
  }

  recovering({ code, message }: PenstockError): void {
    this.touch();
    this.#reconnects++;
    this.#noteError(code, message, Number(nowMicros()));
    increment(this.job.restarts, code, 1);
  }

  /** Ends a sample. If it took several seconds because the process was busy, it counts as several samples. */
  sample(seconds: number): void {
    this.#at = Number(nowMicros());
    const times = Math.min(Math.max(1, Math.round(seconds)), keptSamples);
    if (this.#isQuiet) {
      this.#quietSamples += times;
      return;
    }
    this.#addQuietSamples();
    const counts = counted.map((name) => rate(this.counts[name] - this.#sampled[name], seconds));
    const busy = counts.some((count) => count !== 0);
    const sample = busy ? counts : quiet;
    // After a task falls quiet, one quiet second is still written.
    if (busy || this.#busy) this.touch();
    this.#busy = busy;
    const waited = this.#waitingSince === null ? 0 : Math.max(1, Math.round(Date.now() - this.#waitingSince));
    const windows = this.#windows && sampledGauges.map((name) => this.#windows?.[name] ?? 0);
    for (let time = 0; time < times; time++) {
      if (windows) this.#windowSamples.push(windows);
      this.#samples.push(sample);
      this.#inFlightSamples.push(this.counts.in_flight);
      this.#waitingSamples.push(waited);
    }
    for (const name of counted) this.#sampled[name] = this.counts[name];
    this.#stirred = false;
    this.recorder.add(this.#at, {
      ...{ counts: this.counts, in_flight: this.counts.in_flight, reconnects: this.#reconnects },
      windows: this.#windows,
      latency: this.#percentiles,
    });
    this.#removeOldSamples();
  }

  /** Whether a sample would be as the last one: nothing has happened, and nothing that changes by time is shown. */
  get #isQuiet(): boolean {
    if (this.#stirred || this.#busy || this.#waitingSince !== null || this.#windows) return false;
    return this.counts.in_flight === 0 && this.recorder.isQuiet;
  }

  #addQuietSamples(): void {
    if (this.#quietSamples === 0) return;
    const times = Math.min(this.#quietSamples, keptSamples);
    this.#quietSamples = 0;
    for (let time = 0; time < times; time++) {
      this.#samples.push(quiet);
      this.#inFlightSamples.push(0);
      this.#waitingSamples.push(0);
    }
    this.#removeOldSamples();
  }

  #removeOldSamples(): void {
    const over = Math.max(0, this.#samples.length - keptSamples);
    this.#samples.splice(0, over);
    this.#inFlightSamples.splice(0, over);
    this.#waitingSamples.splice(0, over);
    this.#windowSamples.splice(0, Math.max(0, this.#windowSamples.length - keptSamples));
  }

  status(): TaskCounts {
    this.#addQuietSamples();
    const { batches, in_flight } = this.counts;
    const before = this.#before;
    return {
      at: this.#at,
      connected: this.#connected,
      totals: Object.fromEntries(
        counted.map((name) => [name, this.counts[name] + (before?.totals[name] ?? 0)]),
      ) as TaskCounts['totals'],
      batches: batches + (before?.batches ?? 0),
      in_flight,
      reconnects: this.#reconnects + (before?.reconnects ?? 0),
      last_error: this.#lastError,
      latency: this.#latency.percentiles(),
      samples: this.#samples,
      in_flight_samples: this.#inFlightSamples,
      waiting_since: this.#waitingSince === null ? null : fromMachineMs(this.#waitingSince),
      waiting_samples: this.#waitingSamples,
      ...(this.#windows ? { windows: this.#windows, window_samples: this.#windowSamples } : {}),
    };
  }

  #noteError(code: string, message: string, at: number): void {
    this.#lastError = { code, message: printable(message).slice(0, 300), at };
  }
}

/** One array for all quiet samples, as most tasks are quiet most of the time. */
const quiet = counted.map(() => 0);

const rate = (count: number, seconds: number): number => Math.round((count / seconds) * 10) / 10;

function increment(counts: Map<string, number>, code: string, by: number): void {
  counts.set(code, (counts.get(code) ?? 0) + by);
}

/** Each bucket ends at this factor of the one before, so percentiles are at most a tenth too high. */
const factor = 1.1;
const smallestMs = 0.05;
const buckets = 180;
const periodMs = 60_000;

/** For all periods without messages, and never written. */
const noMessages = new Uint32Array(buckets);

export class RecentLatency {
  #current = noMessages;
  #previous = noMessages;
  #periodEnd = performance.now() + periodMs;

  add(ms: number, messages: number): void {
    this.#advance();
    const bucket = Math.ceil(Math.log(Math.max(ms, smallestMs) / smallestMs) / Math.log(factor));
    const index = Math.min(bucket, buckets - 1);
    if (this.#current === noMessages) this.#current = new Uint32Array(buckets);
    this.#current[index] = (this.#current[index] as number) + messages;
  }

  /** Returns the upper ends of the buckets, or null if there were no messages. */
  percentiles(): Latency | null {
    this.#advance();
    let all = 0;
    for (let bucket = 0; bucket < buckets; bucket++) all += this.#in(bucket);
    if (all === 0) return null;
    let bucket = -1;
    let seen = 0;
    // The shares increase, so that one pass finds them all.
    const at = (share: number): number => {
      while (seen < all * share) {
        bucket++;
        seen += this.#in(bucket);
      }
      return Number((smallestMs * factor ** bucket).toPrecision(3));
    };
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  #in(bucket: number): number {
    return (this.#current[bucket] as number) + (this.#previous[bucket] as number);
  }

  #advance(): void {
    const now = performance.now();
    if (now <= this.#periodEnd) return;
    this.#previous = now > this.#periodEnd + periodMs ? noMessages : this.#current;
    this.#current = noMessages;
    this.#periodEnd = now + periodMs;
  }
}
