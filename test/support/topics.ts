import { randomInt } from 'node:crypto';
import { connectAsync, type MqttClient } from 'mqtt';
import { atEnd } from './at-end.ts';
import { until } from './until.ts';

/** A pair of topics, `in/<name>` and `out/<name>`, that a pipeline connects. */
interface Topic {
  qos: 1 | 2;
  perSecond: number;
  sent: number;
  missing: Set<number>;
  received: number;
}

// mosquitto takes at most 20 unfinished QoS 2 messages of a client.
const maxInFlight = 15;

/** Numbered messages through many pipelines at once, by one client at each end. */
export class Topics {
  readonly #topics = new Map<string, Topic>();
  readonly #publisher: MqttClient;
  readonly #pending = new Set<Promise<unknown>>();
  #going = true;
  #ended: Promise<void> = Promise.resolve();

  private constructor(publisher: MqttClient, subscriber: MqttClient) {
    this.#publisher = publisher;
    subscriber.on('message', (name, payload) => {
      const topic = this.#topics.get(name.slice('out/'.length)) as Topic;
      topic.received += 1;
      topic.missing.delete((JSON.parse(payload.toString()) as { seq: number }).seq);
    });
  }

  static async open(url: string): Promise<Topics> {
    const id = randomInt(2 ** 40).toString(36);
    const publisher = await connectAsync(url, { clientId: `topics_in_${id}`, clean: false });
    const subscriber = await connectAsync(url, { clientId: `topics_out_${id}`, clean: false });
    const topics = new Topics(publisher, subscriber);
    atEnd(async () => {
      topics.#going = false;
      await publisher.endAsync(true);
      await subscriber.endAsync(true);
    });
    await subscriber.subscribeAsync('out/#', { qos: 2 });
    return topics;
  }

  add(name: string, qos: 1 | 2, perSecond: number): void {
    this.#topics.set(name, { qos, perSecond, sent: 0, missing: new Set(), received: 0 });
  }

  /** Publishes to all topics until `stop`. Every pipeline must be subscribed. */
  start(): void {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#ended;
    await Promise.all(this.#pending);
  }

  async #run(): Promise<void> {
    const since = performance.now();
    while (this.#going) {
      const seconds = (performance.now() - since) / 1000;
      for (const [name, topic] of this.#topics)
        while (this.#going && topic.sent < seconds * topic.perSecond) await this.#publish(name, topic);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #publish(name: string, topic: Topic): Promise<void> {
    const seq = topic.sent++;
    topic.missing.add(seq);
    const payload = JSON.stringify({ device: 'd', seq, celsius: 20.5 });
    const done = this.#publisher.publishAsync(`in/${name}`, payload, { qos: topic.qos });
    const pending = done.finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
    if (this.#pending.size >= maxInFlight) await Promise.race(this.#pending);
  }

  /** Waits until all that was sent before this call has arrived. */
  async allArrive(ms: number): Promise<void> {
    const sent = new Map([...this.#topics].map(([name, topic]) => [name, topic.sent]));
    const missing = (): [string, number[]][] =>
      [...this.#topics].flatMap(([name, topic]) => {
        const late = [...topic.missing].filter((seq) => seq < (sent.get(name) as number));
        return late.length > 0 ? [[name, late]] : [];
      });
    await until('all messages arrive', () => missing().length === 0, ms).catch((error: unknown) => {
      throw new Error(`${error}: missing ${JSON.stringify(missing())}`);
    });
  }

  /** Numbers of messages that were sent, and that arrived more than once. */
  get counts(): { sent: number; duplicated: number } {
    const topics = [...this.#topics.values()];
    const sent = topics.reduce((sum, topic) => sum + topic.sent, 0);
    const received = topics.reduce((sum, topic) => sum + topic.received + topic.missing.size, 0);
    return { sent, duplicated: received - sent };
  }
}
