import { expect, onTestFinished, test } from 'vitest';
import { conflictingClient, mosquitto, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import {
  ackAll,
  errorOf,
  type MqttContext,
  plainClient,
  sinkContext,
  sourceContext,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import type { PenstockError } from '../../../errors.ts';
import { openSink } from '../sink/sink.ts';
import { openSource } from '../source/source.ts';
import { clientId } from './connect-request.ts';

/** Client-id conflicts at a broker that does not report takeovers, and similar situations. */

const broker = await mosquitto();

/** Returns a function that ends it. */
const conflictWith = ({ profile, identity }: MqttContext, clean: boolean): (() => void) =>
  conflictingClient(broker.port, clientId(profile, identity), clean);

/** Opens a sink repeatedly, as a task does, and returns why each one ended. */
async function ends(context: MqttContext, times: number): Promise<PenstockError[]> {
  const errors: PenstockError[] = [];
  for (let time = 0; time < times && errors.at(-1)?.passing !== false; time += 1) {
    const lost = Promise.withResolvers<PenstockError>();
    try {
      const sink = await openSink({ ...context, lost: lost.resolve });
      errors.push(await lost.promise);
      await sink.close();
    } catch (error) {
      errors.push(error as PenstockError);
    }
  }
  return errors;
}

const lost = 'connection_lost';
const codesOf = (errors: PenstockError[]): string[] => errors.map(({ code }) => code);

test.each(['5', '3.1.1'] as const)(
  'an MQTT %s sink fails if another client with its id always reconnects',
  async (protocolVersion) => {
    const context = sinkContext({ url: broker.url, protocolVersion }, `out/${unique()}`);
    conflictWith(context, true);
    const errors = await ends(context, 5);
    expect(codesOf(errors)).toEqual([lost, lost, lost, 'mqtt_client_id_in_use']);
    expect(errors[2]?.message).toContain('3 times within a minute');
    expect(errors[3]?.passing).toBe(false);
  },
);

test('a source fails too, and keeps its unacknowledged messages', async () => {
  const context = sourceContext({ url: broker.url, protocolVersion: '3.1.1' }, `in/${unique()}`);
  await (await openSource(context)).close();
  const publisher = await ordinaryClient(broker.url);
  for (let number = 0; number < 50; number += 1)
    await publisher.publishAsync(context.table.topic, `m${number}`, { qos: 1 });
  const end = conflictWith(context, false);
  const codes: string[] = [];
  while (codes.at(-1) !== 'mqtt_client_id_in_use' && codes.length < 6) {
    codes.push((await errorOf(failureOf(context))).code);
  }
  expect(codes).toEqual([lost, lost, lost, 'mqtt_client_id_in_use']);
  end();
  const source = await openSource(context);
  onTestFinished(() => source.close());
  const seen = new Set<string>();
  for await (const batch of source) {
    for (const text of texts(batch)) seen.add(text);
    ackAll(batch);
    if (seen.size === 50) break;
  }
});

async function failureOf(context: MqttContext): Promise<void> {
  const source = await openSource(context);
  try {
    for await (const _ of source);
  } finally {
    await source.close();
  }
}

test('a broker that closes every connection is not a conflict', async () => {
  const server = await scripted({
    on: (packet, connection) => {
      if (packet.cmd === 'connect') setTimeout(() => connection.socket.end(), 50);
      return false;
    },
  });
  const errors = await ends(sinkContext({ url: server.url }, 'a/b'), 9);
  expect(codesOf(errors)).toEqual(Array.from({ length: 9 }, () => lost));
});

test('a broker that closes every publishing connection is not a conflict', async () => {
  const server = await scripted({
    on: (packet, connection) => {
      if (packet.cmd !== 'publish') return false;
      connection.socket.end();
      return true;
    },
  });
  const context = sinkContext({ url: server.url }, 'a/b');
  for (let time = 0; time < 4; time += 1) {
    const sink = await openSink(context);
    const error = await errorOf(sink.write([{ payload: Buffer.from('x'), row: {} }]));
    expect(error).toMatchObject({ code: lost, passing: true });
    await sink.close();
  }
});

test.each([1, 3])('a broker that keeps only the newest %d connections is not a conflict', async (most) => {
  const server = await scripted({
    on: (packet) => {
      const open = server.connections.filter(({ socket }) => !socket.destroyed && !socket.writableEnded);
      if (packet.cmd === 'connect') for (const { socket } of open.slice(0, -most)) socket.end();
      return false;
    },
  });
  const crowd = setInterval(() => plainClient(server.url).catch(() => undefined), 50);
  onTestFinished(() => clearInterval(crowd));
  const errors = await ends(sinkContext({ url: server.url }, 'a/b'), 7);
  // Some are closed before CONNACK.
  expect(errors.map(({ passing }) => passing)).toEqual(Array.from({ length: 7 }, () => true));
});
