import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import mqttPacket, {
  type IConnackPacket,
  type IPublishPacket,
  type ISubackPacket,
  type Packet,
} from 'mqtt-packet';
import { unique } from '../support/mqtt.ts';
import type { RestartableBroker } from './kinds.ts';

export interface ClientOptions {
  clientId?: string;
  version?: 4 | 5;
  /** False keeps the session for an hour. */
  clean?: boolean;
  properties?: Record<string, number>;
}

const patience = 15_000;

/** A client that acknowledges nothing by itself and shows each packet, to see what a broker really does. */
export class RawClient {
  readonly version: 4 | 5;
  /** Messages that the broker takes at a time. */
  #receiveMaximum = 65_535;
  /** Messages so far. */
  readonly received: IPublishPacket[] = [];
  closed = false;
  readonly #socket: Socket;
  readonly #packets: Packet[] = [];
  #arrived = Promise.withResolvers<void>();
  #lastId = 0;

  private constructor(socket: Socket, version: 4 | 5) {
    this.version = version;
    this.#socket = socket;
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on('packet', (packet) => {
      this.#packets.push(packet);
      if (packet.cmd === 'publish') this.received.push(packet);
      this.#wake();
    });
    socket.on('data', (chunk) => parser.parse(chunk));
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static async connect(
    broker: RestartableBroker,
    options: ClientOptions = {},
  ): Promise<{ client: RawClient; connack: IConnackPacket }> {
    const { clientId = `raw${unique()}`, version = broker.version ?? 5, clean = true, properties } = options;
    const socket = connectSocket(broker.port, '127.0.0.1');
    await once(socket, 'connect');
    const client = new RawClient(socket, version);
    client.send({
      ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clientId, clean, keepalive: 60 },
      ...(broker.username === undefined ? {} : { username: broker.username, password: Buffer.from('x') }),
      ...(version === 5
        ? { properties: { ...(clean ? {} : { sessionExpiryInterval: 3600 }), ...properties } }
        : {}),
    });
    const connack = (await client.next('connack')) as IConnackPacket;
    const code = connack.reasonCode ?? connack.returnCode ?? 0;
    if (code !== 0) throw new Error(`the broker refuses the client with ${code}`);
    client.#receiveMaximum = connack.properties?.receiveMaximum ?? 65_535;
    return { client, connack };
  }

  send(packet: Packet): void {
    if (!this.closed) this.#socket.write(mqttPacket.generate(packet, { protocolVersion: this.version }));
  }

  /** The next packet of a kind that has not been taken. Rejects when the connection ends or nothing comes. */
  async next(cmd: Packet['cmd']): Promise<Packet> {
    const deadline = Date.now() + patience;
    for (;;) {
      const index = this.#packets.findIndex((packet) => packet.cmd === cmd);
      if (index >= 0) return this.#packets.splice(index, 1)[0] as Packet;
      if (this.closed) throw new Error(`the broker closed the connection before ${cmd}`);
      if (Date.now() > deadline) throw new Error(`no ${cmd}`);
      await this.#nextEvent(deadline - Date.now());
    }
  }

  /** Subscribes and returns the reason code; `closed` when the broker hangs up. */
  async subscribe(topic: string, qos: 0 | 1 | 2 = 1): Promise<number | 'closed'> {
    this.#lastId += 1;
    this.send({ cmd: 'subscribe', messageId: this.#lastId, subscriptions: [{ topic, qos }] });
    try {
      return ((await this.next('suback')) as ISubackPacket).granted[0] as number;
    } catch {
      return 'closed';
    }
  }

  async unsubscribe(topic: string): Promise<void> {
    this.#lastId += 1;
    this.send({ cmd: 'unsubscribe', messageId: this.#lastId, unsubscriptions: [topic] });
    await this.next('unsuback');
  }

  /** Publishes at QoS 1, one after the other, with `window` unconfirmed. Returns how many were confirmed without an error. */
  async publish(
    topic: string,
    payloads: readonly string[],
    { retain = false, window = 20 } = {},
  ): Promise<number> {
    let [sent, confirmed, good] = [0, 0, 0];
    while (confirmed < payloads.length) {
      while (sent < payloads.length && sent - confirmed < Math.min(window, this.#receiveMaximum)) {
        this.#lastId = (this.#lastId % 60_000) + 1;
        const payload = payloads[sent] as string;
        this.send({ cmd: 'publish', messageId: this.#lastId, topic, payload, qos: 1, retain, dup: false });
        sent += 1;
      }
      try {
        const { reasonCode = 0 } = (await this.next('puback')) as { reasonCode?: number };
        if (reasonCode < 0x80) good += 1;
        confirmed += 1;
      } catch {
        break;
      }
    }
    return good;
  }

  /** Waits until no message has come for `quietMs`, or until it is enough. Acknowledges each, when asked. */
  async settle(
    quietMs: number,
    acknowledge = false,
    isEnough: () => boolean = () => false,
  ): Promise<IPublishPacket[]> {
    let seen = 0;
    for (;;) {
      for (; seen < this.received.length; seen += 1) {
        const { messageId, qos } = this.received[seen] as IPublishPacket;
        if (acknowledge && qos === 1) this.send({ cmd: 'puback', messageId });
      }
      const before = this.received.length;
      if (isEnough()) return this.received;
      await this.#quiet(quietMs, before);
      if (this.received.length === before) return this.received;
    }
  }

  async #quiet(quietMs: number, before: number): Promise<void> {
    const deadline = Date.now() + quietMs;
    while (Date.now() < deadline && this.received.length === before && !this.closed)
      await this.#nextEvent(deadline - Date.now());
  }

  /** Ends with a DISCONNECT. */
  async end(): Promise<void> {
    this.send({ cmd: 'disconnect' });
    this.#socket.end();
    if (!this.closed) await once(this.#socket, 'close');
  }

  /** Ends without a word. */
  async cut(): Promise<void> {
    this.#socket.destroy();
    if (!this.closed) await once(this.#socket, 'close');
  }

  #wake(): void {
    this.#arrived.resolve();
    this.#arrived = Promise.withResolvers();
  }

  async #nextEvent(ms: number): Promise<void> {
    const timer = setTimeout(() => this.#wake(), Math.max(1, ms));
    await this.#arrived.promise;
    clearTimeout(timer);
  }
}
