import { randomInt } from 'node:crypto';
import { connectAsync, type MqttClient } from 'mqtt';
import { atEnd } from './at-end.ts';
import { until } from './until.ts';

/** A topic of a broker. */
export interface Place {
  url: string;
  topic: string;
}

/** The number of the last message: see `settle`. */
const last = -1;

/** Publishes numbered messages, and counts how often each arrives at the other end. */
export class Traffic {
  readonly #publisher: MqttClient;
  readonly #subscriber: MqttClient;
  readonly #from: string;
  readonly #to: string;
  readonly #qos: 1 | 2;
  readonly #arrived = new Map<number, number>();
  readonly #pending = new Set<Promise<unknown>>();
  #sent = 0;
  #ended = false;

  private constructor(publisher: MqttClient, subscriber: MqttClient, from: string, to: string, qos: 1 | 2) {
    this.#publisher = publisher;
    this.#subscriber = subscriber;
    this.#from = from;
    this.#to = to;
    this.#qos = qos;
    subscriber.on('message', (_topic, payload) => {
      const { seq } = JSON.parse(payload.toString()) as { seq: number };
      if (seq === last) this.#ended = true;
      else this.#arrived.set(seq, (this.#arrived.get(seq) ?? 0) + 1);
    });
  }

  /**
   * Both ends keep their session, so that only what is between them can lose anything. They close by themselves: see
   * `atEnd`.
   */
  static async open(from: Place, to: Place, qos: 1 | 2, watchQos = qos): Promise<Traffic> {
    const id = randomInt(2 ** 40).toString(36);
    const session = { clean: false, reconnectPeriod: 100 };
    const publisher = await connectAsync(from.url, { ...session, clientId: `traffic_in_${id}` });
    const subscriber = await connectAsync(to.url, { ...session, clientId: `traffic_out_${id}` });
    // Lost connections are part of the tests; the clients reconnect.
    for (const client of [publisher, subscriber]) client.on('error', () => {});
    const traffic = new Traffic(publisher, subscriber, from.topic, to.topic, qos);
    atEnd(() => traffic.close());
    await subscriber.subscribeAsync(to.topic, { qos: watchQos });
    return traffic;
  }

  /** Publishes `count` more, at most `inFlight` of them unconfirmed; `at` is called with the number sent so far. */
  async publish(count: number, at: (sent: number) => void = () => {}): Promise<void> {
    for (const end = this.#sent + count; this.#sent < end; ) {
      await this.#publishNext();
      at(this.#sent);
    }
    await Promise.all(this.#pending);
  }

  /** Publishes a message that is not counted. */
  async publishRaw(payload: string | Buffer): Promise<void> {
    await this.#publisher.publishAsync(this.#from, payload, { qos: this.#qos });
  }

  /** Publishes at about this rate, and no faster than the broker confirms, until the returned function is called. */
  keepPublishing(perSecond: number): () => Promise<void> {
    let going = true;
    const since = performance.now();
    const before = this.#sent;
    const run = async () => {
      while (going) {
        const due = before + ((performance.now() - since) / 1000) * perSecond;
        while (going && this.#sent < due) await this.#publishNext();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await Promise.all(this.#pending);
    };
    const ended = run();
    return () => {
      going = false;
      return ended;
    };
  }

  /** Waits until the sink's broker has delivered its queue: a message after all others has arrived. */
  async settle(): Promise<void> {
    await this.#subscriber.publishAsync(this.#to, JSON.stringify({ seq: last }), { qos: this.#qos });
    await until('the last message arrives', () => this.#ended, 60_000);
  }

  async #publishNext(): Promise<void> {
    // mosquitto takes at most 20 unfinished QoS 2 messages of a client.
    const inFlight = this.#qos === 2 ? 15 : 200;
    const payload = JSON.stringify({ device: 'd', seq: this.#sent++, celsius: 20.5 });
    const confirmed = this.#confirmed(payload).finally(() => this.#pending.delete(confirmed));
    this.#pending.add(confirmed);
    if (this.#pending.size >= inFlight) await Promise.race(this.#pending);
  }

  /** Publishes until the broker has confirmed it. */
  async #confirmed(payload: string): Promise<void> {
    for (;;) {
      try {
        await this.#publisher.publishAsync(this.#from, payload, { qos: this.#qos });
        return;
      } catch {
        // The connection broke before the confirmation, so the message is sent again.
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
