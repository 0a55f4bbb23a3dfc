import { describe, expect, test } from 'vitest';
import { mosquitto, openedSink, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import {
  codesOf,
  errorOf,
  type MqttContext,
  messages,
  sinkContext,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import type { Outgoing } from '../../connector.ts';
import { openSink } from './sink.ts';

const broker = await mosquitto({
  acl: 'topic readwrite out/#\n',
  config: ['max_packet_size 20000', 'max_queued_messages 100000'],
});

async function listen(topic: string): Promise<string[]> {
  const client = await ordinaryClient(broker.url);
  const seen: string[] = [];
  client.on('message', (_topic, payload, { retain }) =>
    seen.push(`${String(payload)}${retain ? ' retained' : ''}`),
  );
  await client.subscribeAsync(topic, { qos: 2 });
  return seen;
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);

describe.each(['5', '3.1.1'] as const)('an MQTT %s sink', (protocolVersion) => {
  const profile = () => ({ url: broker.url, protocolVersion });

  test.each(['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const)(
    'writes %s in the order of the calls',
    async (qos) => {
      const topic = `out/${unique()}`;
      const seen = await listen(topic);
      const sink = await openedSink(sinkContext(profile(), topic, qos));
      const writes = [sink.write(messages(150)), sink.write([]), sink.write(messages(250, 150))];
      await Promise.all(writes);
      await until('all messages', () => seen.length >= 400);
      expect(seen).toEqual(names(400));
    },
  );

  test('retains a message if the table says so', async () => {
    const topic = `out/${unique()}`;
    const sink = await openedSink(sinkContext(profile(), topic, 'AtLeastOnce', { retain: true }));
    await sink.write(messages(1));
    const seen = await listen(topic);
    await until('the retained message', () => seen.length === 1);
    expect(seen).toEqual(['m0 retained']);
  });

  test('never has more in flight than the window, and continues with each confirmation', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await openedSink(
      sinkContext({ url: server.url, protocolVersion }, 'a/b', 'AtLeastOnce', { window: 5 }),
    );
    const written = sink.write(messages(12));
    for (const count of [5, 10, 12]) {
      const publishes = await server.connection.expect('publish', count);
      expect(publishes.length).toBe(count);
      const unanswered = publishes.slice(server.connection.of('puback').length).slice(-5);
      for (const { messageId } of unanswered)
        server.connection.send({ cmd: 'puback', messageId: messageId ?? 0 });
    }
    await written;
  });

  test('rejects pending and later writes when it is closed', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await openedSink(sinkContext({ url: server.url, protocolVersion }, 'a/b'));
    const failure = errorOf(sink.write(messages(3)));
    await server.connection.expect('publish', 3);
    await sink.close();
    expect((await failure).code).toBe('connection_lost');
    expect((await errorOf(sink.write(messages(1)))).code).toBe('connection_lost');
    await until('the end of the connection', () => server.connection.socket.closed);
  });

  test('rejects with connection_lost when the connection breaks, and resends nothing', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const context = sinkContext({ url: server.url, protocolVersion }, 'a/b', 'ExactlyOnce');
    const sink = await openedSink(context);
    const failure = errorOf(sink.write(messages(3)));
    await server.connection.expect('publish', 3);
    server.connection.socket.destroy();
    expect(await failure).toMatchObject({ code: 'connection_lost', passing: true });
    await sink.close();
    await openedSink(context);
    expect(server.connection.received.map(({ cmd }) => cmd)).toEqual(['connect']);
    expect(server.connection.of('connect')[0]?.clean).toBe(true);
  });

  test('rejects with the reason of the signal', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const controller = new AbortController();
    const { signal } = controller;
    const sink = await openedSink(
      sinkContext({ url: server.url, protocolVersion }, 'a/b', 'AtLeastOnce', { signal }),
    );
    const written = sink.write(messages(1));
    const reason = new Error('stop it');
    controller.abort(reason);
    await expect(written).rejects.toBe(reason);
  });

  test('refuses a message larger than maxPacketSize, and writes the others', async () => {
    const topic = `out/${unique()}`;
    const seen = await listen(topic);
    const sink = await openedSink(sinkContext({ ...profile(), maxPacketSize: 1_000 }, topic));
    const [first, last] = messages(2) as [Outgoing, Outgoing];
    const refusals = await sink.write([first, { payload: Buffer.alloc(1_000), row: {} }, last]);
    expect(codesOf(refusals)).toEqual([[1, 'mqtt_packet_too_large']]);
    await until('the messages around it', () => seen.length >= 2);
    expect(seen).toEqual(['m0', 'm1']);
  });

  test('builds the topic from columns, and refuses rows that give none', async () => {
    const topic = `out/${unique()}`;
    const client = await ordinaryClient(broker.url);
    const topics: string[] = [];
    client.on('message', (to) => topics.push(to.slice(topic.length)));
    await client.subscribeAsync(`${topic}/#`, { qos: 2 });
    const sink = await openedSink(sinkContext(profile(), `${topic}/{{ site }}/n{{number}}`));
    const sites = ['a', 'b/c', '', 'x+', '#', '/a', 'a/', 'a//b', 'a\0b', null, 'ä'];
    const rows = sites.map((site, index) => ({ site, number: BigInt(index) }));
    const refusals = await sink.write(rows.map((row) => ({ payload: Buffer.from('x'), row })));
    expect(refusals.map(({ index }) => sites[index])).toEqual(sites.slice(2, -1));
    expect(refusals.every(({ error }) => error.code === 'bad_row')).toBe(true);
    expect(refusals[0]?.error.errors).toEqual([
      { path: '/topic', message: 'The column site gives the topic an empty level' },
    ]);
    await until('the others', () => topics.length >= 3);
    expect(topics).toEqual(['/a/n0', '/b/c/n1', '/ä/n10']);
  });
});

