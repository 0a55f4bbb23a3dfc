import { describe, expect, test } from 'vitest';
import { openedSource, scripted } from '../../../../test/support/fixtures.ts';
import { ackAll, recordingWarnings, sourceContext, texts } from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';

/** A source whose window is full. */

test.each(['5', '3.1.1'] as const)(
  'at 64 MiB of unsettled payloads an MQTT %s source stops reading, and goes on when they are settled',
  async (protocolVersion) => {
    const server = await scripted();
    const profile = { url: server.url, protocolVersion, keepAliveSecs: 2 };
    const { reader } = await openedSource(sourceContext(profile, 'a/b', 'AtLeastOnce', { window: 1_000 }));
    const payload = Buffer.alloc(1024 * 1024);
    const message = { cmd: 'publish', topic: 'a/b', payload, qos: 1, dup: false, retain: false } as const;
    for (let messageId = 1; messageId <= 100; messageId += 1)
      server.connection.send({ ...message, messageId });
    const held = await reader.take(64);
    let more = false;
    const rest = reader.take(36).finally(() => {
      more = true;
    });
    await server.connection.expect('pingreq', server.connection.of('pingreq').length + 3);
    expect(more).toBe(false);
    expect(server.connection.socket.writableLength).toBeGreaterThan(0);
    ackAll(held);
    const ids = (await rest).map(({ metadata }) => metadata.message_id);
    expect(ids).toEqual(Array.from({ length: 36 }, (_, index) => 65 + index));
    await server.connection.expect('puback', 64);
  },
);

describe.each(['5', '3.1.1'] as const)(
  'an MQTT %s broker that fills the window before its SUBACK',
  (protocolVersion) => {
    /** A source with a window of 2, whose broker sends 5 messages before its SUBACK. */
    const opened = async (granted: 0 | 1 | 128) => {
      const { warn, warnings } = recordingWarnings();
      const server = await scripted({
        on: (packet, connection) => {
          if (packet.cmd !== 'subscribe') return false;
          connection.publish(1, 5);
          connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [granted] });
          return true;
        },
      });
      const profile = { url: server.url, protocolVersion };
      const context = sourceContext(profile, 'a/b', 'AtLeastOnce', { window: 2, warn });
      return { ...(await openedSource(context)), server, warnings };
    };

    test('does not keep the source from opening, and is handled in order', async () => {
      const { reader, server, warnings } = await opened(0);
      const seen: string[] = [];
      const held = await reader.take(2);
      expect(warnings).toEqual([]);
      ackAll(held);
      seen.push(...texts(held));
      while (seen.length < 5) {
        const batch = await reader.take(1);
        seen.push(...texts(batch));
        ackAll(batch);
      }
      expect(seen).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']);
      await until('the warning', () => warnings.length === 1);
      expect(warnings).toMatchObject([{ code: 'mqtt_qos_downgraded' }]);
      await server.connection.expect('puback', 5);
    });

    test('and then refuses makes the source fail', async () => {
      const { reader, server } = await opened(128);
      ackAll(await reader.take(2));
      ackAll(await reader.take(1));
      expect(await reader.failure()).toMatchObject({ code: 'mqtt_subscribe_refused', passing: false });
      await until('the end of the connection', () => server.connection.socket.closed);
    });
  },
);
