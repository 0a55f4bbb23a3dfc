import { getEventListeners, once } from 'node:events';
import { createServer } from 'node:net';
import { Aedes } from 'aedes';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority, makeClient, makeServer, type Pair } from '../../../test/support/certificates.ts';
import { answering, FaultyServer } from '../../../test/support/faulty-server.ts';
import { Mosquitto } from '../../../test/support/mosquitto.ts';
import {
  ackAll,
  errorOf,
  plainClient,
  publishMany,
  Reader,
  sinkContext,
  sourceContext,
  texts,
  unique,
} from '../../../test/support/mqtt.ts';
import { until } from '../../../test/support/until.ts';
import { type ConnectRequest, connect } from './client.ts';
import type { MqttProfile } from './profile.ts';
import { openSink } from './sink.ts';
import { openSource } from './source.ts';

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start();
});
afterAll(() => broker?.stop());

const cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const request = (profile: MqttProfile, rest: Partial<ConnectRequest> = {}): ConnectRequest => ({
  profile,
  clientId: `test_${unique()}`,
  clean: true,
  sessionExpirySecs: 0,
  signal: new AbortController().signal,
  ...rest,
});

async function faulty(serve: Parameters<typeof FaultyServer.start>[0]): Promise<FaultyServer> {
  const server = await FaultyServer.start(serve);
  cleanUp.push(() => server.stop());
  return server;
}

/** A broker that knows nothing of MQTT 5, and says so. */
async function olderBroker(): Promise<string> {
  const aedes = await Aedes.createBroker();
  const server = createServer((socket) => aedes.handle(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(async () => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    server.close();
    await once(server, 'close');
  });
  return `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe('connecting', () => {
  test('falls back to 3.1.1 where the broker refuses MQTT 5, unless told not to', async () => {
    const url = await olderBroker();
    const connection = await connect(request({ url }));
    expect(connection.version).toBe(4);
    await connection.close();
    expect((await errorOf(connect(request({ url, protocolVersion: '5' })))).code).toBe(
      'mqtt_protocol_refused',
    );
  });

  test('carries messages through a 3.1.1 broker', async () => {
    const url = await olderBroker();
    const topic = unique();
    const source = await openSource(sourceContext({ url }, topic));
    cleanUp.push(() => source.close());
    const sink = await openSink(sinkContext({ url }, topic));
    cleanUp.push(() => sink.close());
    await sink.write([{ payload: Buffer.from('hello'), row: {} }]);
    const taken = await new Reader(source).take(1);
    expect(texts(taken)).toEqual(['hello']);
    ackAll(taken);
  });

  test('falls back to 3.1.1 where the server closes the connection in answer to MQTT 5', async () => {
    const server = await faulty((socket, number) => {
      if (number === 0) socket.once('data', () => socket.end());
      else answering(Buffer.from([0x20, 2, 0, 0]))(socket);
    });
    const connection = await connect(request({ url: server.url }));
    expect(connection.version).toBe(4);
    await connection.destroy();
  });

  test('reports a server that closes the connection in answer to both', async () => {
    const server = await faulty((socket) => socket.once('data', () => socket.end()));
    expect(await errorOf(connect(request({ url: server.url })))).toMatchObject({
      code: 'mqtt_refused',
      passing: true,
    });
  });

  test('gives up after connectTimeoutMs', async () => {
    const server = await faulty((socket) => socket.resume());
    const error = await errorOf(connect(request({ url: server.url, connectTimeoutMs: 200 })));
    expect(error.code).toBe('connection_timeout');
    await until('the end of the connection', () => server.open === 0);
  });

  test('stops at once when the signal aborts', async () => {
    const server = await faulty((socket) => socket.resume());
    const controller = new AbortController();
    const connecting = connect(request({ url: server.url }, { signal: controller.signal }));
    const reason = new Error('gone');
    setImmediate(() => controller.abort(reason));
    await expect(connecting).rejects.toBe(reason);
    await until('the end of the connection', () => server.open === 0);
  });

  test('holds no secret in its errors', async () => {
    const locked = await Mosquitto.start({ users: { ada: 'right' } });
    cleanUp.push(() => locked.stop());
    const error = await errorOf(connect(request({ url: locked.url, username: 'ada', password: 'S3cret' })));
    expect(JSON.stringify([error, error.message, String(error.cause)])).not.toContain('S3cret');
    const connection = await connect(request({ url: locked.url, username: 'ada', password: 'right' }));
    await connection.close();
  });

  test('leaves nothing behind when it is closed: no socket, timer or listener', async () => {
    const held = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const before = held();
    const controller = new AbortController();
    const { signal } = controller;
    const topic = unique();
    for (let round = 0; round < 3; round += 1) {
      const source = await openSource({ ...sourceContext({ url: broker.url }, topic), signal });
      const sink = await openSink({ ...sinkContext({ url: broker.url }, topic), signal });
      await sink.write([{ payload: Buffer.from('x'), row: {} }]);
      await Promise.all([source.close(), sink.close()]);
    }
    const connection = await connect(request({ url: broker.url }, { signal }));
    const { client } = connection;
    await connection.close();
    expect([client.keepaliveManager, client.connected]).toEqual([null, false]);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(held()).toBe(before);
  });
});

describe('over TLS', () => {
  let ca: Pair;
  let secure: Mosquitto;
  beforeAll(async () => {
    ca = await makeAuthority();
    const tls = { ca: ca.cert, ...(await makeServer(ca)) };
    secure = await Mosquitto.start({
      tls,
      config: ['require_certificate true', 'use_identity_as_username true'],
    });
  });
  afterAll(() => secure?.stop());

  test.each(['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const)(
    'messages go there and back at %s',
    async (qos) => {
      const profile = {
        url: `mqtts://localhost:${secure.port}`,
        tls: { ca: ca.cert, ...(await makeClient(ca)) },
      };
      const topic = unique();
      const source = await openSource(sourceContext(profile, topic, qos));
      cleanUp.push(() => source.close());
      const sink = await openSink(sinkContext(profile, topic, qos));
      cleanUp.push(() => sink.close());
      const payload = Buffer.alloc(50_000, 'x');
      await sink.write(Array.from({ length: 20 }, () => ({ payload, row: {} })));
      const taken = await new Reader(source).take(20);
      expect(taken.every((delivery) => delivery.payload.equals(payload))).toBe(true);
      ackAll(taken);
    },
  );
});

describe('a session', () => {
  test('expires as the profile says', async () => {
    const profile = { url: broker.url, sessionExpirySecs: 1 };
    const context = sourceContext(profile, unique());
    await (await openSource(context)).close();
    const id = `penstock_${context.identity.jobId}_op_0`;
    await until('the session to expire', () => broker.log.includes(`Expiring client ${id}`), 30_000);
    const publisher = await plainClient(broker.url);
    await publishMany(publisher, context.table.topic, 1);
    await publisher.endAsync();
    const source = await openSource(context);
    cleanUp.push(() => source.close());
    await source.drain();
    expect(await new Reader(source).take(1)).toEqual([]);
  });
});
