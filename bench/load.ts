import { setTimeout as sleep } from 'node:timers/promises';
import type { Arrivals } from './counter.ts';
import type { Generator } from './generator.ts';
import { probe } from './message.ts';

const probeEveryMs = 100;
const probeDeadlineMs = 15_000;
/** After this time without an arrival, missing messages count as lost. */
const quietMs = 3_000;
const drainDeadlineMs = 20_000;
/** Time to listen for duplicates after everything has arrived. */
const listenMs = 250;

/** Publishes messages and counts their arrivals. Subclasses decide when to publish. */
export abstract class Load implements Arrivals {
  /** Messages that arrived for the first time. */
  counted = 0;
  duplicates = 0;
  /** Messages that arrived after a later one. */
  overtaken = 0;
  /** Milliseconds from publishing to arrival of each counted message. */
  delays: number[] = [];
  /** Time of publishing of each message that has not arrived. */
  readonly #missing = new Map<number, number>();
  #generator: Generator | undefined;
  #probed = false;
  #lastSeq = probe;
  #latest = probe;
  #lastArrival = 0;

  get missing(): number {
    return this.#missing.size;
  }

  arrived(seq: number): void {
    const now = performance.now();
    this.#lastArrival = now;
    const publishedAt = this.#missing.get(seq);
    if (seq === probe) this.#probed = true;
    else if (publishedAt === undefined) this.duplicates++;
    else {
      this.#missing.delete(seq);
      this.counted++;
      if (seq < this.#latest) this.overtaken++;
      else this.#latest = seq;
      this.delays.push(now - publishedAt);
    }
  }

  abstract caughtUp(): void;
  /** Starts to call `publish`. */
  protected abstract flow(): void;
  /** Stops calling it. */
  protected abstract stop(): void;

  /** Publishes single messages until one arrives, which shows that the forwarder is ready. Then starts the load. */
  async start(generator: Generator, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + probeDeadlineMs;
    while (!this.#probed) {
      if (performance.now() > deadline) throw new Error(`nothing was forwarded for ${probeDeadlineMs} ms`);
      generator.publish(probe, 1);
      await sleep(probeEveryMs, undefined, { signal });
    }
    this.#generator = generator;
    this.flow();
  }

  /** Ends the load and waits for messages in transit. Those still `missing` are lost. */
  async drain(signal: AbortSignal): Promise<void> {
    this.stop();
    this.#lastArrival = performance.now();
    const deadline = this.#lastArrival + drainDeadlineMs;
    while (this.missing > 0 && performance.now() < Math.min(deadline, this.#lastArrival + quietMs)) {
      await sleep(20, undefined, { signal });
    }
    await sleep(listenMs, undefined, { signal });
  }

  protected publish(count: number): void {
    const now = performance.now();
    this.#generator?.publish(this.#lastSeq + 1, count);
    for (let index = 0; index < count; index++) this.#missing.set(++this.#lastSeq, now);
  }
}

/** Number of messages in transit: enough to keep every forwarder busy. */
const mostOnTheWay = 1_000;

/**
 * Keeps a fixed number of messages in transit: each arrival publishes one more. So the slowest part sets the rate and
 * no queue grows. A lost message keeps its place, so a forwarder that loses many comes to a halt.
 */
export class ClosedLoop extends Load {
  readonly #max: number;
  #flowing = false;

  constructor(max = mostOnTheWay) {
    super();
    this.#max = max;
  }

  caughtUp(): void {
    if (!this.#flowing) return;
    const count = this.#max - this.missing;
    if (count > 0) this.publish(count);
  }

  protected flow(): void {
    this.#flowing = true;
    this.caughtUp();
  }

  protected stop(): void {
    this.#flowing = false;
  }
}

/** The brokers drop nothing, so a queue would grow without limit. */
const mostBehindMs = 2_000;

/**
 * Publishes a fixed number of messages per second regardless of arrivals: every millisecond those that are due, or
 * single messages at lower rates.
 */
export class PacedLoad extends Load {
  readonly #perSecond: number;
  readonly #fail: (error: Error) => void;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #published = 0;

  /** Calls `fail` when the forwarder is two seconds behind. */
  constructor(perSecond: number, fail: (error: Error) => void) {
    super();
    this.#perSecond = perSecond;
    this.#fail = fail;
  }

  caughtUp(): void {}

  protected flow(): void {
    this.#startedAt = performance.now();
    this.#timer = setInterval(() => this.#due(), 1);
  }

  protected stop(): void {
    clearInterval(this.#timer);
  }

  #due(): void {
    const count =
      Math.floor(((performance.now() - this.#startedAt) / 1000) * this.#perSecond) - this.#published;
    if (count <= 0) return;
    if (this.missing > (this.#perSecond * mostBehindMs) / 1000 + 100) {
      this.stop();
      this.#fail(new Error(`it does not keep up with ${this.#perSecond} messages a second`));
      return;
    }
    this.#published += count;
    this.publish(count);
  }
}
