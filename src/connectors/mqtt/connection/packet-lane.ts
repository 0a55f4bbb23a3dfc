import type { Duplex, Writable } from 'node:stream';
import type { IPublishPacket, MqttClient } from 'mqtt';
import { type Packet, parser } from 'mqtt-packet';
import type { Qos } from '../config/topic.ts';
import { MqttDelivery } from './delivery.ts';
import { largestPacket } from './limits.ts';

/**
 * Reads the packets that carry messages straight from the chunks of a socket: PUBLISH and PUBREL for a source, confirmations for
 * a sink. MQTT.js gets the bytes of all other packets, in order. It would take each through two streams and several events.
 *
 * The seam is public: MQTT.js reads a stream by calling its `pipe`. See `docs/decisions/0005-mqttjs-with-two-seams.md`.
 */

export type Confirming = 'puback' | 'pubrec' | 'pubcomp';

/** Receivers of the packets. Each may call `pause`: then its packet was the last one before `resume`. */
export interface Takers {
  /** Takes every PUBLISH, so that MQTT.js acknowledges none. */
  published?(message: MqttDelivery): void;
  released?(packetId: number): void;
  /** Returns whether the message is known here; otherwise MQTT.js gets the packet. It gets all that have properties. */
  confirmed?(kind: Confirming, packetId: number, reasonCode: number): boolean;
}

const confirming: Readonly<Record<number, Confirming>> = { 64: 'puback', 80: 'pubrec', 112: 'pubcomp' };
const pubrel = 0x62;
const none = Buffer.alloc(0);

export class PacketLane {
  takers: Takers;
  readonly #client: MqttClient;
  readonly #socket: Duplex;
  readonly #isVersion5: boolean;
  readonly #maxPacketSize: number;
  #mqttJs: Writable | undefined;
  /** Bytes received and not handled: the beginning of a packet, or more if reading is paused. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** Size at which the rest can be handled. */
  #needed = 0;
  /** Bytes of the current packet that still go to MQTT.js. */
  #passing = 0;
  #paused = false;
  #closed = false;
  #handling = false;
  #receivedAt = 0;
  /** The last topic: most sources have few. */
  #topic = '';
  #topicBytes = none;
  #parser: ReturnType<typeof parser> | undefined;
  #parsed: IPublishPacket | undefined;
  /** The last remaining length read, and where the body begins. */
  #length = 0;
  #body = 0;

