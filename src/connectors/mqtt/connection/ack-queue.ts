import type { Qos } from '../config/topic.ts';

/**
 * The acknowledgements that one connection owes, sent in order of receipt [MQTT-4.6.0-2]: each once it and all before it
 * are settled, in one write for all that are due. After the connection has ended, settling does nothing, and the broker
 * delivers again.
 */

export interface Owed {
  /** Packet identifier; 0 at QoS 0, which needs no acknowledgement but occupies the window. */
  readonly packetId: number;
  readonly qos: Qos;
  /** Memory that it holds; 0 by default. */
  readonly bytes?: number;
  settled: boolean;
}

/** The first two bytes of an acknowledgement without properties; the packet identifier follows. */
const pubackHeader = 0x4002;
const pubrecHeader = 0x5002;
const pubcompHeader = 0x7002;
const ackBytes = 4;

/** Limit of unsettled payloads. A larger message is accepted if it is the only one. */
const maxBytes = 64 * 1024 * 1024;

/** Size of the ring to begin with: there may be thousands of connections, and most never need more. */
const initialSize = 16;

export class AckQueue {
  readonly #window: number;
  /** Ring of what is owed, the oldest at `#head`. */
  #owed: (Owed | undefined)[];
  #head = 0;
  #length = 0;
  #bytes = 0;
  /** QoS 2 identifiers between PUBLISH and PUBREL; true once PUBREC is sent. */
  readonly #exactlyOnce = new Map<number, boolean>();
  #released: number[] = [];
  readonly #write: (acks: Buffer) => void;
  readonly #drained: () => void;
  #flushing = false;
  #void = false;

  /** `write` receives encoded acknowledgements; `drained` is called after deliveries have left the queue. */
  constructor(window: number, write: (acks: Buffer) => void, drained: () => void) {
    this.#window = window;
    this.#owed = new Array<Owed | undefined>(Math.min(initialSize, window)).fill(undefined);
    this.#write = write;
    this.#drained = drained;
  }

  get length(): number {
    return this.#length;
  }

  get full(): boolean {
    return this.#length >= this.#window || (this.#bytes >= maxBytes && this.#length > 0);
  }

  get half(): boolean {
    return this.#length <= this.#window >> 1 && this.#bytes <= maxBytes / 2;
  }

  /** Adds a delivery. Call it only while not `full`. */
  push(owed: Owed): void {
    if (this.full) throw new RangeError('The window is full');
    if (this.#length === this.#owed.length) this.#grow();
    this.#owed[(this.#head + this.#length) % this.#owed.length] = owed;
    this.#length += 1;
    this.#bytes += owed.bytes ?? 0;
    if (owed.qos === 2) this.#exactlyOnce.set(owed.packetId, false);
  }

  #grow(): void {
    const size = Math.min(this.#owed.length * 2, this.#window);
    const inOrder = [...this.#owed.slice(this.#head), ...this.#owed.slice(0, this.#head)];
    this.#owed = [...inOrder, ...new Array<undefined>(size - inOrder.length).fill(undefined)];
    this.#head = 0;
  }

  /**
   * Whether a QoS 2 PUBLISH repeats an unreleased one, which must not be delivered [MQTT-4.3.3-10]. If its PUBREC was
   * sent, it is sent again.
   */
  repeats(packetId: number): boolean {
    const acknowledged = this.#exactlyOnce.get(packetId);
    if (acknowledged === true && !this.#void) this.#write(encode([pubrecHeader, packetId]));
    return acknowledged !== undefined;
  }

  /**
   * Handles a PUBREL: the next PUBLISH with this identifier is a new message. Sends PUBCOMP at the end of the current
   * microtask, also for an unknown identifier.
   */
  released(packetId: number): void {
    this.#exactlyOnce.delete(packetId);
    if (this.#void) return;
    this.#released.push(packetId);
    this.#schedule();
  }

  /** Settles a delivery. Acknowledgements that are due leave at the end of the current microtask. */
  settle(owed: Owed): void {
    if (owed.settled || this.#void) return;
    owed.settled = true;
    if (this.#owed[this.#head] === owed) this.#schedule();
  }

  /** Ends the queue with its connection: nothing more is written. */
  abandon(): void {
    this.#void = true;
    this.#length = 0;
    this.#bytes = 0;
    this.#owed.fill(undefined);
    this.#exactlyOnce.clear();
    this.#released = [];
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(this.flush);
  }

  readonly flush = (): void => {
    this.#flushing = false;
    const due: number[] = [];
    const before = this.#length;
    let owed = this.#owed[this.#head];
    while (this.#length > 0 && owed?.settled === true) {
      this.#owed[this.#head] = undefined;
      this.#head = (this.#head + 1) % this.#owed.length;
      this.#length -= 1;
      this.#bytes -= owed.bytes ?? 0;
      this.#collect(owed, due);
      owed = this.#owed[this.#head];
    }
    for (const packetId of this.#released.splice(0)) due.push(pubcompHeader, packetId);
    if (due.length > 0) this.#write(encode(due));
    if (this.#length < before) this.#drained();
  };

  #collect(owed: Owed, due: number[]): void {
    if (owed.qos === 0) return;
    if (owed.qos === 2) this.#exactlyOnce.set(owed.packetId, true);
    due.push(owed.qos === 1 ? pubackHeader : pubrecHeader, owed.packetId);
  }
}

/** An acknowledgement without a reason code means success in MQTT 5 (section 3.4.2.1) and is valid in 3.1.1. */
function encode(due: number[]): Buffer {
  const bytes = Buffer.allocUnsafe((due.length / 2) * ackBytes);
  for (let at = 0; at < due.length; at += 1) bytes.writeUInt16BE(due[at] as number, at * 2);
  return bytes;
}
