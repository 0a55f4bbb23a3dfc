import type { Packet } from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { openedSink, openedSource, scripted } from '../../../../test/support/fixtures.ts';
import {
  checked,
  errorOf,
  messages,
  Reader,
  sinkContext,
  sourceContext,
  targets,
} from '../../../../test/support/mqtt.ts';
import type { Script, ScriptedConnection } from '../../../../test/support/scripted-broker.ts';
import type { MqttProfile } from '../config/profile.ts';
import { connect } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';

const versions = ['5', '3.1.1'] as const;
const source = { topic: 'plant/#', qos: 'AtLeastOnce' as const, type: {} };
const sink = (qos: 'AtLeastOnce' | 'ExactlyOnce' = 'AtLeastOnce') => ({
  topic: 'alerts',
  qos,
  type: { retain: false },
});
const silentAt =
  (cmd: Packet['cmd']): Script['on'] =>
  (packet) =>
    packet.cmd === cmd;
const closesAt =
  (cmd: Packet['cmd']): Script['on'] =>
  (packet, { socket }) => {
    if (packet.cmd === cmd) socket.end();
    return packet.cmd === cmd;
  };
const sends =
  (cmd: Packet['cmd'], bytes: (id: number) => number[]): Script['on'] =>
  (packet, { socket }) => {
    if (packet.cmd === cmd) socket.write(Buffer.from(bytes(packet.messageId ?? 0)));
    return packet.cmd === cmd;
  };

type Odd = (connection: ScriptedConnection, id: number) => void;
const raw =
  (bytes: (id: number) => number[]): Odd =>
  ({ socket }, id) =>
    void socket.write(Buffer.from(bytes(id)));

/** The text and code of one step of the test of a scripted broker. */
async function step(
  name: string,
  on: Script['on'],
  profile: Partial<MqttProfile>,
  table?: typeof source,
  stepTimeoutMs = 30_000,
) {
  const { url } = await scripted({ on });
  const request = { ...(table ? { table } : {}), stepTimeoutMs, last: name };
  const steps = await checked({ url, ...profile }, request);
  const found = steps.find((one) => one.name === name);
  const text = `${found?.message} ${found?.hint}`;
  expect(text).not.toMatch(/firewall|same client id|Check the address/);
  return { outcome: found?.outcome, code: found?.code, text, details: found?.details };
}

describe.each(versions)('a broker of MQTT %s that is silent', (protocolVersion) => {
  const profile = { protocolVersion };

  test('at CONNECT is told from an unreachable one', async () => {
    const { code, text } = await step('mqtt_connect', silentAt('connect'), profile, undefined, 400);
    expect(code).toBe('mqtt_not_answered');
    expect(text).toContain(`CONNECT of MQTT ${protocolVersion} within 400 ms`);
    expect(text.includes('set protocolVersion')).toBe(protocolVersion === '5');
  });

  test('at SUBSCRIBE: the topic, the QoS and what it means', async () => {
    const { outcome, code, text } = await step('subscribe', silentAt('subscribe'), profile, source, 400);
    expect({ outcome, code }).toEqual({ outcome: 'failed', code: 'mqtt_not_answered' });
    expect(text).toContain('did not respond to SUBSCRIBE of plant/# at QoS 1 within 400 ms');
    expect(text).toContain('access rules');
    expect((await step('subscribe', silentAt('subscribe'), profile, undefined, 400)).outcome).toBe('warning');
  });

  test('at PUBLISH and at PUBREL', async () => {
    const published = await step('publish', silentAt('publish'), profile, sink() as never, 400);
    expect(published).toMatchObject({ outcome: 'failed', code: 'mqtt_not_answered' });
    expect(published.text).toContain('did not respond to PUBLISH of alerts at QoS 1');
    expect(published.text).toContain('may not write');
    const released = await step('publish', silentAt('pubrel'), profile, sink('ExactlyOnce') as never, 400);
    expect(released.text).toContain('PUBREL, which completes a QoS 2 message to alerts');
    expect(released.text).toContain('AtLeastOnce');
  });

  test('is described to a job in the same words', async () => {
    const silent = await scripted({ on: silentAt('subscribe') });
    const opened = openedSource(
      sourceContext({ url: silent.url, protocolVersion, connectTimeoutMs: 300 }, 'plant/#'),
    );
    const error = await errorOf(opened);
    expect(error).toMatchObject({ code: 'mqtt_not_answered', passing: true });
    expect(error.message).toContain('did not respond to SUBSCRIBE of plant/# at QoS 1 within 300 ms');
    expect(error.hint).toContain('access rules');
  });

  test('at UNSUBSCRIBE is named when it closes the connection', async () => {
    const closing = await scripted({ on: closesAt('unsubscribe') });
    const former = { topic: 'old/#', type: {} };
    const session = { known: true, former: [former], drain: false };
    const context = sourceContext({ url: closing.url, protocolVersion }, 'plant/#', 'AtLeastOnce', {
      session,
    });
    // The source reads what is queued before it unsubscribes, so it is open by then.
    const { source } = await openedSource(context);
    expect(await new Reader(source).failure()).toMatchObject({
      code: 'connection_lost',
      message: 'The broker closed the connection at UNSUBSCRIBE of old/#',
      passing: true,
    });
  });
});

