import { describe } from 'vitest';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { FaultyLink } from '../../../test/support/faulty-link.ts';
import { unique } from '../../../test/support/mqtt.ts';
import {
  noRedis,
  plainRedis,
  type RedisContext,
  RedisServer,
  redisContext,
} from '../../../test/support/redis.ts';
import { skipping } from '../../../test/support/skipping.ts';
import type { SinkTable, SourceTable } from './config/table.ts';
import { redis } from './index.ts';

describe.skipIf(noRedis !== undefined)(skipping('the contract', noRedis), async () => {
  if (noRedis !== undefined) return;
  const server = await RedisServer.start({ config: ['appendfsync no', 'proto-max-bulk-len 128mb'] });
  const other = plainRedis(server.port);

  const breakable = (context: () => RedisContext) => async () => {
    const link = await FaultyLink.start(server.port, () => () => {});
    const address = link.url.replace('mqtt:', 'redis:');
    return { context: { ...context(), profile: { connection: { address } } }, cut: () => link.cut() };
  };

  const reading = (): RedisContext =>
    redisContext(server.profile, { stream: `in:${unique()}`, consumerGroup: 'g', start: 'earliest' });
  const streamOf = ({ table }: { table: unknown }) =>
    ((table as RedisContext['table']).connectorType as SourceTable).stream;
  testSource({
    connector: redis,
    dials: true,
    context: reading,
    breakable: breakable(reading),
    keeps: true,
    maxBytes: 64 * 1024 * 1024,
    async send(context, count, bytes = 1) {
      for (let index = 0; index < count; index += 1)
        await other.xadd(streamOf(context), '*', 'payload', `m${index}`.padEnd(bytes, '.'));
    },
  });

  const seen = new Map<string, string[]>();
  const listOf = ({ table }: { table: unknown }) =>
    (((table as RedisContext['table']).connectorType as SinkTable).target as { listPrefix: string })
      .listPrefix;
  /** Looks at the list after each write. */
  const connector: typeof redis = {
    ...redis,
    async openSink(context) {
      const sink = await redis.openSink?.(context);
      return {
        async write(messages) {
          const refusals = await sink?.write(
            messages.map(({ payload, row }) => ({ payload, row: { key: '', ...row } })),
          );
          seen.set(listOf(context), await other.lrange(listOf(context), 0, -1));
          return refusals ?? [];
        },
        close: async () => sink?.close(),
      };
    },
  };
  const writing = (): RedisContext =>
    redisContext(server.profile, { target: { listPrefix: `out:${unique()}`, listKeyColumn: 'key' } });
  testSink({
    connector,
    dials: true,
    context: writing,
    breakable: breakable(writing),
    refused: { message: { payload: Buffer.alloc(0), row: { key: null } }, code: 'bad_row' },
    written: (context) => seen.get(listOf(context)) ?? [],
    async stalled() {
      let sent = 0;
      const link = await FaultyLink.start(server.port, () => (direction, chunk) => {
        if (direction !== 'up') return;
        sent += chunk.toString('latin1').split('RPUSH').length - 1;
        if (sent > 0) link.blackhole();
      });
      const address = link.url.replace('mqtt:', 'redis:');
      return { context: { ...writing(), profile: { connection: { address } } }, sent: () => sent };
    },
  });

  testCheck({
    connector: redis,
    dials: true,
    context: writing,
    async traces() {
      const clients = String(await other.client('LIST'))
        .split('\n')
        .filter(Boolean);
      return { keys: (await other.keys('out:*')).sort(), clients: clients.length };
    },
  });
});
