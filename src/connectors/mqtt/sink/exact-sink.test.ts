import { describe, expect, test } from 'vitest';
import { aedes, mosquitto, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import {
  codesOf,
  errorOf,
  type MqttContext,
  messages,
  recordingWarnings,
  sinkContext,
  takeSession,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import type { ExactSink, Outgoing } from '../../connector.ts';
import { mqtt } from '../index.ts';
import { forget } from '../source/session.ts';
import { openExactSink } from './exact-sink.ts';

/** A sink whose job commits identifiers: each message arrives once, wherever the connection breaks. */

const broker = await mosquitto();

/** Opens a sink that can be killed: nothing more is sent. */
async function open(context: MqttContext, timeoutMs?: number) {
  const killer = new AbortController();
  const sink = await openExactSink({ exact: 'resume', ...context, signal: killer.signal }, timeoutMs);
  const kill = async () => {
    killer.abort(new Error('killed'));
    await sink.close();
  };
  return { exact: sink.exact as ExactSink, sink, kill };
}

async function listen(url: string, topic: string, protocolVersion = 5): Promise<string[]> {
  const client = await ordinaryClient(url, { protocolVersion });
  const seen: string[] = [];
  client.on('message', (_topic, payload) => seen.push(String(payload)));
  await client.subscribeAsync(topic, { qos: 2 });
  return seen;
}

const numbered = (count: number, first = 1) =>
  messages(count, first).map((message: Outgoing, index) => ({ identifier: first + index, message }));
const identifiersOf = (sent: { identifier: number }[]) => sent.map(({ identifier }) => identifier);
const names = (count: number, first = 1) => Array.from({ length: count }, (_, index) => `m${first + index}`);

describe.each(['5', '3.1.1'] as const)('an exact sink over MQTT %s', (protocolVersion) => {
  const contextOf = (url: string, topic = `out/${unique()}`) =>
    sinkContext({ url, protocolVersion }, topic, 'ExactlyOnce');

  test('publishes under the given identifiers, and passes on at the release', async () => {
    const context = contextOf(broker.url);
    const seen = await listen(broker.url, context.table.topic);
    const { exact, sink } = await open(context);
    expect(exact.resumed).toBe(false);
    expect(exact.maxInFlight).toBe(20);
    for (let first = 1; first < 60; first += 20) {
      const sent = numbered(20, first);
      expect(await exact.publish(sent, false)).toEqual([]);
      await exact.release(identifiersOf(sent));
    }
    await until('all messages', () => seen.length >= 60);
    expect(seen).toEqual(names(60));
    await sink.close();
    const { exact: next, sink: last } = await open(context);
    expect(next.resumed).toBe(true);
    await last.close();
    // The session of a sink is removed by its identity, as that of a source.
    const { identity } = context;
    const clientId = `penstock_${identity.jobId}_${identity.operatorId}_0`;
    await forget(context);
    expect(await takeSession(broker.url, clientId)).toBe(false);
  });

  test('writes once what was published and not released, and what it does not know to be published', async () => {
    const context = contextOf(broker.url);
    const seen = await listen(broker.url, context.table.topic);
    const first = await open(context);
    await first.exact.publish(numbered(9), false);
    await first.exact.release([1, 2, 3]);
    await first.kill();
    const { exact, sink } = await open(context);
    expect(exact.resumed).toBe(true);
    // 1 to 3 were released: PUBCOMP was lost. 4 to 6 are committed as published, 7 to 9 are not, 10 was never sent.
    await exact.publish(numbered(4, 7), true);
    await exact.release([1, 2, 3, 4, 5, 6]);
    await exact.release([7, 8, 9, 10]);
    await until('all messages', () => seen.length >= 10);
    await exact.publish(numbered(1, 11), false);
    await exact.release([11]);
    await until('the last one', () => seen.includes('m11'));
    expect(seen.toSorted()).toEqual(names(11).toSorted());
    await sink.close();
  });

  test.each(['publish', 'pubrel'] as const)('writes once when %s gets no response', async (lost) => {
    let silent = true;
    const server = await scripted({
      connack: { sessionPresent: true },
      on: ({ cmd }) => silent && cmd === lost,
    });
    const context = contextOf(server.url, 'a/b');
    const { exact, kill } = await open(context);
    const published = exact.publish(numbered(2), false);
    const outcome =
      lost === 'publish' ? errorOf(published) : published.then(() => errorOf(exact.release([1, 2])));
    await server.connection.expect(lost, 2);
    server.connection.socket.destroy();
    expect(await outcome).toMatchObject({ code: 'connection_lost', passing: true });
    await kill();
    silent = false;
    const next = await open(context);
    if (lost === 'publish') await next.exact.publish(numbered(2), true);
    await next.exact.release([1, 2]);
    const { received } = server.connection;
    expect(received.map(({ cmd, messageId = 0 }) => `${cmd} ${messageId}`)).toEqual([
      'connect 0',
      ...(lost === 'publish' ? ['publish 1', 'publish 2'] : []),
      'pubrel 1',
      'pubrel 2',
    ]);
    expect(server.connection.of('publish').every(({ dup, qos }) => dup && qos === 2)).toBe(true);
    expect(server.connection.of('connect')[0]).toMatchObject({ clean: false });
    await next.sink.close();
  });

  test('writes once when the broker restarts and keeps its sessions', async () => {
    const own = await mosquitto();
    const context = contextOf(own.url);
    const seen: string[] = [];
    const subscribe = async () => {
      const client = await ordinaryClient(own.url);
      client.on('message', (_topic, payload) => seen.push(String(payload)));
      await client.subscribeAsync(context.table.topic, { qos: 2 });
    };
    await subscribe();
    const first = await open(context);
    await first.exact.publish(numbered(9), false);
    await first.exact.release([1, 2, 3]);
    await until('the released ones', () => seen.length >= 3);
    await own.kill('SIGTERM');
    await first.kill();
    await own.resume();
    await subscribe();
    const { exact, sink } = await open(context);
    expect(exact.resumed).toBe(true);
    await exact.publish(numbered(4, 7), true);
    await exact.release([1, 2, 3, 4, 5, 6]);
    await exact.release([7, 8, 9, 10]);
    await exact.publish(numbered(1, 11), false);
    await exact.release([11]);
    await until('the last one', () => seen.includes('m11'));
    expect(seen.toSorted()).toEqual(names(11).toSorted());
    await sink.close();
  });

  test('says that the session is lost, also to the next connection, until it is used', async () => {
    const server = await scripted({});
    const context = contextOf(server.url, 'a/b');
    const first = await open(context);
    expect(first.exact.resumed).toBe(false);
    await first.sink.close();
    const found = await scripted({ connack: { sessionPresent: true } });
    expect((await open(contextOf(found.url, 'a/b'))).exact.resumed).toBe(true);
    const context2 = contextOf(broker.url);
    await (await open(context2)).sink.close();
    const second = await open(context2);
    expect(second.exact.resumed).toBe(false);
    await second.exact.publish([], false);
    await second.sink.close();
    expect((await open(context2)).exact.resumed).toBe(true);
  });

  test('waits for releases while too many are in flight, and refuses to be misused', async () => {
    const context = contextOf(broker.url);
    const seen = await listen(broker.url, context.table.topic);
    const { exact, sink } = await open(context);
    await exact.publish(numbered(15), false);
    const more = exact.publish(numbered(15, 16), false);
    expect((await errorOf(exact.publish(numbered(21, 50), false))).code).toBe('internal');
    expect((await errorOf(exact.release([30]))).code).toBe('internal');
    expect((await errorOf(exact.publish(numbered(1), false))).code).toBe('internal');
    await exact.release(identifiersOf(numbered(15)));
    await more;
    await exact.release(identifiersOf(numbered(15, 16)));
    await until('all messages', () => seen.length >= 30);
    expect(seen).toEqual(names(30));
    expect((await errorOf(sink.write([]))).code).toBe('internal');
    await sink.close();
  });

  test('begins anew with a session that knows no identifiers', async () => {
    const context = contextOf(broker.url);
    const seen = await listen(broker.url, context.table.topic);
    const former = await open(context);
    await former.exact.publish(numbered(3), false);
    await former.kill();
    const { exact, sink } = await open({ ...context, exact: 'begin' });
    expect(exact.resumed).toBe(false);
    await exact.publish(
      numbered(2, 4).map(({ message }, index) => ({ identifier: index + 1, message })),
      false,
    );
    await exact.release([1, 2, 3]);
    await until('the new messages', () => seen.length >= 2);
    expect(seen).toEqual(['m4', 'm5']);
    await sink.close();
    const { exact: next, sink: last } = await open(context);
    expect(next.resumed).toBe(true);
    await last.close();
  });

  test('refuses what fits no packet or topic, and publishes the rest', async () => {
    const context = sinkContext(
      { url: broker.url, protocolVersion, maxPacketSize: 1_000 },
      'out/{{ site }}',
      'ExactlyOnce',
    );
    const { exact, sink } = await open(context);
    const of = (identifier: number, site: string, length = 1) => ({
      identifier,
      message: { payload: Buffer.alloc(length), row: { site } },
    });
    const refusals = await exact.publish([of(1, 'a'), of(2, '+'), of(3, 'b', 1_000), of(4, 'c')], false);
    expect(codesOf(refusals)).toEqual([
      [1, 'bad_row'],
      [2, 'mqtt_packet_too_large'],
    ]);
    await exact.release([1, 4]);
    await sink.close();
  });

  test('fails at a broker that confirms QoS 2 with a PUBACK', async () => {
    const server = await scripted({
      on: ({ cmd, messageId = 0 }, connection) => {
        if (cmd === 'publish') connection.send({ cmd: 'puback', messageId });
        return cmd === 'publish';
      },
    });
    const { exact, sink } = await open(contextOf(server.url, 'a/b'));
    const error = await errorOf(exact.publish(numbered(1), false));
    expect(error).toMatchObject({ code: 'mqtt_qos_downgraded', passing: false });
    await sink.close();
  });

  test('fails when nothing is confirmed for too long', async () => {
    const server = await scripted({ on: ({ cmd }) => cmd === 'pubrel' });
    const { exact, sink } = await open(contextOf(server.url, 'a/b'), 1_000);
    await exact.publish(numbered(1), false);
    expect((await errorOf(exact.release([1]))).code).toBe('mqtt_not_answered');
    await sink.close();
  });
});

describe('reason codes of MQTT 5', () => {
  const answering = (cmd: 'publish' | 'pubrel', reasonCode: number) =>
    scripted({
      connack: { sessionPresent: true, properties: { receiveMaximum: 7 } },
      on: (packet, connection) => {
        const { messageId = 0 } = packet;
        if (packet.cmd !== cmd || messageId !== 2) return false;
        connection.send({ cmd: cmd === 'publish' ? 'pubrec' : 'pubcomp', messageId, reasonCode });
        return true;
      },
    });
  const opened = async (url: string) =>
    open(sinkContext({ url, protocolVersion: '5' }, 'a/b', 'ExactlyOnce'));

  test('refuse one message, whose identifier is free then', async () => {
    const { exact, sink } = await opened((await answering('publish', 0x87)).url);
    expect(exact.maxInFlight).toBe(7);
    expect(codesOf(await exact.publish(numbered(3), false))).toEqual([[1, 'mqtt_publish_refused']]);
    await exact.release([1, 3]);
    expect(codesOf(await exact.publish(numbered(3), true))).toEqual([[1, 'mqtt_publish_refused']]);
    await sink.close();
  });

  test('say that the broker has a message that is published again', async () => {
    const { url } = await answering('publish', 0x91);
    const first = await opened(url);
    expect(await first.exact.publish(numbered(3), true)).toEqual([]);
    await first.exact.release([1, 2, 3]);
    await first.sink.close();
    const { exact, sink } = await opened(url);
    expect((await errorOf(exact.publish(numbered(3), false))).code).toBe('mqtt_protocol_error');
    await sink.close();
  });

  test('say that a released message is long done', async () => {
    const { exact, sink } = await opened((await answering('pubrel', 0x92)).url);
    await exact.release([1, 2, 3]);
    await sink.close();
  });

  test('say that the broker is busy: the connection ends', async () => {
    const { exact, sink } = await opened((await answering('publish', 0x97)).url);
    expect(await errorOf(exact.publish(numbered(3), false))).toMatchObject({ passing: true });
    await sink.close();
  });

  test('warns of a session that the broker does not keep, and refuses one without QoS 2', async () => {
    const short = await scripted({ connack: { properties: { sessionExpiryInterval: 5 } } });
    const { warnings, warn } = recordingWarnings();
    const context = sinkContext({ url: short.url, protocolVersion: '5' }, 'a/b', 'ExactlyOnce', { warn });
    await (await open(context)).sink.close();
    expect(warnings.map(({ code, hint }) => [code, hint?.includes('twice')])).toEqual([
      ['mqtt_session_shortened', true],
    ]);
    const lower = await scripted({ connack: { properties: { maximumQoS: 1 } } });
    expect((await errorOf(opened(lower.url))).code).toBe('mqtt_qos_downgraded');
  });
});

test('publishes again what was in flight at a 3.1.1 broker that seems to take fewer now', async () => {
  const { url } = await scripted({ connack: { sessionPresent: true } });
  const { exact, sink } = await open(sinkContext({ url, protocolVersion: '3.1.1' }, 'a/b', 'ExactlyOnce'));
  expect(exact.maxInFlight).toBe(20);
  expect(await exact.publish(numbered(30), true)).toEqual([]);
  await exact.release(identifiersOf(numbered(30)));
  expect((await errorOf(exact.publish(numbered(30), false))).code).toBe('internal');
  await sink.close();
});

test('only a table with QoS 2 can be written exactly once', () => {
  const of = (qos: 'AtLeastOnce' | 'ExactlyOnce') =>
    mqtt.exactlyOnce?.({ topic: 'a', qos, type: { retain: false } });
  expect([of('AtLeastOnce'), of('ExactlyOnce')]).toEqual([false, true]);
});

test('works at aedes, over 3.1.1', async () => {
  const { url } = await aedes();
  const context = sinkContext({ url }, `out/${unique()}`, 'ExactlyOnce');
  const seen = await listen(url, context.table.topic, 4);
  const first = await open(context);
  await first.exact.publish(numbered(3), false);
  await first.kill();
  const { exact, sink } = await open(context);
  await exact.publish(numbered(3), true);
  await exact.release([1, 2, 3]);
  await until('all messages', () => seen.length >= 3);
  expect(seen.toSorted()).toEqual(names(3));
  await sink.close();
});
