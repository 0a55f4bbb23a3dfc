import { getEventListeners } from 'node:events';
import type { Socket } from 'node:net';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeAuthority, makeClient, makeServer, type Pair } from '../../../../test/support/certificates.ts';
import { answering } from '../../../../test/support/faulty-server.ts';
import {
  aedes,
  faulty,
  mosquitto,
  openedSink,
  openedSource,
  ordinaryClient,
  scripted,
} from '../../../../test/support/fixtures.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { Mosquitto } from '../../../../test/support/mosquitto.ts';
import {
  ackAll,
  errorOf,
  plainClient,
  publishMany,
  sinkContext,
  sourceContext,
  targets,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { ScriptedBroker } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { MqttProfile } from '../config/profile.ts';
import { openSink } from '../sink/sink.ts';
import { openSource } from '../source/source.ts';
import { connect } from './client.ts';
import type { ConnectRequest } from './connect-request.ts';

const broker = await mosquitto();

const request = (profile: MqttProfile, rest: Partial<ConnectRequest> = {}): ConnectRequest => ({
  profile,
  targets,
  clientId: `test_${unique()}`,
  clean: true,
  sessionExpirySecs: 0,
  signal: new AbortController().signal,
  ...rest,
});

describe('connecting', () => {
  test('keeps no table of topic aliases, although the broker takes them', async () => {
    let [client, offered]: [object, unknown] = [{}, undefined];
    const prepare = (made: MqttClient): void => {
      client = made;
      made.on('packetreceive', (packet) => {
        if (packet.cmd === 'connack') offered = packet.properties?.topicAliasMaximum;
      });
    };
    const connection = await connect(request({ url: broker.url, protocolVersion: '5' }, { prepare }));
    expect(offered).toBeGreaterThan(0);
    expect(client).toHaveProperty('connected', true);
    expect(client).not.toHaveProperty('topicAliasSend');
    await connection.close();
  });

  test('falls back to 3.1.1 if the broker refuses MQTT 5 and the profile allows it', async () => {
    const url = (await aedes()).url;
    const connection = await connect(request({ url }));
    expect(connection.version).toBe(4);
    await connection.close();
    expect((await errorOf(connect(request({ url, protocolVersion: '5' })))).code).toBe(
      'mqtt_protocol_refused',
    );
  });

  test('remembers a broker that refuses MQTT 5, until it refuses 3.1.1 instead', async () => {
    let accepted = 4;
    const versions: number[] = [];
    const server = await ScriptedBroker.start({
      on: (packet, connection) => {
        if (packet.cmd !== 'connect') return false;
        const version = packet.protocolVersion ?? 4;
        versions.push(version);
        if (version === accepted) return false;
        connection.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x84, returnCode: 1 });
        return true;
      },
    });
    onTestFinished(() => server.stop());
    const asked = async (url: string) => {
      versions.length = 0;
      await (await connect(request({ url }))).close();
      return [...versions];
    };
    expect(await asked(server.url)).toEqual([5, 4]);
    expect(await asked(server.url)).toEqual([4]);
    expect(await asked(`${server.url}/`)).toEqual([5, 4]);
    accepted = 5;
    expect(await asked(server.url)).toEqual([4, 5]);
    expect(await asked(server.url)).toEqual([5]);
  });

  test('does not treat a closed connection as a refusal of MQTT 5 if 5 has worked before', async () => {
    let silent = false;
    const server = await ScriptedBroker.start({
      on: (_packet, connection) => {
        if (silent) connection.socket.end();
        return silent;
      },
    });
    onTestFinished(() => server.stop());
    await (await connect(request({ url: server.url }))).close();
    silent = true;
    expect(await errorOf(connect(request({ url: server.url })))).toMatchObject({ code: 'mqtt_refused' });
    expect(server.connections).toHaveLength(2);
  });

  test('carries messages through a 3.1.1 broker', async () => {
    const url = (await aedes()).url;
    const topic = unique();
    const { reader } = await openedSource(sourceContext({ url }, topic));
    const sink = await openedSink(sinkContext({ url }, topic));
    await sink.write([{ payload: Buffer.from('hello'), row: {} }]);
    const taken = await reader.take(1);
    expect(texts(taken)).toEqual(['hello']);
    ackAll(taken);
  });

  test('falls back to 3.1.1 if the server closes the connection at MQTT 5', async () => {
    const server = await faulty((socket, number) => {
      if (number === 0) socket.once('data', () => socket.end());
      else answering(Buffer.from([0x20, 2, 0, 0]))(socket);
    });
    const connection = await connect(request({ url: server.url }));
    expect(connection.version).toBe(4);
    await connection.destroy();
  });

  test('reports a server that closes the connection at both versions', async () => {
    const server = await faulty((socket) => socket.once('data', () => socket.end()));
    expect(await errorOf(connect(request({ url: server.url })))).toMatchObject({
      code: 'mqtt_refused',
      passing: true,
    });
  });

  test('gives up after connectTimeoutMs', async () => {
    const server = await faulty((socket) => socket.resume());
    const error = await errorOf(connect(request({ url: server.url, connectTimeoutMs: 200 })));
    expect(error.code).toBe('mqtt_not_answered');
    expect(error.message).toContain('CONNECT of MQTT 3.1.1');
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

  test('has no secrets in its errors', async () => {
    const locked = await mosquitto({ users: { ada: 'right' } });
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
    // Sockets of earlier tests may be closing, and the broker may close its end of these last.
    await until('the sockets to be closed', () => held() <= before);
  });
});

describe('a list of servers', () => {
  test('is tried in order, the one that worked last first', async () => {
    const gone = await mosquitto();
    const refused = await faulty((socket) => socket.destroy());
    const url = `${refused.url},${gone.url},${broker.url}`;
    const socketTo = async () => {
      const connection = await connect(request({ url }));
      const { remotePort } = connection.client.stream as Socket;
      await connection.close();
      return remotePort;
    };
    expect(await socketTo()).toBe(gone.port);
    await gone.kill();
    expect(await socketTo()).toBe(broker.port);
    await gone.resume();
    expect(await socketTo()).toBe(broker.port);
  });

  test('fails with a transient error if there is one, and reports the failure of each server', async () => {
    const older = (await aedes()).url;
    const closed = `mqtt://127.0.0.1:${await freePort()}`;
    const error = await errorOf(connect(request({ url: `${older},${closed}`, protocolVersion: '5' })));
    expect(error).toMatchObject({ code: 'connection_refused', passing: true });
    expect(error.message).toMatch(
      /^None of the 2 servers.*unsupported protocol version.*no process listens/s,
    );
  });

  test('ends at a server that refuses the user', async () => {
    const locked = await mosquitto({ users: { ada: 'right' } });
    const never = await faulty((socket) => socket.resume());
    const url = `${locked.url},${never.url}`;
    const error = await errorOf(connect(request({ url, username: 'ada', password: 'wrong' })));
    expect(error.code).toBe('mqtt_not_authorized');
    expect(never.open).toBe(0);
  });
});

describe('a last will', () => {
  test.each(['5', '3.1.1'] as const)(
    'is published when the connection breaks, not when it is closed (%s)',
    async (protocolVersion) => {
      const topic = `will/${unique()}`;
      const will = { topic, payload: 'gone', qos: 'AtLeastOnce' as const, retain: true };
      const profile = { url: broker.url, protocolVersion, will };
      const watcher = await ordinaryClient(broker.url);
      const seen: string[] = [];
      watcher.on('message', (_topic, payload) => seen.push(String(payload)));
      await watcher.subscribeAsync(`${topic}/#`, { qos: 1 });
      await (await connect(request(profile))).close();
      await watcher.publishAsync(`${topic}/marker`, 'closed', { qos: 1 });
      await (await connect(request(profile))).destroy();
      await until('the last will', () => seen.includes('gone'));
      expect(seen).toEqual(['closed', 'gone']);
    },
  );

  test('has a delay with MQTT 5', async () => {
    const server = await scripted();
    await (await connect(request({ url: server.url, will: { topic: 'a', delaySecs: 30 } }))).close();
    const [packet] = await server.connection.expect('connect', 1);
    expect(packet?.will).toMatchObject({
      topic: 'a',
      qos: 0,
      retain: false,
      properties: { willDelayInterval: 30 },
    });
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
      const { reader } = await openedSource(sourceContext(profile, topic, qos));
      const sink = await openedSink(sinkContext(profile, topic, qos));
      const payload = Buffer.alloc(50_000, 'x');
      await sink.write(Array.from({ length: 20 }, () => ({ payload, row: {} })));
      const taken = await reader.take(20);
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
    await until('the session to expire', () => broker.log.includes(`Expiring client ${id}`));
    const publisher = await plainClient(broker.url);
    await publishMany(publisher, context.table.topic, 1);
    await publisher.endAsync();
    const { source, reader } = await openedSource(context);
    await source.drain();
    expect(await reader.take(1)).toEqual([]);
  });
});
