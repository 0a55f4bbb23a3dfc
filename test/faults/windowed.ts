import { randomInt } from 'node:crypto';
import { connectAsync, type MqttClient } from 'mqtt';
import { expect } from 'vitest';
import { atEnd } from '../support/at-end.ts';
import type { Handshakes } from '../support/ledger.ts';
import type { Penstock } from '../support/penstock.ts';
import { created, jobOf } from '../support/resources.ts';
import { until } from '../support/until.ts';

/** Messages of devices, whose own times are counted into windows of a second, and what a pipeline says that it counted. */

const devices = 10;
/** Time of the devices between two messages. They are an period behind, so that the clock closes nothing. */
const stepMs = 10;
const widthMs = 1000;
const start = Math.floor(Date.now() / widthMs) * widthMs - 3_600_000;
/** So many messages fit into the delay of the watermark: more than are ever on their way at once. */
const delayMs = 5_000;
const inFlight = 15;

interface Ends {
  /** Addresses of the brokers. */
  from: string;
  to: string;
  qos: 1 | 2;
  /** Messages that the broker of the source has sent to the pipeline. */
  handshakes?: Handshakes;
}

const level = { 1: 'AtLeastOnce', 2: 'ExactlyOnce' } as const;

export const source = ({ from, qos }: Ends): string => `
  CREATE TABLE readings (device TEXT, ts TIMESTAMP, seq BIGINT, WATERMARK FOR ts AS ts - INTERVAL '${delayMs} milliseconds')
  WITH (connector = 'mqtt', url = '${from}', topic = 'in', qos = '${level[qos]}', format = 'json', type = 'source');`;

const counts = `
  SELECT epoch_ms(period.start) AS start, device, n FROM (
    SELECT tumble(interval '${widthMs} milliseconds') AS period, device, count(*) AS n FROM readings GROUP BY period, device)`;

/** Counts the messages of each device in each window. */
export const countingQuery = (ends: Ends, { settings = '', query = counts } = {}): string => `${settings}
  ${source(ends)}
  CREATE TABLE counts (start BIGINT, device TEXT, n BIGINT)
  WITH (connector = 'mqtt', url = '${ends.to}', topic = 'out', qos = '${level[ends.qos]}', format = 'json', type = 'sink');
  INSERT INTO counts ${query}`;

const keyOf = (startMs: number, device: string) => `${device} ${startMs - start}`;

/** Publishes the messages, and keeps the results. */
export class Counted {
  readonly #publisher: MqttClient;
  readonly #qos: 1 | 2;
  readonly #pending = new Set<Promise<unknown>>();
  readonly sent = new Map<string, number>();
  readonly results = new Map<string, number[]>();
  readonly #perDevice = new Map<string, { n: number; s: number }>();
  /** The window and device of each message. */
  readonly #keys: string[] = [];
  readonly #handshakes: Handshakes | undefined;
  messages = 0;
  #now = start;

  private constructor(publisher: MqttClient, { qos, handshakes }: Ends) {
    this.#publisher = publisher;
    this.#qos = qos;
    this.#handshakes = handshakes;
  }

  /** Both clients keep their session and what is on its way, so that only what is between them can lose anything. */
  static async open(ends: Ends): Promise<Counted> {
    const { from, to, qos } = ends;
    const id = randomInt(2 ** 40).toString(36);
    const properties = { sessionExpiryInterval: 3_600 };
    const lasting = { protocolVersion: 5, clean: false, reconnectPeriod: 100, properties } as const;
    const publisher = await connectAsync(from, { ...lasting, clientId: `devices_${id}` });
    const subscriber = await connectAsync(to, { ...lasting, clientId: `results_${id}` });
    for (const client of [publisher, subscriber]) {
      client.on('error', () => {});
      atEnd(() => client.endAsync(true));
    }
    const counted = new Counted(publisher, ends);
    subscriber.on('message', (_topic, payload) => counted.#result(payload.toString()));
    await subscriber.subscribeAsync('out', { qos });
    return counted;
  }

  #result(text: string): void {
    const { start: at, device, n } = JSON.parse(text) as { start: number; device: string; n: number };
    const key = keyOf(at, device);
    this.results.set(key, [...(this.results.get(key) ?? []), n]);
  }

  /** Publishes `count` more. */
  async publish(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) await this.#next();
    await Promise.all(this.#pending);
  }

  /** Publishes at about this rate, and no faster than the broker confirms, until the returned function is called. */
  keepPublishing(perSecond: number): () => Promise<void> {
    let going = true;
    const since = performance.now();
    const before = this.messages;
    const run = async () => {
      while (going) {
        const due = before + ((performance.now() - since) / 1000) * perSecond;
        while (going && this.messages < due) await this.#next();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await Promise.all(this.#pending);
    };
    const running = run();
    return async () => {
      going = false;
      await running;
    };
  }

  async #next(): Promise<void> {
    const seq = this.messages;
    this.messages += 1;
    this.#now += stepMs;
    const at = this.#now;
    const device = `d${randomInt(devices)}`;
    const key = keyOf(at - (at % widthMs), device);
    this.sent.set(key, (this.sent.get(key) ?? 0) + 1);
    this.#keys.push(key);
    const { n, s } = this.#perDevice.get(device) ?? { n: 0, s: 0 };
    this.#perDevice.set(device, { n: n + 1, s: s + seq });
    await this.#publish({ device, at, seq });
  }