describe.each(versions)('a broker of MQTT %s that closes the connection', (protocolVersion) => {
  const profile = { protocolVersion };

  test.each([
    ['subscribe', 'subscribe', source, 'at SUBSCRIBE of plant/# at QoS 1'],
    ['publish', 'publish', sink(), 'at PUBLISH of alerts at QoS 1'],
    ['pubrel', 'publish', sink('ExactlyOnce'), ''],
  ] as const)('at %s: what was asked last', async (cmd, name, table, expected) => {
    const { code, text } = await step(name, closesAt(cmd), profile, table as never);
    if (cmd === 'pubrel' && protocolVersion === '3.1.1') return expect(code).toBe('mqtt_qos_downgraded');
    expect(code).toBe('connection_lost');
    expect(text).toContain(`closed the connection ${expected || 'at PUBREL'}`);
    return expect(text.includes('MQTT 3.1.1 has no way')).toBe(protocolVersion === '3.1.1');
  });

  test('after the subscription was granted', async () => {
    const script: Script['on'] = (packet, connection) => {
      if (packet.cmd !== 'subscribe') return false;
      connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [1] });
      connection.socket.end();
      return true;
    };
    const { text } = await step('first_message', script, profile, source);
    expect(text).toContain('closed the connection after SUBSCRIBE of plant/# at QoS 1');
  });

  test('is described to a job in the same words', async () => {
    const closing = await scripted({ on: closesAt('publish') });
    const writer = await openedSink(
      sinkContext({ url: closing.url, protocolVersion }, 'alerts', 'AtLeastOnce', { retain: true }),
    );
    const error = await errorOf(writer.write(messages(1)));
    expect(error).toMatchObject({ code: 'connection_lost', passing: true });
    expect(error.message).toBe('The broker closed the connection at PUBLISH of alerts at QoS 1, retained');
    expect(error.hint).toContain('retained message');
  });
});

describe('a code that the MQTT version does not have', () => {
  test.each([
    ['3.1.1', 0x8f, 'topic filter invalid (0x8F)'],
    ['3.1.1', 0x87, 'not authorized (0x87)'],
    ['3.1.1', 0xa2, 'wildcard subscriptions not supported (0xA2)'],
    ['5', 0x8c, 'bad authentication method (0x8C)'],
    ['5', 0x95, 'packet too large (0x95)'],
  ] as const)('in a SUBACK of MQTT %s is read as what it means: %i', async (protocolVersion, code, words) => {
    const suback = (id: number) =>
      protocolVersion === '5' ? [0x90, 4, id >> 8, id & 255, 0, code] : [0x90, 3, id >> 8, id & 255, code];
    const found = await step('subscribe', sends('subscribe', suback), { protocolVersion }, source);
    expect(found).toMatchObject({ code: 'mqtt_subscribe_refused', details: { reasonCode: code } });
    expect(found.text).toContain(words);
  });

  test.each([
    ['5', [0xe0, 2, 0x87, 0], 'mqtt_subscribe_refused'],
    ['5', [0xe0, 1, 0x8f], 'mqtt_subscribe_refused'],
    ['5', [0xe0, 2, 0x9e, 0], 'mqtt_shared_unsupported'],
    ['3.1.1', [0xe0, 1, 0x8f], 'mqtt_subscribe_refused'],
    ['3.1.1', [0xe0, 2, 0x87, 0], 'mqtt_subscribe_refused'],
    ['3.1.1', [0xe0, 0], 'connection_lost'],
  ] as const)('a DISCONNECT of MQTT %s instead of SUBACK: %j', async (protocolVersion, bytes, code) => {
    const found = await step(
      'subscribe',
      sends('subscribe', () => [...bytes]),
      { protocolVersion },
      source,
    );
    expect(found.code).toBe(code);
    expect(found.text).toContain('plant/#');
  });

  test.each([
    [0x87, 'mqtt_publish_refused'],
    [0x90, 'mqtt_publish_refused'],
    [0x95, 'mqtt_packet_too_large'],
    [0x9a, 'mqtt_publish_refused'],
  ])('a DISCONNECT instead of PUBACK: %i', async (reason, code) => {
    const found = await step(
      'publish',
      sends('publish', () => [0xe0, 2, reason, 0]),
      {},
      sink() as never,
    );
    expect(found.code).toBe(code);
    expect(found.text).toContain('alerts');
  });

  test('a DISCONNECT instead of CONNACK, with codes that a DISCONNECT does not have', async () => {
    for (const [reason, code] of [
      [0x87, 'mqtt_not_authorized'],
      [0x86, 'mqtt_bad_credentials'],
      [0x84, 'mqtt_protocol_refused'],
    ] as const) {
      const on = sends('connect', () => [0xe0, 2, reason, 0]);
      expect((await step('mqtt_connect', on, { protocolVersion: '5' })).code).toBe(code);
    }
  });
});

