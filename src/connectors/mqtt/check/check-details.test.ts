import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AedesBroker, startAedes } from '../../../../test/support/aedes-broker.ts';
import {
  makeAuthority,
  makeSelfSigned,
  makeServer,
  type Pair,
} from '../../../../test/support/certificates.ts';
import { aedes, faulty, mosquitto, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { Mosquitto } from '../../../../test/support/mosquitto.ts';
import { checked, outline, plainClient, targets, unique } from '../../../../test/support/mqtt.ts';
import type { Script } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { MqttProfile } from '../config/profile.ts';
import { autocomplete } from '../watch/watch.ts';

const source = (topic: string) => ({ topic, qos: 'AtLeastOnce' as const, type: {} });
const sink = (topic: string, retain = false) => ({ topic, qos: 'ExactlyOnce' as const, type: { retain } });
const silent = { probe: 'none' as const };
const trip = ['subscribe:ok', 'publish:ok', 'first_message:ok'];

describe('the details of TLS', () => {
  let ca: Pair;
  let tls: Mosquitto;
  beforeAll(async () => {
    ca = await makeAuthority();
    tls = await Mosquitto.start({ tls: { ca: ca.cert, ...(await makeServer(ca)) } });
  });
  afterAll(() => tls?.stop());
  const url = () => `mqtts://127.0.0.1:${tls.port}`;

  test('contain the chain', async () => {
    const [, , step] = await checked({ url: url(), tls: { ca: ca.cert } });
    expect(step?.details).toMatchObject({
      cipher: expect.stringMatching(/^TLS_/),
      chain: [
        { subject: 'CN=localhost', issuer: 'CN=Penstock test authority' },
        { subject: 'CN=Penstock test authority', issuer: 'CN=Penstock test authority' },
      ],
    });
  });

  test('are reported if the certificate is refused too', async () => {
    const [, , unknown] = await checked({ url: url() });
    const facts = { protocol: 'TLSv1.3', names: ['DNS:localhost', 'IP Address:127.0.0.1'], daysToExpiry: 29 };
    expect(unknown).toMatchObject({ code: 'tls_unknown_issuer', details: facts });
    const [, , other] = await checked({ url: url(), tls: { ca: ca.cert }, serverName: 'other.example' });
    expect(other).toMatchObject({ code: 'tls_name_mismatch', details: facts });
  });

  test('identify a self-signed certificate, which can be trusted explicitly', async () => {
    const self = await makeSelfSigned();
    const broker = await aedes(self);
    const [, , step] = await checked({ url: broker.url });
    expect(step).toMatchObject({
      code: 'tls_self_signed',
      hint: expect.stringContaining('tls.ca'),
      details: { subject: 'CN=localhost', issuer: 'CN=localhost' },
    });
    const trusted = await checked({ url: broker.url, tls: { ca: self.cert }, serverName: 'localhost' });
    expect(outline(trusted)[2]).toBe('tls:ok');
  });

  test('are missing if the port is silent', async () => {
    const silent = await faulty((socket) => socket.resume());
    const steps = await checked({ url: silent.url.replace('mqtt', 'mqtts') }, { stepTimeoutMs: 300 });
    expect(outline(steps)[2]).toBe('tls:failed:connection_timeout');
  });
});

describe('the details of the login', () => {
  test('contain the limits of the broker', async () => {
    const properties = {
      sessionExpiryInterval: 60,
      receiveMaximum: 10,
      maximumQoS: 1 as unknown as number,
      retainAvailable: false,
      wildcardSubscriptionAvailable: false,
      sharedSubscriptionAvailable: false,
      subscriptionIdentifiersAvailable: false,
      maximumPacketSize: 1_000,
      assignedClientIdentifier: 'chosen',
      serverKeepAlive: 7,
      topicAliasMaximum: 3,
    };
    const { url } = await scripted({ connack: { properties } as Script['connack'] & object });
    const step = (await checked({ url, sessionExpirySecs: 60 }, silent)).find(
      ({ name }) => name === 'mqtt_connect',
    );
    expect(step).toMatchObject({
      outcome: 'ok',
      details: {
        protocolVersion: '5',
        reasonCode: 0,
        reason: 'success',
        clientId: 'chosen',
        clientIdAssigned: true,
        sessionPresent: false,
        sessionExpirySecs: 60,
        receiveMaximum: 10,
        maximumQos: 1,
        retain: false,
        wildcards: false,
        shared: false,
        subscriptionIdentifiers: false,
        maximumPacketSize: 1_000,
        keepAliveSecs: 7,
        topicAliasMaximum: 3,
        limitsFrom: 'broker',
      },
    });
  });

  test('contain the reason of a refusal as a number and in words', async () => {
    const { url } = await scripted({ connack: { reasonCode: 0x86 } });
    const step = (await checked({ url })).find(({ name }) => name === 'mqtt_connect');
    expect(step?.details).toEqual({ reasonCode: 0x86, reason: 'bad user name or password' });
  });
});

describe('a last will', () => {
  test('is not left by a test', async () => {
    const server = await scripted({});
    await checked({ url: server.url, will: { topic: 'gone' } }, silent);
    const [packet] = server.connection.of('connect');
    expect(packet?.will).toBeUndefined();
  });

  test('that the broker would refuse is a warning', async () => {
    const { url } = await scripted({
      connack: { properties: { maximumQoS: 1, retainAvailable: false } } as object,
    });
    const loud = { topic: 'gone', qos: 'ExactlyOnce' as const };
    expect(outline(await checked({ url, will: loud }, silent))).toContain(
      'mqtt_connect:warning:mqtt_will_refused',
    );
    const kept = { topic: 'gone', retain: true };
    expect(outline(await checked({ url, will: kept }, silent))).toContain(
      'mqtt_connect:warning:mqtt_will_refused',
    );
    expect(outline(await checked({ url, will: { topic: 'gone' } }, silent))).toContain('mqtt_connect:ok');
  });
});

describe('a list of servers', () => {
  test('is tested one by one, and continues with the first that works', async () => {
    const good = await scripted({});
    const refusing = await scripted({ connack: { reasonCode: 0x88 } });
    const closed = `mqtt://127.0.0.1:${await freePort()}`;
    const steps = await checked({ url: `${closed},${good.url},${refusing.url}` }, { table: sink('a') });
    expect(outline(steps)).toEqual([
      'resolve:ok',
      'tcp:warning:connection_refused',
      ...['resolve:ok', 'tcp:ok', 'mqtt_connect:ok'],
      ...['resolve:ok', 'tcp:ok', 'mqtt_connect:warning:mqtt_server_unavailable'],
      'publish:ok',
    ]);
    expect(steps.map(({ details }) => details.server)).toEqual([
      ...[closed, closed],
      ...[good.url, good.url, good.url],
      ...[refusing.url, refusing.url, refusing.url],
      undefined,
    ]);
  });

  test('fails if no server works', async () => {
    const closed = [await freePort(), await freePort()].map((port) => `mqtt://127.0.0.1:${port}`);
    expect(outline(await checked({ url: closed.join(',') }, { table: sink('a') }))).toEqual([
      ...['resolve:ok', 'tcp:warning:connection_refused'],
      ...['resolve:ok', 'tcp:failed:connection_refused', 'mqtt_connect:skipped'],
      'publish:skipped',
    ]);
  });
});

describe('a message', () => {
  test('that is larger than the broker accepts is not sent', async () => {
    const server = await scripted({ connack: { properties: { maximumPacketSize: 40 } } });
    const steps = await checked({ url: server.url }, { table: sink('a') });
    expect(outline(steps).at(-1)).toBe('publish:failed:mqtt_packet_too_large');
    expect(steps.at(-1)?.details).toMatchObject({ maximumPacketSize: 40 });
    expect(server.connection.of('publish')).toEqual([]);
  });

  test('that the broker refuses as too large is reported', async () => {
    const { url } = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'publish') return false;
        connection.send({ cmd: 'disconnect', reasonCode: 0x95 });
        return true;
      },
    });
    const steps = await checked({ url }, { table: { ...sink('a'), qos: 'AtLeastOnce' } });
    expect(outline(steps).at(-1)).toBe('publish:failed:mqtt_packet_too_large');
  });

  test('that is larger than maxPacketSize is refused if the broker sends it anyway', async () => {
    const broker = await aedes();
    const topic = unique();
    const client = await plainClient(broker.url, { protocolVersion: 4 });
    await client.publishAsync(topic, Buffer.alloc(500), { qos: 1, retain: true });
    await client.endAsync();
    const steps = await checked({ url: broker.url, maxPacketSize: 100 }, { table: source(topic) });
    expect(outline(steps)).toContain('first_message:failed:mqtt_packet_too_large');
  });

  test('is published at the QoS that the broker offers, with a warning, but not instead of a retained one', async () => {
    const { url } = await scripted({
      connack: { properties: { maximumQoS: 1, retainAvailable: false } } as object,
    });
    const lowered = await checked({ url }, { table: sink('a') });
    expect(lowered.at(-1)).toMatchObject({
      outcome: 'warning',
      code: 'mqtt_qos_downgraded',
      details: { asked: 2, qos: 1 },
    });
    const kept = await checked({ url }, { table: sink('a', true) });
    expect(outline(kept).at(-1)).toBe('publish:failed:mqtt_publish_refused');
  });

  test('that is denied with 3.1.1 is not reported by the broker, and does not arrive', async () => {
    const broker = await mosquitto({ acl: 'topic read #\n' });
    const table = { table: { ...sink('a'), qos: 'AtLeastOnce' as const } };
    const five = await checked({ url: broker.url }, table);
    expect(outline(five).at(-1)).toBe('publish:failed:mqtt_publish_refused');
    expect(five.at(-1)?.details).toMatchObject({ reasonCode: 0x87, reason: 'not authorized' });
    const older = await checked({ url: broker.url, protocolVersion: '3.1.1' }, table);
    expect(older.at(-1)).toMatchObject({ code: 'mqtt_no_message', details: { arrived: false } });
  });
});