  /** Takes over the packets of a client that has not connected yet. */
  constructor(client: MqttClient, socket: Duplex, takers: Takers) {
    this.takers = takers;
    this.#client = client;
    this.#socket = socket;
    const { protocolVersion, properties } = client.options;
    this.#isVersion5 = protocolVersion === 5;
    this.#maxPacketSize = (this.#isVersion5 && properties?.maximumPacketSize) || Number.POSITIVE_INFINITY;
    socket.pipe = <T extends NodeJS.WritableStream>(destination: T): T => {
      this.#mqttJs = destination as unknown as Writable;
      socket.on('data', this.#read);
      return destination;
    };
    socket.unpipe = () => {
      socket.off('data', this.#read);
      this.#closed = true;
      this.#takeRest();
      return socket;
    };
    client.on('packetreceive', this.#seen);
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Reads no further packet. */
  pause(): void {
    if (this.#closed) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#receivedAt = 0;
    if (this.#restBytes > 0 && !this.#handling) this.#handle(this.#takeRest());
    if (!this.#paused) this.#socket.resume();
  }

  /** CONNACK comes before any message. If MQTT.js got it in another way, it would acknowledge messages itself. */
  readonly #seen = ({ cmd }: Packet): void => {
    if (cmd !== 'connack') return;
    this.#client.off('packetreceive', this.#seen);
    if (this.#mqttJs !== undefined) return;
    this.#fail(new Error('MQTT.js has not called pipe: packet-lane.ts requires version 5.16.0'));
  };

  /** Ends the connection, also directly after CONNACK, when nobody else would: no later message is acknowledged. */
  #fail(error: unknown): void {
    this.#socket.destroy();
    this.#client.emit('error', error as Error);
  }

  readonly #read = (chunk: Buffer): void => {
    this.#receivedAt = 0;
    if (this.#restBytes === 0) {
      this.#handle(chunk);
      return;
    }
    this.#rest.push(chunk);
    this.#restBytes += chunk.length;
    if (!this.#paused && this.#restBytes >= this.#needed) this.#handle(this.#takeRest());
  };

  #takeRest(): Buffer {
    const [only = none] = this.#rest;
    const bytes = this.#rest.length === 1 ? only : Buffer.concat(this.#rest, this.#restBytes);
    this.#rest = [];
    this.#restBytes = 0;
    return bytes;
  }

  #handle(bytes: Buffer): void {
    this.#handling = true;
    const at = this.#packets(bytes);
    this.#handling = false;
    if (at === bytes.length) return;
    this.#rest.push(at === 0 ? bytes : bytes.subarray(at));
    this.#restBytes = bytes.length - at;
  }

  /** Handles the packets in `bytes`. Returns where the first one begins that waits. */
  #packets(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && !this.#paused && !this.#socket.destroyed) {
      if (this.#passing > 0) {
        const end = Math.min(bytes.length, at + this.#passing);
        this.#passing -= end - at;
        this.#pass(bytes, at, end);
        at = end;
        continue;
      }
      const header = bytes[at] as number;
      if (!this.#readLength(bytes, at + 1)) {
        this.#needed = bytes.length - at + 1;
        return at;
      }
      const body = this.#body;
      const end = body + this.#length;
      if (!this.#isTaken(header, this.#length)) {
        this.#passing = end - at;
      } else if (end > bytes.length) {
        this.#needed = end - at;
        return at;
      } else {
        this.#take(bytes, at, body, end);
        at = end;
      }
    }
    return at;
  }

  /** Reads a variable byte integer (MQTT 5, section 1.5.5). Returns false if it is not complete. */
  #readLength(bytes: Buffer, start: number): boolean {
    let length = 0;
    for (let index = 0; index < 4; index++) {
      const byte = bytes[start + index];
      if (byte === undefined) return false;
      length += (byte & 127) << (7 * index);
      if (byte > 127) continue;
      this.#length = length;
      this.#body = start + index + 1;
      return true;
    }
    this.#length = Number.POSITIVE_INFINITY;
    this.#body = start + 4;
    return true;
  }

  /** A malformed packet goes to MQTT.js, which ends the connection. */
  #isTaken(header: number, length: number): boolean {
    const { published, released, confirmed } = this.takers;
    if (length > largestPacket) return false;
    if (header >> 4 === 3) return published !== undefined && (header & 6) !== 6;
    if (header === pubrel) return released !== undefined && length >= 2;
    if (confirming[header] === undefined || confirmed === undefined) return false;
    return length === 2 || (length <= 4 && length > 2 && this.#isVersion5);
  }

  #take(bytes: Buffer, start: number, body: number, end: number): void {
    const header = bytes[start] as number;
    if (header >> 4 === 3) {
      this.#publish(bytes, start, body, end);
      return;
    }
    const packetId = ((bytes[body] as number) << 8) | (bytes[body + 1] as number);
    const kind = confirming[header];
    if (kind === undefined) {
      this.takers.released?.(packetId);
      return;
    }
    const reasonCode = end - body === 2 ? 0 : (bytes[body + 2] as number);
    const hasProperties = end - body === 4 && bytes[body + 3] !== 0;
    if (hasProperties || !this.takers.confirmed?.(kind, packetId, reasonCode)) this.#pass(bytes, start, end);
  }

  #pass(bytes: Buffer, start: number, end: number): void {
    this.#mqttJs?.write(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  }

  #publish(bytes: Buffer, start: number, body: number, end: number): void {
    if (end - start > this.#maxPacketSize) {
      const message = `A PUBLISH of ${end - start} bytes exceeds maximumPacketSize ${this.#maxPacketSize}`;
      this.#fail(Object.assign(new Error(message), { code: 149 }));
      return;
    }
    const header = bytes[start] as number;
    const qos = ((header >> 1) & 3) as Qos;
    const topicStart = body + 2;
    const topicEnd = topicStart + (((bytes[body] as number) << 8) | (bytes[body + 1] as number));
    const idEnd = qos === 0 ? topicEnd : topicEnd + 2;
    const payloadStart = this.#isVersion5 ? idEnd + 1 : idEnd;
    const hasProperties = this.#isVersion5 && bytes[idEnd] !== 0;
    if (topicStart > end || payloadStart > end || hasProperties) {
      this.#publishParsed(bytes.subarray(start, end));
      return;
    }
    this.takers.published?.(
      new MqttDelivery(
        this.#topicOf(bytes, topicStart, topicEnd),
        bytes.subarray(payloadStart, end),
        qos,
        (header & 1) !== 0,
        (header & 8) !== 0,
        qos === 0 ? 0 : ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number),
        undefined,
        this.#now(),
      ),
    );
  }

  /** A PUBLISH with properties, or a malformed one. */
  #publishParsed(bytes: Buffer): void {
    this.#parser ??= parser({ protocolVersion: this.#isVersion5 ? 5 : 4 })
      .on('packet', (packet) => {
        this.#parsed = packet as IPublishPacket;
      })
      .on('error', (error) => this.#fail(error));
    this.#parser.parse(bytes);
    const packet = this.#parsed;
    this.#parsed = undefined;
    if (packet === undefined) return;
    const { topic, payload, qos, retain, dup, messageId = 0, properties } = packet;
    if (properties?.topicAlias !== undefined) {
      this.#fail(new Error('A PUBLISH has a topic alias, although none is allowed'));
      return;
    }
    const packetId = qos === 0 ? 0 : messageId;
    this.takers.published?.(
      new MqttDelivery(topic, payload as Buffer, qos, retain, dup, packetId, properties, this.#now()),
    );
  }

  #topicOf(bytes: Buffer, start: number, end: number): string {
    const known = this.#topicBytes;
    let same = known.length === end - start;
    for (let index = 0; same && index < known.length; index++) same = known[index] === bytes[start + index];
    if (same) return this.#topic;
    this.#topicBytes = Buffer.from(bytes.subarray(start, end));
    this.#topic = this.#topicBytes.toString();
    return this.#topic;
  }

  #now(): number {
    if (this.#receivedAt === 0) this.#receivedAt = performance.timeOrigin + performance.now();
    return this.#receivedAt;
  }
}
