import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Mosquitto } from '../../../test/support/mosquitto.ts';
import {
  errorOf,
  type MqttContext,
  plainClient,
  recordingLogger,
  sinkContext,
  unique,
} from '../../../test/support/mqtt.ts';
import { type Script, ScriptedBroker } from '../../../test/support/scripted-broker.ts';
import { until } from '../../../test/support/until.ts';
import type { Outgoing, Refusal, Sink } from '../connector.ts';
import { openSink } from './sink.ts';

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({
    acl: 'topic readwrite out/#\n',
    config: ['max_packet_size 20000', 'max_queued_messages 100000'],
  });
});
afterAll(() => broker?.stop());

const cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function open(context: MqttContext): Promise<Sink> {
  const sink = await openSink(context);
  cleanUp.push(() => sink.close());
  return sink;
}

async function scripted(script: Script): Promise<ScriptedBroker> {
  const server = await ScriptedBroker.start(script);
  cleanUp.push(() => server.stop());
  return server;
}

async function listen(topic: string): Promise<string[]> {
  const client = await plainClient(broker.url);
  cleanUp.push(() => client.endAsync());
  const seen: string[] = [];
  client.on('message', (_topic, payload, { retain }) =>
    seen.push(`${String(payload)}${retain ? ' retained' : ''}`),
  );
  await client.subscribeAsync(topic, { qos: 2 });
  return seen;
}

const messages = (count: number, first = 0): Outgoing[] =>
  Array.from({ length: count }, (_, index) => ({ payload: Buffer.from(`m${first + index}`), row: {} }));

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);

