import { describe, expect, test } from 'vitest';
import { endpoint } from '../../../../test/support/http-endpoint.ts';
import { targets, unique } from '../../../../test/support/mqtt.ts';
import {
  checkedRedis,
  noRedis,
  plainRedis,
  RedisServer,
  redisCluster,
} from '../../../../test/support/redis.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import type { CheckStep } from '../../connector.ts';
import { autocomplete } from './autocomplete.ts';

const outline = (steps: Record<string, CheckStep>) =>
  Object.values(steps).map(
    ({ name, outcome, code }) => `${name} ${outcome}${code === null ? '' : ` ${code}`}`,
  );

describe.skipIf(noRedis !== undefined)(skipping('the test of a connection', noRedis), async () => {
  if (noRedis !== undefined) return;
  const server = await RedisServer.start();
  const other = plainRedis(server.port);
  const string = (keyPrefix: string) => ({ target: { keyPrefix } });

  test('reports each step, and writes nothing', async () => {
    const steps = await checkedRedis(server.profile, string('fresh'));
    expect(outline(steps)).toEqual([
      'resolve ok',
      'tcp ok',
      'login ok',
      'server ok',
      'key ok',
      'permission ok',
    ]);
    expect(await other.exists('fresh')).toBe(0);
  });

  test('tells what a crash of the server may lose', async () => {
    await other.config('SET', 'appendfsync', 'everysec');
    expect((await checkedRedis(server.profile)).server).toMatchObject({
      outcome: 'warning',
      code: 'redis_may_lose',
    });
    await other.config('SET', 'appendfsync', 'always');
    await other.config('SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru');
    expect((await checkedRedis(server.profile)).server?.message).toContain('allkeys-lru');
    await other.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction');
    const volatile = await RedisServer.start({ config: ['appendonly no'] });
    expect((await checkedRedis(volatile.profile)).server?.message).toContain('appendonly is off');
  });

  test('finds a key of another type and missing permissions, with the command that helps', async () => {
    await other.lpush('list', 'x');
    expect((await checkedRedis(server.profile, string('list'))).key).toMatchObject({
      outcome: 'failed',
      code: 'redis_wrong_type',
    });
    await other.call(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>pw',
      '+@read',
      '+@connection',
      '+multi',
      '+discard',
      '+xreadgroup',
      '~*',
    );
    const profile = { ...server.profile, username: 'reader', password: 'pw' };
    const { permission } = await checkedRedis(profile, string('k'));
    expect(permission).toMatchObject({
      outcome: 'failed',
      code: 'redis_forbidden',
      hint: 'ACL SETUSER … +set ~k*',
    });
    const source = { stream: 'readings', consumerGroup: 'g' };
    expect((await checkedRedis(profile, source)).permission?.hint).toBe(
      'ACL SETUSER … +xgroup|create ~readings*',
    );
    expect(await other.exists('readings')).toBe(0);
  });

  test('shows the newest entry of a stream and compares it with the schema', async () => {
    const stream = unique();
    const table = { stream, consumerGroup: 'g' };
    const schema = {
      format: { type: 'json' as const },
      fields: [{ name: 'n', type: 'int64' as const, required: true }],
    };
    await other.xadd(stream, '*', 'payload', '{"n":1}');
    const good = await checkedRedis(server.profile, table, { schema });
    expect(outline(good).slice(-4)).toEqual(['key ok', 'permission ok', 'first_message ok', 'decode ok']);
    await other.xadd(stream, '*', 'payload', '{"n":"x"}');
    expect((await checkedRedis(server.profile, table, { schema })).decode).toMatchObject({
      outcome: 'failed',
      code: 'bad_data',
    });
    await other.xadd(stream, '*', 'data', '1');
    expect((await checkedRedis(server.profile, table)).first_message).toMatchObject({
      outcome: 'failed',
      code: 'redis_no_payload',
    });
    expect(await other.xinfo('GROUPS', stream)).toEqual([]);
  });

  test('tells another protocol, a replica, a full memory and a wrong kind of profile', async () => {
    const at = await endpoint();
    const connection = { address: `redis://127.0.0.1:${new URL(at.url).port}` };
    expect((await checkedRedis({ connection })).login).toMatchObject({
      outcome: 'failed',
      code: 'redis_not_spoken',
    });
    const replica = await RedisServer.start({ config: [`replicaof 127.0.0.1 ${server.port}`] });
    expect((await checkedRedis(replica.profile)).server).toMatchObject({
      outcome: 'failed',
      code: 'redis_read_only',
    });
    const full = await RedisServer.start({ config: ['maxmemory 1'] });
    expect((await checkedRedis(full.profile, string('k'))).permission).toMatchObject({
      code: 'redis_out_of_memory',
    });
    const profile = { connection: { addresses: [server.url] } };
    expect((await checkedRedis(profile)).cluster).toMatchObject({
      outcome: 'failed',
      code: 'redis_no_cluster',
    });
  });

  test('tests a cluster by the first node that works', async () => {
    const [first] = await redisCluster();
    const addresses = ['redis://127.0.0.1:1', first?.url ?? ''];
    const steps = await checkedRedis(
      { connection: { addresses } },
      { stream: 'somewhere', consumerGroup: 'g' },
    );
    expect(steps.cluster).toMatchObject({ outcome: 'ok', details: { slots: 16_384 } });
    expect(steps.permission).toMatchObject({ outcome: 'ok' });
    const single = await checkedRedis(first?.profile ?? server.profile, string('k'));
    expect(Object.values(single).some(({ outcome }) => outcome === 'failed')).toBe(true);
  });

  test('offers the keys of streams', async () => {
    const stream = unique();
    await other.xadd(stream, '*', 'a', 'b');
    const { signal } = new AbortController();
    const offered = await autocomplete({ profile: server.profile, targets, signal });
    expect(offered.stream).toContain(stream);
    expect(offered.stream).not.toContain('list');
  });
});
