import { describe, expect, test } from 'vitest';
import { mosquitto, openedSource, scripted } from '../../../../test/support/fixtures.ts';
import { checked, recordingWarnings, sourceContext } from '../../../../test/support/mqtt.ts';
import { sessionShortened } from './granted.ts';

const granting = (sessionExpiryInterval: number, more: object = {}) =>
  scripted({ connack: { properties: { sessionExpiryInterval, ...more } } });
/** Without a test message, which a scripted broker would not return. */
const quiet = { probe: 'none' } as const;
const remembered = { known: true, former: [], drain: false };

describe('a broker that keeps sessions for less time than asked', () => {
  test.each([
    [300, 'a session for 300 s, but 7 days were asked for'],
    [86_400, 'a session for 86400 s, but 7 days'],
    [0, 'no session after a disconnect, but 7 days'],
  ])('warns in the test: %i s', async (secs, words) => {
    const { url } = await granting(secs);
    const [, , step] = await checked({ url }, quiet);
    expect(step).toMatchObject({ name: 'mqtt_connect', outcome: 'warning', code: 'mqtt_session_shortened' });
    expect(step?.message).toContain(words);
    expect(step?.details).toMatchObject({
      session: { askedSecs: 604_800, grantedSecs: secs, queueLimit: expect.stringContaining('Not known') },
    });
  });

  test('warns at the job in the same words, and says how soon to connect again', async () => {
    const { url } = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'connect') return false;
        // It reports a session of a client that comes back, and has none of the task.
        const sessionPresent = packet.clientId.includes('_check_') && packet.clean === false;
        const properties = { sessionExpiryInterval: 300 };
        connection.send({ cmd: 'connack', sessionPresent, reasonCode: 0, properties });
        return true;
      },
    });
    const { warnings, warn } = recordingWarnings();
    const { source } = await openedSource(
      sourceContext({ url }, 'a/b', 'AtLeastOnce', { warn, session: remembered }),
    );
    const [shortened, lost] = warnings;
    const [, , step] = await checked({ url }, quiet);
    expect(shortened?.code).toBe('mqtt_session_shortened');
    expect(step?.message).toContain(shortened?.message);
    expect(step?.hint).toBe(shortened?.hint);
    expect(lost?.hint).toContain('asks for 7 days (sessionExpirySecs), but the broker grants 300 s');
    expect(source.session).toMatchObject({ resumed: false, keptSecs: 300 });
  });

  test('is no warning if the profile asks for that, or for a sink', async () => {
    const { url } = await granting(300);
    const asked = await checked({ url, sessionExpirySecs: 300 }, quiet);
    expect(asked[2]).toMatchObject({
      outcome: 'ok',
      details: { session: { askedSecs: 300, grantedSecs: 300 } },
    });
    const sink = await checked({ url }, { table: { topic: 'a', type: { retain: false } } });
    expect(sink[2]).toMatchObject({ outcome: 'ok' });
    expect(sink[2]?.details).not.toHaveProperty('session');
    expect(sessionShortened(300, 400)).toBeUndefined();
  });
});

test('a broker that grants all says so, and keeps no session of the test', async () => {
  const broker = await mosquitto();
  const steps = await checked({ url: broker.url });
  expect(steps[2]).toMatchObject({
    outcome: 'ok',
    details: { session: { askedSecs: 604_800, grantedSecs: 604_800 } },
  });
  const { connections, url } = await granting(300);
  await checked({ url });
  const [disconnect] = connections
    .flatMap((one) => one.of('disconnect'))
    .filter(({ properties }) => properties);
  expect(disconnect?.properties).toMatchObject({ sessionExpiryInterval: 0 });
  expect(
    connections.every(
      (one) =>
        one.of('subscribe').length === 0 || one.of('connect')[0]?.properties?.sessionExpiryInterval === 0,
    ),
  ).toBe(true);
});

test('3.1.1 does not say how long a session is kept, and the test says that', async () => {
  const { url } = await scripted();
  const [, , step] = await checked({ url, protocolVersion: '3.1.1' }, quiet);
  expect(step?.details).toMatchObject({
    session: { grantedSecs: null, note: expect.stringContaining('3.1.1') },
  });
});

test('a refused second connection does not fail the test', async () => {
  let connects = 0;
  const { url } = await scripted({
    on: (packet, connection) => {
      if (packet.cmd !== 'connect') return false;
      connects += 1;
      if (connects === 1) return false;
      connection.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x97 });
      return true;
    },
  });
  const [, , step] = await checked({ url }, quiet);
  expect(step).toMatchObject({
    outcome: 'ok',
    details: { session: { note: expect.stringContaining('quota exceeded') } },
  });
});

test('granted limits are shown beside what was asked', async () => {
  const { url } = await granting(604_800, {
    serverKeepAlive: 10,
    receiveMaximum: 5,
    maximumPacketSize: 1_000,
  });
  const [, , step] = await checked({ url }, quiet);
  expect(step?.details).toMatchObject({
    keepAliveSecs: 10,
    askedKeepAliveSecs: 30,
    receiveMaximum: 5,
    maximumPacketSize: 1_000,
  });
});
