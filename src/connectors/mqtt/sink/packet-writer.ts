import type { Writable } from 'node:stream';

/**
 * Encodes PUBLISH and PUBREL packets directly into a slab and writes the slab once per turn of the event loop. During a
 * write, packets collect in the next slab; once that is full too, `full` is the back-pressure. A writer holds at most two
 * slabs, and none when idle.
 */

/** The topic and properties of a PUBLISH, as bytes, so that constant ones are encoded once. */
export interface PublishHead {
  topic: Buffer;
  /** Prefixed with their length (MQTT 5); empty for 3.1.1. */
  properties: Buffer;
}

export const slabBytes = 65_536;
const keptSlabs = 16;
/** Unused slabs, shared by all writers: idle sinks need none. */
const idleSlabs: Buffer[] = [];

const takeSlab = (): Buffer => idleSlabs.pop() ?? Buffer.allocUnsafeSlow(slabBytes);

function giveBack(slab: Buffer): void {
  if (idleSlabs.length < keptSlabs) idleSlabs.push(slab);
}

const releaseBytes = 4;
const releaseHeader = 0x6202;

export class PacketWriter {
  readonly #stream: Writable;
  readonly #written: () => void;
  #slab: Buffer | undefined;
  #end = 0;
  /** Packets that did not fit into the slab and follow it; the writer is full while there are any. */
  #behind: Buffer[] = [];
  #leaving: Buffer | undefined;
  #writing = false;
  #scheduled = false;
  #stopped = false;
  #takenBytes = 0;
  #leavingBytes = 0;
  #writtenBytes = 0;

  /** `written` is called each time the operating system has taken a write; `full` may have ended then. */
  constructor(stream: Writable, written: () => void) {
    this.#stream = stream;
    this.#written = written;
  }

  /** Whether `publish` should not be called now. */
  get full(): boolean {
    return this.#behind.length > 0;
  }

  /** Number of bytes taken so far. Once `writtenBytes` reaches it, the operating system has them all. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** `packetId` is ignored at QoS 0. */
  publish(
    head: PublishHead,
    payload: Buffer,
    qos: 0 | 1 | 2,
    retain: boolean,
    packetId: number,
    dup = false,
  ): void {
    const length = remainingLength(head, payload.length, qos);
    const size = 1 + lengthBytes(length) + length;
    const { target, start } = this.#room(size);
    let at = start;
    target[at++] = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
    at = writeLength(target, at, length);
    at = target.writeUInt16BE(head.topic.length, at);
    at += head.topic.copy(target, at);
    if (qos > 0) at = target.writeUInt16BE(packetId, at);
    at += head.properties.copy(target, at);
    payload.copy(target, at);
    this.#taken(size);
  }

  /** Writes the PUBREL of a QoS 2 message. Call it even while the writer is full. */
  release(packetId: number): void {
    const { target, start } = this.#room(releaseBytes);
    target.writeUInt16BE(releaseHeader, start);
    target.writeUInt16BE(packetId, start + 2);
    this.#taken(releaseBytes);
  }

  /** Drops unwritten packets, and writes nothing more. */
  stop(): void {
    this.#stopped = true;
    if (this.#slab !== undefined) giveBack(this.#slab);
    this.#slab = undefined;
    this.#end = 0;
    this.#behind = [];
  }

  /** Reserves room in the slab, or in a separate buffer behind it. */
  #room(size: number): { target: Buffer; start: number } {
    if (this.#behind.length === 0 && size <= slabBytes - this.#end) {
      this.#slab ??= takeSlab();
      const start = this.#end;
      this.#end += size;
      return { target: this.#slab, start };
    }
    const target = Buffer.allocUnsafe(size);
    this.#behind.push(target);
    return { target, start: 0 };
  }

  /** A full writer writes now; any other at the end of the microtask, to collect more packets. */
  #taken(size: number): void {
    this.#takenBytes += size;
    if (this.#writing) return;
    if (this.full) this.#flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(this.#flush);
    }
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (this.#writing || this.#stopped || this.#takenBytes === this.#writtenBytes) return;
    const pieces = this.#behind;
    if (this.#slab !== undefined) pieces.unshift(this.#slab.subarray(0, this.#end));
    this.#writing = true;
    this.#leaving = this.#slab;
    this.#leavingBytes = this.#takenBytes;
    this.#slab = undefined;
    this.#end = 0;
    this.#behind = [];
    const last = pieces.pop() as Buffer;
    if (pieces.length > 0) this.#stream.cork();
    for (const piece of pieces) this.#stream.write(piece);
    this.#stream.write(last, this.#done);
    if (pieces.length > 0) this.#stream.uncork();
  };

  /** The stream has written a slab or failed; a failure is reported through the connection. */
  readonly #done = (error?: Error | null): void => {
    if (this.#leaving !== undefined) giveBack(this.#leaving);
    this.#leaving = undefined;
    this.#writing = false;
    if (error) {
      this.stop();
    } else {
      this.#writtenBytes = this.#leavingBytes;
      this.#written();
      this.#flush();
    }
  };
}

const remainingLength = (head: PublishHead, payload: number, qos: number): number =>
  2 + head.topic.length + (qos > 0 ? 2 : 0) + head.properties.length + payload;

export const lengthBytes = (length: number): number =>
  length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4;

/** Writes a variable byte integer (MQTT 5, section 1.5.5). Returns its end. */
export function writeLength(target: Buffer, start: number, length: number): number {
  let at = start;
  let rest = length;
  while (rest > 127) {
    target[at++] = (rest & 127) | 128;
    rest >>= 7;
  }
  target[at++] = rest;
  return at;
}

export function publishSize(head: PublishHead, payload: number, qos: number): number {
  const length = remainingLength(head, payload, qos);
  return 1 + lengthBytes(length) + length;
}
