import { type Duplex, duplexPair } from 'node:stream';
import fc from 'fast-check';
import { MqttClient } from 'mqtt';
import * as mqttPacket from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { until } from '../../../../test/support/until.ts';
import { PacketLane, type Takers } from './packet-lane.ts';

type Version = 4 | 5;

/** Packets that the lane and MQTT.js got, in order. */
interface Laned {
  client: MqttClient;
  server: Duplex;
  socket: Duplex;
  lane: PacketLane;
  seen: string[];
  errors: Error[];
  /** Bytes that the client has sent. */
  sent(): Buffer;
}

function laned(version: Version, takers: (seen: string[]) => Takers, properties = {}): Laned {
  const [socket, server] = duplexPair();
  const seen: string[] = [];
  const errors: Error[] = [];
  const client = new MqttClient(() => socket, {
    manualConnect: true,
    reconnectPeriod: 0,
    protocolVersion: version,
    ...(version === 5 ? { properties } : {}),
  });
  client.on('error', (error) => errors.push(error as Error));
  const lane = new PacketLane(client, socket, takers(seen));
  client.on('packetreceive', ({ cmd }) => seen.push(`MQTT.js ${cmd}`));
  client.on('message', () => seen.push('MQTT.js hands out a message'));
  const chunks: Buffer[] = [];
  server.on('data', (chunk: Buffer) => chunks.push(chunk));
  client.connect();
  atEnd(() => {
    client.end(true);
    socket.destroy();
  });
  return { client, server, socket, lane, seen, errors, sent: () => Buffer.concat(chunks) };
}

const every = (seen: string[]): Takers => ({
  published: ({ topic, payload, qos, retain, dup, packetId, properties }) =>
    seen.push(
      JSON.stringify({ topic, payload: payload.toString('hex'), qos, retain, dup, packetId, properties }),
    ),
  released: (packetId) => seen.push(`released ${packetId}`),
  confirmed: (kind, packetId, reasonCode) => {
    if (packetId > 1_000) return false;
    seen.push(`${kind} ${packetId} ${reasonCode}`);
    return true;
  },
});

const connack: mqttPacket.Packet = { cmd: 'connack', sessionPresent: true, reasonCode: 0, returnCode: 0 };
const pingresp: mqttPacket.Packet = { cmd: 'pingresp' };

const publishes = fc.record({
  cmd: fc.constant('publish' as const),
  topic: fc.constantFrom('a', 'b', 'a/long/topic', 'zähler/…'),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(120, 127, 128, 16_383, 40_000).map((size) => Buffer.alloc(size, 'x')),
  ),
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  retain: fc.boolean(),
  dup: fc.boolean(),
  messageId: fc.integer({ min: 1, max: 65_535 }),
  properties: fc.option(fc.record({ contentType: fc.constant('text/plain') }), { nil: undefined }),
});
const answers = fc.record({
  cmd: fc.constantFrom('puback' as const, 'pubrec' as const, 'pubcomp' as const, 'pubrel' as const),
  messageId: fc.integer({ min: 1, max: 2_000 }),
});
const packets = fc.array(fc.oneof(publishes, answers, fc.constant(pingresp)), { maxLength: 30 });

function expected(packet: mqttPacket.Packet, version: Version): string {
  const { cmd, messageId = 0 } = packet;
  if (packet.cmd === 'publish') {
    const { topic, payload, qos, retain, dup } = packet;
    const properties = version === 5 ? packet.properties : undefined;
    const hex = (payload as Buffer).toString('hex');
    return JSON.stringify({
      ...{ topic, payload: hex, qos, retain, dup: qos > 0 && dup },
      ...{ packetId: qos === 0 ? 0 : messageId, properties },
    });
  }
  if (cmd === 'pubrel') return `released ${messageId}`;
  if (cmd === 'pingresp' || messageId > 1_000) return `MQTT.js ${cmd}`;
  return `${cmd} ${messageId} 0`;
}

const encoded = (all: readonly mqttPacket.Packet[], version: Version): Buffer =>
  Buffer.concat(
    all.map((packet) => {
      const { qos, dup } = packet as { qos?: number; dup?: boolean };
      const valid = packet.cmd === 'publish' ? { ...packet, dup: qos !== 0 && dup === true } : packet;
      return mqttPacket.generate(valid as mqttPacket.Packet, { protocolVersion: version });
    }),
  );