  async #publish({ device, at, seq }: { device: string; at: number; seq: number }): Promise<void> {
    const payload = JSON.stringify({ device, ts: new Date(at).toISOString(), seq });
    const publishing = this.#publisher.publishAsync('in', payload, { qos: this.#qos });
    this.#pending.add(publishing);
    publishing.finally(() => this.#pending.delete(publishing)).catch(() => {});
    if (this.#pending.size >= inFlight) await Promise.race(this.#pending);
  }

  /** Publishes a message that is later than all others and closes their windows, but not its own. */
  async close(): Promise<void> {
    this.#now += delayMs + 2 * widthMs;
    await this.#publish({ device: 'last', at: this.#now, seq: -1 });
    await Promise.all(this.#pending);
  }

  /** Sum of all results. */
  get total(): number {
    return [...this.results.values()].flat().reduce((sum, each) => sum + each, 0);
  }

  /** Numbers and sums of the messages of each device. */
  get totals(): { device: string; n: number; s: number }[] {
    return [...this.#perDevice]
      .map(([device, values]) => ({ device, ...values }))
      .sort((one, other) => (one.device < other.device ? -1 : 1));
  }

  /** The number of windows of devices without a result. */
  get missing(): number {
    let missing = 0;
    for (const key of this.sent.keys()) if (!this.results.has(key)) missing += 1;
    return missing;
  }

  /** What is wrong with the results: the latest of each window and device counts. */
  outcome(): {
    sent: number;
    counted: number;
    lost: number;
    twice: number;
    repeated: number;
    other: string[];
    /** The windows of devices that count too many. */
    over: string[];
  } {
    const numbers = { sent: this.messages, counted: 0, lost: 0, twice: 0, repeated: 0 };
    const found = { ...numbers, other: [] as string[], over: [] as string[] };
    for (const [key, results] of this.results) {
      const sent = this.sent.get(key);
      const last = results.at(-1) ?? 0;
      found.counted += last;
      found.repeated += results.length - 1;
      if (sent === undefined || results.some((each) => each !== last)) found.other.push(`${key}: ${results}`);
    }
    for (const [key, sent] of this.sent) {
      const difference = (this.results.get(key)?.at(-1) ?? 0) - sent;
      if (difference < 0) found.lost -= difference;
      else found.twice += difference;
      if (difference > 0) found.over.push(key);
      if (difference !== 0) found.other.push(`${key}: ${this.results.get(key)} of ${sent}`);
    }
    return found;
  }

  /** Names the messages of windows that count too many which came to the pipeline more than once. */
  #suspects(over: readonly string[]): string {
    const { again, afterPubrel } = this.#handshakes ?? { again: [], afterPubrel: [] };
    const of = (numbers: Iterable<number>): string => {
      const some = [...numbers].filter((seq) => over.includes(this.#keys[seq] ?? ''));
      return `${some.length} (${some.slice(0, 50).join(' ')})`;
    };
    return `In windows that count too many came again: before PUBREL, for Penstock to know, ${of(again)}; after it, by the broker's fault, ${of(afterPubrel)}`;
  }

  async #all(what: string, ms: number) {
    await this.close();
    await until('all windows have results', () => this.missing === 0, ms).catch(() => {});
    const { other, over, ...numbers } = this.outcome();
    console.log(`${what}: ${JSON.stringify(numbers)}`);
    if (over.length > 0) console.log(this.#suspects(over));
    return { ...numbers, other };
  }

  /** Waits for all results, says what they are, and expects each message to be in one at least. */
  async expectComplete(what: string, ms = 60_000): Promise<void> {
    expect(await this.#all(what, ms)).toMatchObject({ lost: 0 });
  }

  /** The same, and expects each message in one and each result once. */
  async expectExact(what: string, ms = 60_000): Promise<void> {
    const { other, ...numbers } = await this.#all(what, ms);
    const afterPubrel = [...(this.#handshakes?.afterPubrel ?? [])];
    expect({ ...numbers, other: other.slice(0, 10), afterPubrel: afterPubrel.slice(0, 10) }).toEqual({
      ...{ sent: this.messages, counted: this.messages, lost: 0, twice: 0, repeated: 0, other: [] },
      afterPubrel: [],
    });
  }
}

/** A pipeline, asked for by whichever process lives. */
export class Pipeline {
  readonly id: string;
  readonly #penstock: () => Penstock;

  private constructor(id: string, penstock: () => Penstock) {
    this.id = id;
    this.#penstock = penstock;
  }

  static async create(penstock: () => Penstock, query: string): Promise<Pipeline> {
    const { id } = await created(penstock().request, '/pipelines', { name: 'w', query, parallelism: 1 });
    const pipeline = new Pipeline(id, penstock);
    await pipeline.is('Running');
    return pipeline;
  }

  async is(state: string, ms = 60_000): Promise<void> {
    const reached = async () => {
      const job = await jobOf(this.#penstock().request, this.id);
      if (job.state === 'Failed' && state !== 'Failed') throw new Error(JSON.stringify(job.failure_reason));
      return job.state === state;
    };
    await until(`the job is ${state}`, reached, ms);
  }

  /** The codes of the job's events. */
  async codes(): Promise<string[]> {
    const { request } = this.#penstock();
    const { id } = await jobOf(request, this.id);
    const { body } = await request.get(`/api/v1/pipelines/${this.id}/jobs/${id}/errors`).expect(200);
    return (body.data as { code: string }[]).map(({ code }) => code);
  }

  /** Number of messages that the process has received. */
  async received(): Promise<number> {
    const { text } = await this.#penstock().request.get('/metrics').expect(200);
    return Number(/^penstock_messages_received_total\{.*\} (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  async change(body: object): Promise<void> {
    await this.#penstock().request.patch(`/api/v1/pipelines/${this.id}`).send(body).expect(200);
  }

  async stop(how: 'checkpoint' | 'graceful' | 'immediate'): Promise<void> {
    await this.change({ stop: how });
    await this.is('Stopped');
  }

  async begin(): Promise<void> {
    await this.change({ stop: 'none' });
    await this.is('Running');
  }
}
