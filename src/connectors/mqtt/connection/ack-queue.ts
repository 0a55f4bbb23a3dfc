import type { Qos } from '../config/qos.ts';

/**
 * The acknowledgements that one connection owes, in order of receipt. They leave in that order [MQTT-4.6.0-2], each
 * once it and all before it are settled, and together: one write for all that are due.
 *
 * A queue belongs to one connection and is void with it: what is settled later goes nowhere, and the broker delivers
 * again. It knows nothing of MQTT.js: it is given the function that writes.
 */

/** One delivery as the queue sees it. */
export interface Owed {
  /** Packet identifier; 0 at QoS 0, which owes nothing on the wire but takes its place in the window. */
  readonly packetId: number;
  readonly qos: Qos;
  /** What it holds in memory; 0 if left out. */
  readonly bytes?: number;
  settled: boolean;
}

/** The first two bytes of an acknowledgement without properties, and its size; the packet identifier follows. */
const pubackHeader = 0x4002;
const pubrecHeader = 0x5002;
const pubcompHeader = 0x7002;
const ackBytes = 4;

/** Unsettled payloads may take so much; a larger one is taken when nothing else is there. */
const maxBytes = 64 * 1024 * 1024;

export class AckQueue {
  readonly #owed: (Owed | undefined)[];
  #head = 0;
  #length = 0;
  #bytes = 0;
  /** QoS 2 identifiers between PUBLISH and PUBREL; true once PUBREC is sent. At most 65,535. */
  readonly #exactlyOnce = new Map<number, boolean>();
  /** Identifiers whose PUBREL has come and whose PUBCOMP is due. */
  #released: number[] = [];
  readonly #write: (acks: Buffer) => void;
  readonly #drained: () => void;
  #flushing = false;
  #void = false;

  /** `write` gets the bytes of acknowledgements, `drained` is called after some have left the queue. */
  constructor(window: number, write: (acks: Buffer) => void, drained: () => void) {
    this.#owed = new Array<Owed | undefined>(window).fill(undefined);
    this.#write = write;
    this.#drained = drained;
  }

  get length(): number {
    return this.#length;
  }

  get full(): boolean {
    return this.#length >= this.#owed.length || (this.#bytes >= maxBytes && this.#length > 0);
  }

  /** Whether at most half of what may be taken is. */
  get half(): boolean {
    return this.#length <= this.#owed.length >> 1 && this.#bytes <= maxBytes / 2;
  }

  /** Takes a delivery in. Only while not `full`. */
  push(owed: Owed): void {
    if (this.full) throw new RangeError('The window is full');
    this.#owed[(this.#head + this.#length) % this.#owed.length] = owed;
    this.#length += 1;
    this.#bytes += owed.bytes ?? 0;
    if (owed.qos === 2) this.#exactlyOnce.set(owed.packetId, false);
  }

  /**
   * Whether a QoS 2 PUBLISH repeats one that is not released yet, and so must not be delivered [MQTT-4.3.3-10]. If
   * its PUBREC was sent already, it is sent again.
   */
  repeats(packetId: number): boolean {
    const answered = this.#exactlyOnce.get(packetId);
    if (answered === true && !this.#void) this.#write(encode([pubrecHeader, packetId]));
    return answered !== undefined;
  }

  /**
   * The broker has released a QoS 2 identifier (PUBREL): its next PUBLISH is a new message. PUBCOMP leaves at the end of
   * the current microtask, for an identifier that is not known too.
   */
  released(packetId: number): void {
    this.#exactlyOnce.delete(packetId);
    if (this.#void) return;
    this.#released.push(packetId);
    this.#schedule();
  }

  /** Marks a delivery of this queue as safe. What is due leaves at the end of the current microtask. */
  settle(owed: Owed): void {
    if (owed.settled || this.#void) return;
    owed.settled = true;
    if (this.#owed[this.#head] === owed) this.#schedule();
  }

  /** Sends what is due now rather than at the end of the microtask. */
  flush(): void {
    this.#flush();
  }

  /** Ends the queue with its connection: nothing is written any more. */
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
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
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

/** Without a reason code, an acknowledgement means success in MQTT 5 (section 3.4.2.1), and is that of 3.1.1. */
function encode(due: number[]): Buffer {
  const bytes = Buffer.allocUnsafe((due.length / 2) * ackBytes);
  for (let at = 0; at < due.length; at += 1) bytes.writeUInt16BE(due[at] as number, at * 2);
  return bytes;
}
