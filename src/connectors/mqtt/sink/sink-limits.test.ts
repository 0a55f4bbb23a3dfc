import { describe, expect, test } from 'vitest';
import { mosquitto, openedSink, scripted } from '../../../../test/support/fixtures.ts';
import {
  codesOf,
  errorOf,
  type MqttContext,
  messages,
  plainClient,
  recordingWarnings,
  sinkContext,
  unique,
} from '../../../../test/support/mqtt.ts';
import type { Script, ScriptedBroker } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { Outgoing } from '../../connector.ts';
import { openSink } from './sink.ts';

/** A sink adapts to the declared and undeclared limits of its broker. */

const broker = await mosquitto({ config: ['max_packet_size 20000'] });

describe('a sink', () => {
  test('obeys the maximum packet size of the broker', async () => {
    const sink = await openedSink(sinkContext({ url: broker.url }, `out/${unique()}`));
    const large = (size: number): Outgoing[] => [{ payload: Buffer.alloc(size), row: {} }];
    expect(codesOf(await sink.write(large(20_000)))).toEqual([[0, 'mqtt_packet_too_large']]);
    expect(await sink.write(large(19_900))).toEqual([]);
  });

  test('obeys the receive maximum of the broker', async () => {
    const server = await scripted({
      connack: { properties: { receiveMaximum: 3 } },
      on: (packet) => packet.cmd === 'publish',
    });
    const sink = await openedSink(sinkContext({ url: server.url }, 'a/b'));
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
    const sink = await openedSink(sinkContext(profile, 'a/b', 'ExactlyOnce', { window: 1_000 }));
    await sink.write(messages(200));
    expect(most).toBeLessThanOrEqual(20);
  });

  test.each([1, 5, 19])(
    'loses no QoS 2 message of MQTT 3.1.1 at a mosquitto that takes %d at once',
    async (max) => {
      const strict = await mosquitto({ config: [`max_inflight_messages ${max}`] });
      const topic = `out/${unique()}`;
      const arrived = new Set<string>();
      const watcher = await plainClient(strict.url);
      watcher.on('message', (_topic, payload) => arrived.add(payload.toString()));
      await watcher.subscribeAsync(topic, { qos: 0 });
      const profile = { url: strict.url, protocolVersion: '3.1.1' } as const;
      const sink = await openedSink(sinkContext(profile, topic, 'ExactlyOnce', { window: 1_000 }));
      expect(await sink.write(messages(200))).toEqual([]);
      await until('all arrive', () => arrived.size === 200);
    },
  );

  test('has one QoS 2 message in flight if a 3.1.1 broker cannot be tested', async () => {
    const strict = await mosquitto({ users: { u: 'p' }, acl: 'user u\ntopic readwrite out/#\n' });
    const login = { username: 'u', password: 'p' };
    const profile = { url: strict.url, protocolVersion: '3.1.1', ...login } as const;
    const sink = await openedSink(sinkContext(profile, `out/${unique()}`, 'ExactlyOnce', { window: 1_000 }));
    expect(await sink.write(messages(50))).toEqual([]);
  });

  test('lowers QoS 2 to the maximum of the broker with a warning, but not to 0', async () => {
    const { warn, warnings } = recordingWarnings();
    const some = await scripted({ connack: { properties: { maximumQoS: 1 } } });
    const sink = await openedSink(sinkContext({ url: some.url }, 'a/b', 'ExactlyOnce', { warn }));
    await sink.write(messages(1));
    expect(some.connection.of('publish')[0]?.qos).toBe(1);
    expect(warnings).toMatchObject([{ code: 'mqtt_qos_downgraded', facts: { asked: 2, granted: 1 } }]);

    const none = await scripted({ connack: { properties: { maximumQoS: 0 } } });
    const error = await errorOf(openSink(sinkContext({ url: none.url }, 'a/b')));
    expect(error.code).toBe('mqtt_qos_downgraded');
    await until('the end of the connection', () => none.connection.socket.closed);
  });

  test('refuses to start if the table retains messages and the broker does not', async () => {
    const server = await scripted({ connack: { properties: { retainAvailable: false } } });
    const error = await errorOf(
      openSink(sinkContext({ url: server.url }, 'a/b', 'AtLeastOnce', { retain: true })),
    );
    expect(error.code).toBe('mqtt_publish_refused');
  });
});

