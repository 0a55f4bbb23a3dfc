import type { TableDefinition } from '../plan.ts';

const defaultIdleMs = 5 * 60_000;
const defaultAheadMs = 60_000;

const nowMicros = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));

/** The watermark of one source: no earlier row is expected from it. Times are in microseconds since 1970. */
export class SourceClock {
  readonly byArrival: boolean;
  readonly #idleMicros: bigint;
  readonly #aheadMicros: bigint;
  #watermark: bigint | undefined;
  #lastRowAt = nowMicros();
  /** Whether the source has ended. */
  ended = false;

  constructor({ eventTime, time }: TableDefinition, watermark: bigint | undefined) {
    this.byArrival = eventTime === undefined;
    this.#idleMicros = BigInt(time?.idleTimeoutMs ?? defaultIdleMs) * 1000n;
    this.#aheadMicros = BigInt(time?.maxAheadMs ?? defaultAheadMs) * 1000n;
    this.#watermark = watermark;
  }

  /** The latest watermark of its rows; what is committed. */
  get own(): bigint | undefined {
    return this.#watermark;
  }

  /** Rows have arrived, whatever their times. */
  heard(): void {
    this.#lastRowAt = nowMicros();
  }

  advance(watermark: bigint): void {
    const bound = nowMicros() + this.#aheadMicros;
    const allowed = watermark < bound ? watermark : bound;
    if (this.#watermark === undefined || allowed > this.#watermark) this.#watermark = allowed;
  }

  isAhead(time: bigint): boolean {
    return !this.byArrival && time > nowMicros() + this.#aheadMicros;
  }

  get isIdle(): boolean {
    // 0: never.
    if (this.byArrival || this.#idleMicros === 0n) return false;
    return nowMicros() - this.#lastRowAt > this.#idleMicros;
  }

  /** The watermark now. That of an idle source goes on with the clock. Undefined if it had no row yet. */
  now(): bigint | undefined {
    if (this.byArrival) return nowMicros();
    if (this.#watermark === undefined) return undefined;
    return this.isIdle ? this.#watermark + (nowMicros() - this.#lastRowAt) : this.#watermark;
  }
}

/** After every window. DuckDB's timestamps end before. */
export const endOfTime = 2n ** 62n;

/** The watermark of all sources. Undefined if one has had no row yet and is not idle. */
export function watermarkOf(clocks: readonly SourceClock[]): bigint | undefined {
  const open = clocks.filter(({ ended }) => !ended);
  if (open.length === 0) return endOfTime;
  const active = open.filter(({ isIdle }) => !isIdle);
  const times = (active.length > 0 ? active : open).map((clock) => clock.now());
  if (active.length > 0 && times.includes(undefined)) return undefined;
  const known = times.filter((time) => time !== undefined);
  return known.sort((one, other) => (one < other ? -1 : 1))[0];
}
