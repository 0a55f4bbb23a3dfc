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
import type { Outgoing, Sink } from '../connector.ts';
import { openSink } from './sink.ts';

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({
    acl: 'topic readwrite out/#\n',
    config: ['max_packet_size 20000', 'max_queued_messages 0'],
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
  Array.from({ length: count }, (_, index) => ({ payload: Buffer.from(`m${first + index}`) }));

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

  test('refuses a message that the profile says is too large, without sending any of its write', async () => {
    const topic = `out/${unique()}`;
    const seen = await listen(topic);
    const sink = await open(sinkContext({ ...profile(), maxPacketSize: 1_000 }, topic));
    const large = [{ payload: Buffer.from('small') }, { payload: Buffer.alloc(1_000) }];
    expect((await errorOf(sink.write(large))).code).toBe('mqtt_packet_too_large');
    await sink.write(messages(1));
    await until('the message after it', () => seen.length > 0);
    expect(seen).toEqual(['m0']);
  });
});

describe('a sink', () => {
  test('obeys the packet size that the broker tells', async () => {
    const sink = await open(sinkContext({ url: broker.url }, `out/${unique()}`));
    expect((await errorOf(sink.write([{ payload: Buffer.alloc(20_000) }]))).code).toBe(
      'mqtt_packet_too_large',
    );
    await sink.write([{ payload: Buffer.alloc(19_900) }]);
  });

  test.each(['AtLeastOnce', 'ExactlyOnce'] as const)(
    'says that and why the broker refuses a message at %s',
    async (qos) => {
      const sink = await open(sinkContext({ url: broker.url }, 'forbidden', qos));
      const error = await errorOf(sink.write(messages(1)));
      expect(error.code).toBe('mqtt_publish_refused');
      expect(error.message).toContain('not authorized (0x87)');
    },
  );

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
    const written = sink.write(Array.from({ length: 40 }, () => ({ payload }))).then(() => {
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
