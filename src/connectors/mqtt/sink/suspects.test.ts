import { describe, expect, test } from 'vitest';
import { mosquitto, scripted } from '../../../../test/support/fixtures.ts';
import { messages, plainClient, sinkContext, unique } from '../../../../test/support/mqtt.ts';
import type { Script } from '../../../../test/support/scripted-broker.ts';
import { onlyInSoak } from '../../../../test/support/skipping.ts';
import { until } from '../../../../test/support/until.ts';
import { asPenstockError, type PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';
import { openSink } from './sink.ts';

/** A message at which the broker closes the connection is found and refused, and no other. */

interface Course {
  refusals: Refusal[] | undefined;
  losses: PenstockError[];
}

/** Writes as a task does: again over a new connection after each passing error, with no back-off. */
async function write(
  profile: MqttProfile,
  outgoing: Outgoing[],
  { qos = 'AtLeastOnce', topic = `out/${unique()}`, attempts = 12 } = {},
): Promise<Course> {
  const losses: PenstockError[] = [];
  const context = sinkContext(profile, topic, qos as 'AtLeastOnce');
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      const sink = await openSink(context);
      try {
        return { refusals: await sink.write(outgoing), losses };
      } finally {
        await sink.close();
      }
    } catch (error) {
      losses.push(asPenstockError(error));
      expect(asPenstockError(error)).toMatchObject({ passing: true });
    }
  }
  return { refusals: undefined, losses };
}

const poison: Outgoing = { payload: Buffer.alloc(30_000, 'x'), row: {} };
const among = (count: number, at: number): Outgoing[] => messages(count).toSpliced(at, 0, poison);

const closing =
  (disconnect?: number): Script['on'] =>
  (packet, connection) => {
    if (packet.cmd !== 'publish' || packet.payload.length < 30_000) return false;
    if (disconnect !== undefined) connection.send({ cmd: 'disconnect', reasonCode: disconnect });
    connection.socket.destroySoon();
    return true;
  };

const codes = ({ refusals }: Course) => refusals?.map(({ index, error }) => [index, error.code]);

/** Each takes as long as the losses that prove it. */
const soak = test.skipIf(onlyInSoak !== undefined);

describe('a message at which the broker closes the connection', { timeout: 120_000 }, () => {
  test.each(onlyInSoak ? ['AtLeastOnce'] : ['AtLeastOnce', 'ExactlyOnce'])(
    'is refused by its number at mosquitto, %s over 3.1.1',
    async (qos) => {
      const broker = await mosquitto({ config: ['max_packet_size 20000'] });
      const topic = `out/${unique()}`;
      const arrived = new Set<string>();
      const watcher = await plainClient(broker.url);
      watcher.on('message', (_topic, payload) => arrived.add(payload.toString()));
      await watcher.subscribeAsync(topic, { qos: 1 });
      const course = await write({ url: broker.url, protocolVersion: '3.1.1' }, among(40, 17), {
        qos,
        topic,
      });
      expect(codes(course)).toEqual([[17, 'mqtt_publish_refused']]);
      expect(course.refusals?.[0]?.error.hint).toContain('size');
      await until('all others arrive', () => arrived.size === 40);
    },
  );

  soak.each([
    ['closes', '3.1.1', undefined],
    ['closes', '5', undefined],
    ['says packet too large', '5', 0x95],
    ['says topic name invalid', '5', 0x90],
    ['says not authorized', '5', 0x87],
  ] as const)('is refused if the broker %s over MQTT %s', async (_what, protocolVersion, code) => {
    const server = await scripted({ on: closing(code) });
    const course = await write({ url: server.url, protocolVersion }, among(5, 0));
    expect(codes(course)).toEqual([[0, 'mqtt_publish_refused']]);
  });

  soak('is refused if there is no other message', async () => {
    const server = await scripted({ on: closing() });
    const course = await write({ url: server.url, protocolVersion: '3.1.1' }, [poison]);
    expect(codes(course)).toEqual([[0, 'mqtt_publish_refused']]);
  });

  soak(
    'makes rows wait until the test message is confirmed, because the two may have one packet identifier',
    async () => {
      const published: string[] = [];
      let confirm: (() => void) | undefined;
      const server = await scripted({
        on: (packet, connection) => {
          if (packet.cmd !== 'publish') return false;
          if (packet.payload.length >= 30_000) connection.socket.destroySoon();
          else if (packet.topic.startsWith('penstock/check/'))
            confirm = () => connection.send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
          else published.push(packet.payload.toString());
          return packet.payload.length >= 30_000 || packet.topic.startsWith('penstock/check/');
        },
      });
      const context = sinkContext({ url: server.url, protocolVersion: '3.1.1' }, `out/${unique()}`);
      for (;;) {
        const sink = await openSink(context);
        const refused = sink.write([poison]).catch(() => undefined);
        const ended = await Promise.race([
          refused.then(() => true),
          until('it tests', () => confirm !== undefined),
        ]);
        if (ended === true && confirm === undefined) {
          await sink.close().catch(() => undefined);
          continue;
        }
        const written = sink.write(messages(1));
        // Another connection has come and gone: what was sent before it has arrived.
        await (await openSink(sinkContext({ url: server.url }, 'other'))).close();
        expect(published).toEqual([]);
        confirm?.();
        expect(await written).toEqual([]);
        expect((await refused)?.map(({ index }) => index)).toEqual([0]);
        expect(published).toEqual(['m0']);
        await sink.close();
        return;
      }
    },
  );

  soak('does not convict another one: two of them, and both are found', async () => {
    const server = await scripted({ on: closing() });
    const other = { payload: Buffer.alloc(30_001, 'y'), row: {} };
    const outgoing = [...messages(3), poison, ...messages(2), other];
    const course = await write({ url: server.url, protocolVersion: '3.1.1' }, outgoing, { attempts: 30 });
    expect(codes(course)?.map(([index]) => index)).toEqual([3, 6]);
  });
});

describe('no message is refused', { timeout: 120_000 }, () => {
  test('at a link that breaks on its own', async () => {
    const server = await scripted({
      on: (packet, connection) => {
        if (packet.cmd === 'connect') setTimeout(() => connection.socket.destroySoon(), 150);
        return packet.cmd === 'publish';
      },
    });
    const course = await write({ url: server.url, protocolVersion: '3.1.1' }, messages(3));
    expect(course.refusals).toBeUndefined();
  });

  soak('at a broker that closes the connection at every message', async () => {
    const server = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'publish') return false;
        connection.socket.destroySoon();
        return true;
      },
    });
    const course = await write({ url: server.url, protocolVersion: '3.1.1' }, messages(3));
    expect(course.refusals).toBeUndefined();
  });

  soak('at a link that breaks at random', async () => {
    let seen = 0;
    const server = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'publish') return false;
        seen += 1;
        if (seen % 3 !== 0) return false;
        connection.socket.destroySoon();
        return true;
      },
    });
    const course = await write({ url: server.url, protocolVersion: '3.1.1' }, messages(30), { attempts: 15 });
    expect(course.refusals ?? []).toEqual([]);
  });
});
