import { describe, expect, test } from 'vitest';
import { mosquitto, openedSource, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import {
  ackAll,
  errorOf,
  type MqttContext,
  publishMany,
  Reader,
  sourceContext,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import { PenstockError } from '../../../errors.ts';
import type { Delivery, ReceivedIdentifiers } from '../../connector.ts';
import { openSource } from './source.ts';

/** A source at QoS 2 whose job commits identifiers: each message counts once, wherever the connection breaks. */

/** Counts messages and keeps their identifiers, as the committed state of a job does. */
class Count implements ReceivedIdentifiers {
  readonly counted: string[] = [];
  readonly identifiers = new Set<number>();
  cleared = 0;
  #held: PromiseWithResolvers<void> | undefined;

  /** Counts without an acknowledgement: a crash may come between the two. */
  commit(deliveries: readonly Delivery[]): void {
    this.counted.push(...texts([...deliveries]));
    for (const { identifier } of deliveries) if (identifier !== undefined) this.identifiers.add(identifier);
  }

  has(identifier: number): boolean {
    return this.identifiers.has(identifier);
  }

  async release(identifier: number): Promise<void> {
    await this.#held?.promise;
    this.identifiers.delete(identifier);
  }

  async clear(): Promise<void> {
    this.cleared += 1;
    this.identifiers.clear();
    await this.#held?.promise;
  }

  /** Commits wait until the returned function is called. */
  hold(): () => void {
    const held = Promise.withResolvers<void>();
    this.#held = held;
    return () => {
      this.#held = undefined;
      held.resolve();
    };
  }
}

const names = (count: number, prefix = 'm') =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Opens a source that can be killed: nothing more is sent. */
async function killable(context: MqttContext) {
  const killer = new AbortController();
  const source = await openSource({ ...context, signal: killer.signal });
  const kill = async () => {
    killer.abort(new Error('killed'));
    await source.close();
  };
  return { reader: new Reader(source), kill };
}

const broker = await mosquitto({ config: ['max_queued_messages 0'] });
const publisher = await ordinaryClient(broker.url);

describe.each(['5', '3.1.1'] as const)('an exact source over MQTT %s', (protocolVersion) => {
  const contextOf = (url: string, topic: string, received: ReceivedIdentifiers) =>
    sourceContext({ url, protocolVersion }, topic, 'ExactlyOnce', { received });

  /** Reads what is left, and proves that nothing else comes by a last message. */
  async function rest(context: MqttContext, count: Count, client = publisher): Promise<void> {
    const { reader, source } = await openedSource(context);
    await client.publishAsync(context.table.topic, 'end', { qos: 2 });
    while (!count.counted.includes('end')) {
      const batch = await reader.take(1);
      count.commit(batch);
      ackAll(batch);
    }
    await until('everything is released', () => count.identifiers.size === 0);
    await source.close();
  }

  test('counts once what was committed before it was acknowledged', async () => {
    const count = new Count();
    const context = contextOf(broker.url, `in/${unique()}`, count);
    const { reader, kill } = await killable(context);
    await publishMany(publisher, context.table.topic, 10, 2);
    const deliveries = await reader.take(10);
    count.commit(deliveries.slice(0, 6));
    ackAll(deliveries.slice(0, 3));
    await kill();
    await rest(context, count);
    expect(count.counted).toEqual([...names(10), 'end']);
    expect(count.cleared).toBe(1);
  });

  test('counts once what was acknowledged and not released, and what the broker had released', async () => {
    const count = new Count();
    const context = contextOf(broker.url, `in/${unique()}`, count);
    const { reader, kill } = await killable(context);
    const letGo = count.hold();
    await publishMany(publisher, context.table.topic, 10, 2);
    const deliveries = await reader.take(10);
    count.commit(deliveries);
    ackAll(deliveries);
    const released = () => broker.log.split(`Sending PUBREL to ${clientOf(context)}`).length - 1;
    await until('PUBREL', () => released() >= 10);
    await kill();
    letGo();
    expect(count.identifiers.size).toBe(10);
    await rest(context, count);
    expect(count.counted).toEqual([...names(10), 'end']);
    await until('PUBREL again', () => released() >= 20);
  });

  test('counts once when the broker restarts and keeps its sessions', async () => {
    const own = await mosquitto({ config: ['max_queued_messages 0'] });
    const count = new Count();
    const context = contextOf(own.url, `in/${unique()}`, count);
    const { reader, kill } = await killable(context);
    let client = await ordinaryClient(own.url);
    await publishMany(client, context.table.topic, 10, 2);
    const letGo = count.hold();
    const deliveries = await reader.take(10);
    count.commit(deliveries.slice(0, 8));
    ackAll(deliveries.slice(0, 4));
    await until('PUBREL', () => own.log.includes(`Sending PUBREL to ${clientOf(context)} (m4)`));
    await own.kill('SIGTERM');
    await kill();
    letGo();
    await own.resume();
    client = await ordinaryClient(own.url);
    await client.publishAsync(context.table.topic, 'end', { qos: 2 });
    const { reader: again } = await openedSource(context);
    while (!count.counted.includes('end')) {
      const batch = await again.take(1);
      count.commit(batch);
      ackAll(batch);
    }
    expect(count.counted).toEqual([...names(10), 'end']);
    expect(count.cleared).toBe(1);
  });

  // With its default of 20 mosquitto publishes 40 of these again: findings/mosquitto-publishes-again-after-pubrec.sh.
  test('counts once what was complete when a broker restarts that keeps all handshakes', async () => {
    const own = await mosquitto({ config: ['max_inflight_messages 60000', 'max_queued_messages 0'] });
    const count = new Count();
    const context = contextOf(own.url, `in/${unique()}`, count);
    const { reader, kill } = await killable(context);
    const letGo = count.hold();
    const client = await ordinaryClient(own.url);
    await publishMany(client, context.table.topic, 60, 2);
    const deliveries = await reader.take(60);
    count.commit(deliveries);
    ackAll(deliveries);
    await until('PUBREL', () => own.log.includes(`Sending PUBREL to ${clientOf(context)} (m60)`));
    await own.kill('SIGTERM');
    await kill();
    letGo();
    await until('their end is committed', () => count.identifiers.size === 0);
    await own.resume();
    await rest(context, count, await ordinaryClient(own.url));
    expect(count.counted).toEqual([...names(60), 'end']);
    expect(count.cleared).toBe(1);
  });

  test('sends a PUBREC again in order of receipt, and PUBCOMP only after the commit', async () => {
    const count = new Count();
    const server = await scripted({ connack: { sessionPresent: true } });
    for (const identifier of [2, 3]) count.identifiers.add(identifier);
    const { reader } = await openedSource(contextOf(server.url, 'a/b', count));
    server.connection.publish(2, 3, 1, true);
    server.connection.publish(2, 1, 4);
    const deliveries = await reader.take(2);
    expect(texts(deliveries)).toEqual(['m1', 'm4']);
    expect(deliveries.map(({ identifier }) => identifier)).toEqual([1, 4]);
    expect(server.connection.of('pubrec')).toEqual([]);
    count.commit(deliveries);
    ackAll(deliveries);
    const pubrecs = await server.connection.expect('pubrec', 4);
    expect(pubrecs.map(({ messageId }) => messageId)).toEqual([1, 2, 3, 4]);
    const letGo = count.hold();
    server.connection.send({ cmd: 'pubrel', messageId: 2 });
    server.connection.send({ cmd: 'pubrel', messageId: 77 });
    const [first] = await server.connection.expect('pubcomp', 1);
    expect(first?.messageId).toBe(77);
    letGo();
    const pubcomps = await server.connection.expect('pubcomp', 2);
    expect(pubcomps.map(({ messageId }) => messageId)).toEqual([77, 2]);
    server.connection.publish(2, 1, 2);
    expect(texts(await reader.take(1))).toEqual(['m2']);
  });

  test('has an identifier at QoS 2 only', async () => {
    const server = await scripted({ connack: { sessionPresent: true } });
    const { reader } = await openedSource(contextOf(server.url, 'a/b', new Count()));
    server.connection.publish(1, 1);
    server.connection.publish(0, 1);
    server.connection.publish(2, 1, 9);
    const deliveries = await reader.take(3);
    expect(deliveries.map(({ identifier }) => identifier)).toEqual([undefined, undefined, 9]);
  });

  test('takes a message without the DUP flag for a new one', async () => {
    const count = new Count();
    count.identifiers.add(1);
    const server = await scripted({ connack: { sessionPresent: true } });
    const { reader } = await openedSource(contextOf(server.url, 'a/b', count));
    server.connection.publish(2, 1);
    expect(texts(await reader.take(1))).toEqual(['m1']);
    expect(count.has(1)).toBe(false);
  });

  test('subscribes only after it has forgotten the identifiers of a lost session', async () => {
    const count = new Count();
    count.identifiers.add(1);
    const letGo = count.hold();
    const server = await scripted();
    const opening = openedSource(contextOf(server.url, 'a/b', count));
    await until('it forgets', () => count.cleared > 0);
    expect(count.has(1)).toBe(false);
    // The server has seen everything that was sent before this connection.
    await (await openSource(contextOf(server.url, 'other', new Count()))).close();
    expect(server.connections[0]?.of('subscribe')).toEqual([]);
    letGo();
    const { reader } = await opening;
    server.connections[0]?.publish(2, 1, 1, true);
    expect(texts(await reader.take(1))).toEqual(['m1']);
  });

  test('ends when a commit fails, and sends no PUBCOMP', async () => {
    const count = new Count();
    count.identifiers.add(1);
    count.release = async () => {
      throw new PenstockError('database_unavailable', 'gone');
    };
    const server = await scripted({ connack: { sessionPresent: true } });
    const { source, reader } = await openedSource(contextOf(server.url, 'a/b', count));
    server.connection.send({ cmd: 'pubrel', messageId: 1 });
    expect((await errorOf(reader.take(1))).code).toBe('database_unavailable');
    await source.close();
    expect(server.connection.of('pubcomp')).toEqual([]);
  });
});

const clientOf = ({ identity }: MqttContext) => `penstock_${identity.jobId}_${identity.operatorId}_0`;