describe('a 3.1.1 broker', () => {
  let broker: AedesBroker;
  beforeAll(async () => {
    broker = await startAedes();
  });
  afterAll(() => broker?.stop());

  test('is detected, and the hint names what it cannot report', async () => {
    const steps = await checked({ url: broker.url });
    expect(outline(steps)).toEqual(['resolve:ok', 'tcp:ok', 'mqtt_connect:ok', ...trip]);
    expect(steps[2]).toMatchObject({
      message: 'Logged in with MQTT 3.1.1, because the broker does not support MQTT 5',
      hint: expect.stringContaining('cannot report'),
      details: { protocolVersion: '3.1.1', limitsFrom: 'protocol version' },
    });
    const five = await checked({ url: broker.url, protocolVersion: '5' });
    expect(outline(five)[2]).toBe('mqtt_connect:failed:mqtt_protocol_refused');
    expect(five[2]?.hint).toContain('protocolVersion');
  });

  test('is tested for shared subscriptions by using one', async () => {
    const table = { topic: `$share/team/${unique()}`, type: {} };
    const request = { table, last: 'subscribe' };
    const without = await checked({ url: broker.url }, request);
    expect(outline(without).slice(3, 5)).toEqual(['shared:warning:mqtt_shared_unsupported', 'subscribe:ok']);
    const asked = await checked({ url: broker.url }, { ...request, probe: 'none' });
    expect(outline(asked)[3]).toBe('shared:skipped');
    const other = await mosquitto();
    const within = await checked({ url: other.url, protocolVersion: '3.1.1' }, request);
    expect(outline(within).slice(3, 5)).toEqual(['shared:ok', 'subscribe:ok']);
    expect(outline(await checked({ url: other.url }, request))[3]).toBe('subscribe:ok');
  });

  test('passes table tests', async () => {
    const topic = unique();
    const client = await ordinaryClient(broker.url, { protocolVersion: 4 });
    await client.publishAsync(`${topic}/x`, '{"a": 1}', { qos: 1, retain: true });
    const schema = { format: { type: 'json' as const }, fields: [{ name: 'a', type: 'int64' as const }] };
    const read = await checked({ url: broker.url }, { table: source(`${topic}/+`), schema });
    expect(outline(read).slice(3)).toEqual(['subscribe:ok', 'first_message:ok', 'decode:ok']);
    const written = await checked({ url: broker.url }, { table: sink(`${topic}/y`) });
    expect(outline(written).slice(3)).toEqual(['publish:ok']);
    const { signal } = new AbortController();
    const { topic: topics } = await autocomplete({ profile: { url: broker.url }, targets, signal });
    expect(topics).toContain(`${topic}/x`);
  });
});