describe('a sink at QoS 2 of MQTT 3.1.1', () => {
  const contextOf = ({ url }: ScriptedBroker, rest: Partial<MqttContext> = {}): MqttContext =>
    sinkContext({ url, protocolVersion: '3.1.1' }, 'a/b', 'ExactlyOnce', rest);

  test('accepts a PUBACK as confirmation, and warns once', async () => {
    const { warn, warnings } = recordingWarnings();
    const server = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'publish') return false;
        connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
        return true;
      },
    });
    const sink = await openedSink(contextOf(server, { warn }));
    expect(await sink.write(messages(50))).toEqual([]);
    expect(server.connection.of('pubrel')).toEqual([]);
    expect(warnings).toMatchObject([{ code: 'mqtt_qos_downgraded', facts: { asked: 2, granted: 1 } }]);
  });

  /** Writes one message over a separate connection. */
  const writeOnce = async (context: MqttContext): Promise<unknown> => {
    const sink = await openSink(context);
    try {
      return await sink.write(messages(1));
    } finally {
      await sink.close();
    }
  };

  /** Closes the connection at messages that `closes` selects; confirms the others. */
  const closingAt = (closes: (qos: number) => boolean): Script => ({
    on: (packet, connection) => {
      if (packet.cmd !== 'publish' || !closes(packet.qos)) return false;
      connection.socket.end();
      return true;
    },
  });

  const usedQos = (server: ScriptedBroker): (number | undefined)[] =>
    server.connections.map((connection) => connection.of('publish')[0]?.qos);

  test('writes at QoS 1 after the broker has closed two connections without confirming, and warns', async () => {
    const { warn, warnings } = recordingWarnings();
    const server = await scripted(closingAt((qos) => qos === 2));
    const context = contextOf(server, { warn });
    for (let time = 0; time < 2; time += 1)
      expect((await errorOf(writeOnce(context))).code).toBe('connection_lost');
    expect(warnings).toEqual([]);
    for (let time = 0; time < 2; time += 1) expect(await writeOnce(context)).toEqual([]);
    expect(usedQos(server)).toEqual([2, 2, 1, 1]);
    expect(warnings.map(({ code }) => code)).toEqual(['mqtt_qos_downgraded', 'mqtt_qos_downgraded']);
  });

  test('returns to QoS 2 if QoS 1 fails too, and stays there once confirmed', async () => {
    let closing = true;
    const server = await scripted(closingAt(() => closing));
    const context = contextOf(server);
    // Three closed connections within a minute would start the conflict test.
    for (let time = 0; time < 3; time += 1) await errorOf(writeOnce(context));
    closing = false;
    await writeOnce(context);
    closing = true;
    await errorOf(writeOnce(context));
    closing = false;
    await writeOnce(context);
    expect(usedQos(server).filter((qos) => qos !== undefined)).toEqual([2, 2, 1, 2, 2, 2]);
  });

  test('does not count a connection on which a message was confirmed', async () => {
    let seen = 0;
    // The first is confirmed, then two connections are closed.
    const server = await scripted(closingAt(() => [2, 3].includes(++seen)));
    const context = contextOf(server);
    const sink = await openSink(context);
    await sink.write(messages(1));
    await errorOf(sink.write(messages(1)));
    await sink.close();
    await errorOf(writeOnce(context));
    await writeOnce(context);
    expect(usedQos(server)).toEqual([2, 2, 2]);
  });
});