test.each([
  ['subscribe', 0x87, 'access rules'],
  ['subscribe', 0x8f, 'does not take this filter'],
  ['subscribe', 0x97, 'number of subscriptions'],
  ['subscribe', 0xa2, 'without + and #'],
  ['publish', 0x87, 'access rules'],
  ['publish', 0x90, 'that the broker takes'],
  ['publish', 0x97, 'limit of messages'],
  ['publish', 0x99, 'checks payloads'],
] as const)('a %s refused with %i has a hint of its own', async (cmd, code, words) => {
  const [type, tail] = cmd === 'subscribe' ? [0x90, [0, code]] : [0x40, [code, 0]];
  const response = (id: number) => [type, 4, id >> 8, id & 255, ...tail];
  const table = cmd === 'subscribe' ? source : (sink() as never);
  expect((await step(cmd, sends(cmd, response), { protocolVersion: '5' }, table)).text).toContain(words);
});

test('a job names the PUBREL that is not answered, and what to do about a violation', async () => {
  const opened = async (on: Script['on']) =>
    errorOf(
      (
        await openedSink(sinkContext({ url: (await scripted({ on })).url }, 'alerts', 'ExactlyOnce'), 600)
      ).write(messages(1)),
    );
  const silent = await opened(silentAt('pubrel'));
  expect(silent.message).toContain('PUBREL, which completes a QoS 2 message to alerts');
  expect(silent.hint).toContain('AtLeastOnce');
  const wrong = await opened((packet, connection) => {
    if (packet.cmd === 'publish') connection.send({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 });
    return packet.cmd === 'publish';
  });
  expect(wrong).toMatchObject({ code: 'mqtt_protocol_error', hint: expect.stringContaining('Update it') });
});

test('every reason of MQTT 5 in a CONNACK has its words and a hint', async () => {
  const reasons = [
    128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 140, 144, 149, 151, 153, 154, 155, 156, 157, 159,
  ];
  for (const reasonCode of [...reasons, 142, 199]) {
    const properties = reasonCode === 156 ? { serverReference: 'b.example:1883' } : {};
    const { url } = await scripted({ connack: { reasonCode, properties } });
    const [, , found] = await checked({ url, protocolVersion: '5' });
    expect(found?.details).toMatchObject({ reasonCode });
    expect(found?.hint).toBeTruthy();
    expect(found?.message.includes('unknown reason')).toBe(reasonCode === 199);
    if (reasonCode === 156) expect(found?.message).toContain('It names b.example:1883');
  }
});

test('a client id that 3.1.1 refuses may have other reasons, which the hint names', async () => {
  const { url } = await scripted({ connack: { returnCode: 2 } });
  const [, , found] = await checked({ url, protocolVersion: '3.1.1' });
  expect(found?.code).toBe('mqtt_client_id_rejected');
  expect(found?.hint).toMatch(/23 characters.*keepAliveSecs/);
});

