import type { Packet } from 'mqtt-packet';
import { readSeq, topic } from './message.ts';
import { MqttSocket, type Reader } from './mqtt-socket.ts';
import type { Rig } from './rig.ts';

/** Callbacks of the counter. */
export interface Arrivals {
  arrived(seq: number): void;
  /** Called after all messages that arrived together. */
  caughtUp(): void;
}

/** Subscribes to broker B at QoS 0, which adds no work to the forwarder's. */
export class Counter implements Reader {
  readonly #arrivals: Arrivals;

  private constructor(arrivals: Arrivals) {
    this.#arrivals = arrivals;
  }

  static async subscribe(port: number, rig: Rig, arrivals: Arrivals): Promise<Counter> {
    const socket = await MqttSocket.open(port, 'bench_counter', rig);
    const counter = new Counter(arrivals);
    socket.readTo(counter);
    await socket.ask({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] }, 'suback');
    return counter;
  }

  packet(packet: Packet): void {
    if (packet.cmd === 'publish') this.#arrivals.arrived(readSeq(packet.payload as Buffer));
  }

  caughtUp(): void {
    this.#arrivals.caughtUp();
  }
}
