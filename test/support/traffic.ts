import { randomInt } from 'node:crypto';
import { connectAsync, type MqttClient } from 'mqtt';

/** Publishes numbered messages and keeps account of which arrive at the other end, and how often. */
export class Traffic {
  readonly #publisher: MqttClient;
  readonly #subscriber: MqttClient;
  readonly #topic: string;
  readonly #qos: 1 | 2;
  readonly #arrived = new Map<number, number>();
  #sent = 0;

  private constructor(publisher: MqttClient, subscriber: MqttClient, topic: string, qos: 1 | 2) {
    this.#publisher = publisher;
    this.#subscriber = subscriber;
    this.#topic = topic;
    this.#qos = qos;
    subscriber.on('message', (_topic, payload) => {
      const { seq } = JSON.parse(payload.toString()) as { seq: number };
      this.#arrived.set(seq, (this.#arrived.get(seq) ?? 0) + 1);
    });
  }

  /** Both ends keep their session, so that only what is between them can lose anything. */
  static async open(url: string, from: string, to: string, qos: 1 | 2): Promise<Traffic> {
    const id = randomInt(2 ** 40).toString(36);
    const session = { clean: false, reconnectPeriod: 100 };
    const publisher = await connectAsync(url, { ...session, clientId: `traffic_in_${id}` });
    const subscriber = await connectAsync(url, { ...session, clientId: `traffic_out_${id}` });
    // Lost connections are part of what is tested; the clients connect again by themselves.
    for (const client of [publisher, subscriber]) client.on('error', () => {});
    const traffic = new Traffic(publisher, subscriber, from, qos);
    await subscriber.subscribeAsync(to, { qos });
    return traffic;
  }

  /** Publishes `count` more, at most `inFlight` of them unconfirmed; `at` is called with the number sent so far. */
  async publish(count: number, at: (sent: number) => void = () => {}): Promise<void> {
    // mosquitto takes at most 20 unfinished QoS 2 messages of a client.
    const inFlight = this.#qos === 2 ? 15 : 200;
    const pending = new Set<Promise<unknown>>();
    for (const last = this.#sent + count; this.#sent < last; ) {
      const payload = JSON.stringify({ device: 'd', seq: this.#sent++, celsius: 20.5 });
      const confirmed = this.#confirmed(payload).finally(() => pending.delete(confirmed));
      pending.add(confirmed);
      if (pending.size >= inFlight) await Promise.race(pending);
      at(this.#sent);
    }
    await Promise.all(pending);
  }

  /** Publishes until the broker has confirmed it. */
  async #confirmed(payload: string): Promise<void> {
    for (;;) {
      try {
        await this.#publisher.publishAsync(this.#topic, payload, { qos: this.#qos });
        return;
      } catch {
        // The connection broke before the answer came: whether it arrived is unknown, so it is sent once more.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  get sent(): number {
    return this.#sent;
  }

  get missing(): number[] {
    return Array.from({ length: this.#sent }, (_, seq) => seq).filter((seq) => !this.#arrived.has(seq));
  }

  get arrived(): number {
    return this.#arrived.size;
  }

  get duplicated(): number {
    return [...this.#arrived.values()].reduce((sum, times) => sum + times - 1, 0);
  }

  async close(): Promise<void> {
    await this.#publisher.endAsync(true);
    await this.#subscriber.endAsync(true);
  }
}
