import { setTimeout as sleep } from 'node:timers/promises';
import type { Arrivals } from './counter.ts';
import type { Generator } from './generator.ts';
import { probe } from './message.ts';

/** Messages that are published and not yet counted: enough to keep every forwarder busy. */
const mostOnTheWay = 1_000;
const probeEveryMs = 100;
const probeDeadlineMs = 15_000;
/** After this long without an arrival, what is still missing is lost. */
const quietMs = 3_000;
const drainDeadlineMs = 20_000;
/** How long to go on listening for duplicates when everything has arrived. */
const listenMs = 250;

/**
 * Keeps a fixed number of messages on the way: each arrival lets one more be published. So the slowest part sets the
 * pace and no queue grows. A lost message keeps its place, and a forwarder that loses many comes to a halt.
 */
export class ClosedLoop implements Arrivals {
  /** Messages that arrived for the first time. */
  counted = 0;
  duplicates = 0;
  readonly #missing = new Set<number>();
  #generator: Generator | undefined;
  #flowing = false;
  #probed = false;
  #lastSeq = probe;
  #lastArrival = 0;

  get missing(): number {
    return this.#missing.size;
  }

  arrived(seq: number): void {
    this.#lastArrival = performance.now();
    if (seq === probe) this.#probed = true;
    else if (this.#missing.delete(seq)) this.counted++;
    else this.duplicates++;
  }

  caughtUp(): void {
    if (this.#flowing) this.#topUp();
  }

  /** Publishes single messages until one arrives, so the forwarder is known to be ready; then starts the flow. */
  async start(generator: Generator, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + probeDeadlineMs;
    while (!this.#probed) {
      if (performance.now() > deadline) throw new Error(`nothing was forwarded for ${probeDeadlineMs} ms`);
      generator.publish(probe, 1);
      await sleep(probeEveryMs, undefined, { signal });
    }
    this.#generator = generator;
    this.#flowing = true;
    this.#topUp();
  }

  /** Ends the flow and waits for what is on the way. What is `missing` after that is lost. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#flowing = false;
    this.#lastArrival = performance.now();
    const deadline = this.#lastArrival + drainDeadlineMs;
    while (this.missing > 0 && performance.now() < Math.min(deadline, this.#lastArrival + quietMs)) {
      await sleep(20, undefined, { signal });
    }
    await sleep(listenMs, undefined, { signal });
  }

  #topUp(): void {
    const count = mostOnTheWay - this.#missing.size;
    if (count <= 0) return;
    this.#generator?.publish(this.#lastSeq + 1, count);
    for (let index = 0; index < count; index++) this.#missing.add(++this.#lastSeq);
  }
}
