import type { Duplex } from 'node:stream';
import { type IPublishPacket, MqttClient } from 'mqtt';
import type { IConnackPacket } from 'mqtt-packet';
import type { ReceivedIdentifiers } from '../../connector.ts';
import { AckQueue, type Owed } from './ack-queue.ts';
import { MqttDelivery } from './delivery.ts';

/**
 * All use of MQTT.js internals. This is why MQTT.js is pinned to 5.16.0: see `docs/decisions/0005-mqttjs-with-two-seams.md`.
 *
 * MQTT.js handles one packet at a time and ties the PUBACK or PUBREC of a message to the continuation of its parser.
 * `DeferredAcks` separates them: it hands a message out when its PUBLISH arrives, lets the parser continue, and
 * acknowledges the message when it is settled. If the window is full, it holds the parser's continuation, so that MQTT.js
 * stops reading the socket until the window is half empty.
 */

/** The members of MQTT.js that this file replaces or calls. */
interface Internals {
  stream: Duplex;
  incomingStore: { get(packet: unknown, done: (error: Error) => void): unknown };
  options: {
    customHandleAcks(topic: string, payload: Buffer, packet: IPublishPacket, done: AckDone): void;
    reschedulePings?: boolean;
  };
  handleMessage(packet: IPublishPacket, done: () => void): void;
  onKeepaliveTimeout(): void;
  reschedulePing(force?: boolean): void;
  sendPing(): void;
  _sendPacket(packet: AckPacket, done?: () => void, stored?: () => void, noStore?: boolean): void;
}

type AckPacket = { cmd: string; messageId?: number };
type AckDone = (error: null, reasonCode: number) => void;

const members = ['handleMessage', 'onKeepaliveTimeout', 'reschedulePing', 'sendPing', '_sendPacket'] as const;

/** Throws if the installed MQTT.js lacks a member that this file needs. Call it before the first connection. */
export function assertSeams(client: object = MqttClient.prototype): void {
  const missing = members.filter((name) => typeof (client as Partial<Internals>)[name] !== 'function');
  if (missing.length > 0)
    throw new Error(
      `MQTT.js ${MqttClient.VERSION} has no ${missing.join(', ')}: acks.ts requires version 5.16.0`,
    );
}

/**
 * The reason code "no matching subscribers" keeps MQTT.js from storing a QoS 2 PUBLISH. It would otherwise hand the
 * message out at PUBREL, and drop the connection if the broker exceeds the window.
 */
const withoutStoring = 16;

/** MQTT.js looks up each PUBREL in its store, which is empty. Creating its own error would cost a stack trace. */
const notStored = new Error('No message is stored');

/** Identifiers that a job with state has received at QoS 2. `failed` is called when a commit fails. */
export interface Receipts {
  received: ReceivedIdentifiers;
  failed(error: unknown): void;
}

export class DeferredAcks {
  readonly queue: AckQueue;
  /** Resolves when identifiers of a session that the broker has lost are forgotten for good. */
  cleared: Promise<void> | undefined;
  readonly #client: Internals;
  readonly #deliver: (delivery: MqttDelivery) => void;
  readonly #receipts: Receipts | undefined;
  #waiting: (() => void) | null = null;
  #stopped = false;

  /**
   * Takes over the acknowledgements of a client that has not connected yet, so that the first message of a resumed
   * session is covered too. At most `window` deliveries are unsettled at any time.
   */
  constructor(
    client: MqttClient,
    window: number,
    deliver: (delivery: MqttDelivery) => void,
    receipts?: Receipts,
  ) {
    assertSeams(client);
    this.#client = client as unknown as Internals;
    this.#deliver = deliver;
    this.#receipts = receipts;
    if (receipts) client.on('packetreceive', (packet) => packet.cmd === 'connack' && this.#connacked(packet));
    this.queue = new AckQueue(
      window,
      (acks) => client.stream.write(acks),
      () => this.#drained(),
    );
    this.#takeOver();
  }

  get paused(): boolean {
    return this.#waiting !== null;
  }

  /** Accepts no more messages: the next one stays unacknowledged, and nothing after it is read. */
  stop(): void {
    this.#stopped = true;
  }

  /** Drops all owed acknowledgements. Settling deliveries of this connection later does nothing. */
  abandon(): void {
    this.#stopped = true;
    this.#waiting = null;
    this.queue.abandon();
  }

  #takeOver(): void {
    const client = this.#client;
    pingOnTime(this.#client);
    client.options.customHandleAcks = (topic, _payload, packet, done) => {
      if (packet.qos === 2) this.#arriveOnce(topic, packet, () => done(null, withoutStoring));
      else this.#arrive(topic, packet, done);
    };
    client.handleMessage = (packet, done) => {
      if (packet.qos === 0) this.#arrive(packet.topic, packet, done);
      else done();
    };
    const send = client._sendPacket.bind(client);
    client._sendPacket = (packet, done, stored, noStore) => {
      if (packet.cmd === 'puback' || packet.cmd === 'pubrec') {
        done?.();
        return;
      }
      if (packet.cmd === 'pubcomp') this.#complete(packet.messageId ?? 0, done);
      else send(packet, done, stored, noStore);
    };
    client.incomingStore.get = (_packet, done) => done(notStored);
    this.#keepAlive();
  }

  /** `done` lets the parser continue. At QoS 0 its arguments are ignored. */
  #arrive(topic: string, packet: IPublishPacket, done: AckDone): void {
    if (this.#stopped || this.queue.full) {
      this.#waiting = () => this.#arrive(topic, packet, done);
      return;
    }
    const delivery = new MqttDelivery(topic, packet, this.queue);
    this.queue.push(delivery);
    this.#deliver(delivery);
    done(null, 0);
  }