describe('auto', () => {
  /** Ignores the first `silent` connections of MQTT 5, or all of them. */
  const deafTo5 = async (silent = Number.POSITIVE_INFINITY) => {
    const seen: number[] = [];
    const on: Script['on'] = (packet) => {
      if (packet.cmd !== 'connect') return false;
      const version = packet.protocolVersion ?? 4;
      seen.push(version);
      return version === 5 && seen.filter((one) => one === 5).length <= silent;
    };
    const { url } = await scripted({ on });
    return { url, seen };
  };
  const connecting = (url: string) =>
    connect({
      ...probeClient({ profile: { url, connectTimeoutMs: 300 }, targets }),
      signal: new AbortController().signal,
    });

  test('tries 3.1.1 once after silence at MQTT 5, and the test says so', async () => {
    const { url, seen } = await deafTo5();
    const [, , found] = await checked({ url }, { stepTimeoutMs: 600 });
    expect(found).toMatchObject({ name: 'mqtt_connect', outcome: 'ok' });
    expect(found?.message).toContain('3.1.1, because the broker did not respond to a CONNECT of MQTT 5');
    // The third client reads the version of the broker.
    expect(seen).toEqual([5, 4, 4]);
  });

  test('remembers it once a second CONNECT of MQTT 5 was ignored too', async () => {
    const { url, seen } = await deafTo5();
    expect((await connecting(url)).version).toBe(4);
    expect(seen).toEqual([5, 4, 5]);
    expect((await connecting(url)).version).toBe(4);
    expect(seen).toEqual([5, 4, 5, 4]);
  });

  test('uses MQTT 5 if the broker was only slow', async () => {
    const { url, seen } = await deafTo5(1);
    expect((await connecting(url)).version).toBe(5);
    expect(seen).toEqual([5, 4, 5, 5]);
  });

  test('reports silence at both versions', async () => {
    const { url } = await scripted({ on: silentAt('connect') });
    const steps = await checked({ url }, { stepTimeoutMs: 400 });
    expect(steps[2]?.message).toBe('The server did not respond to CONNECT of MQTT 5 or 3.1.1 within 400 ms');
    expect(steps[2]?.hint).not.toContain('firewall');
  });
});

describe('a broker that sends what MQTT does not allow', () => {
  const connack = { cmd: 'connack', sessionPresent: false, reasonCode: 0, returnCode: 0 } as const;

  test.each([
    ['two CONNACKs', 'connect', (c) => c.send(connack, connack), 'subscribe', 'duplicate CONNACK'],
    ['no code', 'subscribe', raw((id) => [0x90, 3, id >> 8, id & 255, 0]), 'subscribe', '0 codes for one'],
    [
      'two codes',
      'subscribe',
      raw((id) => [0x90, 5, id >> 8, id & 255, 0, 1, 1]),
      'subscribe',
      '2 codes for one',
    ],
    ['AUTH', 'subscribe', raw(() => [0xf0, 2, 0x18, 0]), 'subscribe', 'enhanced authentication'],
    [
      'an unknown code',
      'publish',
      raw((id) => [0x40, 4, id >> 8, id & 255, 0xee, 0]),
      'publish',
      'reason code',
    ],
    ['an unknown packet', 'subscribe', raw(() => [0, 0]), 'subscribe', 'Not supported'],
  ] as [string, Packet['cmd'], Odd, string, string][])(
    'is named at once: %s',
    async (_what, cmd, odd, name, words) => {
      const on: Script['on'] = (packet, connection) => {
        if (packet.cmd === cmd) odd(connection, packet.messageId ?? 0);
        return packet.cmd === cmd;
      };
      const found = await step(name, on, { protocolVersion: '5' });
      expect(found.code).toBe('mqtt_protocol_error');
      expect(found.text).toContain(words);
      expect(found.text).toContain('Update it');
    },
  );

  test('is no cause for a warning if it grants more than asked, or has no subscriber', async () => {
    const granting = await step(
      'subscribe',
      sends('subscribe', (id) => [0x90, 4, id >> 8, id & 255, 0, 2]),
      { protocolVersion: '5' },
    );
    expect(granting).toMatchObject({ outcome: 'ok', code: null });
    const alone = sends('publish', (id) => [0x40, 4, id >> 8, id & 255, 0x10, 0]);
    expect((await step('publish', alone, { protocolVersion: '5' })).text).toContain('nobody has subscribed');
  });

  test('asks for more than a password', async () => {
    const auth = await step(
      'mqtt_connect',
      sends('connect', () => [0xf0, 2, 0x18, 0]),
      { protocolVersion: '5' },
    );
    expect(auth.code).toBe('mqtt_not_authorized');
    expect(auth.text).toContain('enhanced authentication (AUTH)');
  });

  test('has its words shown on one line, and the server that it names', async () => {
    const properties = { serverReference: 'b.example:1883', reasonString: 'gone\n\u001b[31m\u202Eaway' };
    const on: Script['on'] = (packet, connection) => {
      if (packet.cmd === 'subscribe') connection.send({ cmd: 'disconnect', reasonCode: 0x9d, properties });
      return packet.cmd === 'subscribe';
    };
    const { text } = await step('subscribe', on, { protocolVersion: '5' });
    expect(text).toContain('server moved (0x9D): gone [31m away');
    expect(text).toContain('It names b.example:1883');
  });

  test('closes the connection at once, though it has accepted it', async () => {
    const on: Script['on'] = (packet, connection) => {
      if (packet.cmd !== 'connect') return false;
      connection.send(connack);
      connection.socket.end();
      return true;
    };
    const { code, text } = await step('subscribe', on, { protocolVersion: '3.1.1' });
    expect(code).toBe('connection_lost');
    expect(text).toContain('accepted the connection and closed it at once');
  });
});
