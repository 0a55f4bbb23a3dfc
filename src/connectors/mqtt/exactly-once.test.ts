import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { mosquitto, ordinaryClient } from '../../../test/support/fixtures.ts';
import type { Mosquitto } from '../../../test/support/mosquitto.ts';
import {
  type MqttContext,
  publishMany,
  sinkContext,
  sourceContext,
  unique,
} from '../../../test/support/mqtt.ts';
import { onlyInSoak } from '../../../test/support/skipping.ts';
import { until } from '../../../test/support/until.ts';
import { asPenstockError, type PenstockError } from '../../errors.ts';
import type { Delivery, ExactSink, Outgoing, ReceivedIdentifiers } from '../connector.ts';
import { openExactSink } from './sink/exact-sink.ts';
import { openSource } from './source/source.ts';

/** A small job with state between an exact source and an exact sink. It is killed at random, and so are the brokers. */

/** The part of the job that survives a crash. Only commits change it. */
class Disk {
  readonly received = new Set<number>();
  readonly outbox = new Map<number, { text: string; isPublished: boolean }>();
  commits = 0;
  #next = 1;

  /** A commit takes a moment, and a crash before its end undoes it. */
  async commit(signal: AbortSignal, change: () => void): Promise<void> {
    await turn();
    signal.throwIfAborted();
    change();
    this.commits += 1;
  }

  identifier(): number {
    while (this.outbox.has(this.#next)) this.#next = (this.#next % 40) + 1;
    const free = this.#next;
    this.#next = (this.#next % 40) + 1;
    return free;
  }
}

class Job {
  readonly #disk: Disk;
  readonly #signal: AbortSignal;

  constructor(disk: Disk, signal: AbortSignal) {
    this.#disk = disk;
    this.#signal = signal;
  }

  async run(from: MqttContext, to: MqttContext): Promise<void> {
    const signal = this.#signal;
    const sink = await openExactSink({ ...to, exact: this.#disk.commits === 0 ? 'begin' : 'resume', signal });
    try {
      await this.#recover(sink.exact as ExactSink);
      const source = await openSource({ ...from, received: this.#received(), signal });
      try {
        for await (const batch of source)
          while (batch.length > 0) await this.#pass(batch.splice(0, 10), sink.exact as ExactSink);
      } finally {
        await source.close();
      }
    } finally {
      await sink.close();
    }
  }

  #commit(change: () => void): Promise<void> {
    return this.#disk.commit(this.#signal, change);
  }

  #received(): ReceivedIdentifiers {
    const { received } = this.#disk;
    return {
      has: (identifier) => received.has(identifier),
      release: (identifier) => this.#commit(() => void received.delete(identifier)),
      clear: async () => {
        if (received.size > 0) await this.#commit(() => received.clear());
      },
    };
  }

  async #recover(exact: ExactSink): Promise<void> {
    const { outbox } = this.#disk;
    if (!exact.resumed)
      await this.#commit(() => {
        for (const each of outbox.values()) each.isPublished = false;
      });
    for (const identifiers = [...outbox.keys()]; identifiers.length > 0; )
      await this.#send(exact, identifiers.splice(0, exact.maxInFlight), true);
  }

  async #pass(deliveries: Delivery[], exact: ExactSink): Promise<void> {
    const { received, outbox } = this.#disk;
    const identifiers: number[] = [];
    await this.#commit(() => {
      for (const { identifier, payload } of deliveries) {
        if (identifier !== undefined) received.add(identifier);
        const free = this.#disk.identifier();
        outbox.set(free, { text: String(payload), isPublished: false });
        identifiers.push(free);
      }
    });
    for (const delivery of deliveries) delivery.ack();
    await this.#send(exact, identifiers, false);
  }

  async #send(exact: ExactSink, identifiers: number[], again: boolean): Promise<void> {
    const { outbox } = this.#disk;
    const unpublished = identifiers.filter((identifier) => outbox.get(identifier)?.isPublished === false);
    const messages = unpublished.map((identifier) => ({ identifier, message: this.#message(identifier) }));
    expect(await exact.publish(messages, again)).toEqual([]);
    await this.#commit(() => {
      for (const each of unpublished) Object.assign(outbox.get(each) as object, { isPublished: true });
    });
    await exact.release(identifiers);
    await this.#commit(() => {
      for (const each of identifiers) outbox.delete(each);
    });
  }

  #message(identifier: number): Outgoing {
    return { payload: Buffer.from(this.#disk.outbox.get(identifier)?.text ?? ''), row: {} };
  }
}

async function restart(broker: Mosquitto): Promise<void> {
  await broker.kill('SIGTERM');
  await broker.resume();
}

/** Keeps what arrives, also when its broker restarts. */
async function arrivals(url: string, topic: string): Promise<string[]> {
  const seen: string[] = [];
  const properties = { sessionExpiryInterval: 600 };
  const client = await ordinaryClient(url, { clean: false, reconnectPeriod: 20, properties });
  client.on('error', () => undefined).on('message', (_topic, payload) => seen.push(String(payload)));
  await client.subscribeAsync(topic, { qos: 2 });
  return seen;
}

const count = onlyInSoak === undefined ? 1_000 : 60;

test.each(['5', '3.1.1'] as const)(
  'each message is counted and written once, whatever is killed, over MQTT %s',
  { timeout: 300_000 },
  async (protocolVersion) => {
    const config = ['max_inflight_messages 60000', 'max_queued_messages 0'];
    const [first, second] = [
      await mosquitto({ config, quiet: true }),
      await mosquitto({ config, quiet: true }),
    ];
    const from = sourceContext({ url: first.url, protocolVersion }, `in/${unique()}`, 'ExactlyOnce');
    const to = sinkContext({ url: second.url, protocolVersion }, `out/${unique()}`, 'ExactlyOnce');
    const seen = await arrivals(second.url, to.table.topic);
    const disk = new Disk();
    await (await openSource(from)).close();
    const publisher = await ordinaryClient(first.url);
    await publishMany(publisher, from.table.topic, count, 2);
    await publisher.endAsync();
    const failures: PenstockError[] = [];
    for (let life = 0; seen.length < count; life += 1) {
      const killer = new AbortController();
      const before = disk.commits;
      const end = new Job(disk, killer.signal).run(from, to).catch((error: unknown) => error);
      await Promise.race([end, until('it commits', () => disk.commits > before || seen.length >= count)]);
      await sleep(Math.random() * 20);
      if (life % 5 === 2) await restart(first);
      if (life % 5 === 4) await restart(second);
      if (life % 5 !== 0) killer.abort(new Error('killed'));
      else setTimeout(() => killer.abort(new Error('killed')), Math.random() * 200);
      const error = await end;
      if (error !== killer.signal.reason) failures.push(asPenstockError(error));
    }
    // Repeated messages would come before this one.
    await (await ordinaryClient(first.url)).publishAsync(from.table.topic, `m${count}`, { qos: 2 });
    const killer = new AbortController();
    const end = new Job(disk, killer.signal).run(from, to).catch((error: unknown) => error);
    await until('the last message', () => seen.includes(`m${count}`));
    killer.abort(new Error('over'));
    expect(await end).toBe(killer.signal.reason);
    expect(seen.toSorted()).toEqual(Array.from({ length: count + 1 }, (_, index) => `m${index}`).toSorted());
    expect(failures.filter(({ passing }) => !passing)).toEqual([]);
  },
);
