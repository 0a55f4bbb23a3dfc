import { createPrivateKey } from 'node:crypto';
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeAuthority, makeClient, makeServer, type Pair } from '../../../../test/support/certificates.ts';
import { aedes, openedSink, openedSource } from '../../../../test/support/fixtures.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { accepts, Mosquitto } from '../../../../test/support/mosquitto.ts';
import {
  ackAll,
  checked,
  outline,
  sinkContext,
  sourceContext,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import type { MqttProfile } from '../config/profile.ts';
import { openSource } from '../source/source.ts';

let ca: Pair;
let server: Pair;
beforeAll(async () => {
  ca = await makeAuthority();
  server = await makeServer(ca);
});

const trip = ['subscribe:ok', 'publish:ok', 'first_message:ok'];

describe('MQTT over WebSocket', () => {
  let broker: Mosquitto;
  let plain: MqttProfile;
  let secure: MqttProfile;
  beforeAll(async () => {
    const [plainPort, securePort] = [await freePort(), await freePort()];
    broker = await Mosquitto.start({
      files: { 'ws-cert.pem': server.cert, 'ws-key.pem': server.key },
      config: [
        `listener ${plainPort} 127.0.0.1`,
        'protocol websockets',
        `listener ${securePort} 127.0.0.1`,
        'protocol websockets',
        'certfile {dir}/ws-cert.pem',
        'keyfile {dir}/ws-key.pem',
      ],
    });
    await until('the listeners', async () => (await accepts(plainPort)) && (await accepts(securePort)));
    plain = { url: `ws://127.0.0.1:${plainPort}/mqtt` };
    secure = { url: `wss://localhost:${securePort}`, tls: { ca: ca.cert } };
  });
  afterAll(() => broker?.stop());

  test('has its own test step', async () => {
    const last = ['websocket:ok', 'mqtt_connect:ok', ...trip];
    expect(outline(await checked(plain))).toEqual(['resolve:ok', 'tcp:ok', ...last]);
    expect(outline(await checked(secure))).toEqual(['resolve:ok', 'tcp:ok', 'tls:ok', ...last]);
  });

  test.each(['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const)(
    'carries messages there and back at %s',
    async (qos) => {
      const topic = unique();
      const { reader } = await openedSource(sourceContext(plain, topic, qos));
      const sink = await openedSink(sinkContext(secure, topic, qos));
      const payload = Buffer.alloc(20_000, 'x');
      await sink.write(Array.from({ length: 3 }, () => ({ payload, row: {} })));
      const taken = await reader.take(3);
      expect(taken.every((delivery) => delivery.payload.equals(payload))).toBe(true);
      ackAll(taken);
    },
  );

  test('keeps the session of a source that was closed', async () => {
    const topic = unique();
    const context = sourceContext(plain, topic);
    await (await openSource(context)).close();
    const sink = await openedSink(sinkContext(plain, topic));
    await sink.write([{ payload: Buffer.from('kept'), row: {} }]);
    const { reader } = await openedSource(context);
    const taken = await reader.take(1);
    expect(texts(taken)).toEqual(['kept']);
    ackAll(taken);
  });

  test('reports that the server opens no WebSocket', async () => {
    const http = createServer((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    onTestFinished(async () => {
      http.closeAllConnections();
      http.close();
    });
    await new Promise((resolve) => http.once('listening', resolve));
    const { port } = http.address() as { port: number };
    const steps = await checked({ url: `ws://127.0.0.1:${port}/` });
    expect(steps[2]).toMatchObject({
      name: 'websocket',
      outcome: 'failed',
      code: 'websocket_refused',
      hint: expect.stringContaining('/mqtt'),
      details: { statusCode: 404 },
    });
    const notHttp = await checked({ url: broker.url.replace('mqtt:', 'ws:') });
    expect(notHttp[2]).toMatchObject({
      outcome: 'failed',
      code: 'connection_lost',
      hint: expect.stringContaining('mqtt://'),
    });
  });
});

describe('the key of a client certificate', () => {
  let broker: Mosquitto;
  let rsa: Pair;
  beforeAll(async () => {
    const rsaCa = await makeAuthority('RSA', 'rsa');
    rsa = await makeClient(rsaCa, 'rsa');
    broker = await Mosquitto.start({
      tls: { ca: `${ca.cert}\n${rsaCa.cert}`, ...server },
      config: ['require_certificate true'],
    });
  });
  afterAll(() => broker?.stop());

  const connects = async (own: { cert: string; key: string; passphrase?: string }) => {
    const steps = await checked({ url: `mqtts://localhost:${broker.port}`, tls: { ca: ca.cert, ...own } });
    return outline(steps)
      .slice(0, 4)
      .findLast((step) => !step.endsWith(':skipped'));
  };
  const locked = { format: 'pem' as const, cipher: 'aes-256-cbc', passphrase: 'open sesame' };

  test('may be PKCS#8, SEC1 or PKCS#1', async () => {
    const ec = await makeClient(ca);
    const sec1 = createPrivateKey(ec.key).export({ type: 'sec1', format: 'pem' }) as string;
    const pkcs1 = createPrivateKey(rsa.key).export({ type: 'pkcs1', format: 'pem' }) as string;
    expect(sec1).toContain('BEGIN EC PRIVATE KEY');
    expect(pkcs1).toContain('BEGIN RSA PRIVATE KEY');
    expect(await connects(ec)).toBe('mqtt_connect:ok');
    expect(await connects({ ...ec, key: sec1 })).toBe('mqtt_connect:ok');
    expect(await connects({ ...rsa, key: pkcs1 })).toBe('mqtt_connect:ok');
  });

  test('may be encrypted in each format', async () => {
    for (const type of ['pkcs8', 'pkcs1'] as const) {
      const key = createPrivateKey(rsa.key).export({ type, ...locked }) as string;
      expect(key).toContain('ENCRYPTED');
      expect(await connects({ cert: rsa.cert, key, passphrase: 'open sesame' })).toBe('mqtt_connect:ok');
      expect(await connects({ cert: rsa.cert, key, passphrase: 'wrong' })).toBe(
        'tls:failed:tls_bad_material',
      );
      expect(await connects({ cert: rsa.cert, key })).toBe('tls:failed:tls_bad_material');
    }
  });

  test('must match the certificate', async () => {
    const { cert } = await makeClient(ca);
    const { key } = await makeClient(ca);
    expect(await connects({ cert, key })).toBe('tls:failed:tls_bad_material');
  });
});

describe('ALPN', () => {
  test('is offered, and its refusal is reported', async () => {
    const broker = await aedes({ ...server, ALPNProtocols: ['mqtt'] });
    const profile = { url: broker.url, tls: { ca: ca.cert } };
    const steps = await checked({ ...profile, alpn: ['x', 'mqtt'] });
    expect(steps[2]).toMatchObject({ name: 'tls', outcome: 'ok', details: { alpn: 'mqtt' } });
    const refused = await checked({ ...profile, alpn: ['h2'] });
    expect(refused[2]).toMatchObject({
      outcome: 'failed',
      code: 'tls_failed',
      hint: expect.stringContaining('alpn'),
    });
  });
});
