import { afterAll, describe, expect, test } from 'vitest';
import { mosquitto, openedSource as open, scripted } from '../../../../test/support/fixtures.ts';
import {
  ackAll,
  errorOf,
  type MqttContext,
  plainClient,
  publishMany,
  Reader,
  recordingWarnings,
  sourceContext,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import { forget } from './session.ts';
import { openSource } from './source.ts';

const broker = await mosquitto({ config: ['max_queued_messages 0'] });
const publisher = await plainClient(broker.url);
afterAll(() => publisher.endAsync());

const versions = ['5', '3.1.1'] as const;
const qualities = [
  ['AtMostOnce', 0],
  ['AtLeastOnce', 1],
  ['ExactlyOnce', 2],
] as const;

describe.each(versions)('an MQTT %s source', (protocolVersion) => {
  const profile = () => ({ url: broker.url, protocolVersion });

  test.each(qualities)('reads %s with its metadata', async (name, qos) => {
    const topic = `in/${unique()}`;
    const { reader } = await open(sourceContext(profile(), `${topic}/+`, name));
    await publishMany(publisher, `${topic}/x`, 250, qos);
    const deliveries = [];
    // Without a receive maximum mosquitto sends 20 and waits.
    for (let round = 0; round < 25; round += 1) {
      const batch = await reader.take(10);
      ackAll(batch);
      deliveries.push(...batch);
    }
    expect(texts(deliveries)).toEqual(Array.from({ length: 250 }, (_, index) => `m${index}`));
    const { metadata, receivedAt } = deliveries[0] as (typeof deliveries)[0];
    expect(metadata.topic).toBe(`${topic}/x`);
    expect([metadata.qos, metadata.retain, metadata.dup]).toEqual([qos, false, false]);
    expect(metadata.message_id === null).toBe(qos === 0);
    expect(Math.abs(receivedAt - Date.now())).toBeLessThan(60_000);
  });

  test.each(['AtLeastOnce', 'ExactlyOnce'] as const)(
    'gets back at %s what it did not acknowledge, and no more',
    async (name) => {
      const context = sourceContext(profile(), `in/${unique()}`, name);
      const { topic } = context.table;
      const killer = new AbortController();
      const first = await openSource({ ...context, signal: killer.signal });
      await publishMany(publisher, topic, 10, 2);
      const reader = new Reader(first);
      const taken = await reader.take(10);
      ackAll(taken.slice(0, 5));
      await until('the acknowledgements to arrive', () => acknowledged(context) >= 5);
      killer.abort(new Error('killed'));
      await first.close();

      const { source, reader: again } = await open(context);
      const back = await again.take(5);
      expect(texts(back)).toEqual(['m5', 'm6', 'm7', 'm8', 'm9']);
      expect(back.every(({ metadata }) => metadata.dup === true)).toBe(true);
      ackAll(back);
      await source.close();

      const { reader: last } = await open(context);
      await publisher.publishAsync(topic, 'end', { qos: 1 });
      expect(texts(await last.take(1))).toEqual(['end']);
    },
  );

  test('gets all messages again if a later one is acknowledged but an earlier one is not', async () => {
    const context = sourceContext(profile(), `in/${unique()}`);
    const { source, reader } = await open(context);
    await publishMany(publisher, context.table.topic, 3);
    ackAll((await reader.take(3)).slice(1));
    await source.close();
    const { reader: again } = await open(context);
    expect(texts(await again.take(3))).toEqual(['m0', 'm1', 'm2']);
  });

  test('ignores an acknowledgement after a reconnect', async () => {
    const context = sourceContext(profile(), `in/${unique()}`);
    const { source, reader } = await open(context);
    await publishMany(publisher, context.table.topic, 1);
    const [stale] = await reader.take(1);
    await source.close();
    const second = await open(context);
    const [fresh] = await second.reader.take(1);
    expect(fresh?.metadata.message_id).toBe(stale?.metadata.message_id);
    stale?.ack();
    await second.source.close();
    const third = await open(context);
    expect(texts(await third.reader.take(1))).toEqual(['m0']);
  });

  test('drains: ends, keeps the session, and loses no message published meanwhile', async () => {
    const context = sourceContext(profile(), `in/${unique()}`);
    const { source, reader } = await open(context);
    await publishMany(publisher, context.table.topic, 3);
    ackAll(await reader.take(3));
    await source.drain();
    expect(await reader.take(1)).toEqual([]);
    await source.close();
    await source.close();
    await publishMany(publisher, context.table.topic, 40, 1, 'away');
    const { reader: again } = await open({ ...context, window: 5 });
    const back: string[] = [];
    while (back.length < 40) {
      const batch = await again.take(5);
      back.push(...texts(batch));
      ackAll(batch);
    }
    expect(back).toEqual(Array.from({ length: 40 }, (_, index) => `away${index}`));
  });

  test('starts although the window is full before the subscription is confirmed', async () => {
    const context = sourceContext(profile(), `in/${unique()}`);
    await (await openSource(context)).close();
    await publishMany(publisher, context.table.topic, 30);
    const { reader } = await open({ ...context, window: 1 });
    for (let index = 0; index < 30; index += 1) {
      const batch = await reader.take(1);
      expect(texts(batch)).toEqual([`m${index}`]);
      ackAll(batch);
    }
  });

  test('is removed with its queued messages', async () => {
    const context = sourceContext(profile(), `in/${unique()}`);
    await (await openSource(context)).close();
    await publishMany(publisher, context.table.topic, 3);
    await forget(context);
    const { reader } = await open(context);
    await publisher.publishAsync(context.table.topic, 'new', { qos: 1 });
    expect(texts(await reader.take(1))).toEqual(['new']);
  });

  test('fails with the reason of the signal, at once', async () => {
    const controller = new AbortController();
    const { reader } = await open({
      ...sourceContext(profile(), `in/${unique()}`),
      signal: controller.signal,
    });
    const failure = reader.failure();
    const reason = new Error('stop it');
    controller.abort(reason);
    expect(await failure).toBe(reason);
  });

  test('warns when the broker grants a lower quality of service', async () => {
    const { warn, warnings } = recordingWarnings();
    const { url } = await scripted({ suback: 0 });
    await open({ ...sourceContext({ url, protocolVersion }, 'a/b'), warn });
    expect(warnings).toMatchObject([{ code: 'mqtt_qos_downgraded', facts: { asked: 1, granted: 0 } }]);
  });

  test('refuses to start when the subscription is refused, and leaves no connection', async () => {
    const server = await scripted({ suback: protocolVersion === '5' ? 0x87 : 0x80 });
    const error = await errorOf(openSource(sourceContext({ url: server.url, protocolVersion }, 'a/b')));
    expect(error.code).toBe('mqtt_subscribe_refused');
    expect(error.message).toContain(protocolVersion === '5' ? 'not authorized' : 'unspecified error');
    await until('the end of the connection', () => server.connection.socket.closed);
  });
});

/** Number of acknowledgements in the broker's log for this client: PUBACK, or PUBCOMP for a complete QoS 2 exchange. */
function acknowledged(context: MqttContext): number {
  const id = `penstock_${context.identity.jobId}_op_0`;
  return broker.log
    .split('\n')
    .filter((line) => / Received (PUBACK|PUBREC) from /.test(line) && line.includes(id)).length;
}

describe('a source', () => {
  test('fails with connection_lost when the broker dies, and resumes after its return', async () => {
    const mortal = await mosquitto();
    const context = sourceContext({ url: mortal.url }, 'a/b');
    const { source, reader } = await open(context);
    const before = await plainClient(mortal.url);
    await publishMany(before, 'a/b', 3);
    await reader.take(3);
    const failure = reader.failure();
    before.end(true);
    await mortal.kill('SIGTERM');
    expect(await failure).toMatchObject({ passing: true });
    await source.close();

    await mortal.resume();
    const { reader: again } = await open(context);
    expect(texts(await again.take(3))).toEqual(['m0', 'm1', 'm2']);
  });

  test('treats one takeover as a move, and a second within a minute as a client-id conflict', async () => {
    const server = await scripted({});
    const context = sourceContext({ url: server.url }, 'a/b');
    const takeOver = async () => {
      const { reader } = await open(context);
      server.connection.send({ cmd: 'disconnect', reasonCode: 0x8e });
      return await reader.failure();
    };
    expect(await takeOver()).toMatchObject({ code: 'connection_lost', passing: true });
    expect(await takeOver()).toMatchObject({ code: 'mqtt_client_id_in_use', passing: false });
  });

  test('loses its session to a newer client with its id', async () => {
    const context = sourceContext({ url: broker.url }, `in/${unique()}`);
    const first = await open(context);
    await publishMany(publisher, context.table.topic, 2);
    await first.reader.take(2);
    const second = await open(context);
    expect(await first.reader.failure()).toMatchObject({ code: 'connection_lost', passing: true });
    expect(texts(await second.reader.take(2))).toEqual(['m0', 'm1']);
  });

  test('hands out QoS 0 messages before it fails', async () => {
    const server = await scripted({});
    const { reader } = await open(sourceContext({ url: server.url }, 'a/b', 'AtMostOnce'));
    server.connection.publish(0, 3);
    server.connection.socket.end();
    expect(texts(await reader.take(3))).toEqual(['m1', 'm2', 'm3']);
    expect(await reader.failure()).toMatchObject({ code: 'connection_lost' });
  });

  test('reports why an MQTT 5 broker disconnects', async () => {
    const server = await scripted({});
    const { reader } = await open(sourceContext({ url: server.url }, 'a/b'));
    server.connection.send({ cmd: 'disconnect', reasonCode: 0x8b });
    expect(await reader.failure()).toMatchObject({ code: 'mqtt_server_unavailable', passing: true });
  });

  test('fills the metadata of MQTT 5, and leaves it null if a message has none', async () => {
    const topic = `in/${unique()}`;
    const { reader } = await open(sourceContext({ url: broker.url }, topic));
    const properties = {
      messageExpiryInterval: 60,
      contentType: 'text/plain',
      responseTopic: 'back',
      correlationData: Buffer.of(0, 1),
      userProperties: { site: 'x', tag: ['a', 'b'] },
    };
    await publisher.publishAsync(topic, 'full', { qos: 1, properties });
    await publisher.publishAsync(topic, 'bare', { qos: 1 });
    const [full, bare] = await reader.take(2);
    expect(full?.metadata.topic_segments).toEqual(topic.split('/'));
    expect(Number(full?.metadata.timestamp) / 1000).toBeCloseTo(full?.receivedAt ?? 0, 0);
    const { content_type, response_topic, correlation_data, user_properties } = full?.metadata ?? {};
    expect([content_type, response_topic, correlation_data]).toEqual(['text/plain', 'back', Buffer.of(0, 1)]);
    expect(JSON.parse(String(user_properties))).toEqual({ site: 'x', tag: ['a', 'b'] });
    expect(full?.metadata.expiry_secs).toBeLessThanOrEqual(60n);
    const none = ['content_type', 'response_topic', 'correlation_data', 'expiry_secs', 'user_properties'];
    for (const name of none) expect(bare?.metadata[name]).toBeNull();
  });

  test.each([
    ['5', 'always', ['kept', 'live', 'kept', 'live']],
    ['5', 'when_new', ['kept', 'live', 'live']],
    ['5', 'never', ['live', 'live']],
    ['3.1.1', 'never', ['live', 'live']],
  ] as const)('with MQTT %s reads retained messages %s', async (protocolVersion, retained, wanted) => {
    const context = sourceContext({ url: broker.url, protocolVersion }, `in/${unique()}/+`);
    const { table } = context;
    const at = (name: string) => table.topic.replace('+', name);
    await publisher.publishAsync(at('kept'), 'kept', { qos: 1, retain: true });
    const seen: string[] = [];
    for (const expected of [
      wanted.slice(0, wanted.indexOf('live') + 1),
      wanted.slice(wanted.indexOf('live') + 1),
    ]) {
      const source = await openSource({ ...context, table: { ...table, type: { retained } } });
      await publisher.publishAsync(at('live'), 'live', { qos: 1 });
      const deliveries = await new Reader(source).take(expected.length);
      seen.push(...texts(deliveries));
      ackAll(deliveries);
      await source.close();
    }
    expect(seen).toEqual(wanted);
  });

  test('fails when a message is larger than maxPacketSize', async () => {
    const server = await scripted({});
    for (const protocolVersion of versions) {
      const profile = { url: server.url, protocolVersion, maxPacketSize: 100 };
      const { reader } = await open(sourceContext(profile, 'a/b'));
      const payload = Buffer.alloc(200);
      const message = { topic: 'a/b', payload, qos: 1, messageId: 1, dup: false, retain: false } as const;
      server.connection.send({ cmd: 'publish', ...message });
      expect(await reader.failure()).toMatchObject({ code: 'mqtt_packet_too_large' });
    }
  });

  test('shares a subscription with others, each message once', async () => {
    const topic = `in/${unique()}`;
    const filter = `$share/group_${unique()}/${topic}`;
    const readers = await Promise.all(
      [0, 1].map((taskIndex) => {
        const context = sourceContext({ url: broker.url }, filter);
        return open({ ...context, identity: { ...context.identity, taskIndex } });
      }),
    );
    const seen: string[] = [];
    const reading = readers.map(async ({ source }) => {
      for await (const batch of source) {
        seen.push(...texts(batch));
        ackAll(batch);
      }
    });
    await publishMany(publisher, topic, 100);
    await until('all messages', () => seen.length >= 100);
    await Promise.all(readers.map(({ source }) => source.drain()));
    await Promise.all(reading);
    expect(new Set(seen).size).toBe(100);
    expect(seen.length).toBe(100);
  });

  test('leaves no socket behind when it is closed with a full window and unread messages', async () => {
    const server = await scripted({});
    const { source, reader } = await open(
      sourceContext({ url: server.url }, 'a/b', 'AtLeastOnce', { window: 1 }),
    );
    server.connection.publish(1, 2_000);
    await reader.take(1);
    await source.close();
    await until('the end of the connection', () => server.connection.socket.closed);
    expect(server.connection.of('disconnect').length).toBe(1);
    expect(server.connection.of('puback').length).toBe(0);
  });
});
