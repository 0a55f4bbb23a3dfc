import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { identifierOf, PacketSplitter, puback, publish } from './packets.ts';
import type { Rig } from './rig.ts';

/** The time from the delivery of a message to its acknowledgement. */
export interface Delay {
  /** When it was delivered: milliseconds since 1970. */
  at: number;
  ms: number;
}

/**
 * A port in front of a broker, which passes on every byte and counts the messages that are acknowledged at QoS 1. So it says what
 * was taken in, also of what puts nothing out yet.
 */
export class Tap {
  acknowledged = 0;
  /** Called after acknowledgements that came together. */
  onAcknowledged: () => void = () => {};
  /** Set it to keep delays. */
  delays: Delay[] | undefined;
  readonly port: number;
  readonly #delivered = new Map<number, number>();

  private constructor(port: number) {
    this.port = port;
  }

  static async open(brokerPort: number, rig: Rig): Promise<Tap> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tap = new Tap((server.address() as AddressInfo).port);
    const sockets = new Set<Socket>();
    server.on('connection', (client) => {
      const broker = connect({ port: brokerPort, host: '127.0.0.1', noDelay: true });
      for (const socket of [client, broker]) {
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
      }
      tap.#join(client, broker);
    });
    rig.defer(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return tap;
  }

  #join(client: Socket, broker: Socket): void {
    const down = new PacketSplitter((type, packet) => {
      const identifier = this.delays && type === publish ? identifierOf(packet) : undefined;
      if (identifier !== undefined) this.#delivered.set(identifier, performance.now());
    });
    const up = new PacketSplitter((type, { bytes, bodyAt }) => {
      if (type !== puback) return;
      this.acknowledged += 1;
      if (this.delays) this.#delayed(bytes.readUInt16BE(bodyAt));
    });
    passOn(broker, client, (chunk) => {
      if (this.delays) down.push(chunk);
    });
    passOn(client, broker, (chunk) => {
      const before = this.acknowledged;
      up.push(chunk);
      if (this.acknowledged > before) this.onAcknowledged();
    });
  }

  #delayed(identifier: number): void {
    const at = this.#delivered.get(identifier);
    if (at === undefined) return;
    this.#delivered.delete(identifier);
    this.delays?.push({ at: performance.timeOrigin + at, ms: performance.now() - at });
  }
}

/** An end or an error of one connection ends the other. */
function passOn(from: Socket, to: Socket, seen: (chunk: Buffer) => void): void {
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
    seen(chunk);
  });
  from.on('close', () => to.destroy()).on('error', () => to.destroy());
}