const withType = (context: MqttContext, type: object): MqttContext => ({
  ...context,
  table: { ...context.table, type } as MqttContext['table'],
});

describe('properties', () => {
  const type = {
    retain: false,
    expirySecs: '{{ ttl }}',
    contentType: 'application/json',
    responseTopic: 'answers/{{ device }}',
    correlationData: '{{ token }}',
    userProperties: { site: 'Köln', device: '{{ device }}' },
  };

  test('come from constants and columns, and are omitted if a column is null', async () => {
    const server = await scripted({});
    const sink = await openedSink(withType(sinkContext({ url: server.url }, 'a/b'), type));
    const payload = Buffer.from('x');
    const full = { ttl: 60n, device: 'd1', token: Buffer.of(0, 255) };
    const refusals = await sink.write([
      { payload, row: full },
      { payload, row: { ttl: null, device: null, token: null } },
      { payload, row: { ...full, ttl: -1n } },
      { payload, row: { ...full, device: '#' } },
    ]);
    expect(codesOf(refusals)).toEqual([
      [2, 'bad_row'],
      [3, 'bad_row'],
    ]);
    const [one, two] = server.connection.of('publish');
    expect(one?.properties).toEqual({
      messageExpiryInterval: 60,
      contentType: 'application/json',
      responseTopic: 'answers/d1',
      correlationData: Buffer.of(0, 255),
      userProperties: expect.objectContaining({ site: 'Köln', device: 'd1' }),
    });
    expect(two?.properties).toEqual({
      contentType: 'application/json',
      userProperties: expect.objectContaining({ site: 'Köln' }),
    });
  });

  test('are refused on MQTT 3.1.1 when the sink is opened', async () => {
    const server = await scripted({});
    const profile = { url: server.url, protocolVersion: '3.1.1' } as const;
    const error = await errorOf(openSink(withType(sinkContext(profile, 'a/b'), type)));
    expect(error.code).toBe('mqtt_protocol_refused');
    expect(error.errors.map(({ path }) => path)).toContain('/type/expirySecs');
    await until('the end of the connection', () => server.connection.socket.closed);
  });
});

