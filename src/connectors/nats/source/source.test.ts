import { setTimeout as delay } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { runContext } from '../../../../test/support/connector-conformance/subject.ts';
import { Nats, natsMissing } from '../../../../test/support/nats.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { reading } from '../../../../test/support/sources.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import type { Delivery, RunContext } from '../../connector.ts';
import type { NatsProfile } from '../config/profile.ts';
import { consumerName } from '../config/session.ts';
import type { JetStreamSource, NatsTable } from '../config/table.ts';
import { shared } from '../config/table.ts';
import { nats } from '../index.ts';

type Context = RunContext<NatsProfile, NatsTable>;

const server = natsMissing === undefined ? ((await Nats.start()) as Nats) : (undefined as unknown as Nats);
const client = natsMissing === undefined ? await server.client() : (undefined as never);
const manager = natsMissing === undefined ? await server.manager() : (undefined as never);
let made = 0;

async function contextOf(config = {}, source: Partial<JetStreamSource> = {}, rest: Partial<Context> = {}) {
  made += 1;
  const name = `S${made}`;
  await server.stream(name, config);
  const warnings: PenstockError[] = [];
  const context: Context = {
    ...(runContext({ connectorType: { sourceType: { stream: name, ackWait: 30, ...source } } }) as Context),
    profile: { servers: server.url, authentication: {} },
    identity: { jobId: `job_${made}`, operatorId: 'op', taskIndex: 0 },
    warn: (error) => void warnings.push(error),
    ...rest,
  };
  return { context, name, warnings };
}

const publish = async (subject: string, count: number, from = 0): Promise<void> => {
  const js = jetstream(client);
  for (let index = from; index < from + count; index++) await js.publish(subject, `m${index}`);
};
const texts = (some: readonly { payload: Buffer }[]) => some.map(({ payload }) => String(payload));
const infoOf = ({ identity }: Context, stream: string) =>
  manager.consumers.info(stream, consumerName(identity));

