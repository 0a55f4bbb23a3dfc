import { createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';

/** The environment of the demo: a broker and a fleet of simulated devices, both in this process. */

export interface Broker {
  url: string;
  close(): Promise<void>;
}

/** An MQTT 3.1.1 broker in this process, on a free port of the loopback interface. It keeps sessions in memory. */
export async function startBroker(): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the broker has no port');
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      await new Promise<void>((resolve) => aedes.close(resolve));
    },
  };
}

const devices = ['pump-1', 'pump-2', 'press-1', 'oven-1', 'oven-2'];

/** Readings that are printed one by one. */
const shown = 9;

/** Simulated devices, and a listener that counts which alerts must come, which came, and which came twice. */
export class Fleet {
  readonly #client: MqttClient;
  readonly #expected = new Set<string>();
  readonly #arrived = new Set<string>();
  readonly #show: (line: string) => void;
  #published = 0;
  #received = 0;

  private constructor(client: MqttClient, show: (line: string) => void) {
    this.#client = client;
    this.#show = show;
  }

  /** Calls `show` with a line for each of the first messages, in and out. */
  static async connect(url: string, show: (line: string) => void): Promise<Fleet> {
    const client = await connectAsync(url, { clientId: 'demo_fleet', clean: true });
    const fleet = new Fleet(client, show);
    client.on('message', (_topic, payload) => fleet.#arrive(payload));
    await client.subscribeAsync('plant/alerts', { qos: 1 });
    return fleet;
  }

  /** One device publishes one reading and waits for the broker to take it. Every third reading is too hot. */
  async publishOne(): Promise<void> {
    const seq = this.#published++;
    const device = devices[seq % devices.length] as string;
    const hot = seq % 3 === 0;
    const celsius = hot ? 91 + (seq % 7) : 60 + (seq % 25);
    if (hot) this.#expected.add(`${device}/${seq}`);
    const topic = `plant/${device}/readings`;
    const payload = JSON.stringify({ device, seq, celsius });
    if (seq < shown) this.#show(`  in   ${topic.padEnd(24)} ${payload}`);
    await this.#client.publishAsync(topic, payload, { qos: 1 });
  }

  #arrive(payload: Buffer): void {
    const { device, seq } = JSON.parse(payload.toString()) as { device: string; seq: number };
    if (this.#received++ < shown / 3) this.#show(`  out  ${'plant/alerts'.padEnd(24)} ${payload}`);
    this.#arrived.add(`${device}/${seq}`);
  }

  /** Returns alerts that have not arrived yet. */
  missing(): string[] {
    return [...this.#expected].filter((alert) => !this.#arrived.has(alert));
  }

  tally(): string {
    const twice = this.#received - this.#arrived.size;
    const repeated = twice > 0 ? ` (${twice} of them twice)` : '';
    return `${this.#published} in, ${this.#arrived.size} of ${this.#expected.size} alerts out${repeated}`;
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}