describe('a sink', () => {
  test('reports a lost connection while it has nothing to write', async () => {
    const server = await scripted();
    const { promise, resolve } = Promise.withResolvers<PenstockError>();
    await openedSink({ ...sinkContext({ url: server.url }, 'a/b'), lost: resolve });
    server.connection.socket.destroy();
    expect(await promise).toMatchObject({ code: 'connection_lost', passing: true });
  });

  test('fails if the broker responds to pings but confirms no message', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await openedSink(sinkContext({ url: server.url, keepAliveSecs: 1 }, 'a/b'), 3_000);
    const error = await errorOf(sink.write(messages(2)));
    expect(error).toMatchObject({ code: 'mqtt_not_answered', passing: true });
    expect(error.message).toBe('The broker did not respond to PUBLISH of a/b at QoS 1 within 3000 ms');
    expect(error.hint).toContain('RabbitMQ');
    expect(server.connection.of('pingreq').length).toBeGreaterThan(0);
    await until('the end of the connection', () => server.connection.socket.closed);
  });

  test('tolerates a broker that has nothing to confirm, or confirms slowly', async () => {
    let owed: (() => void) | undefined;
    const server = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'publish') return false;
        const { messageId = 0 } = packet;
        owed = () => connection.send({ cmd: 'puback', messageId });
        return true;
      },
    });
    const sink = await openedSink(
      sinkContext({ url: server.url, keepAliveSecs: 1 }, 'a/b', 'AtLeastOnce', { window: 1 }),
      3_000,
    );
    await server.connection.expect('pingreq', 4);
    const written = sink.write(messages(4));
    for (let count = 1; count <= 4; count += 1) {
      await server.connection.expect('publish', count);
      const pings = server.connection.of('pingreq').length;
      await server.connection.expect('pingreq', pings + 1);
      owed?.();
    }
    expect(await written).toEqual([]);
  });

  test.each(['AtLeastOnce', 'ExactlyOnce'] as const)(
    'says which messages the broker refuses at %s and why, and writes the others',
    async (qos) => {
      const topic = unique();
      const seen = await listen(`out/${topic}`);
      const sink = await openedSink(sinkContext({ url: broker.url }, `{{ to }}/${topic}`, qos));
      const to = ['out', 'forbidden', 'out', 'forbidden', 'out'];
      const refusals = await sink.write(
        to.map((where, index) => ({ payload: Buffer.from(`m${index}`), row: { to: where } })),
      );
      expect(codesOf(refusals)).toEqual([
        [1, 'mqtt_publish_refused'],
        [3, 'mqtt_publish_refused'],
      ]);
      expect(refusals[0]?.error.message).toContain(`{{ to }}/${topic}: not authorized (0x87)`);
      await until('the others', () => seen.length >= 3);
      expect(seen).toEqual(['m0', 'm2', 'm4']);
    },
  );

  test.each([
    [0x97, 'mqtt_server_unavailable'],
    [0x91, 'mqtt_protocol_error'],
  ] as const)(
    'takes the answer %i for a fault of the connection, not of the message',
    async (reasonCode, code) => {
      const server = await scripted({
        on: (packet, connection) => {
          if (packet.cmd !== 'publish') return false;
          connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode });
          return true;
        },
      });
      const sink = await openedSink(sinkContext({ url: server.url }, 'a/b'));
      expect(await errorOf(sink.write(messages(2)))).toMatchObject({ code, passing: true });
    },
  );

  test('fails at a confirmation that does not match the QoS, and ignores an unexpected one', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await openedSink(sinkContext({ url: server.url }, 'a/b'));
    const written = errorOf(sink.write(messages(1)));
    await server.connection.expect('publish', 1);
    server.connection.send({ cmd: 'puback', messageId: 99 }, { cmd: 'pubrec', messageId: 1 });
    expect((await written).code).toBe('mqtt_protocol_error');
  });

  test('waits at QoS 0 until the socket has taken the messages', async () => {
    const server = await scripted({});
    const sink = await openedSink(sinkContext({ url: server.url }, 'a/b', 'AtMostOnce'));
    server.connection.socket.pause();
    let resolved = false;
    const payload = Buffer.alloc(1_000_000);
    const written = sink.write(Array.from({ length: 40 }, () => ({ payload, row: {} }))).then(() => {
      resolved = true;
    });
    const small = sink.write(messages(1));
    await until('bytes in the socket of the server', () => server.connection.socket.readableLength > 0);
    expect(resolved).toBe(false);
    server.connection.socket.resume();
    await Promise.all([written, small]);
    await server.connection.expect('publish', 41);
  });
});