describe.skipIf(natsMissing)(skipping('a source of a stream', natsMissing), () => {
  test('fills the metadata', async () => {
    const { context, name } = await contextOf();
    const own = headers();
    own.append('one', '1');
    own.append('many', 'a');
    own.append('many', 'b');
    await jetstream(client).publish(`${name}.x`, 'hello', { headers: own });
    const { deliveries } = await reading(nats, context);
    await until('the message', () => deliveries.length === 1);
    const { metadata } = deliveries[0] as (typeof deliveries)[0];
    expect({
      ...Object.fromEntries(nats.metadata.map(({ name: key }) => [key, metadata[key]])),
    }).toMatchObject({
      subject: `${name}.x`,
      stream: name,
      sequence: 1n,
      redelivered: false,
      deliveries: 1,
      reply: null,
      headers: '{"one":"1","many":["a","b"]}',
    });
    const { time } = await manager.streams
      .getMessage(name, { seq: 1 })
      .then((found) => found as { time: Date });
    expect((metadata.timestamp as bigint) / 1000n).toBe(BigInt(time.getTime()));
  });

  test('keeps what a slow sink holds, longer than the acknowledgement wait', async () => {
    const { context, name } = await contextOf({}, { ackWait: 5 });
    await publish(`${name}.a`, 3);
    const source = await nats.openSource?.(context);
    if (!source) throw new Error('no source');
    const { value: batch } = await source[Symbol.asyncIterator]().next();
    const taken = performance.now();
    await until('more than the wait', () => performance.now() - taken > 7_000);
    expect((await infoOf(context, name)).num_redelivered).toBe(0);
    for (const delivery of batch ?? []) delivery.ack();
    await source.close();
    expect((await infoOf(context, name)).num_ack_pending).toBe(0);
    expect(batch?.length).toBeGreaterThan(0);
  });
  test('shares the consumer among tasks, and each message is for one', async () => {
    const { context, name } = await contextOf();
    const tasks = await Promise.all(
      [0, 1, 2].map((taskIndex) =>
        reading(nats, {
          ...context,
          window: 10,
          table: shared(context.table, taskIndex, 3),
          identity: { ...context.identity, taskIndex },
        }),
      ),
    );
    await publish(`${name}.a`, 60);
    await until('all', () => tasks.flatMap(({ deliveries }) => deliveries).length === 60);
    expect(new Set(texts(tasks.flatMap(({ deliveries }) => deliveries))).size).toBe(60);
    expect((await manager.streams.info(name)).state.consumer_count).toBe(1);
    for (const { deliveries } of tasks) expect(deliveries.length).toBeGreaterThan(0);
  });

  test('goes on when newer servers report that a pull has all its messages', async () => {
    const { context, name } = await contextOf({}, {}, { window: 5 });
    const pulls: string[] = [];
    client.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${name}.*`, {
      callback: (_error, { reply = '' }) => void pulls.push(reply),
    });
    await client.flush();
    await publish(`${name}.a`, 9);
    const source = await nats.openSource?.(context);
    if (!source) throw new Error('no source');
    atEnd(() => source.close());
    const batches = source[Symbol.asyncIterator]();
    const taken: Delivery[] = [];
    const take = async () => taken.push(...((await batches.next()).value ?? []));
    while (taken.length < 5) await take();
    // nats-server says so from 2.10 on, after the last message of the pull. The window is full, so it is the newest one.
    const pull = await until('the pull', () => pulls.at(-1));
    client.publish(pull, '', { headers: headers(409, 'Batch Completed') });
    await client.flush();
    for (const delivery of taken) delivery.ack();
    while (taken.length < 9) await take();
    expect(texts(taken)).toEqual(Array.from({ length: 9 }, (_, index) => `m${index}`));
  });

  test('takes a new filter with its place, and other changes of its table', async () => {
    const { context, name } = await contextOf({}, { filterSubjects: [] });
    await publish(`${name}.a`, 2);
    const first = await reading(nats, context);
    await until('two', () => first.deliveries.length === 2);
    await first.source.close();
    const changed: NatsTable = {
      connectorType: {
        sourceType: {
          stream: name,
          ackWait: 9,
          filterSubjects: [`${name}.b`],
          description: 'new',
          maxDeliver: 7,
        },
      },
    };
    const second = await reading(nats, { ...context, table: changed });
    await publish(`${name}.a`, 1);
    await publish(`${name}.b`, 1, 7);
    await until('one', () => second.deliveries.length === 1);
    expect(texts(second.deliveries)).toEqual(['m7']);
    const { config } = await infoOf(context, name);
    expect(config).toMatchObject({
      filter_subject: `${name}.b`,
      description: 'new',
      max_deliver: 7,
      ack_wait: 9e9,
    });
    await second.source.close();
    const third = await reading(nats, context);
    await publish(`${name}.a`, 1, 9);
    await until('one', () => third.deliveries.length >= 1);
    expect((await infoOf(context, name)).config.filter_subject).toBeUndefined();
  });

  test('refuses another policy of acknowledgements for a consumer that exists', async () => {
    const { context, name } = await contextOf();
    await (await reading(nats, context)).source.close();
    const table: NatsTable = { connectorType: { sourceType: { stream: name, ackPolicy: 'None' } } };
    await expect(nats.openSource?.({ ...context, table })).rejects.toMatchObject({
      code: 'nats_consumer_fixed',
    });
  });

  test.each([
    [{ deliverPolicy: 'New' as const }, ['m5']],
    [{ startSequence: 4 }, ['m3', 'm4', 'm5']],
    [{ deliverPolicy: 'LastPerSubject' as const }, ['m4', 'm5']],
  ])('begins as %j says', async (source, expected) => {
    const { context, name } = await contextOf({}, source);
    await publish(`${name}.a`, 5);
    const { deliveries } = await reading(nats, context);
    await publish(`${name}.b`, 1, 5);
    await until('them', () => deliveries.length >= expected.length);
    expect(texts(deliveries)).toEqual(expected);
  });

  test('says what the stream removed while it was away', async () => {
    const { context, name, warnings } = await contextOf({ max_msgs: 5 });
    await publish(`${name}.a`, 2);
    const first = await reading(nats, context);
    await until('two', () => first.deliveries.length === 2);
    await first.source.close();
    await publish(`${name}.a`, 9, 2);
    const second = await reading(nats, { ...context, session: { known: true, former: [], drain: false } });
    await until('the last five', () => second.deliveries.length === 5);
    expect(warnings.map(({ code, facts }) => [code, facts.count])).toEqual([['nats_messages_removed', 4]]);
    expect(second.source.session).toMatchObject({ resumed: true, lost: false });
  });

  test('says what the stream removes while it reads too slowly', async () => {
    const { context, name, warnings } = await contextOf(
      { max_msgs: 5 },
      { filterSubjects: [] },
      { window: 1 },
    );
    await publish(`${name}.a`, 4);
    const source = await nats.openSource?.(context);
    if (!source) throw new Error('no source');
    const iterator = source[Symbol.asyncIterator]();
    const held = (await iterator.next()).value;
    await publish(`${name}.a`, 8, 4);
    for (const delivery of held ?? []) delivery.ack();
    await iterator.next();
    await until('the warning', () => warnings.length > 0);
    // Of 12 messages the first was read, and the last five are left.
    expect(warnings.map(({ code, facts }) => [code, facts.count])).toEqual([['nats_messages_removed', 6]]);
    await source.close();
  });

  test('fails when its consumer is deleted, and says that it was lost', async () => {
    const { context, name, warnings } = await contextOf();
    await publish(`${name}.a`, 1);
    const { deliveries, end } = await reading(nats, context);
    await until('one', () => deliveries.length === 1);
    await manager.consumers.delete(name, consumerName(context.identity));
    expect(await end).toMatchObject({ code: 'nats_consumer_deleted', passing: true });
    const again = await reading(nats, { ...context, session: { known: true, former: [], drain: false } });
    expect(again.source.session).toMatchObject({ resumed: false, lost: true });
    expect(warnings.map(({ code }) => code)).toEqual(['nats_consumer_lost']);
    await until('all of the stream', () => again.deliveries.length === 1);
  });

  test('fails when its stream is deleted', async () => {
    const { context, name } = await contextOf();
    const { end } = await reading(nats, context);
    await manager.streams.delete(name);
    expect(await end).toMatchObject({ code: 'nats_consumer_deleted' });
    await expect(nats.openSource?.(context)).rejects.toMatchObject({
      code: 'nats_stream_missing',
      passing: false,
    });
  });

  test('reads to the end when it is drained, and is forgotten', async () => {
    const { context, name } = await contextOf();
    await publish(`${name}.a`, 2);
    const first = await reading(nats, context);
    await until('two', () => first.deliveries.length === 2);
    await first.source.close();
    await publish(`${name}.a`, 3, 2);
    const session = { known: true, former: [], drain: true };
    const other = await reading(nats, {
      ...context,
      session,
      identity: { ...context.identity, taskIndex: 1 },
    });
    expect([await other.end, other.deliveries.length]).toEqual([undefined, 0]);
    const drained = await reading(nats, { ...context, session });
    expect(await drained.end).toBeUndefined();
    expect(texts(drained.deliveries)).toEqual(['m2', 'm3', 'm4']);
    const { profile, targets, table, identity, signal, logger } = context;
    await nats.forget?.({ profile, targets, table, signal, logger, identity: { ...identity, taskIndex: 1 } });
    expect((await manager.streams.info(name)).state.consumer_count).toBe(1);
    await nats.forget?.({ profile, targets, table, signal, logger, identity });
    expect((await manager.streams.info(name)).state.consumer_count).toBe(0);
    // Twice, and without the stream.
    await nats.forget?.({ profile, targets, table, signal, logger, identity });
    await manager.streams.delete(name);
    await nats.forget?.({ profile, targets, table, signal, logger, identity });
  });

  test('reads to the end when it is drained while others publish', async () => {
    // Longer than a busy machine takes for an acknowledgement.
    const { context, name } = await contextOf({}, { ackWait: 6 });
    await publish(`${name}.a`, 5);
    await (await reading(nats, context)).source.close();
    await publish(`${name}.a`, 20, 5);
    // As of a task that has crashed: it comes again only after the wait.
    const consumer = await jetstream(client).consumers.get(name, consumerName(context.identity));
    await consumer.next({ expires: 2_000 });
    let publishing = true;
    let published = 25;
    const publisher = (async () => {
      while (publishing) {
        await publish(`${name}.a`, 1, published++);
        await delay(5);
      }
    })();
    const session = { known: true, former: [], drain: true };
    const drained = await reading(nats, { ...context, session });
    expect(
      await Promise.race([
        drained.end,
        new Promise((resolve) => setTimeout(resolve, 60_000, 'no end').unref()),
      ]),
    ).toBeUndefined();
    publishing = false;
    await publisher;
    await drained.source.close();
    const sequences = drained.deliveries.map(({ metadata }) => Number(metadata.sequence));
    const last = Math.max(...sequences);
    const { ack_floor, num_redelivered } = await infoOf(context, name);
    expect(ack_floor.stream_seq).toBe(last);
    expect(last).toBeLessThan(published);
    expect(new Set(sequences).size).toBe(sequences.length);
    expect(num_redelivered).toBeLessThanOrEqual(1);
    // Newer messages were given back, and the next source reads them.
    const next = await reading(nats, context);
    await until('the others', () => next.deliveries.length === published - last);
    expect(new Set(next.deliveries.map(({ metadata }) => Number(metadata.sequence))).size).toBe(
      published - last,
    );
  });

  test('leaves no consumer on a former stream', async () => {
    const { context, name } = await contextOf();
    await (await reading(nats, context)).source.close();
    const { context: next } = await contextOf();
    const session = { known: true, former: [context.table], drain: false };
    const { source } = await reading(nats, { ...next, identity: context.identity, session });
    await source.session?.settled;
    expect((await manager.streams.info(name)).state.consumer_count).toBe(0);
  });

  test('knows its account by another address', async () => {
    const { context } = await contextOf();
    const { profile, targets, identity, signal } = context;
    const reach = (servers: string) => ({ profile: { ...profile, servers }, targets });
    const other = await Nats.start();
    const same = (servers: string) =>
      nats.isSameSession?.(reach(server.url), reach(servers), identity, signal);
    expect(await same(`localhost:${server.port}`)).toBe(true);
    expect(await same(other.url)).toBe(false);
    expect(await same('127.0.0.1:1')).toBeUndefined();
  });

  test('reads messages of several MiB within its bytes', async () => {
    const { context, name } = await contextOf();
    const js = jetstream(client);
    for (let index = 0; index < 80; index++) await js.publish(`${name}.a`, Buffer.alloc(1_000_000, index));
    const { deliveries } = await reading(nats, context);
    await until('all', () => deliveries.length === 80);
    expect(deliveries.map(({ payload }) => payload[999_999])).toEqual(
      Array.from({ length: 80 }, (_, index) => index),
    );
  });
});

describe.skipIf(natsMissing)(skipping('the bytes of a source of a stream', natsMissing), () => {
  test('fails at a message that is larger than its maximum', async () => {
    const { context, name } = await contextOf({}, { maxBytes: 2_000 });
    const js = jetstream(client);
    for (const size of [900, 900, 900, 1_500, 2_500, 10]) await js.publish(`${name}.a`, Buffer.alloc(size));
    const { deliveries, end } = await reading(nats, context);
    expect(await end).toMatchObject({
      code: 'nats_message_too_large',
      passing: false,
      hint: expect.stringContaining('maxBytes'),
    });
    expect(deliveries.map(({ payload }) => payload.length)).toEqual([900, 900, 900, 1_500]);
  });

  test('pulls again when a pull is used up, before anything is acknowledged', async () => {
    const { context, name } = await contextOf({}, { maxBytes: 2_000 });
    const js = jetstream(client);
    for (let index = 0; index < 6; index++) await js.publish(`${name}.a`, Buffer.alloc(900));
    const source = await nats.openSource?.(context);
    if (!source) throw new Error('no source');
    const iterator = source[Symbol.asyncIterator]();
    let read = 0;
    while (read < 6) read += (await iterator.next()).value?.length ?? 0;
    await source.close();
    expect(read).toBe(6);
  });

  test('include headers', async () => {
    const { context, name } = await contextOf({}, {}, { window: 1_000 });
    const js = jetstream(client);
    const large = headers();
    large.set('large', 'x'.repeat(60_000));
    const payload = Buffer.alloc(60_000);
    const count = 700;
    for (let index = 0; index < count; index++) await js.publish(`${name}.a`, payload, { headers: large });
    const source = await nats.openSource?.(context);
    if (!source) throw new Error('no source');
    const held: Delivery[] = [];
    const end = (async () => {
      for await (const batch of source) held.push(...batch);
    })();
    // It pulls no more, or it has all of them.
    let before = -1;
    let pauses = 0;
    await until('a pause', async () => {
      const { num_waiting, num_ack_pending } = await infoOf(context, name);
      const paused = num_waiting === 0 && num_ack_pending === held.length && held.length === before;
      before = held.length;
      pauses = paused ? pauses + 1 : 0;
      return pauses === 5 || held.length === count;
    });
    expect(held.length).toBeLessThan(570);
    await until('the rest', () => {
      for (const delivery of held) delivery.ack();
      return held.length === count;
    });
    await source.close();
    await end;
  });
});

describe.skipIf(natsMissing)(skipping('a source of a subject', natsMissing), () => {
  test('reads with wildcards, and tasks divide the messages', async () => {
    const base = runContext({ connectorType: { sourceType: { subject: 'core.*' } } }) as Context;
    const profile = { servers: server.url, authentication: {} };
    const tasks = await Promise.all(
      [0, 1].map((taskIndex) =>
        reading(nats, {
          ...base,
          profile,
          table: shared(base.table, taskIndex, 2),
          identity: { ...base.identity, taskIndex },
        }),
      ),
    );
    for (let index = 0; index < 40; index++) client.publish('core.x', `m${index}`, { reply: 'answer' });
    const all = () => tasks.flatMap(({ deliveries }) => deliveries);
    await until('all', () => all().length === 40);
    expect(new Set(texts(all())).size).toBe(40);
    expect(all()[0]?.metadata).toMatchObject({
      subject: 'core.x',
      reply: 'answer',
      stream: null,
      sequence: null,
    });
  });

  test('reads the connection no further while the sink is slow', async () => {
    const base = runContext({ connectorType: { sourceType: { subject: 'flood' } } }) as Context;
    const source = await nats.openSource?.({
      ...base,
      window: 5,
      profile: { servers: server.url, authentication: {} },
    });
    if (!source) throw new Error('no source');
    for (let index = 0; index < 3_000; index++) client.publish('flood', Buffer.alloc(10_000));
    await client.flush();
    const iterator = source[Symbol.asyncIterator]();
    let read = 0;
    while (read < 3_000) {
      const { value } = await iterator.next();
      for (const delivery of value ?? []) delivery.ack();
      read += value?.length ?? 0;
    }
    await source.close();
    expect(read).toBe(3_000);
  });
});