  #arriveOnce(topic: string, packet: IPublishPacket, done: () => void): void {
    const { messageId = 0 } = packet;
    // Without DUP it is a new message: mosquitto reuses identifiers when it sends a long queue at once.
    if (packet.dup && this.queue.repeats(messageId)) done();
    else if (this.#receipts?.received.has(messageId) !== true) this.#arrive(topic, packet, done);
    else if (packet.dup) this.#confirmAgain(messageId, done);
    else {
      this.#release(messageId);
      this.#arrive(topic, packet, done);
    }
  }

  /** A message of a former connection that is committed: it only gets its PUBREC, in order of receipt. */
  #confirmAgain(packetId: number, done: () => void): void {
    if (this.#stopped || this.queue.full) {
      this.#waiting = () => this.#confirmAgain(packetId, done);
      return;
    }
    const owed: Owed = { packetId, qos: 2, settled: false };
    this.queue.push(owed);
    this.queue.settle(owed);
    done();
  }

  /** Without a session the broker sends nothing before it is asked to, so nothing has been handed out. */
  #connacked({ sessionPresent, reasonCode, returnCode }: IConnackPacket): void {
    if (sessionPresent || (reasonCode ?? returnCode ?? 0) !== 0) return;
    this.cleared = this.#receipts?.received.clear();
    this.cleared?.catch(() => undefined);
  }

  #release(packetId: number, released?: () => void): void {
    this.#receipts?.received.release(packetId).then(released, this.#receipts.failed);
  }

  /** Back-pressure: stops reading PUBREL packets while the broker does not read the PUBCOMP packets, as MQTT.js does. */
  #complete(packetId: number, done?: () => void): void {
    const released = (): void => this.queue.released(packetId);
    if (this.#receipts?.received.has(packetId) === true) this.#release(packetId, released);
    else released();
    const { stream } = this.#client;
    if (stream.writableNeedDrain === true && done) stream.once('drain', done);
    else done?.();
  }

  #drained(): void {
    if (this.#waiting === null || this.#stopped || !this.queue.half) return;
    const resume = this.#waiting;
    this.#waiting = null;
    // A PINGRESP may be among the unread data: restart the keep-alive timeout.
    this.#client.reschedulePing(true);
    resume();
  }

  /**
   * A PINGRESP cannot be seen while reading is paused, and may be late behind much other data. Pings continue then, so
   * that the broker keeps the connection, and no timeout is raised.
   */
  #keepAlive(): void {
    const client = this.#client;
    const timeout = client.onKeepaliveTimeout.bind(client);
    const ping = client.sendPing.bind(client);
    let readAtPing = 0;
    client.sendPing = () => {
      readAtPing = bytesRead(client.stream);
      ping();
    };
    client.onKeepaliveTimeout = () => {
      if (!this.paused && bytesRead(client.stream) === readAtPing) {
        timeout();
        return;
      }
      client.sendPing();
      client.reschedulePing(true);
    };
  }
}

/** 0 for a WebSocket: there only a PINGRESP counts as a sign of life. */
const bytesRead = (stream: Duplex): number => ('bytesRead' in stream ? Number(stream.bytesRead) : 0);

/** Sends a PINGREQ at every keep-alive interval. Resetting the timer for each packet, as MQTT.js does, costs more. */
export function pingOnTime(client: { options: { reschedulePings?: boolean } }): void {
  client.options.reschedulePings = false;
}
