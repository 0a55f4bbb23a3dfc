import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeAuthority, makeClient, makeServer, type Pair } from '../../../../test/support/certificates.ts';
import { answering, FaultyServer } from '../../../../test/support/faulty-server.ts';
import { mosquitto, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { Mosquitto } from '../../../../test/support/mosquitto.ts';
import { checked, failed, outline } from '../../../../test/support/mqtt.ts';
import type { Script } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { MqttProfile } from '../config/profile.ts';

let plain: Mosquitto;
let closed: Mosquitto;
let tls: Mosquitto;
let mutual: Mosquitto;
let ca: Pair;
let otherCa: Pair;
beforeAll(async () => {
  [ca, otherCa] = await Promise.all([makeAuthority(), makeAuthority('Somebody else')]);
  const server = { ca: ca.cert, ...(await makeServer(ca)) };
  const users = { ada: 'right' };
  [plain, closed, tls, mutual] = await Promise.all([
    Mosquitto.start(),
    Mosquitto.start({ users, acl: 'user ada\ntopic readwrite mine/#\n' }),
    Mosquitto.start({ tls: server }),
    Mosquitto.start({ tls: server, config: ['require_certificate true'] }),
  ]);
});
afterAll(() => Promise.all([plain, closed, tls, mutual].map((broker) => broker?.stop())));

/** The profile of a scripted broker. */
const profileOf = async (script: Script): Promise<MqttProfile> => ({ url: (await scripted(script)).url });

async function faulty(serve: Parameters<typeof FaultyServer.start>[0]): Promise<MqttProfile> {
  const server = await FaultyServer.start(serve);
  onTestFinished(async () => {
    await until('the end of the connections', () => server.open === 0);
    await server.stop();
  });
  return { url: server.url };
}

const secured = (broker: Mosquitto): string => `mqtts://127.0.0.1:${broker.port}`;

const trip = ['subscribe:ok', 'publish:ok', 'first_message:ok'];

describe('the test of a profile', () => {
  test.each(['auto', '5', '3.1.1'] as const)(
    'makes a round trip, protocol version %s',
    async (protocolVersion) => {
      const steps = await checked({ url: plain.url, protocolVersion });
      expect(outline(steps)).toEqual(['resolve:ok', 'tcp:ok', 'mqtt_connect:ok', ...trip]);
      const spoken = protocolVersion === '3.1.1' ? '3.1.1' : '5';
      expect(steps[2]?.details).toMatchObject({
        protocolVersion: spoken,
        reason: 'success',
        wildcards: true,
      });
    },
  );

  test('describes TLS and the certificate', async () => {
    const steps = await checked({ url: secured(tls), tls: { ca: ca.cert } });
    expect(outline(steps)).toEqual(['resolve:ok', 'tcp:ok', 'tls:ok', 'mqtt_connect:ok', ...trip]);
    expect(steps[2]?.details).toMatchObject({
      protocol: 'TLSv1.3',
      subject: 'CN=localhost',
      issuer: 'CN=Penstock test authority',
      names: ['DNS:localhost', 'IP Address:127.0.0.1'],
      daysToExpiry: 29,
      verified: true,
    });
  });

  test('resolves names', async () => {
    const steps = await checked({ url: `mqtt://localhost:${plain.port}` });
    expect(steps[0]).toMatchObject({ outcome: 'ok', details: { host: 'localhost' } });
    expect(failed(await checked({ url: 'mqtt://nowhere.invalid' }))).toMatchObject({
      name: 'resolve',
      code: 'name_not_resolved',
    });
  });

  test('reports that no process listens on the port, and skips the rest', async () => {
    const steps = await checked({ url: `mqtt://127.0.0.1:${await freePort()}` });
    expect(outline(steps)).toEqual([
      'resolve:ok',
      'tcp:failed:connection_refused',
      'mqtt_connect:skipped',
      'subscribe:skipped',
      'publish:skipped',
      'first_message:skipped',
    ]);
    expect(steps[1]?.hint).toContain('Check the port');
  });

  test('reports that the server is silent', async () => {
    const profile = await faulty((socket) => socket.resume());
    const steps = await checked(profile, { stepTimeoutMs: 300 });
    expect(failed(steps)).toMatchObject({ name: 'mqtt_connect', code: 'mqtt_not_answered' });
  });

  test.each([
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'HTTP'],
    ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n', 'speaks SSH'],
    ['a TLS alert', Buffer.from([0x15, 3, 1, 0, 2, 2, 40]), 'TLS'],
  ])('reports that the server responds with %s', async (_what, answer, word) => {
    const step = failed(await checked(await faulty(answering(answer, true))));
    expect(step).toMatchObject({ name: 'mqtt_connect', code: 'mqtt_not_spoken' });
    expect(step.message).toContain(word);
  });

  test('reports TLS on a plain port, and no TLS on a TLS port', async () => {
    expect(failed(await checked({ url: secured(plain) }))).toMatchObject({
      name: 'tls',
      code: 'tls_not_spoken',
    });
    const http = await faulty(answering('HTTP/1.1 400 Bad Request\r\n\r\n', true));
    const step = failed(await checked({ url: http.url.replace('mqtt:', 'mqtts:') }));
    expect(step).toMatchObject({ name: 'tls', code: 'tls_not_spoken' });
    expect(failed(await checked({ url: tls.url }))).toMatchObject({
      name: 'mqtt_connect',
      code: 'mqtt_not_spoken',
      hint: 'Use mqtts:// instead of mqtt://.',
    });
  });

  test('reports that a server closes the connection without a response', async () => {
    const step = failed(await checked(await faulty((socket) => socket.resume().end())));
    expect(step).toMatchObject({ name: 'mqtt_connect', code: 'mqtt_refused' });
  });

  test('distinguishes certificate errors', async () => {
    const expired = await mosquitto({
      tls: { ca: ca.cert, ...(await makeServer(ca, ['127.0.0.1'], -1)) },
    });
    const code = async (profile: MqttProfile) => {
      const { name, code, hint } = failed(await checked(profile));
      expect(name).toBe('tls');
      expect(hint).not.toBeNull();
      return code;
    };
    const trusted = { ca: ca.cert };
    expect(await code({ url: secured(expired), tls: trusted })).toBe('tls_certificate_expired');
    expect(await code({ url: secured(tls) })).toBe('tls_unknown_issuer');
    expect(await code({ url: secured(tls), tls: { ca: otherCa.cert } })).toBe('tls_unknown_issuer');
    expect(await code({ url: secured(tls), tls: trusted, serverName: 'other.example' })).toBe(
      'tls_name_mismatch',
    );
    expect(await code({ url: secured(mutual), tls: trusted })).toBe('tls_client_certificate_required');
    const foreign = await makeClient(otherCa);
    const refused = { ...trusted, ...foreign };
    expect(await code({ url: secured(mutual), tls: refused })).toBe('tls_client_certificate_refused');
    const torn = {
      ...trusted,
      cert: foreign.cert,
      key: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----',
    };
    expect(await code({ url: secured(mutual), tls: torn })).toBe('tls_bad_material');
  });

  test('presents a client certificate, and connects unverified if insecureSkipVerify is true', async () => {
    const known = await makeClient(ca);
    const steps = await checked({ url: secured(mutual), tls: { ca: ca.cert, ...known } });
    expect(outline(steps)).toEqual(['resolve:ok', 'tcp:ok', 'tls:ok', 'mqtt_connect:ok', ...trip]);
    const unverified = await checked({ url: secured(tls), insecureSkipVerify: true });
    expect(outline(unverified)[2]).toBe('tls:warning:tls_unknown_issuer');
    expect(outline(unverified)[3]).toBe('mqtt_connect:ok');
  });

  test.each(['5', '3.1.1'] as const)(
    'reports with MQTT %s that the user is refused, without the password',
    async (protocolVersion) => {
      const profile = { url: closed.url, protocolVersion, username: 'ada', password: 'S3cret-wrong' };
      const steps = await checked(profile);
      expect(failed(steps)).toMatchObject({ name: 'mqtt_connect', code: 'mqtt_not_authorized' });
      expect(failed(steps).hint).toContain('password');
      expect(JSON.stringify(steps)).not.toContain('S3cret');
    },
  );

  test.each([
    [0x84, 1, 'mqtt_protocol_refused'],
    [0x85, 2, 'mqtt_client_id_rejected'],
    [0x88, 3, 'mqtt_server_unavailable'],
    [0x86, 4, 'mqtt_bad_credentials'],
    [0x87, 5, 'mqtt_not_authorized'],
    [0x89, undefined, 'mqtt_server_unavailable'],
    [0x97, undefined, 'mqtt_server_unavailable'],
    [0x80, undefined, 'mqtt_refused'],
  ] as const)('translates CONNACK %i (return code %s)', async (reasonCode, returnCode, code) => {
    const profile = await profileOf({ connack: { reasonCode, returnCode: returnCode ?? 3 } });
    expect(failed(await checked({ ...profile, protocolVersion: '5' })).code).toBe(code);
    if (returnCode === undefined) return;
    expect(failed(await checked({ ...profile, protocolVersion: '3.1.1' })).code).toBe(code);
  });

  test('includes the reason string of the broker', async () => {
    const properties = { reasonString: 'come back on Monday' };
    const step = failed(await checked(await profileOf({ connack: { reasonCode: 0x89, properties } })));
    expect(step.message).toBe('The broker refused the connection: server busy (0x89): come back on Monday');
  });

  test('only warns if the broker denies the test topic', async () => {
    const profile = { url: closed.url, username: 'ada', password: 'right' };
    const steps = await checked(profile);
    expect(outline(steps)).toEqual([
      'resolve:ok',
      'tcp:ok',
      'mqtt_connect:ok',
      'subscribe:ok',
      'publish:warning:mqtt_publish_refused',
      'first_message:skipped',
    ]);
    const refusing = await profileOf({ suback: 0x87 });
    expect(outline(await checked(refusing))).toContain('subscribe:warning:mqtt_subscribe_refused');
  });

  test('publishes nothing if the probe is none', async () => {
    const steps = await checked({ url: plain.url }, { probe: 'none' });
    expect(outline(steps).slice(-2)).toEqual(['publish:skipped', 'first_message:skipped']);
  });

  test('reports an invalid URL instead of throwing', async () => {
    expect(outline(await checked({ url: 'mqtt://ada:S3cret@host' }))[0]).toBe(
      'resolve:failed:invalid_config',
    );
  });

  test('stops at once when its signal aborts, and leaves no connection', async () => {
    const profile = await faulty((socket) => socket.resume());
    const controller = new AbortController();
    const running = checked(profile, { signal: controller.signal });
    const reason = new Error('gone');
    setImmediate(() => controller.abort(reason));
    await expect(running).rejects.toBe(reason);
  });

  test('leaves nothing on the broker', async () => {
    const broker = await mosquitto();
    const watcher = await ordinaryClient(broker.url);
    const facts = new Map<string, string>();
    watcher.on('message', (topic, payload) => facts.set(topic, String(payload)));
    await watcher.subscribeAsync('$SYS/broker/#');
    for (let run = 0; run < 3; run += 1) await checked({ url: broker.url });
    await checked(
      { url: broker.url },
      { table: { topic: 'a/b', qos: 'AtLeastOnce', type: { retain: true } } },
    );
    const is = (name: string, value: string) => facts.get(`$SYS/broker/${name}`) === value;
    await until(
      'the broker to count its clients',
      () => is('clients/total', '1') && is('subscriptions/count', '1'),
    );
    const retained: string[] = [];
    watcher.on('message', (topic) => retained.push(topic));
    await watcher.subscribeAsync('#');
    await watcher.publishAsync('end', '', { qos: 1 });
    await until('the last message', () => retained.includes('end'));
    expect(retained.filter((topic) => !topic.startsWith('$SYS'))).toEqual(['end']);
  });
});
