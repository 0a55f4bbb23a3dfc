import { generate } from 'mqtt-packet';
import { topic } from './message.ts';
import { MqttSocket } from './mqtt-socket.ts';
import type { Rig } from './rig.ts';

const devices = 1_000;
const mostIds = 65_535;
const payloadBytes = 100;
/** The device of messages that only move the time on. */
export const closer = 'd9999';

/** Publishes readings of devices in turn, each with the time of its publishing. */
export class Readings {
  published = 0;
  readonly #socket: MqttSocket;
  readonly #packet: Buffer;
  readonly #deviceAt: number;
  readonly #timeAt: number;
  #lastId = 0;

  private constructor(socket: MqttSocket) {
    this.#socket = socket;
    const payload = payloadOf(Date.now());
    const packet = {
      cmd: 'publish',
      topic,
      payload,
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
    } as const;
    this.#packet = generate(packet);
    const at = this.#packet.length - payload.length;
    this.#timeAt = at + '{"ts":'.length;
    this.#deviceAt = at + payload.indexOf(closer) + 1;
    // The broker's responses are not needed.
    socket.readBytesTo(() => {});
  }

  static async connect(port: number, rig: Rig): Promise<Readings> {
    return new Readings(await MqttSocket.open(port, 'bench_readings', rig));
  }

  publish(count: number): void {
    const { length } = this.#packet;
    const sheet = Buffer.allocUnsafe(length * count);
    const time = String(Date.now());
    for (let index = 0; index < count; index++) {
      const device = String(1_000 + (this.published % devices));
      this.published += 1;
      this.#write(sheet, index * length, time, device);
    }
    this.#socket.write(sheet);
  }

  /** Moves the time on. It is not counted. */
  close(): void {
    const sheet = Buffer.allocUnsafe(this.#packet.length);
    this.#write(sheet, 0, String(Date.now()), closer.slice(1));
    this.#socket.write(sheet);
  }

  #write(sheet: Buffer, at: number, time: string, device: string): void {
    this.#packet.copy(sheet, at);
    sheet.write(time, at + this.#timeAt, 'latin1');
    sheet.write(device, at + this.#deviceAt, 'latin1');
    this.#lastId = (this.#lastId % mostIds) + 1;
    sheet.writeUInt16BE(this.#lastId, at + this.#packet.length - payloadBytes - 2);
  }
}

function payloadOf(at: number): Buffer {
  const reading = { ts: at, device: closer, value: 21.5, text: '' };
  const frame = JSON.stringify(reading).length;
  return Buffer.from(JSON.stringify({ ...reading, text: 'x'.repeat(payloadBytes - frame) }));
}