for (const version of [5, 4] as const)
  describe(`the packets of a connection, MQTT ${version === 5 ? '5' : '3.1.1'}`, () => {
    test('arrive in order, however they are cut, and wherever reading pauses', async () => {
      await fc.assert(
        fc.asyncProperty(
          packets,
          fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 20 }),
          fc.integer({ min: 1, max: 10 }),
          async (all, cuts, pauseEvery) => {
            let count = 0;
            const { server, socket, lane, seen } = laned(version, (into) => {
              const takers = every(into);
              return {
                ...takers,
                published(message) {
                  takers.published?.(message);
                  count += 1;
                  if (count % pauseEvery !== 0) return;
                  lane.pause();
                  const length = into.length;
                  setImmediate(() => {
                    if (into.length !== length) into.push('read on while paused');
                    lane.resume();
                  });
                },
              };
            });
            const bytes = encoded([connack, ...all, pingresp], version);
            let at = 0;
            for (let cut = 0; at < bytes.length; cut += 1) {
              const end = at + (cuts[cut % cuts.length] as number);
              server.write(bytes.subarray(at, end));
              at = end;
              if (cut % 3 === 0) await new Promise(setImmediate);
            }
            const wanted = [connack, ...all, pingresp].map((packet) =>
              packet === connack ? 'MQTT.js connack' : expected(packet, version),
            );
            await until('all packets', () => seen.length >= wanted.length);
            expect(seen).toEqual(wanted);
            socket.destroy();
          },
        ),
        { numRuns: 60 },
      );
    });

    test('that carry messages are never acknowledged by MQTT.js', async () => {
      const { server, seen, sent } = laned(version, () => ({ published: () => undefined }));
      const message = { cmd: 'publish' as const, topic: 'a', payload: 'x', dup: false, retain: false };
      server.write(encoded([connack], version));
      await until('CONNECT', () => sent().length > 0);
      const before = sent().length;
      server.write(
        encoded(
          [{ ...message, qos: 1, messageId: 1 }, { ...message, qos: 2, messageId: 2 }, pingresp],
          version,
        ),
      );
      await until('the end', () => seen.includes('MQTT.js pingresp'));
      expect(seen).toEqual(['MQTT.js connack', 'MQTT.js pingresp']);
      expect(sent().length).toBe(before);
    });

    test.each([
      ['a PUBLISH of QoS 3', [0x36, 3, 0, 1, 0x61]],
      ['a PUBLISH with a topic beyond its end', [0x32, 5, 0, 9, 0x61, 0, 1]],
      ['a PUBLISH that ends before its topic', [0x30, 1, 0]],
      ['a length of five bytes', [0x30, 0xff, 0xff, 0xff, 0xff, 0x01]],
      ['a PUBREL with other flags', [0x60, 2, 0, 1]],
    ])('end with an error if one is malformed: %s', async (_what, bytes) => {
      const { server, errors, seen } = laned(version, every);
      server.write(encoded([connack], version));
      server.write(Buffer.from(bytes));
      await until('the error', () => errors.length > 0);
      expect(seen).toEqual(['MQTT.js connack']);
    });
  });

test('a topic alias, which was not allowed, is an error', async () => {
  const { server, errors, seen } = laned(5, every);
  const message = { cmd: 'publish' as const, payload: 'x', dup: false, retain: false, qos: 0 as const };
  const aliased = { ...message, topic: 'a', properties: { topicAlias: 1 } };
  server.write(encoded([connack, aliased, { ...message, topic: 'b' }], 5));
  await until('the error', () => errors.length > 0);
  expect(errors[0]?.message).toContain('topic alias');
  // A message behind it would overtake it.
  expect(seen).toEqual(['MQTT.js connack']);
});

test('a packet that exceeds the maximum size is an error', async () => {
  const { server, errors, seen } = laned(5, every, { maximumPacketSize: 50 });
  const message = { cmd: 'publish' as const, topic: 'a', dup: false, retain: false, qos: 0 as const };
  const large = { ...message, payload: Buffer.alloc(100) };
  server.write(encoded([connack, large, { ...message, payload: 'x' }], 5));
  await until('the error', () => errors.length > 0);
  expect(errors[0]).toMatchObject({ code: 149 });
  expect(seen).toEqual(['MQTT.js connack']);
});

test('an MQTT.js that reads its stream in another way ends the connection', async () => {
  const [socket, server] = duplexPair();
  const client = new MqttClient(() => socket, {
    manualConnect: true,
    reconnectPeriod: 0,
    protocolVersion: 5,
  });
  const errors: Error[] = [];
  client.on('error', (error) => errors.push(error as Error));
  new PacketLane(client, socket, every([]));
  Reflect.deleteProperty(socket, 'pipe');
  client.connect();
  atEnd(() => void client.end(true));
  server.write(encoded([connack], 5));
  await until('the error', () => errors.length > 0);
  expect(errors[0]?.message).toContain('requires version 5.16.0');
  expect(socket.destroyed).toBe(true);
});
