import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { generate, type Packet, parser } from 'mqtt-packet';
import { within } from './deadline.ts';
import type { Rig } from './rig.ts';

const answerMs = 5_000;

/** Callbacks for received packets. */
export interface Reader {
  packet(packet: Packet): void;
  /** Called after all packets that arrived together. */
  caughtUp(): void;
}

/** A bare MQTT 3.1.1 connection: packets in, bytes out, no automatic replies. Errors are reported to the rig. */
export class MqttSocket {
  readonly #socket: Socket;
  readonly #rig: Rig;
  readonly #answers = new Map<string, (packet: Packet) => void>();
  #reader: Reader | undefined;
  #raw: ((chunk: Buffer) => void) | undefined;

  private constructor(socket: Socket, rig: Rig) {
    this.#socket = socket;
    this.#rig = rig;
    const packets = parser({ protocolVersion: 4 });
    packets.on('packet', (packet) => this.#received(packet)).on('error', (error) => rig.fail(error));
    const ended = (): void => rig.fail(new Error('a broker closed a connection of the benchmark'));
    socket.on('error', (error) => rig.fail(error)).on('end', ended);
    socket.on('data', (chunk) => {
      const raw = this.#raw;
      this.#read(() => (raw ? raw(chunk) : packets.parse(chunk)));
    });
    rig.defer(() => {
      socket.destroy();
    });
  }

  /** Connects and logs in. */
  static async open(port: number, clientId: string, rig: Rig): Promise<MqttSocket> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const opened = new MqttSocket(socket, rig);
    await within(answerMs, 'connecting', rig.signal, once(socket, 'connect'));
    await opened.ask({ cmd: 'connect', clientId, clean: true, keepalive: 0, protocolVersion: 4 }, 'connack');
    return opened;
  }

  /** Sends a packet and resolves with the reply of the given kind. */
  async ask(packet: Packet, answer: Packet['cmd']): Promise<Packet> {
    const { promise, resolve } = Promise.withResolvers<Packet>();
    this.#answers.set(answer, resolve);
    this.write(generate(packet));
    return within(answerMs, answer.toUpperCase(), this.#rig.signal, promise);
  }

  /** Passes every further packet to `reader`. */
  readTo(reader: Reader): void {
    this.#reader = reader;
  }

  /** Passes on all further bytes, without parsing them. */
  readBytesTo(read: (chunk: Buffer) => void): void {
    this.#raw = read;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  #read(parse: () => void): void {
    try {
      parse();
      this.#reader?.caughtUp();
    } catch (error) {
      this.#rig.fail(error as Error);
    }
  }

  #received(packet: Packet): void {
    const answered = this.#answers.get(packet.cmd);
    this.#answers.delete(packet.cmd);
    if (answered) answered(packet);
    else this.#reader?.packet(packet);
  }
}
