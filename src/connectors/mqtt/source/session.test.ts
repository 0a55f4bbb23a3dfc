import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Mosquitto } from '../../../../test/support/mosquitto.ts';
import {
  ackAll,
  errorOf,
  type MqttContext,
  plainClient,
  publishMany,
  Reader,
  sourceContext,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { type Script, ScriptedBroker } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import type { RememberedSession } from '../../connector.ts';
import type { MqttTable } from '../config/table.ts';
import { shared } from '../config/table.ts';
import { shareFilter } from './backlog.ts';
import { openSource } from './source.ts';

let broker: Mosquitto;
let publisher: Awaited<ReturnType<typeof plainClient>>;
beforeAll(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'] });
  publisher = await plainClient(broker.url);
});
afterAll(async () => {
  await publisher?.endAsync();
  await broker?.stop();
});

const cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function open(context: MqttContext) {
  const source = await openSource(context);
  cleanUp.push(() => source.close());
  return { source, reader: new Reader(source) };
}

async function scripted(script: Script): Promise<ScriptedBroker> {
  const server = await ScriptedBroker.start(script);
  cleanUp.push(() => server.stop());
  return server;
}

const remembered = (more: Partial<RememberedSession<MqttTable>> = {}): RememberedSession<MqttTable> => ({
  known: true,
  former: [],
  drain: false,
  ...more,
});

const tableOf = (topic: string): MqttTable => ({ topic, qos: 'AtLeastOnce', type: {} });

/** A context whose warnings are kept. */
function warned(context: MqttContext): { context: MqttContext; codes: string[] } {
  const codes: string[] = [];
  return { context: { ...context, warn: ({ code }: PenstockError) => void codes.push(code) }, codes };
}