describe.each(['5', '3.1.1'] as const)('an MQTT %s sink', (protocolVersion) => {
  const profile = () => ({ url: broker.url, protocolVersion });

  test.each(['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const)(
    'writes %s in the order of the calls',
    async (qos) => {
      const topic = `out/${unique()}`;
      const seen = await listen(topic);
      const sink = await open(sinkContext(profile(), topic, qos));
      const writes = [sink.write(messages(150)), sink.write([]), sink.write(messages(250, 150))];
      await Promise.all(writes);
      await until('all messages', () => seen.length >= 400);
      expect(seen).toEqual(names(400));
    },
  );

  test('keeps a message for later subscribers when the table says retain', async () => {
    const topic = `out/${unique()}`;
    const sink = await open(sinkContext(profile(), topic, 'AtLeastOnce', { retain: true }));
    await sink.write(messages(1));
    const seen = await listen(topic);
    await until('the retained message', () => seen.length === 1);
    expect(seen).toEqual(['m0 retained']);
  });

  test('never has more in flight than the window, and goes on as answers come', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await open(
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

  test('rejects what is pending when it is closed, and what comes later', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await open(sinkContext({ url: server.url, protocolVersion }, 'a/b'));
    const failure = errorOf(sink.write(messages(3)));
    await server.connection.expect('publish', 3);
    await sink.close();
    expect((await failure).code).toBe('connection_lost');
    expect((await errorOf(sink.write(messages(1)))).code).toBe('connection_lost');
    await until('the end of the connection', () => server.connection.socket.closed);
  });

  test('rejects with connection_lost when the connection breaks, and never sends from before again', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const context = sinkContext({ url: server.url, protocolVersion }, 'a/b', 'ExactlyOnce');
    const sink = await open(context);
    const failure = errorOf(sink.write(messages(3)));
    await server.connection.expect('publish', 3);
    server.connection.socket.destroy();
    expect(await failure).toMatchObject({ code: 'connection_lost', passing: true });
    await sink.close();
    await open(context);
    expect(server.connection.received.map(({ cmd }) => cmd)).toEqual(['connect']);
    expect(server.connection.of('connect')[0]?.clean).toBe(true);
  });

  test('rejects with the reason of the signal', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const controller = new AbortController();
    const { signal } = controller;
    const sink = await open(
      sinkContext({ url: server.url, protocolVersion }, 'a/b', 'AtLeastOnce', { signal }),
    );
    const written = sink.write(messages(1));
    const reason = new Error('stop it');
    controller.abort(reason);
    await expect(written).rejects.toBe(reason);
  });

  test('refuses a message that the profile says is too large, and writes the others', async () => {
    const topic = `out/${unique()}`;
    const seen = await listen(topic);
    const sink = await open(sinkContext({ ...profile(), maxPacketSize: 1_000 }, topic));
    const [first, last] = messages(2) as [Outgoing, Outgoing];
    const refusals = await sink.write([first, { payload: Buffer.alloc(1_000), row: {} }, last]);
    expect(codesOf(refusals)).toEqual([[1, 'mqtt_packet_too_large']]);
    await until('the messages around it', () => seen.length >= 2);
    expect(seen).toEqual(['m0', 'm1']);
  });

  test('makes the topic of columns, and refuses rows that give none', async () => {
    const topic = `out/${unique()}`;
    const client = await plainClient(broker.url);
    cleanUp.push(() => client.endAsync());
    const topics: string[] = [];
    client.on('message', (to) => topics.push(to.slice(topic.length)));
    await client.subscribeAsync(`${topic}/#`, { qos: 2 });
    const sink = await open(sinkContext(profile(), `${topic}/{{ site }}/n{{number}}`));
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

/** The index and the code of each. */
const codesOf = (refusals: Refusal[]) => refusals.map(({ index, error }) => [index, error.code]);

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

  test('come from constants and columns, and are left out when a column is null', async () => {
    const server = await scripted({});
    const sink = await open(withType(sinkContext({ url: server.url }, 'a/b'), type));
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
  test('obeys the packet size that the broker tells', async () => {
    const sink = await open(sinkContext({ url: broker.url }, `out/${unique()}`));
    const large = (size: number): Outgoing[] => [{ payload: Buffer.alloc(size), row: {} }];
    expect(codesOf(await sink.write(large(20_000)))).toEqual([[0, 'mqtt_packet_too_large']]);
    expect(await sink.write(large(19_900))).toEqual([]);
  });

  test.each(['AtLeastOnce', 'ExactlyOnce'] as const)(
    'says which messages the broker refuses at %s and why, and writes the others',
    async (qos) => {
      const topic = unique();
      const seen = await listen(`out/${topic}`);
      const sink = await open(sinkContext({ url: broker.url }, `{{ to }}/${topic}`, qos));
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
      const sink = await open(sinkContext({ url: server.url }, 'a/b'));
      expect(await errorOf(sink.write(messages(2)))).toMatchObject({ code, passing: true });
    },
  );

  test('takes an answer that does not fit the QoS for a broken protocol, and ignores one to nothing', async () => {
    const server = await scripted({ on: (packet) => packet.cmd === 'publish' });
    const sink = await open(sinkContext({ url: server.url }, 'a/b'));
    const written = errorOf(sink.write(messages(1)));
    await server.connection.expect('publish', 1);
    server.connection.send({ cmd: 'puback', messageId: 99 }, { cmd: 'pubrec', messageId: 1 });
    expect((await written).code).toBe('mqtt_protocol_error');
  });

  test('obeys the receive maximum of the broker', async () => {
    const server = await scripted({
      connack: { properties: { receiveMaximum: 3 } },
      on: (packet) => packet.cmd === 'publish',
    });
    const sink = await open(sinkContext({ url: server.url }, 'a/b'));
    const written = sink.write(messages(4));
    const confirm = ({ messageId = 0 }) => server.connection.send({ cmd: 'puback', messageId });
    const first = await server.connection.expect('publish', 3);
    first.slice(0, 1).forEach(confirm);
    const all = await server.connection.expect('publish', 4);
    all.slice(1).forEach(confirm);
    await written;
  });

  test('has at most 20 messages in flight at QoS 2 of MQTT 3.1.1', async () => {
    let most = 0;
    let unanswered = 0;
    const server = await scripted({
      on: (packet) => {
        if (packet.cmd === 'publish') unanswered += 1;
        if (packet.cmd === 'pubrel') unanswered -= 1;
        most = Math.max(most, unanswered);
        return false;
      },
    });
    const profile = { url: server.url, protocolVersion: '3.1.1' } as const;
    const sink = await open(sinkContext(profile, 'a/b', 'ExactlyOnce', { window: 1_000 }));
    await sink.write(messages(200));
    expect(most).toBeLessThanOrEqual(20);
  });

  test('lowers QoS 2 to what the broker takes, and says so; it does not lower to 0', async () => {
    const logger = recordingLogger();
    const some = await scripted({ connack: { properties: { maximumQoS: 1 } } });
    const sink = await open(sinkContext({ url: some.url }, 'a/b', 'ExactlyOnce', { logger }));
    await sink.write(messages(1));
    expect(some.connection.of('publish')[0]?.qos).toBe(1);
    expect(logger.lines).toMatchObject([{ level: 'warn', details: { code: 'mqtt_qos_downgraded' } }]);

    const none = await scripted({ connack: { properties: { maximumQoS: 0 } } });
    const error = await errorOf(openSink(sinkContext({ url: none.url }, 'a/b')));
    expect(error.code).toBe('mqtt_qos_downgraded');
    await until('the end of the connection', () => none.connection.socket.closed);
  });

  test('refuses to start when the table says retain and the broker keeps nothing', async () => {
    const server = await scripted({ connack: { properties: { retainAvailable: false } } });
    const error = await errorOf(
      openSink(sinkContext({ url: server.url }, 'a/b', 'AtLeastOnce', { retain: true })),
    );
    expect(error.code).toBe('mqtt_publish_refused');
  });

  test('waits at QoS 0 until the socket has taken the messages', async () => {
    const server = await scripted({});
    const sink = await open(sinkContext({ url: server.url }, 'a/b', 'AtMostOnce'));
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