describe('the broker', () => {
  const connected = async (profile: MqttProfile) =>
    (await checked(profile, { probe: 'none', last: 'mqtt_connect' })).find(
      ({ name }) => name === 'mqtt_connect',
    )?.details;
  const saying =
    (payload: string): Script['on'] =>
    (packet, connection) => {
      if (packet.cmd === 'subscribe' && packet.subscriptions[0]?.topic === '$SYS/broker/version')
        connection.send({
          ...{ cmd: 'publish', topic: '$SYS/broker/version', payload: Buffer.from(payload) },
          ...{ qos: 0, dup: false, retain: true },
        });
      return false;
    };

  test.each(['5', '3.1.1'] as const)(
    'is named with its version where it says it, over MQTT %s',
    async (protocolVersion) => {
      const { url } = await mosquitto();
      // A test does not wait long for it.
      const named = () => connected({ url, protocolVersion }).then((details) => details?.broker);
      expect(await until('it to be named', named)).toEqual({
        version: expect.stringMatching(/^mosquitto version \d/),
        from: '$SYS/broker/version',
      });
    },
  );

  test('is not named if it says nothing, refuses to, or does not respond', async () => {
    const forbidden = await mosquitto({ acl: 'topic readwrite penstock/#\n' });
    expect(await connected({ url: forbidden.url })).not.toHaveProperty('broker');
    for (const script of [{}, { suback: 0x80 }, { on: saying('') }]) {
      const { url } = await scripted(script);
      expect(await connected({ url })).not.toHaveProperty('broker');
    }
    const silent = await scripted({ on: ({ cmd }) => cmd === 'subscribe' });
    expect(await connected({ url: silent.url })).not.toHaveProperty('broker');
    const closing = await scripted({
      on: (packet, { socket }) => {
        if (packet.cmd === 'subscribe') socket.end();
        return packet.cmd === 'subscribe';
      },
    });
    expect(await connected({ url: closing.url })).toMatchObject({ protocolVersion: '5' });
  });

  test('has its words shown on one line, and no more than fits', async () => {
    const long = await scripted({ on: saying(`Acme\u001b[31m\n${'x'.repeat(5_000)}`) });
    const { broker } = (await connected({ url: long.url })) ?? {};
    expect(broker).toMatchObject({ version: expect.stringMatching(/^Acme \[31m x{1,190}$/) });
    const userProperties = { vendor: 'Acme\r\nBroker', edition: ['a', 'b'], long: 'y'.repeat(900) };
    const { url } = await scripted({ connack: { properties: { userProperties } } });
    expect((await connected({ url, protocolVersion: '5' }))?.userProperties).toEqual({
      vendor: 'Acme Broker',
      edition: 'a, b',
      long: 'y'.repeat(200),
    });
  });
});
