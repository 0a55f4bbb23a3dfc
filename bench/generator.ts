import { generate, type Packet, type QoS } from 'mqtt-packet';
import { PacketPress } from './message.ts';
import { MqttSocket, type Reader } from './mqtt-socket.ts';
import type { Rig } from './rig.ts';

const mostIds = 65_535;

/** Publishes to broker A. It does not wait for acknowledgements: arrivals at broker B set the rate. */
export class Generator implements Reader {
  readonly #socket: MqttSocket;
  readonly #press: PacketPress;
  readonly #releases: Buffer[] = [];
  #lastId = 0;

  private constructor(socket: MqttSocket, qos: QoS) {
    this.#socket = socket;
    this.#press = new PacketPress(qos);
    socket.readTo(this);
  }

  static async connect(port: number, qos: QoS, rig: Rig): Promise<Generator> {
    return new Generator(await MqttSocket.open(port, 'bench_generator', rig), qos);
  }

  /** Publishes `count` messages, numbered from `firstSeq`. */
  publish(firstSeq: number, count: number): void {
    this.#socket.write(this.#press.print(firstSeq, count, this.#nextId));
  }

  /** At QoS 2 the broker forwards a message when it is released. */
  packet(packet: Packet): void {
    if (packet.cmd !== 'pubrec' || packet.messageId === undefined) return;
    this.#releases.push(generate({ cmd: 'pubrel', messageId: packet.messageId }));
  }

  caughtUp(): void {
    if (this.#releases.length > 0) this.#socket.write(Buffer.concat(this.#releases.splice(0)));
  }

  readonly #nextId = (): number => {
    this.#lastId = (this.#lastId % mostIds) + 1;
    return this.#lastId;
  };
}
