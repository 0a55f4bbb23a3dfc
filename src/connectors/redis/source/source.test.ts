import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { unique } from '../../../../test/support/mqtt.ts';
import {
  moveSlot,
  noRedis,
  plainRedis,
  type RedisContext,
  RedisServer,
  redisCluster,
  redisContext,
} from '../../../../test/support/redis.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { KeptPosition, reading } from '../../../../test/support/sources.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import { codecFor } from '../../../formats/codec.ts';
import type { Delivery, Source } from '../../connector.ts';
import type { SourceTable } from '../config/table.ts';
import { redis } from '../index.ts';
import { watch } from '../watch/watch.ts';
import { openSource } from './source.ts';

const codes = (errors: readonly PenstockError[]) => errors.map(({ code }) => code);
const texts = (deliveries: readonly Delivery[]) => deliveries.map(({ payload }) => String(payload));

async function aloneInCluster(bus: number): Promise<RedisServer> {
  return RedisServer.start({ config: ['cluster-enabled yes', `cluster-port ${bus}`] });
}

/** Reads without acknowledging. */
async function holding(
  context: RedisContext,
): Promise<{ source: Source; held: Delivery[]; end: Promise<unknown> }> {
  const source = await openSource(context);
  atEnd(() => source.close());
  const held: Delivery[] = [];
  const end = (async () => {
    for await (const batch of source) held.push(...batch);
  })().then(
    () => undefined,
    (error: unknown) => error,
  );
  return { source, held, end };
}

