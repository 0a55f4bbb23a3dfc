import type { Duplex } from 'node:stream';
import { MqttClient } from 'mqtt';
import type { IConnackPacket } from 'mqtt-packet';
import type { ReceivedIdentifiers } from '../../connector.ts';
import { AckQueue, type Owed } from './ack-queue.ts';
import type { MqttDelivery } from './delivery.ts';
import { PacketLane } from './packet-lane.ts';

/**
 * All use of MQTT.js internals. This is why MQTT.js is pinned to 5.16.0: see `docs/decisions/0005-mqttjs-with-two-seams.md`.
 *
 * `DeferredAcks` hands a message out when its PUBLISH arrives, and acknowledges it when it is settled. MQTT.js sees none of
 * these packets: `PacketLane` takes them. If the window is full, the socket is not read until it is half empty. The keep-alive
 * of MQTT.js has to know that.
 */

/** The members of MQTT.js that this file replaces or calls. */
interface Internals {
  stream: Duplex;
  onKeepaliveTimeout(): void;
  reschedulePing(force?: boolean): void;
  sendPing(): void;
  topicAliasSend?: unknown;
}

const members = ['onKeepaliveTimeout', 'reschedulePing', 'sendPing'] as const;

/** Throws if the installed MQTT.js lacks a member that this file needs. Call it before the first connection. */
export function assertSeams(client: object = MqttClient.prototype): void {
  const missing = members.filter((name) => typeof (client as Partial<Internals>)[name] !== 'function');
  if (missing.length > 0)
    throw new Error(
      `MQTT.js ${MqttClient.VERSION} has no ${missing.join(', ')}: acks.ts requires version 5.16.0`,
    );
}

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
  readonly #lane: PacketLane;
  readonly #deliver: (delivery: MqttDelivery) => void;
  readonly #receipts: Receipts | undefined;
  /** Takes the message for which the window had no room. Reading pauses meanwhile. */
  #waiting: (() => void) | null = null;
  #stopped = false;

  /**
   * Takes over the messages of a client that has not connected yet, so that the first one of a resumed session is covered too.
   * At most `window` deliveries are unsettled at any time.
   */
  constructor(
    client: MqttClient,
    socket: Duplex,
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
    this.#lane = new PacketLane(client, socket, {
      published: (message) => (message.qos === 2 ? this.#arriveOnce(message) : this.#arrive(message)),
      released: (packetId) => this.#complete(packetId),
    });
    pingOnTime(client);
    this.#keepAlive();
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

  #arrive(delivery: MqttDelivery): void {
    if (!this.#hasRoom) {
      this.#hold(() => this.#arrive(delivery));
      return;
    }
    delivery.owedBy(this.queue);
    this.#deliver(delivery);
  }

  get #hasRoom(): boolean {
    return !this.#stopped && !this.queue.full;
  }

  #hold(take: () => void): void {
    this.#waiting = take;
    this.#lane.pause();
  }

  #arriveOnce(delivery: MqttDelivery): void {
    const { dup, packetId } = delivery;
    // Without DUP it is a new message: mosquitto reuses identifiers when it sends a long queue at once.
    if (dup && this.queue.repeats(packetId)) return;
    if (this.#receipts?.received.has(packetId) !== true) this.#arrive(delivery);
    else if (dup) this.#confirmAgain(packetId);
    else {
      this.#release(packetId);
      this.#arrive(delivery);
    }
  }

  /** A message of a former connection that is committed: it only gets its PUBREC, in order of receipt. */
  #confirmAgain(packetId: number): void {
    if (!this.#hasRoom) {
      this.#hold(() => this.#confirmAgain(packetId));
      return;
    }
    const owed: Owed = { packetId, qos: 2, settled: false };
    this.queue.push(owed);
    this.queue.settle(owed);
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

  /** Back-pressure: stops reading PUBREL packets while the broker does not read the PUBCOMP packets. */
  #complete(packetId: number): void {
    const released = (): void => this.queue.released(packetId);
    if (this.#receipts?.received.has(packetId) === true) this.#release(packetId, released);
    else released();
    const { stream } = this.#client;
    if (!stream.writableNeedDrain) return;
    this.#lane.pause();
    stream.once('drain', () => this.#lane.resume());
  }

  #drained(): void {
    if (this.#waiting === null || this.#stopped || !this.queue.half) return;
    const take = this.#waiting;
    this.#waiting = null;
    // A PINGRESP may be among the unread data: restart the keep-alive timeout.
    this.#client.reschedulePing(true);
    take();
    if (this.#waiting === null) this.#lane.resume();
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

/** Drops the table of topic aliases that MQTT.js makes for a broker that takes them: Penstock sends none. */
export function sendNoAliases(client: MqttClient): void {
  client.on('connect', () => {
    delete (client as unknown as Internals).topicAliasSend;
  });
}

/** Sends a PINGREQ at every keep-alive interval. Resetting the timer for each packet, as MQTT.js does, costs more. */
export function pingOnTime(client: { options: { reschedulePings?: boolean } }): void {
  client.options.reschedulePings = false;
}
