import type { PenstockError } from '../../../errors.ts';
import type { PendingWrite } from '../../network/pending-write.ts';
import type { OutgoingRecord } from './records.ts';

/** Messages on their way to brokers, in their order and in batches. */

/** Maximum size of a batch of one partition: below what brokers take by default (`message.max.bytes`). */
const maxBatchBytes = 900_000;
const maxRequestBytes = 8 * 1024 * 1024;

export interface Entry {
  write: PendingWrite;
  index: number;
  record: OutgoingRecord;
  bytes: number;
}

/** A batch that the broker does not take for now. It may have it: it recognises the same batch only. */
interface Held {
  batch: readonly Entry[];
  since: number;
  error: PenstockError;
}

/** Messages for the partitions that one broker leads. */
export class Lane {
  writing = false;
  readonly #window: number;
  #queue: Entry[] = [];
  /** By partition. They are sent again as they are, before other messages of the partition. */
  readonly #held = new Map<number, Held>();
  /** Maximum number of messages in the next batch of partitions that have refused one. */
  readonly #caps = new Map<number, number>();
  #batchBytes = maxBatchBytes;

  constructor(window: number) {
    this.#window = window;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#held.size === 0;
  }

  get held(): ReadonlyMap<number, Held> {
    return this.#held;
  }

  /** Number of messages that are held. */
  get heldMessages(): number {
    let count = 0;
    for (const { batch } of this.#held.values()) count += batch.length;
    return count;
  }

  push(entry: Entry): void {
    this.#queue.push(entry);
  }

  clear(): void {
    this.#queue = [];
    this.#held.clear();
  }

  /** Takes the held batches, then up to `room` messages of the queue, as many as the sizes of batches allow. */
  next(room: number): Entry[] {
    const all = [...this.#held.values()].flatMap(({ batch }) => batch);
    const sizes = new Map<number, { count: number; bytes: number }>();
    const full = new Set(this.#held.keys());
    const rest: Entry[] = [];
    let bytes = bytesOf(all);
    let left = room;
    for (const entry of this.#queue) {
      const { partition } = entry.record;
      const size = sizes.get(partition) ?? { count: 0, bytes: 0 };
      const fits =
        size.count === 0 ||
        (size.bytes + entry.bytes <= this.#batchBytes && size.count < this.#capOf(partition));
      if (left > 0 && bytes < maxRequestBytes && fits && !full.has(partition)) {
        sizes.set(partition, { count: size.count + 1, bytes: size.bytes + entry.bytes });
        bytes += entry.bytes;
        left -= 1;
        all.push(entry);
      } else {
        // The next of this partition must not overtake it.
        full.add(partition);
        rest.push(entry);
      }
    }
    this.#queue = rest;
    return all;
  }

  /** Keeps a batch for the next request. */
  hold(partition: number, batch: readonly Entry[], error: PenstockError): void {
    const since = this.#held.get(partition)?.since ?? performance.now();
    this.#held.set(partition, { batch, since, error });
  }

  /** Call when the broker has taken or refused a batch. */
  release(partition: number): void {
    this.#held.delete(partition);
  }

  /** Lets the batches of a partition grow again, since it has taken one. */
  grow(partition: number): void {
    if (!this.#caps.has(partition)) return;
    const cap = this.#capOf(partition) * 2;
    if (cap > this.#window) this.#caps.delete(partition);
    else this.#caps.set(partition, cap);
  }

  /** Puts a batch that is refused back, to be sent in smaller ones. */
  divide(partition: number, batch: readonly Entry[], mayBeTooLarge: boolean): void {
    this.#caps.set(partition, Math.floor(batch.length / 2));
    if (mayBeTooLarge) this.#batchBytes = Math.min(this.#batchBytes, bytesOf(batch) / 2);
    this.putBack(batch);
  }

  putBack(batch: readonly Entry[]): void {
    if (batch.length > 0) this.#queue = [...batch, ...this.#queue];
  }

  #capOf(partition: number): number {
    return this.#caps.get(partition) ?? Number.POSITIVE_INFINITY;
  }
}

const bytesOf = (batch: readonly Entry[]): number => batch.reduce((bytes, entry) => bytes + entry.bytes, 0);
