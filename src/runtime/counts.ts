import { type AnyErrorCode, asPenstockError, type PenstockError } from '../errors.ts';
import { type Counts, counted } from '../jobs/stats.ts';

/** What an attempt has counted since it was last asked. */
export interface Counted {
  totals: Counts;
  batches: number;
  /** By how many the messages in flight have become more, or fewer. */
  inFlight: number;
  /** How long parts took, in milliseconds, each followed by how many messages it had. */
  latencies: number[];
  /** By code. */
  bad: Partial<Record<AnyErrorCode, number>>;
  /** The last of them; `at` is in unix microseconds. */
  lastBad: { code: AnyErrorCode; message: string; at: number } | undefined;
  /** Messages of which all or some was bad and dropped. */
  dropped: number;
}

const nothing = (): Counted => ({
  totals: Object.fromEntries(counted.map((name) => [name, 0])) as Counts,
  batches: 0,
  inFlight: 0,
  latencies: [],
  bad: {},
  lastBad: undefined,
  dropped: 0,
});

/** Counts what one attempt does. It is told of batches, never of messages, so that counting costs next to nothing. */
export class AttemptCounts {
  readonly #due: () => void;
  #since: Counted | undefined;

  /** `due` is called with the first thing to be counted after `take`. */
  constructor(due: () => void) {
    this.#due = due;
  }

  /** Answers what was counted since the last call, and begins anew; undefined when that is nothing. */
  take(): Counted | undefined {
    const taken = this.#since;
    this.#since = undefined;
    return taken;
  }

  /** A batch has come from the source. */
  received(messages: number, bytes: number): void {
    const now = this.#now();
    now.batches += 1;
    now.totals.messages_in += messages;
    now.totals.bytes_in += bytes;
  }

  /** So many rows were in a batch, and so many came of them. */
  transformed(rows: number, made: number): void {
    const { totals } = this.#now();
    totals.rows_in += rows;
    totals.rows_out += made;
  }

  inFlight(messages: number): void {
    this.#now().inFlight += messages;
  }

  /** The sink has confirmed what came of a batch, whose first message arrived at `receivedAt` (ms since 1970). */
  sent(messages: number, bytes: number, receivedAt: number, batch: number): void {
    this.written(messages, bytes);
    this.#now().latencies.push(performance.timeOrigin + performance.now() - receivedAt, batch);
  }

  /** The sink has confirmed messages that did not come from the source now: dead letters, say. */
  written(messages: number, bytes: number): void {
    const { totals } = this.#now();
    totals.messages_out += messages;
    totals.bytes_out += bytes;
  }

  bad(error: unknown): void {
    const { code, message }: PenstockError = asPenstockError(error);
    const now = this.#now();
    now.totals.bad += 1;
    now.bad[code] = (now.bad[code] ?? 0) + 1;
    now.lastBad = { code, message, at: Date.now() * 1000 };
  }

  dropped(messages: number): void {
    this.#now().dropped += messages;
  }

  #now(): Counted {
    if (!this.#since) {
      this.#since = nothing();
      this.#due();
    }
    return this.#since;
  }
}