describe.skipIf(noRedis !== undefined)(skipping('the source', noRedis), async () => {
  if (noRedis !== undefined) return;
  const server = await RedisServer.start({ config: ['appendfsync no'] });
  const other = plainRedis(server.port);
  const table = (more: Partial<SourceTable> = {}): SourceTable => ({
    stream: `s:${unique()}`,
    consumerGroup: 'g',
    start: 'earliest',
    ...more,
  });
  const context = (source: SourceTable, rest: Partial<RedisContext> = {}, schema = {}) =>
    redisContext(server.profile, source, schema, rest);
  const add = async (stream: string, count: number, first = 0): Promise<void> => {
    for (let n = first; n < first + count; n += 1) await other.xadd(stream, '*', 'payload', `m${n}`);
  };
  const names = (count: number, first = 0) => Array.from({ length: count }, (_, n) => `m${first + n}`);
  const pending = async ({ stream }: SourceTable) =>
    Number(((await other.xpending(stream, 'g')) as unknown[])[0]);

  test('hands out payloads with metadata, and acknowledges them', async () => {
    const source = table();
    await other.xadd(source.stream, '1526919030474-55', 'payload', 'first', 'by', 'me');
    const { deliveries } = await reading(redis, context(source));
    await other.xadd(source.stream, '*', 'payload', Buffer.from([0, 255]));
    await until('both', () => deliveries.length === 2);
    const [first, second] = deliveries as [Delivery, Delivery];
    const { id, timestamp, stream, fields, redelivered } = first.metadata;
    expect({ id, timestamp, stream, fields, redelivered }).toEqual({
      id: '1526919030474-55',
      timestamp: 1_526_919_030_474_000n,
      stream: source.stream,
      fields: '{"payload":"first","by":"me"}',
      redelivered: false,
    });
    expect(second.payload).toEqual(Buffer.from([0, 255]));
    await until('both are acknowledged', async () => (await pending(source)) === 0);
  });

  test('counts all fields of an entry towards the 64 MiB that it holds', async () => {
    const source = table();
    const image = Buffer.alloc(1024 * 1024);
    for (let n = 0; n < 100; n += 1) await other.xadd(source.stream, '*', 'payload', `m${n}`, 'image', image);
    const { held } = await holding(context(source));
    await until('64 MiB', () => held.length >= 64);
    // While it reads, it asks at least every second.
    await until('it asks for no more', async () => {
      const [consumer = []] = (await other.xinfo('CONSUMERS', source.stream, 'g')) as [unknown[]?];
      return Number(consumer[consumer.indexOf('idle') + 1]) > 3_000;
    });
    expect(texts(held)).toEqual(names(64));
    for (const { ack } of held.splice(0)) ack();
    await until('the others', () => held.length === 36);
    await other.del(source.stream);
  });

  test('begins at the end or at the beginning', async () => {
    const late = table({ start: 'latest' });
    await add(late.stream, 3);
    const { deliveries } = await reading(redis, context(late));
    await add(late.stream, 1, 3);
    await until('the new one', () => deliveries.length > 0);
    expect(texts(deliveries)).toEqual(['m3']);
  });

  test('makes rows of fields, by the types of the columns', async () => {
    const source = table({ entry: 'fields' });
    const fields = [
      { name: 'text', type: 'string' as const },
      { name: 'n', type: 'int64' as const },
      { name: 'yes', type: 'bool' as const },
      { name: 'x', type: 'float64' as const },
    ];
    const schema = { format: { type: 'json' as const }, fields };
    await other.xadd(
      source.stream,
      '*',
      'text',
      '007"\n',
      'n',
      '9007199254740993',
      'yes',
      'true',
      'x',
      '1.5',
    );
    await other.xadd(source.stream, '*', 'text', Buffer.from([255]), 'n', '1');
    await other.xadd(source.stream, '*', 'n', 'many');
    const { deliveries } = await reading(redis, context(source, {}, schema));
    await until('all', () => deliveries.length === 3);
    const codec = codecFor(schema);
    const [good, ...bad] = deliveries as [Delivery, ...Delivery[]];
    expect(codec.decode(good.payload)).toEqual({
      text: '007"\n',
      n: 9_007_199_254_740_993n,
      yes: true,
      x: 1.5,
    });
    for (const { payload } of bad) expect(() => codec.decode(payload)).toThrow();
  });

  test('warns once of entries without the payload field', async () => {
    const source = table({ payloadField: 'data' });
    await add(source.stream, 2);
    const own = context(source);
    const { deliveries } = await reading(redis, own);
    await until('both', () => deliveries.length === 2);
    expect(texts(deliveries)).toEqual(['', '']);
    expect(codes(own.warnings)).toEqual(['redis_no_payload']);
  });

  test('shares a group among tasks, each entry once', async () => {
    const source = table();
    const contexts = [0, 1, 2].map((taskIndex) =>
      context(source, { identity: { jobId: 'job', operatorId: 'op', taskIndex }, window: 10 }),
    );
    const tasks = await Promise.all(contexts.map((own) => reading(redis, own)));
    await add(source.stream, 300);
    const all = () => tasks.flatMap(({ deliveries }) => texts(deliveries));
    await until('all', () => all().length >= 300);
    expect(all().sort()).toEqual(names(300).sort());
    const consumers = async () => (await other.xinfo('CONSUMERS', source.stream, 'g')) as unknown[];
    await until('all consumers', async () => (await consumers()).length === 3);
  });

  test('takes over what a dead consumer left, and lets nobody take what it holds itself', async () => {
    const source = table({ claimIdleSecs: 1 });
    await add(source.stream, 4);
    await other.xgroup('CREATE', source.stream, 'g', '0');
    await other.xreadgroup('GROUP', 'g', 'dead', 'COUNT', 2, 'STREAMS', source.stream, '>');
    // With a full window it claims nothing, also not what it holds.
    const first = await holding(context(source, { window: 4 }));
    await until('all four', () => first.held.length === 4);
    expect(texts(first.held).sort()).toEqual(names(4));
    expect(first.held.map(({ metadata }) => metadata.redelivered).sort()).toEqual([false, false, true, true]);
    // It is more patient, because the first one may be held up.
    const second = await holding(context({ ...source, claimIdleSecs: 3 }));
    await new Promise((resolve) => setTimeout(resolve, 4_500));
    expect([first.held.length, second.held.length]).toEqual([4, 0]);
    for (const delivery of first.held) delivery.ack();
    await until('they are acknowledged', async () => (await pending(source)) === 0);
  });

  test('says how many entries were trimmed before they were read, also while they waited', async () => {
    const source = table();
    await add(source.stream, 10);
    await other.xgroup('CREATE', source.stream, 'g', '0');
    const own = context(source);
    const consumer = `penstock:${own.identity.jobId}:op:0`;
    await other.xreadgroup('GROUP', 'g', consumer, 'COUNT', 5, 'STREAMS', source.stream, '>');
    await other.xtrim(source.stream, 'MAXLEN', 3);
    const { deliveries } = await reading(redis, own);
    await until('the rest', () => deliveries.length === 3);
    expect(texts(deliveries)).toEqual(names(3, 7));
    await until('both warnings', () => own.warnings.length >= 2);
    expect(codes(own.warnings)).toEqual(['redis_entries_lost', 'redis_entries_lost']);
    expect(own.warnings.map(({ facts }) => facts.entries).sort()).toEqual([2, 5]);
    await until('nothing is pending', async () => (await pending(source)) === 0);
  });

  test('goes on after its group was deleted: nothing is skipped', async () => {
    const source = table();
    const position = new KeptPosition();
    const identity = { jobId: 'j', operatorId: 'op', taskIndex: 0 };
    await add(source.stream, 3);
    const first = await reading(redis, context(source, { identity, position }));
    await until('three', () => first.deliveries.length === 3);
    const safe = String(first.deliveries[2]?.metadata.id);
    await until('the position', () => (position.stored as { safe?: string } | undefined)?.safe === safe);
    await other.xgroup('DESTROY', source.stream, 'g');
    expect(await first.end).toMatchObject({ code: 'redis_group_lost', passing: true });
    await add(source.stream, 2, 3);
    const own = context(source, { identity, position });
    const second = await reading(redis, own);
    await until('two more', () => second.deliveries.length >= 2);
    expect(texts(second.deliveries)).toEqual(names(2, 3));
    expect(codes(own.warnings)).toEqual(['redis_group_lost']);
  });

  test('goes on after its stream was deleted, and says so', async () => {
    const source = table({ start: 'latest' });
    const position = new KeptPosition();
    await add(source.stream, 1);
    const first = await reading(redis, context(source, { position }));
    await until('the position', () => position.stored !== undefined);
    await other.del(source.stream);
    expect(await first.end).toMatchObject({ passing: true });
    await add(source.stream, 2);
    const own = context(source, { position });
    const second = await reading(redis, own);
    await until('the new ones', () => second.deliveries.length === 2);
    await other.del(source.stream);
    await second.end;
    const third = context(source, { position });
    await reading(redis, third);
    expect(codes(third.warnings)).toEqual(['redis_stream_lost']);
  });

  test('fails for a key that is no stream', async () => {
    const source = table();
    await other.set(source.stream, 'x');
    await expect(openSource(context(source))).rejects.toMatchObject({
      code: 'redis_wrong_type',
      passing: false,
    });
  });

  test('reads from a cluster', async () => {
    const [first] = await redisCluster();
    const profile = { connection: { addresses: [first?.url ?? ''] } };
    for (const stream of ['a', 'b', 'c']) {
      const { deliveries } = await reading(redis, redisContext(profile, table({ stream })));
      const cluster = new (await import('ioredis')).Cluster([{ host: '127.0.0.1', port: first?.port ?? 0 }]);
      await cluster.xadd(stream, '*', 'payload', stream);
      cluster.disconnect();
      await until('it', () => deliveries.length === 1);
      expect(texts(deliveries)).toEqual([stream]);
    }
  });

  test('fails for good only if no address of a cluster may work later', async () => {
    const opening = (addresses: string[]) =>
      openSource(redisContext({ connection: { addresses } }, table({ stream: 'a' })));
    const wrong = { code: 'redis_no_cluster', passing: false };
    await expect(opening([server.url])).rejects.toMatchObject(wrong);
    const away = { code: 'connection_refused', passing: true };
    await expect(opening([server.url, 'redis://127.0.0.1:1'])).rejects.toMatchObject(away);
    await expect(opening(['redis://127.0.0.1:1', server.url])).rejects.toMatchObject(away);
  });

  test('tries again when its stream moves to another node, and goes on there', async () => {
    const nodes = await redisCluster();
    const [a, b, c] = nodes as [RedisServer, RedisServer, RedisServer];
    const stream = '{b}';
    // The first node has the slot of the key. Nodes that belong to no cluster, or to one without a majority, are passed over.
    const others = await Promise.all([0, 1].map(async () => aloneInCluster(await freePort())));
    await plainRedis(others[1]?.port ?? 0).call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_000);
    const profile = { connection: { addresses: [...others.map(({ url }) => url), c.url] } };
    const own = redisContext(profile, table({ stream, start: 'earliest' }));
    const clients = [a, b].map(({ port }) => plainRedis(port)) as [Redis, Redis];
    await clients[0].xadd(stream, '*', 'payload', '1');
    const before = await reading(redis, own);
    await until('the first', () => before.deliveries.length === 1);
    before.deliveries[0]?.ack();
    const moving = { code: 'redis_unavailable', passing: true };
    await moveSlot(nodes, [a, b], stream, async () => {
      // The key is gone from the node for a reader that waits there.
      expect(await before.end).toMatchObject({ passing: true });
      await expect(openSource(own)).rejects.toMatchObject(moving);
    });
    await clients[1].xadd(stream, '*', 'payload', '2');
    const after = await reading(redis, own);
    await until('the second', () => after.deliveries.length > 0);
    expect(texts(after.deliveries).at(-1)).toBe('2');
  });

  test('shows entries without a group', async () => {
    const source = table();
    await add(source.stream, 2);
    const abort = new AbortController();
    const seen: string[] = [];
    const watching = watch({
      ...context(source),
      signal: abort.signal,
      listening: () => void add(source.stream, 1, 2),
      deliver: ({ payload }) => void seen.push(String(payload)),
    });
    watching.catch(() => {});
    await until('all', () => seen.length === 3);
    expect(seen).toEqual(names(3));
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(watching).rejects.toBe(reason);
    expect(await other.xinfo('GROUPS', source.stream)).toEqual([]);
  });
});
