import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  faulty,
  mosquitto,
  openedSink,
  openedSource,
  ordinaryClient,
  scripted,
} from '../../../../test/support/fixtures.ts';
import { errorOf, sinkContext, sourceContext, unique } from '../../../../test/support/mqtt.ts';

/** A link that stays open but drops all data, as after a router has lost its state. */

const broker = await mosquitto();

/** A link to the broker that drops all data on demand, in both directions. */
async function tunnel(): Promise<{ url: string; blackhole(): void }> {
  const ways: [Socket, Socket][] = [];
  const server = await faulty((socket) => {
    const onward = connect(broker.port, '127.0.0.1').on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
    socket.once('close', () => onward.destroy());
    ways.push([socket, onward]);
  });
  const blackhole = () => {
    for (const [socket, onward] of ways) {
      socket.unpipe(onward).resume();
      onward.unpipe(socket).resume();
    }
  };
  return { url: server.url, blackhole };
}

describe.each(['5', '3.1.1'] as const)('a silent link, MQTT %s', (protocolVersion) => {
  test('is detected by a source, which loses nothing', async () => {
    const { url, blackhole } = await tunnel();
    const context = sourceContext({ url, protocolVersion, keepAliveSecs: 1 }, `in/${unique()}`);
    const { reader } = await openedSource(context);
    blackhole();
    const publisher = await ordinaryClient(broker.url);
    await publisher.publishAsync(context.table.topic, 'unseen', { qos: 1 });
    expect(await reader.failure()).toMatchObject({ code: 'connection_lost', passing: true });
    const { reader: again } = await openedSource({
      ...context,
      profile: { ...context.profile, url: broker.url },
    });
    const [delivery] = await again.take(1);
    expect(String(delivery?.payload)).toBe('unseen');
  });

  test('is detected by a sink, busy or idle', async () => {
    const { url, blackhole } = await tunnel();
    const profile = { url, protocolVersion, keepAliveSecs: 1 };
    const sink = await openedSink(sinkContext(profile, `out/${unique()}`));
    const message = () => [{ payload: Buffer.from('x'), row: {} }];
    await sink.write(message());
    blackhole();
    const error = await errorOf(sink.write(message()));
    expect(error).toMatchObject({ code: 'connection_lost', passing: true });
    expect(error.message).toContain('PINGREQ');
  });

  test('is not reported while messages flow and the broker responds to pings', async () => {
    // mosquitto would close the connection of a client that is held up.
    const server = await scripted();
    const sink = await openedSink(
      sinkContext({ url: server.url, protocolVersion, keepAliveSecs: 1 }, `out/${unique()}`),
    );
    while (server.connection.of('pingreq').length < 3)
      await sink.write([{ payload: Buffer.from('x'), row: {} }]);
  });
});
