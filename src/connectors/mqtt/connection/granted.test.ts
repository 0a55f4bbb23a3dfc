import { describe, expect, test } from 'vitest';
import { mosquitto, openedSink, openedSource, scripted } from '../../../../test/support/fixtures.ts';
import { checked, recordingWarnings, sinkContext, sourceContext } from '../../../../test/support/mqtt.ts';
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

describe('a broker that grants less than asked', () => {
  const limits = {
    serverKeepAlive: 3_600,
    receiveMaximum: 1,
    maximumPacketSize: 5_000,
    maximumQoS: 1,
    retainAvailable: false,
    wildcardSubscriptionAvailable: false,
    sharedSubscriptionAvailable: false,
  };
  const profile = { maxPacketSize: 100_000, keepAliveSecs: 20 };
  const source = { topic: 'a/b', qos: 'AtLeastOnce' as const, type: { retained: 'when_new' as const } };
  const sink = { topic: 'a/b', qos: 'AtLeastOnce' as const, type: { retain: false } };
  const connected = async (url: string, table?: object, more: object = profile) =>
    (
      await checked(
        { url, ...more },
        { ...quiet, last: 'mqtt_connect', ...(table ? { table: table as never } : {}) },
      )
    )[2];

  test('shows each limit as asked and granted in the test, as far as the table needs it', async () => {
    const { url } = await granting(604_800, limits);
    expect((await connected(url))?.details.lessened).toEqual({
      keepAliveSecs: { asked: 20, granted: 3_600 },
      receiveMaximum: { asked: 65_535, granted: 1 },
      maximumPacketSize: { asked: 100_000, granted: 5_000 },
      maximumQos: { asked: 2, granted: 1 },
      retain: { asked: true, granted: false },
      wildcards: { asked: true, granted: false },
      shared: { asked: true, granted: false },
    });
    const { details } = (await connected(url, sink)) ?? {};
    expect(Object.keys(details?.lessened as object)).toEqual([
      'receiveMaximum',
      'maximumPacketSize',
      'keepAliveSecs',
    ]);
    const { url: generous } = await granting(604_800);
    expect(await connected(generous)).toMatchObject({ outcome: 'ok', details: { lessened: {} } });
  });

  test.each([
    ['a profile', undefined, [/packets of 5000 bytes, but 100000/, /keep-alive to 3600 s, but 20 s/]],
    ['a source', source, [/packets of 5000/, /keep-alive to 3600 s/, /keeps no retained messages, but a\/b/]],
    ['a sink', sink, [/packets of 5000/, /keep-alive to 3600 s/]],
  ])('warns in the test of %s', async (_what, table, words) => {
    const { url } = await granting(604_800, limits);
    const step = await connected(url, table);
    expect(step).toMatchObject({ outcome: 'warning', code: 'mqtt_grant_lessened' });
    for (const one of words) expect(step?.message).toMatch(one);
    expect(/retained/.test(step?.message ?? '')).toBe(words.length === 3);
    expect(step?.hint).toContain('set maxPacketSize to 5000 to accept it');
  });

  test('warns along with a shorter session, and not of what costs speed only', async () => {
    const { url } = await granting(300, { serverKeepAlive: 60 });
    const both = await connected(url, source, {});
    expect(both?.code).toBe('mqtt_session_shortened');
    expect(both?.message).toMatch(/session for 300 s.*keep-alive to 60 s, but 30 s/);
    const { url: slow } = await granting(604_800, { serverKeepAlive: 5, receiveMaximum: 1 });
    expect(await connected(slow, source, {})).toMatchObject({ outcome: 'ok', code: null });
  });

  test('warns the job in the same words, a source and a sink', async () => {
    const { url } = await granting(604_800, limits);
    const { warnings, warn } = recordingWarnings();
    await openedSource({
      ...sourceContext({ url, ...profile }, 'a/b', 'AtLeastOnce', { warn }),
      table: source,
    });
    const step = await connected(url, source);
    expect(warnings[0]?.code).toBe('mqtt_grant_lessened');
    expect(step?.message).toContain(warnings[0]?.message);
    const of = recordingWarnings();
    await openedSink(sinkContext({ url, ...profile }, 'a/b', 'AtLeastOnce', { warn: of.warn }));
    expect(of.warnings.map(({ code }) => code)).toEqual(['mqtt_grant_lessened']);
    const { url: old } = await scripted();
    const none = recordingWarnings();
    await openedSink(
      sinkContext({ url: old, protocolVersion: '3.1.1', ...profile }, 'a/b', 'AtLeastOnce', {
        warn: none.warn,
      }),
    );
    expect(none.warnings).toEqual([]);
  });
});
