import type { Latency } from '../jobs/stats.ts';

/** Each bucket ends this factor above the one before, so that a percentile is wrong by a tenth at most. */
const factor = 1.1;
const smallestMs = 0.05;
const buckets = 180;
const turnEveryMs = 60_000;

/** How long messages took lately: of the running minute and the one before. */
export class RecentLatency {
  #current = new Uint32Array(buckets);
  #before = new Uint32Array(buckets);
  #turnAt = performance.now() + turnEveryMs;

  /** `messages` of them took `ms` each. */
  add(ms: number, messages: number): void {
    if (performance.now() > this.#turnAt) this.#turn();
    const bucket = Math.ceil(Math.log(Math.max(ms, smallestMs) / smallestMs) / Math.log(factor));
    const index = Math.min(bucket, buckets - 1);
    this.#current[index] = (this.#current[index] as number) + messages;
  }

  /** Null when there were none. Each is the upper end of its bucket. */
  percentiles(): Latency | null {
    if (performance.now() > this.#turnAt) this.#turn();
    const counts = this.#current.map((count, index) => count + (this.#before[index] as number));
    const all = counts.reduce((sum, count) => sum + count, 0);
    if (all === 0) return null;
    const at = (share: number): number => {
      let seen = 0;
      const bucket = counts.findIndex((count) => {
        seen += count;
        return seen >= all * share;
      });
      return Number((smallestMs * factor ** bucket).toPrecision(3));
    };
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  #turn(): void {
    const missed = performance.now() > this.#turnAt + turnEveryMs;
    this.#before = missed ? new Uint32Array(buckets) : this.#current;
    this.#current = new Uint32Array(buckets);
    this.#turnAt = performance.now() + turnEveryMs;
  }
}
