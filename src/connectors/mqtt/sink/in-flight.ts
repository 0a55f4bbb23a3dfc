import type { PendingWrite } from './pending-write.ts';

/** A message that was sent and is not confirmed. */
export interface Sent {
  readonly packetId: number;
  /** Undefined while the identifier is not in use. */
  write: PendingWrite | undefined;
  /** Which message of the write it is. */
  index: number;
  /** QoS 2: whether PUBREC has come and PUBREL was sent, so that PUBCOMP is due. */
  released: boolean;
}

/** Identifiers to begin with: most connections never need more, and there may be thousands of them. */
const initially = 64;

/**
 * The messages of one connection that are sent and not confirmed, by packet identifier, 1 to `most`. An identifier
 * that has come free is used again last, so that a late answer does not meet a new message.
 */
export class InFlight {
  readonly #most: number;
  readonly #sent: Sent[] = [];
  /** Free identifiers, the next to use first. */
  #free = new Uint16Array(0);
  #head = 0;
  #length = 0;

  constructor(most: number) {
    this.#most = most;
    this.#growTo(Math.min(initially, most));
  }

  get count(): number {
    return this.#sent.length - this.#length;
  }

  get full(): boolean {
    return this.#length === 0 && this.#sent.length === this.#most;
  }

  /** Adds identifiers. Only while none is free. */
  #growTo(size: number): void {
    const first = this.#sent.length + 1;
    for (let packetId = first; packetId <= size; packetId++)
      this.#sent.push({ packetId, write: undefined, index: 0, released: false });
    this.#length = size + 1 - first;
    this.#free = new Uint16Array(size);
    this.#free.set(Array.from({ length: this.#length }, (_, index) => first + index));
    this.#head = 0;
  }

  /** Takes a packet identifier for message `index` of `write`. Only while not `full`. */
  add(write: PendingWrite, index: number): number {
    if (this.full) throw new RangeError('No packet identifier is free');
    if (this.#length === 0) this.#growTo(Math.min(this.#sent.length * 2, this.#most));
    const packetId = this.#free[this.#head] as number;
    this.#head = (this.#head + 1) % this.#free.length;
    this.#length -= 1;
    const sent = this.#sent[packetId - 1] as Sent;
    sent.write = write;
    sent.index = index;
    sent.released = false;
    return packetId;
  }

  /** The message that was sent under an identifier; undefined when there is none. */
  find(packetId: number): Sent | undefined {
    const sent = this.#sent[packetId - 1];
    return sent?.write === undefined ? undefined : sent;
  }

  /** The message is over: its identifier is free. */
  remove(sent: Sent): void {
    sent.write = undefined;
    this.#free[(this.#head + this.#length) % this.#free.length] = sent.packetId;
    this.#length += 1;
  }
}
