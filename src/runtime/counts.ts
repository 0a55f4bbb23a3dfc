import { type AnyErrorCode, asPenstockError } from '../errors.ts';
import { counted, type StateGauges } from '../jobs/stats.ts';

/** Counts of a task: those that jobs show, the number of source batches, and messages dropped or in flight. */
export const taskCounts = [...counted, 'batches', 'dropped', 'in_flight'] as const;
type CountsByName = Record<(typeof taskCounts)[number], number>;

export const noCounts = (): CountsByName =>
  Object.fromEntries(taskCounts.map((name) => [name, 0])) as CountsByName;

export interface CountsDelta {
  counts: CountsByName;
  /** Pairs: milliseconds from arrival to confirmation, and the number of messages that took this long. */
  latencies: number[];
  badByCode: Record<string, number>;
  lastBad: { code: AnyErrorCode; message: string } | undefined;
  /** Arrival of the oldest message that is not acknowledged (Unix milliseconds), or null if all are. */
  waitingSince: number | null;
  /** Of a task with a state, if it has told of it. */
  state?: StateGauges;
}

/** Counts of one attempt. Called once per batch rather than per message, so the cost is negligible. */
export class AttemptCounts {
  readonly #due: () => void;
  #delta: CountsDelta | undefined;
  /** Arrivals of what is not acknowledged, in order. */
  readonly #waiting = new Map<number, number>();
  #groups = 0;

  /** `due` is called at the first count after `take`. */
  constructor(due: () => void) {
    this.#due = due;
  }

  /** Returns the changes since the last call, or undefined if there are none. */
  take(): CountsDelta | undefined {
    const taken = this.#delta;
    this.#delta = undefined;
    if (taken) taken.waitingSince = this.#waiting.values().next().value ?? null;
    return taken;
  }

  add(changes: Partial<CountsByName>): void {
    const { counts } = this.#current();
    for (const name in changes) {
      const key = name as keyof CountsByName;
      counts[key] += changes[key] as number;
    }
  }

  arrived(messages: number, size: number): void {
    const { counts } = this.#current();
    counts.batches += 1;
    counts.messages_in += messages;
    counts.bytes_in += size;
  }

  rows(rowsIn: number, rowsOut: number): void {
    const { counts } = this.#current();
    counts.rows_in += rowsIn;
    counts.rows_out += rowsOut;
  }

  /** Messages are on their way through the sink. */
  sent(messages: number): void {
    this.#current().counts.in_flight += messages;
  }

  /** Counts messages whose results the sink has confirmed, or that were handled as bad data. */
  settled(messages: number, messagesOut: number, bytesOut: number): void {
    const { counts } = this.#current();
    counts.in_flight -= messages;
    counts.messages_out += messagesOut;
    counts.bytes_out += bytesOut;
  }

  /** Messages have arrived, the first of them at `arrivedAt`. Call what it returns when all of them are acknowledged. */
  waiting(arrivedAt: number): () => void {
    const group = this.#groups++;
    this.#waiting.set(group, arrivedAt);
    return () => {
      this.#waiting.delete(group);
      this.#current();
    };
  }

  /** The sink has confirmed a batch of `messages`, the first of which arrived at `receivedAt` (Unix milliseconds). */
  confirmed(messages: number, receivedAt: number): void {
    this.#current().latencies.push(performance.timeOrigin + performance.now() - receivedAt, messages);
  }

  /** Call it after a commit, and when the watermark has moved. */
  state(gauges: StateGauges): void {
    this.#current().state = gauges;
  }

  bad(error: unknown): void {
    const { code, message } = asPenstockError(error);
    const delta = this.#current();
    delta.counts.bad += 1;
    delta.badByCode[code] = (delta.badByCode[code] ?? 0) + 1;
    delta.lastBad = { code, message };
  }

  #current(): CountsDelta {
    if (!this.#delta) {
      this.#delta = {
        ...{ counts: noCounts(), latencies: [], badByCode: {}, lastBad: undefined },
        waitingSince: null,
      };
      this.#due();
    }
    return this.#delta;
  }
}
