import type { PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal } from '../../connector.ts';

/** The state of one `write` call: which of its messages are sent and confirmed. */
export class PendingWrite {
  /** Resolves with the refusals once every message is confirmed or refused. */
  readonly done: Promise<Refusal[]>;
  readonly messages: readonly Outgoing[];
  readonly #refusals: Refusal[] = [];
  readonly #resolve: (refusals: Refusal[]) => void;
  readonly #reject: (error: unknown) => void;
  #next = 0;
  #settled = 0;
  #failed = false;

  constructor(messages: readonly Outgoing[]) {
    const { promise, resolve, reject } = Promise.withResolvers<Refusal[]>();
    this.done = promise;
    this.messages = messages;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Index of the next message to send; -1 if all are sent or the write has failed. */
  take(): number {
    if (this.#failed || this.#next === this.messages.length) return -1;
    this.#next += 1;
    return this.#next - 1;
  }

  fail(error: unknown): void {
    this.#failed = true;
    this.#reject(error);
  }

  confirm(): void {
    this.#settled += 1;
    if (this.#settled === this.messages.length) this.finish();
  }

  /** The message will never be delivered; the others continue. */
  refuse(index: number, error: PenstockError): void {
    this.#refusals.push({ index, error });
    this.confirm();
  }

  /** Resolves `done`. Also called from outside at QoS 0, which has no confirmations. */
  finish(): void {
    this.#resolve(this.#refusals.sort((a, b) => a.index - b.index));
  }
}

export interface SentMessage {
  readonly packetId: number;
  /** Undefined while the identifier is free. */
  write: PendingWrite | undefined;
  index: number;
  /** QoS 2: whether PUBREL was sent, so that PUBCOMP is due. */
  released: boolean;
}

/** Number of identifiers to begin with: there may be thousands of connections, and most never need more. */
const initialSize = 64;

/**
 * The unconfirmed messages of one connection by packet identifier, 1 to `max`. A freed identifier is reused last, so that
 * a late confirmation does not match a new message.
 */
export class InFlightMessages {
  readonly #max: number;
  readonly #sent: SentMessage[] = [];
  /** Ring of free identifiers, the next one at `#head`. */
  #free = new Uint16Array(0);
  #head = 0;
  #length = 0;

  constructor(max: number) {
    this.#max = max;
    this.#growTo(Math.min(initialSize, max));
  }

  get count(): number {
    return this.#sent.length - this.#length;
  }

  get full(): boolean {
    return this.#length === 0 && this.#sent.length === this.#max;
  }

  /** Adds identifiers. Call it only while none is free. */
  #growTo(size: number): void {
    const first = this.#sent.length + 1;
    for (let packetId = first; packetId <= size; packetId++)
      this.#sent.push({ packetId, write: undefined, index: 0, released: false });
    this.#length = size + 1 - first;
    this.#free = new Uint16Array(size);
    this.#free.set(Array.from({ length: this.#length }, (_, index) => first + index));
    this.#head = 0;
  }

  /** Takes a packet identifier for message `index` of `write`. Call it only while not `full`. */
  add(write: PendingWrite, index: number): number {
    if (this.full) throw new RangeError('No packet identifier is free');
    if (this.#length === 0) this.#growTo(Math.min(this.#sent.length * 2, this.#max));
    const packetId = this.#free[this.#head] as number;
    this.#head = (this.#head + 1) % this.#free.length;
    this.#length -= 1;
    const sent = this.#sent[packetId - 1] as SentMessage;
    sent.write = write;
    sent.index = index;
    sent.released = false;
    return packetId;
  }

  find(packetId: number): SentMessage | undefined {
    const sent = this.#sent[packetId - 1];
    return sent?.write === undefined ? undefined : sent;
  }

  remove(sent: SentMessage): void {
    sent.write = undefined;
    this.#free[(this.#head + this.#length) % this.#free.length] = sent.packetId;
    this.#length += 1;
  }
}
