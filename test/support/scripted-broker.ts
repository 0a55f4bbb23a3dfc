import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import * as mqttPacket from 'mqtt-packet';
import { atEnd } from './at-end.ts';
import { until } from './until.ts';

type Packet = mqttPacket.Packet;

/** Replies that differ from the defaults; null sends no reply. */
export interface Script {
  connack?: Partial<mqttPacket.IConnackPacket>;
  suback?: number;
  /** Called for each packet before the default reply; true suppresses that. */
  on?(packet: Packet, connection: ScriptedConnection): boolean | undefined;
}

/** Refuses logins as not authorized while `isLocked` says so. */
export const refusingLogins = (isLocked: () => boolean): Script => ({
  on: ({ cmd }, connection) => {
    if (cmd !== 'connect' || !isLocked()) return false;
    connection.send({ cmd: 'connack', reasonCode: 0x87, sessionPresent: false });
    return true;
  },
});

/**
 * The broker's side of successive connections, packet by packet, to observe a client and to misbehave on demand. By default
 * it replies to CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, PUBLISH and PUBREL.
 */
export class ScriptedBroker {
  readonly connections: ScriptedConnection[] = [];
  /** Clients that test how many QoS 2 messages the broker takes at once. They follow no script: it takes all. */
  readonly #probes: ScriptedConnection[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(script: Script = {}): Promise<ScriptedBroker> {
    const server = createServer((socket) => {
      const connection = new ScriptedConnection(socket, script, () => {
        broker.connections.splice(broker.connections.indexOf(connection), 1);
        broker.#probes.push(connection);
      });
      broker.connections.push(connection);
    });
    const broker = new ScriptedBroker(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    atEnd(() => broker.stop());
    return broker;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** The newest connection. */
  get connection(): ScriptedConnection {
    const connection = this.connections.at(-1);
    if (!connection) throw new Error('nobody has connected');
    return connection;
  }

  async stop(): Promise<void> {
    for (const { socket } of [...this.connections, ...this.#probes]) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export class ScriptedConnection {
  readonly socket: Socket;
  readonly received: Packet[] = [];
  #version = 5;

  constructor(socket: Socket, script: Script, isProbe: () => void) {
    this.socket = socket;
    let probe = false;
    let parser = mqttPacket.parser();
    const handle = (packet: Packet) => {
      if (packet.cmd === 'connect') {
        this.#version = packet.protocolVersion ?? 4;
        parser = mqttPacket.parser({ protocolVersion: this.#version });
        parser.on('packet', handle);
      }
      this.received.push(packet);
      if (packet.cmd === 'subscribe' && packet.subscriptions[0]?.topic.startsWith('penstock/check/once/')) {
        probe = true;
        isProbe();
      }
      if (probe) {
        this.#answer(packet, {});
        if (packet.cmd === 'publish') this.send({ ...packet, qos: 0 });
        return;
      }
      if (script.on?.(packet, this) !== true) this.#answer(packet, script);
    };
    parser.on('packet', handle);
    socket.on('data', (chunk: Buffer) => parser.parse(chunk)).on('error', () => undefined);
  }

  /** Packets received so far of one kind. */
  of<C extends Packet['cmd']>(cmd: C): Extract<Packet, { cmd: C }>[] {
    return this.received.filter((packet) => packet.cmd === cmd) as Extract<Packet, { cmd: C }>[];
  }

  /** Waits until `count` packets of one kind have been received. */
  async expect<C extends Packet['cmd']>(cmd: C, count: number): Promise<Extract<Packet, { cmd: C }>[]> {
    await until(`${count} ${cmd}`, () => this.of(cmd).length >= count);
    return this.of(cmd);
  }

  send(...packets: Packet[]): void {
    const options = { protocolVersion: this.#version };
    this.socket.write(Buffer.concat(packets.map((packet) => mqttPacket.generate(packet, options))));
  }

  /** Publishes `count` messages; the first has this packet identifier. */
  publish(qos: 0 | 1 | 2, count: number, firstId = 1, dup = false): void {
    const packets = Array.from({ length: count }, (_, index) => ({
      cmd: 'publish' as const,
      topic: 'a/b',
      payload: Buffer.from(`m${firstId + index}`),
      qos,
      dup,
      retain: false,
      ...(qos > 0 ? { messageId: firstId + index } : {}),
    }));
    this.send(...packets);
  }

  #answer(packet: Packet, script: Script): void {
    const { messageId = 0 } = packet;
    if (packet.cmd === 'connect') {
      this.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0, returnCode: 0, ...script.connack });
    }
    if (packet.cmd === 'subscribe') {
      const granted = packet.subscriptions.map(({ qos }) => script.suback ?? qos);
      this.send({ cmd: 'suback', messageId, granted: granted as mqttPacket.QoS[] });
    }
    if (packet.cmd === 'unsubscribe') {
      this.send({ cmd: 'unsuback', messageId, granted: packet.unsubscriptions.map(() => 0) });
    }
    if (packet.cmd === 'pingreq') this.send({ cmd: 'pingresp' });
    if (packet.cmd === 'publish' && packet.qos === 1) this.send({ cmd: 'puback', messageId });
    if (packet.cmd === 'publish' && packet.qos === 2) this.send({ cmd: 'pubrec', messageId });
    if (packet.cmd === 'pubrel') this.send({ cmd: 'pubcomp', messageId });
  }
}
