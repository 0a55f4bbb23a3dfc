import type { Duplex } from 'node:stream';
import { type IPublishPacket, MqttClient } from 'mqtt';
import { AckQueue } from './ack-queue.ts';
import { MqttDelivery } from './delivery.ts';

/**
 * Everything that reaches into MQTT.js, which is pinned to 5.16.0 for this file's sake (see `docs/decisions/`).
 *
 * MQTT.js handles one packet at a time and ties the PUBACK or PUBREC of a message to the continuation of its parser.
 * `DeferredAcks` cuts that tie: a message is taken over when its PUBLISH arrives, the parser goes on, and the
 * acknowledgement leaves when the message has been settled. When the window is full, the next PUBLISH is kept waiting
 * with the parser's continuation, so that MQTT.js stops reading the socket; at half the window it goes on.
 */

/** The members of MQTT.js that are replaced here or called from here. */
interface Internals {
  stream: Duplex;
  incomingStore: { get(packet: unknown, answer: (error: Error) => void): unknown };
  options: { customHandleAcks: CustomHandleAcks; reschedulePings?: boolean };
  handleMessage(packet: IPublishPacket, done: () => void): void;
  onKeepaliveTimeout(): void;
  reschedulePing(force?: boolean): void;
  sendPing(): void;
  _sendPacket(packet: SentPacket, done?: () => void, stored?: () => void, noStore?: boolean): void;
}

interface SentPacket {
  cmd: string;
  messageId?: number;
}

type CustomHandleAcks = (
  topic: string,
  payload: Buffer,
  packet: IPublishPacket,
  answer: (error: null, reasonCode: number) => void,
) => void;

const members = [
  'handleMessage',
  'onKeepaliveTimeout',
  'reschedulePing',
  'sendPing',
  '_sendPacket',
] as const satisfies readonly (keyof Internals)[];

/** Throws when the installed MQTT.js lacks a member that this file relies on. Call it before the first connection. */
export function assertSeams(client: object = MqttClient.prototype): void {
  const missing = members.filter((name) => typeof (client as Partial<Internals>)[name] !== 'function');
  if (missing.length > 0) {
    throw new Error(
      `MQTT.js ${MqttClient.VERSION} has no ${missing.join(', ')}: acks.ts was written for 5.16.0`,
    );
  }
}

/**
 * The reason code "no matching subscribers" makes MQTT.js answer a QoS 2 PUBLISH without remembering it. That memory
 * is ours: MQTT.js would hand the message out at PUBREL, and drop the link when the broker oversteps the window.
 */
const withoutMemory = 16;

/** MQTT.js looks each PUBREL up among the messages it has stored, which are none. Its own error traces the stack. */
const notStored = new Error('No message is stored');

export class DeferredAcks {
  readonly queue: AckQueue;
  readonly #client: Internals;
  readonly #deliver: (delivery: MqttDelivery) => void;
  #waiting: (() => void) | null = null;
  #stopped = false;

  /**
   * Takes over the acknowledgements of a client that has not connected yet, so that not even the first message of a
   * resumed session is acknowledged unseen. At most `window` deliveries are unsettled at any time.
   */
  constructor(client: MqttClient, window: number, deliver: (delivery: MqttDelivery) => void) {
    assertSeams(client);
    this.#client = client as unknown as Internals;
    this.#deliver = deliver;
    this.queue = new AckQueue(
      window,
      (acks) => client.stream.write(acks),
      () => this.#drained(),
    );
    this.#takeOver();
  }

  /** Whether MQTT.js is kept from reading because no message can be taken. */
  get paused(): boolean {
    return this.#waiting !== null;
  }

  /** Takes no message any more. One that arrives later stays with the broker, and what follows it is not read. */
  stop(): void {
    this.#stopped = true;
  }

  /** Voids what is owed. Deliveries of this connection that are settled later do nothing. */
  abandon(): void {
    this.#stopped = true;
    this.#waiting = null;
    this.queue.abandon();
  }

  #takeOver(): void {
    const client = this.#client;
    pingOnTime(this.#client);
    client.options.customHandleAcks = (topic, _payload, packet, answer) => {
      if (packet.qos === 2) this.#arriveOnce(topic, packet, () => answer(null, withoutMemory));
      else this.#arrive(topic, packet, answer);
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
    client.incomingStore.get = (_packet, answer) => answer(notStored);
    this.#keepAlive();
  }

  /** `answer` is MQTT.js's: it lets the parser go on. At QoS 0 its arguments are ignored. */
  #arrive(topic: string, packet: IPublishPacket, answer: (error: null, reasonCode: number) => void): void {
    if (this.#stopped || this.queue.full) {
      this.#waiting = () => this.#arrive(topic, packet, answer);
      return;
    }
    const delivery = new MqttDelivery(topic, packet, this.queue);
    this.queue.push(delivery);
    this.#deliver(delivery);
    answer(null, 0);
  }

  #arriveOnce(topic: string, packet: IPublishPacket, answer: () => void): void {
    // Without dup it is another message: mosquitto sends a long queue whole, and runs out of identifiers that are free.
    if (packet.dup && this.queue.repeats(packet.messageId ?? 0)) answer();
    else this.#arrive(topic, packet, answer);
  }

  /** A broker that goes on releasing and reads no PUBCOMP is not read any more, as MQTT.js would have it. */
  #complete(packetId: number, done?: () => void): void {
    this.queue.released(packetId);
    const { stream } = this.#client;
    if (stream.writableNeedDrain === true && done) stream.once('drain', done);
    else done?.();
  }

  #drained(): void {
    if (this.#waiting === null || this.#stopped || !this.queue.half) return;
    const goOn = this.#waiting;
    this.#waiting = null;
    // A PINGRESP may wait behind what was not read: the patience of the keep-alive starts anew.
    this.#client.reschedulePing(true);
    goOn();
  }

  /**
   * While nothing is read, a PINGRESP cannot be seen, and while much is read it may wait behind that for long: pings go
   * on, so that the broker keeps the link, unanswered.
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

/** A WebSocket does not count: there only the PINGRESP is a sign of life. */
const bytesRead = (stream: Duplex): number => ('bytesRead' in stream ? Number(stream.bytesRead) : 0);

/**
 * Sends a PINGREQ whenever the keep-alive is over, whatever else was received. MQTT.js would set its timer anew for
 * each packet, which costs more than a ping now and then.
 */
export function pingOnTime(client: { options: { reschedulePings?: boolean } }): void {
  client.options.reschedulePings = false;
}
