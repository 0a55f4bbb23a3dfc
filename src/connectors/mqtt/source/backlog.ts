import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { MqttTable } from '../config/table.ts';
import { shareOf } from '../config/table.ts';
import type { DeferredAcks } from '../connection/acks.ts';
import type { Connection } from '../connection/connection.ts';

/** Messages that a session still holds for a source, and which of them are for this task. */

/** A broker may deliver a queue a moment after it has confirmed the subscription. */
const firstPauseMs = 1_000;
const pauseMs = 50;
/** Number of such round trips in a row that prove an empty queue: see `caughtUp`. */
const quietTrips = 3;
/** A session that is unsubscribed is empty after this long without a message, with everything acknowledged. */
const quietMs = 1_000;

export class Backlog {
  /** Messages received on this connection, and when the last one came. */
  received = 0;
  receivedAt = 0;
  /** The largest number of messages in flight so far: the broker's own limit is at least this. */
  #maxOwed = 0;
  readonly #acks: () => DeferredAcks | undefined;

  constructor(acks: () => DeferredAcks | undefined) {
    this.#acks = acks;
  }

  arrived(owed: number): void {
    this.received += 1;
    this.receivedAt = performance.now();
    if (owed > this.#maxOwed) this.#maxOwed = owed;
  }

  /**
   * Waits until the broker has nothing queued for this session. A broker with a queue sends as many messages as it allows in
   * flight, which is at least as many as there once were. So if fewer than that arrive during a round trip, in addition to
   * those in flight at its begin, the queue was empty. Returns false if that did not happen within `maxMs`.
   */
  async caughtUp(connection: Connection, signal: AbortSignal, maxMs: number): Promise<boolean> {
    const end = performance.now() + maxMs;
    await sleep(firstPauseMs, undefined, { signal });
    for (let quiet = 0; performance.now() < end; ) {
      const acks = this.#acks();
      const before = this.received;
      const free = acks === undefined || acks.paused ? 0 : Math.max(1, this.#maxOwed) - acks.queue.length;
      await connection.ping(signal);
      quiet = this.received - before < free ? quiet + 1 : 0;
      if (quiet === quietTrips) return true;
      await sleep(pauseMs, undefined, { signal });
    }
    return false;
  }

  /** Waits until an unsubscribed session is empty, and the broker has seen every acknowledgement. */
  async drained(connection: Connection, signal: AbortSignal): Promise<void> {
    this.receivedAt = performance.now();
    for (let before = -1; before !== this.received; ) {
      while (this.#acks()?.queue.length !== 0 || performance.now() - this.receivedAt < quietMs)
        await sleep(quietMs / 10, undefined, { signal });
      before = this.received;
      await connection.ping(signal);
    }
  }
}

/**
 * Whether a task handles a message. Every task receives all messages of an ordinary subscription, and all compute the same
 * hash. Several tables: the task handles the shares of all of them.
 */
export function shareFilter(tables: readonly MqttTable[]): (topic: string, payload: Buffer) => boolean {
  const shares = tables.map(shareOf);
  if (shares.some(({ of }) => of === 1)) return () => true;
  return (topic, payload) => {
    const hash = crc32(payload, crc32(topic));
    return shares.some(({ index, of }) => hash % of === index);
  };
}