describe.each(['5', '3.1.1'] as const)('a session over MQTT %s', (protocolVersion) => {
  const profile = () => ({ url: broker.url, protocolVersion });

  test('keeps queued messages when its topic changes, and gets no more of the old topic', async () => {
    const [before, after] = [`in/${unique()}`, `in/${unique()}`];
    const first = sourceContext(profile(), before);
    await (await openSource(first)).close();
    await publishMany(publisher, before, 5);
    const { source, reader } = await open({
      ...first,
      table: tableOf(after),
      session: remembered({ former: [first.table, tableOf('never/was')] }),
    });
    const queued = await reader.take(5);
    expect(texts(queued)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
    ackAll(queued);
    await source.session?.settled;
    await publisher.publishAsync(before, 'old', { qos: 1 });
    await publisher.publishAsync(after, 'new', { qos: 1 });
    expect(texts(await reader.take(1))).toEqual(['new']);
  });

  test('is drained completely before it is abandoned', async () => {
    const context = sourceContext(profile(), `in/${unique()}`);
    const { topic } = context.table;
    await (await openSource(context)).close();
    await publishMany(publisher, topic, 250);
    const { source } = await open({
      ...context,
      table: tableOf('another/one'),
      session: remembered({ former: [context.table], drain: true }),
    });
    const read: string[] = [];
    for await (const batch of source) {
      // It is unsubscribed by now, so it does not receive this message.
      if (read.length === 0) await publisher.publishAsync('another/one', 'not for it', { qos: 1 });
      read.push(...texts(batch));
      ackAll(batch);
    }
    expect(read).toEqual(Array.from({ length: 250 }, (_, index) => `m${index}`));
    await source.close();

    await publisher.publishAsync(topic, 'late', { qos: 1 });
    const { reader } = await open({ ...context, session: remembered() });
    await publisher.publishAsync(topic, 'end', { qos: 1 });
    expect(texts(await reader.take(1))).toEqual(['end']);
  });

  test('is reported as lost if the broker does not have it, unless it is new', async () => {
    const fresh = warned(sourceContext(profile(), `in/${unique()}`));
    const { source } = await open({ ...fresh.context, session: remembered({ known: false }) });
    expect(source.session?.resumed).toBe(false);
    await source.close();
    const again = await open({ ...fresh.context, session: remembered() });
    expect(again.source.session?.resumed).toBe(true);
    expect(fresh.codes).toEqual([]);
    const lost = warned(sourceContext(profile(), `in/${unique()}`));
    await open({ ...lost.context, session: remembered() });
    expect(lost.codes).toEqual(['mqtt_session_lost']);
  });

  test('is never without a subscription while its filter changes', async () => {
    const server = await scripted({});
    const context = sourceContext({ url: server.url, protocolVersion }, 'new/#');
    const former = [tableOf('old/#'), tableOf('older'), tableOf('new/#')];
    const { source } = await open({ ...context, session: remembered({ known: false, former }) });
    await source.session?.settled;
    const { received } =
      server.connections.find((one) => one.of('unsubscribe').length > 0) ?? server.connection;
    const kinds = received.map(({ cmd }) => cmd).filter((cmd) => cmd.endsWith('subscribe'));
    expect(kinds.slice(-2)).toContain('unsubscribe');
    expect(kinds.indexOf('subscribe')).toBeLessThan(kinds.indexOf('unsubscribe'));
    expect(received.find(({ cmd }) => cmd === 'unsubscribe')).toMatchObject({
      unsubscriptions: ['old/#', 'older'],
    });
  });

  test('is drained before it is unsubscribed, and is empty once the broker has every acknowledgement', async () => {
    const server = await scripted({
      connack: { sessionPresent: true },
      on: ({ cmd }, connection) => {
        if (cmd === 'connect') setImmediate(() => connection.publish(1, 5));
        return false;
      },
    });
    const context = sourceContext({ url: server.url, protocolVersion }, 'a/b');
    const { source } = await open({ ...context, session: remembered({ drain: true }) });
    const read: string[] = [];
    for await (const batch of source) {
      read.push(...texts(batch));
      ackAll(batch);
    }
    expect(read).toHaveLength(5);
    const said = server.connection.received.map(({ cmd }) => cmd);
    expect(said.indexOf('pingreq')).toBeLessThan(said.indexOf('unsubscribe'));
    expect(said.lastIndexOf('pingreq')).toBeGreaterThan(said.lastIndexOf('puback'));
    expect(said).not.toContain('subscribe');
  });

  test('fails if the broker sends no SUBACK', async () => {
    const server = await scripted({ on: ({ cmd }) => cmd === 'subscribe' });
    const profile = { url: server.url, protocolVersion, connectTimeoutMs: 1000 };
    const error = await errorOf(openSource(sourceContext(profile, 'a/b')));
    expect(error).toMatchObject({ code: 'mqtt_not_answered', passing: true });
    expect(error.message).toContain('SUBSCRIBE');
  });
});

test('a session whose broker keeps an old subscription fails with the reason', async () => {
  const server = await scripted({
    on: (packet, connection) => {
      if (packet.cmd !== 'unsubscribe') return false;
      connection.send({ cmd: 'unsuback', messageId: packet.messageId ?? 0, granted: [0x87] });
      return true;
    },
  });
  const session = remembered({ known: false, former: [tableOf('old')] });
  const { reader } = await open(sourceContext({ url: server.url }, 'new', 'AtLeastOnce', { session }));
  const error = await errorOf(reader.take(1));
  expect(error).toMatchObject({ code: 'mqtt_subscribe_refused' });
  expect((error as PenstockError).message).toMatch(/subscription to old: not authorized/);
});

describe('a table with several tasks', () => {
  const contextsOf = (topic: string, tasks: number): MqttContext[] =>
    Array.from({ length: tasks }, (_, index) => {
      const context = sourceContext({ url: broker.url }, topic);
      const identity = { ...context.identity, taskIndex: index };
      return { ...context, identity, table: shared(context.table, index, tasks) };
    });

  test.each([2, 3, 7])('is divided: each message is handed out by one of %d tasks', async (tasks) => {
    const topic = `in/${unique()}`;
    const opened = await Promise.all(contextsOf(topic, tasks).map(open));
    await publishMany(publisher, topic, 200);
    const read = opened.map(() => [] as string[]);
    const reading = opened.map(async ({ source }, index) => {
      for await (const batch of source) {
        read[index]?.push(...texts(batch));
        ackAll(batch);
      }
    });
    await until('all have come', () => read.flat().length >= 200);
    await Promise.all(opened.map(({ source }) => source.drain()));
    await Promise.all(reading);
    expect(read.flat().sort()).toEqual(Array.from({ length: 200 }, (_, index) => `m${index}`).sort());
    for (const one of read) expect(one.length).toBeGreaterThan(0);
  });

  test('hands out empty batches while only other tasks have messages', async () => {
    const topic = `in/${unique()}`;
    const [one, other] = contextsOf(topic, 2) as [MqttContext, MqttContext];
    const foreign = shareFilter([other.table])(topic, Buffer.from('same')) ? one : other;
    const { source } = await open(foreign);
    await publisher.publishAsync(topic, 'same', { qos: 1 });
    for await (const batch of source) {
      expect(batch).toEqual([]);
      break;
    }
  });

  test('hands out what was its own under the former number of tasks, until all tasks are connected', async () => {
    const topic = `in/${unique()}`;
    const [alone, ...others] = contextsOf(topic, 3) as [MqttContext, ...MqttContext[]];
    const former = [sourceContext({ url: broker.url }, topic).table];
    const { source } = await open({ ...alone, session: remembered({ known: false, former }) });
    const read: string[] = [];
    const reading = (async () => {
      for await (const batch of source) {
        read.push(...texts(batch));
        ackAll(batch);
      }
    })();
    await publishMany(publisher, topic, 50);
    await until('all have come', () => read.length === 50);
    source.allConnected?.();
    await source.session?.settled;
    await publishMany(publisher, topic, 50);
    const own = shareFilter([alone.table]);
    const later = Array.from({ length: 50 }, (_, index) => `m${index}`).filter((text) =>
      own(topic, Buffer.from(text)),
    );
    await until('its own have come', () => read.length >= 50 + later.length);
    await source.drain();
    await reading;
    expect(read.slice(50)).toEqual(later);
    expect(others.map(({ table }) => shareFilter([table])(topic, Buffer.from(later[0] ?? '')))).toEqual([
      false,
      false,
    ]);
  });

  test('keeps the group that it names itself', () => {
    const own = tableOf('$share/mine/plant/#');
    expect(shared(own, 0, 2)).toBe(own);
  });

  test('reads retained messages, each in one task, also over MQTT 3.1.1', async () => {
    const topic = `in/${unique()}`;
    await publisher.publishAsync(topic, 'kept', { qos: 1, retain: true });
    const opened = await Promise.all(
      contextsOf(topic, 2).map((context) =>
        open({ ...context, profile: { url: broker.url, protocolVersion: '3.1.1' } }),
      ),
    );
    const mine = contextsOf(topic, 2).findIndex(({ table }) =>
      shareFilter([table])(topic, Buffer.from('kept')),
    );
    expect(texts((await opened[mine]?.reader.take(1)) ?? [])).toEqual(['kept']);
  });

  test.each([
    [undefined, []],
    ['when_new', ['mqtt_retained_not_shared']],
    ['never', []],
  ] as const)('warns that a shared subscription gets no retained messages (%s)', async (retained, codes) => {
    const topic = `$share/mine/in/${unique()}`;
    const table = { ...tableOf(topic), type: retained ? { retained } : {} };
    const watched = warned({ ...sourceContext({ url: broker.url }, 'x'), table });
    const { source } = await open(watched.context);
    await source.close();
    await open(watched.context);
    expect(watched.codes).toEqual(codes);
  });

  test('is refused if it names a group and the broker reports no shared subscriptions', async () => {
    const server = await scripted({ connack: { properties: { sharedSubscriptionAvailable: false } } });
    const context = sourceContext({ url: server.url }, '$share/mine/x');
    const error = await errorOf(openSource(context));
    expect(error).toMatchObject({ code: 'mqtt_shared_unsupported', passing: false });
    expect(server.connection.of('subscribe')).toEqual([]);
  });
});
