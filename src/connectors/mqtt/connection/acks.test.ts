import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { MqttClient } from 'mqtt';
import { describe, expect, test } from 'vitest';
import { openedSource, scripted } from '../../../../test/support/fixtures.ts';
import { ackAll, type Reader, sourceContext, texts } from '../../../../test/support/mqtt.ts';
import type { ScriptedBroker } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { Source } from '../../connector.ts';
import { assertSeams } from './acks.ts';

async function sourceOn(
  { url }: ScriptedBroker,
  window: number,
  profile: object = {},
  qos: 'AtMostOnce' | 'AtLeastOnce' | 'ExactlyOnce' = 'ExactlyOnce',
): Promise<{ source: Source; reader: Reader }> {
  return openedSource(sourceContext({ url, ...profile }, 'a/b', qos, { window }));
}

describe('the seams of MQTT.js', () => {
  test('is the version that acks.ts requires', () => {
    const path = createRequire(import.meta.url).resolve('mqtt/package.json');
    expect(JSON.parse(readFileSync(path, 'utf8')).version).toBe('5.16.0');
  });

  test('all exist', () => {
    expect(() => assertSeams()).not.toThrow();
  });

  test('fail loudly when one is missing', () => {
    const without = Object.create(MqttClient.prototype, { reschedulePing: { value: undefined } });
    expect(() => assertSeams(without)).toThrow(/has no reschedulePing/);
  });
});

for (const protocolVersion of ['5', '3.1.1'] as const) {
  describe(`acknowledgements on the wire, MQTT ${protocolVersion}`, () => {
    test('leave in order of receipt, only when all before are settled', async () => {
      const server = await scripted();
      const { source, reader } = await sourceOn(server, 100, { protocolVersion });
      server.connection.publish(1, 3);
      const [one, two, three] = await reader.take(3);
      three?.ack();
      two?.ack();
      server.connection.publish(1, 1, 4);
      await reader.take(1);
      expect(server.connection.of('puback')).toEqual([]);
      one?.ack();
      const pubacks = await server.connection.expect('puback', 3);
      expect(pubacks.map(({ messageId }) => messageId)).toEqual([1, 2, 3]);
      await source.close();
      expect(server.connection.of('puback').length).toBe(3);
    });

    test('at QoS 2 delay PUBREC, and send PUBCOMP at once', async () => {
      const server = await scripted();
      const { reader } = await sourceOn(server, 100, { protocolVersion });
      server.connection.publish(2, 1);
      const [delivery] = await reader.take(1);
      expect(server.connection.of('pubrec')).toEqual([]);
      delivery?.ack();
      await server.connection.expect('pubrec', 1);
      server.connection.send({ cmd: 'pubrel', messageId: 1 });
      await server.connection.expect('pubcomp', 1);
      // PUBREL delivers nothing: the next delivery is the next message.
      server.connection.publish(2, 1, 2);
      expect(texts(await reader.take(1))).toEqual(['m2']);
    });

    test('a repeated QoS 2 message is delivered once until it is released', async () => {
      const server = await scripted();
      const { reader } = await sourceOn(server, 100, { protocolVersion });
      server.connection.publish(2, 1, 7);
      const [delivery] = await reader.take(1);
      server.connection.publish(2, 1, 7, true);
      server.connection.publish(2, 1, 8);
      expect(texts(await reader.take(1))).toEqual(['m8']);
      delivery?.ack();
      await server.connection.expect('pubrec', 1);
      server.connection.publish(2, 1, 7, true);
      await server.connection.expect('pubrec', 2);
      server.connection.send({ cmd: 'pubrel', messageId: 7 });
      await server.connection.expect('pubcomp', 1);
      server.connection.publish(2, 1, 7);
      expect(texts(await reader.take(1))).toEqual(['m7']);
    });

    test('a QoS 2 message without DUP is a new one, even if its identifier is not released', async () => {
      const server = await scripted();
      const { reader } = await sourceOn(server, 100, { protocolVersion });
      server.connection.publish(2, 1, 7);
      ackAll(await reader.take(1));
      await server.connection.expect('pubrec', 1);
      server.connection.publish(2, 2, 6);
      const [before, again] = await reader.take(2);
      expect(String(again?.payload)).toBe('m7');
      again?.ack();
      before?.ack();
      const pubrecs = await server.connection.expect('pubrec', 3);
      expect(pubrecs.map(({ messageId }) => messageId)).toEqual([7, 6, 7]);
    });

    test.each([0, 1, 2] as const)(
      'no more than the window is taken at QoS %i, and all in the end',
      async (qos) => {
        const server = await scripted();
        const { source, reader } = await sourceOn(server, 10, { protocolVersion });
        server.connection.publish(qos, 500);
        const seen: string[] = [];
        for (let round = 0; round < 50; round += 1) {
          const batch = await reader.take(10);
          expect(batch.length).toBe(10);
          seen.push(...texts(batch));
          ackAll(batch);
          if (qos !== 0) await server.connection.expect(qos === 1 ? 'puback' : 'pubrec', seen.length);
        }
        expect(seen).toEqual(Array.from({ length: 500 }, (_, index) => `m${index + 1}`));
        await source.close();
      },
    );

    test('a full window does not end the connection, although no PINGRESP can be read', async () => {
      const server = await scripted();
      const { reader } = await sourceOn(server, 2, { protocolVersion, keepAliveSecs: 1 });
      server.connection.publish(1, 6);
      const held = await reader.take(2);
      await server.connection.expect('pingreq', 4);
      ackAll(held);
      for (let round = 0; round < 2; round += 1) ackAll(await reader.take(2));
      await server.connection.expect('puback', 6);
      // The keep-alive works as ever afterwards.
      const pings = server.connection.of('pingreq').length;
      await server.connection.expect('pingreq', pings + 2);
      expect(server.connections.length).toBe(1);
      expect(server.connection.socket.destroyed).toBe(false);
    });

    test('a server that does not respond to pings loses the connection', async () => {
      const server = await scripted({ on: (packet) => packet.cmd === 'pingreq' });
      const { reader } = await sourceOn(server, 2, { protocolVersion, keepAliveSecs: 1 });
      expect(await reader.failure()).toMatchObject({ code: 'connection_lost' });
    });

    test('a broker that sends messages and no PINGRESP is alive', async () => {
      const server = await scripted({
        on: (packet, connection) => {
          if (packet.cmd !== 'pingreq') return false;
          // As when it waits behind them.
          connection.publish(0, 1);
          return true;
        },
      });
      const { reader } = await sourceOn(server, 2, { protocolVersion, keepAliveSecs: 1 });
      for (let count = 0; count < 4; count += 1) ackAll(await reader.take(1));
      expect(server.connection.of('pingreq').length).toBeGreaterThanOrEqual(4);
      expect(server.connection.socket.destroyed).toBe(false);
    });

    test('none leaves after the connection is closed', async () => {
      const server = await scripted();
      const { source, reader } = await sourceOn(server, 10, { protocolVersion });
      server.connection.publish(1, 2);
      const [first, second] = await reader.take(2);
      first?.ack();
      await source.close();
      second?.ack();
      await until('the end of the connection', () => server.connection.socket.closed);
      expect(server.connection.received.map(({ cmd }) => cmd).slice(-2)).toEqual(['puback', 'disconnect']);
    });
  });
}
