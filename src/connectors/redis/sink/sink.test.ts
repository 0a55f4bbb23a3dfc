import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { makeAuthority, makeClient, makeServer } from '../../../../test/support/certificates.ts';
import { unique } from '../../../../test/support/mqtt.ts';
import {
  noRedis,
  outgoing,
  plainRedis,
  type RedisContext,
  RedisServer,
  redisCluster,
  redisContext,
} from '../../../../test/support/redis.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import type { Row } from '../../../formats/format.ts';
import type { Refusal, Sink } from '../../connector.ts';
import type { RedisProfile } from '../config/profile.ts';
import type { SinkTable } from '../config/table.ts';
import { slotOf } from '../connection/cluster.ts';
import { openSink } from './sink.ts';

const rows = (count: number, key = 'a'): Row[] => Array.from({ length: count }, (_, n) => ({ key, n }));

const codesOf = (refusals: readonly Refusal[]) => refusals.map(({ index, error }) => [index, error.code]);

async function open(
  profile: RedisProfile,
  table: SinkTable,
  rest: Partial<RedisContext> = {},
): Promise<Sink & { warnings: PenstockError[] }> {
  const context = redisContext(profile, table, {}, rest);
  const sink = await openSink(context);
  atEnd(() => sink.close());
  return Object.assign(sink, { warnings: context.warnings });
}

/** The code and the flag of the error with which it rejects. */
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it did not fail',
    ({ code, passing }: PenstockError) => [code, passing],
  );

describe.skipIf(noRedis !== undefined)(skipping('the sink', noRedis), async () => {
  if (noRedis !== undefined) return;
  const server = await RedisServer.start({
    config: ['proto-max-bulk-len 1mb', 'appendfsync no', 'repl-diskless-sync-delay 0'],
  });
  const redis = plainRedis(server.port);
  const prefix = () => `${unique()}:`;

  test('writes strings, which expire', async () => {
    const keyPrefix = prefix();
    const sink = await open(server.profile, { target: { keyPrefix, keyColumn: 'key', ttlSecs: 500 } });
    expect(
      await sink.write([
        outgoing({ key: 'a', n: 1 }),
        outgoing({ key: 'b', n: 2 }),
        outgoing({ key: 'a', n: 3 }),
      ]),
    ).toEqual([]);
    expect(await redis.mget(`${keyPrefix}a`, `${keyPrefix}b`)).toEqual([
      '{"key":"a","n":3}',
      '{"key":"b","n":2}',
    ]);
    expect(await redis.ttl(`${keyPrefix}a`)).toBeGreaterThan(400);
    const forGood = await open(server.profile, { target: { keyPrefix } });
    await forGood.write([outgoing({}, Buffer.from([0, 255, 1]))]);
    expect(await redis.getBuffer(keyPrefix)).toEqual(Buffer.from([0, 255, 1]));
    expect(await redis.ttl(keyPrefix)).toBe(-1);
  });

  test.each([
    ['Append', ['3', '4', '5']],
    ['Prepend', ['5', '4', '3']],
  ] as const)('limits lists: %s', async (operation, expected) => {
    const listPrefix = prefix();
    const sink = await open(server.profile, {
      target: { listPrefix, listKeyColumn: 'key', maxLength: 3, operation },
    });
    await sink.write([1, 2, 3, 4, 5].map((n) => outgoing({ key: 'l' }, String(n))));
    expect(await redis.lrange(`${listPrefix}l`, 0, -1)).toEqual(expected);
  });

  test('writes fields of hashes', async () => {
    const hashKeyPrefix = prefix();
    const sink = await open(server.profile, {
      target: { hashKeyPrefix, hashKeyColumn: 'key', hashFieldColumn: 'n' },
    });
    await sink.write([outgoing({ key: 'h', n: 1n }, 'one'), outgoing({ key: 'h', n: 2n }, 'two')]);
    expect(await redis.hgetall(`${hashKeyPrefix}h`)).toEqual({ 1: 'one', 2: 'two' });
  });

  test('writes entries of streams: a payload, or a field for each column with all its digits', async () => {
    const streamPrefix = prefix();
    const payloads = await open(server.profile, {
      target: { streamPrefix, payloadField: 'data', maxLength: 100 },
    });
    await payloads.write(rows(1_000).map((row) => outgoing(row)));
    const length = await redis.xlen(streamPrefix);
    expect(length).toBeGreaterThanOrEqual(100);
    expect(length).toBeLessThan(400);
    const [[, last] = []] = await redis.xrevrange(streamPrefix, '+', '-', 'COUNT', 1);
    expect(last).toEqual(['data', '{"key":"a","n":999}']);
    const other = prefix();
    const fields = await open(server.profile, { target: { streamPrefix: other, entry: 'fields' } });
    const payload = '{"text":"é\\n","big":12345678901234567890.10,"no":null,"in":{"a":[1.50]},"yes":true}';
    const refused = await fields.write([outgoing({}, payload), outgoing({}, '{"no":null}')]);
    const [[, entry] = []] = await redis.xrange(other, '-', '+');
    expect(entry).toEqual([
      'text',
      'é\n',
      'big',
      '12345678901234567890.10',
      'in',
      '{"a":[1.50]}',
      'yes',
      'true',
    ]);
    expect(codesOf(refused)).toEqual([[1, 'bad_row']]);
  });

  test('refuses rows one by one: no key, a key of another type, too large for the server', async () => {
    const keyPrefix = prefix();
    await redis.lpush(`${keyPrefix}list`, 'x');
    const sink = await open(server.profile, {
      target: { hashKeyPrefix: keyPrefix, hashKeyColumn: 'key', hashFieldColumn: 'key' },
    });
    const refusals = await sink.write([
      outgoing({ key: 'a' }),
      outgoing({ key: 'list' }),
      outgoing({ key: null }),
      outgoing({ key: 'big' }, Buffer.alloc(1_100_000)),
      outgoing({ key: 'b' }),
    ]);
    expect(codesOf(refusals)).toEqual([
      [1, 'redis_wrong_type'],
      [2, 'bad_row'],
      [3, 'redis_too_large'],
    ]);
    expect((await redis.keys(`${keyPrefix}*`)).sort()).toEqual(
      ['a', 'b', 'list'].map((key) => keyPrefix + key),
    );
  });

  test('refuses rows whose key the user may not write, and fails without the command', async () => {
    const listPrefix = prefix();
    await redis.call('ACL', 'SETUSER', 'writer', 'on', '>pw', '+@all', '-set', `~${listPrefix}*`);
    const profile = { ...server.profile, username: 'writer', password: 'pw' };
    const sink = await open(profile, { target: { listPrefix: '', listKeyColumn: 'key' } });
    const refusals = await sink.write([
      outgoing({ key: `${listPrefix}a` }),
      outgoing({ key: 'foreign' }),
      outgoing({ key: `${listPrefix}b` }),
    ]);
    expect(codesOf(refusals)).toEqual([[1, 'redis_forbidden']]);
    expect(await redis.keys(`${listPrefix}*`)).toHaveLength(2);
    const strings = await open(profile, { target: { keyPrefix: listPrefix } });
    expect(await failure(strings.write([outgoing({})]))).toEqual(['redis_forbidden', false]);
  });

  test('tells a wrong password, a missing one, and one too many', async () => {
    const target = { target: { keyPrefix: 'k' } };
    await redis.call('ACL', 'SETUSER', 'someone', 'on', '>pw', '+@all', '~*');
    const profile = { ...server.profile, username: 'someone', password: 'wrong' };
    expect(await failure(open(profile, target))).toEqual(['redis_login_refused', false]);
    expect(await failure(open({ ...server.profile, password: 'x' }, target))).toEqual([
      'redis_login_refused',
      false,
    ]);
    // A node that is down does not hide it, whatever their order.
    for (const addresses of [
      [server.url, 'redis://127.0.0.1:1'],
      ['redis://127.0.0.1:1', server.url],
    ])
      expect(await failure(open({ ...profile, connection: { addresses } }, target))).toEqual([
        'redis_login_refused',
        false,
      ]);
    const closed = await RedisServer.start({ config: ['requirepass secret'] });
    expect(await failure(open(closed.profile, target))).toEqual(['redis_login_refused', false]);
    const sink = await open({ ...closed.profile, password: 'secret' }, target);
    expect(await sink.write([outgoing({})])).toEqual([]);
  });

  test('tries again when the server has no room for another client', async () => {
    const full = await RedisServer.start();
    const admin = plainRedis(full.port);
    await admin.config('SET', 'maxclients', '1');
    await until('the other clients have left', async () =>
      /connected_clients:1\r/.test(await admin.info('clients')),
    );
    for (let times = 0; times < 20; times++)
      expect(await failure(open(full.profile, { target: { keyPrefix: 'k' } }))).toEqual([
        'redis_unavailable',
        true,
      ]);
  });

  test('connects with TLS, and to another database', async () => {
    const ca = await makeAuthority();
    const secure = await RedisServer.start({
      tls: { ca: ca.cert, server: await makeServer(ca) },
      config: ['tls-auth-clients no'],
    });
    const connection = { address: `${secure.url}/3` };
    const target = { target: { keyPrefix: 'k' } };
    expect(await failure(open({ connection }, target))).toEqual(['tls_unknown_issuer', false]);
    const sink = await open({ connection, tls: { ca: ca.cert } }, target);
    expect(await sink.write([outgoing({})])).toEqual([]);
    const mutual = await RedisServer.start({ tls: { ca: ca.cert, server: await makeServer(ca) } });
    const own = await makeClient(ca);
    const shown = { connection: { address: mutual.url }, tls: { ca: ca.cert, ...own } };
    expect(await (await open(shown, target)).write([outgoing({})])).toEqual([]);
    expect(await failure(open({ ...shown, tls: { ca: ca.cert } }, target))).toEqual([
      'tls_client_certificate_required',
      false,
    ]);
    const plain = await open({ connection: { address: `${server.url}/2` } }, target);
    await plain.write([outgoing({}, 'x')]);
    const two = plainRedis(server.port, { db: 2 });
    expect(await two.get('k')).toBe('x');
  });

  test('waits for memory with what is left of a batch, and writes nothing twice', async () => {
    const small = await RedisServer.start({ config: ['maxmemory 8mb', 'appendonly no'] });
    const other = plainRedis(small.port);
    const sink = await open(small.profile, { target: { listPrefix: 'l' } });
    const writing = sink.write(
      Array.from({ length: 400 }, (_, n) => outgoing({}, `${n}`.padEnd(40_000, '.'))),
    );
    const taken: string[] = [];
    const take = async () => {
      for (const item of (await other.lpop('l', 50)) ?? []) taken.push(item);
      return taken.length >= 400;
    };
    await until('the server is full', () => sink.warnings.length > 0);
    expect(sink.warnings[0]).toMatchObject({ code: 'redis_out_of_memory', passing: true });
    await until('all messages', take, 60_000);
    expect(await writing).toEqual([]);
    expect(taken.map((item) => Number.parseInt(item, 10)).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 400 }, (_, n) => n),
    );
  });

  test('writes the later of two messages of a key when the memory fills up between them', async () => {
    const small = await RedisServer.start({ config: ['maxmemory 3mb', 'appendonly no'] });
    const other = plainRedis(small.port);
    const sink = await open(small.profile, { target: { keyPrefix: 'k', keyColumn: 'key' } });
    // Only the first SET of a key needs memory, so the second is the first that the full server refuses.
    const writing = sink.write(
      Array.from({ length: 200 }, (_, n) =>
        outgoing({ key: n >> 1 }, `${n % 2 === 0 ? 'early' : 'late'}`.padEnd(40_000, '.')),
      ),
    );
    await until('the server is full', () => sink.warnings.length > 0);
    expect(sink.warnings[0]).toMatchObject({ code: 'redis_out_of_memory' });
    expect(await other.dbsize()).toBeGreaterThan(0);
    await other.config('SET', 'maxmemory', '0');
    expect(await writing).toEqual([]);
    const values = await other.mget(Array.from({ length: 100 }, (_, n) => `k${n}`));
    expect(values.map((value) => value?.replaceAll('.', ''))).toEqual(Array(100).fill('late'));
  });

  test('rejects if the server becomes a replica while a part of a batch waits', async () => {
    const demoted = await RedisServer.start({ config: ['maxmemory 3mb', 'appendonly no'] });
    const sink = await open(demoted.profile, { target: { listPrefix: 'l' } });
    const writing = failure(
      sink.write(Array.from({ length: 200 }, () => outgoing({}, Buffer.alloc(40_000)))),
    );
    await until('the server is full', () => sink.warnings.length > 0);
    const other = plainRedis(demoted.port);
    expect(await other.llen('l')).toBeGreaterThan(0);
    await other.replicaof('127.0.0.1', 1);
    expect(await writing).toEqual(['redis_read_only', true]);
  });

  test('gives up, and has written nothing, if the memory is full from the beginning', async () => {
    const full = await RedisServer.start({ config: ['maxmemory 1', 'appendonly no'] });
    const sink = await open(full.profile, { target: { listPrefix: 'l' } });
    expect(await failure(sink.write(rows(3).map((row) => outgoing(row))))).toEqual([
      'redis_out_of_memory',
      true,
    ]);
    expect(await plainRedis(full.port).exists('l')).toBe(0);
  });

  test('waits for replicas, and rejects if too few have the data', async () => {
    const replica = await RedisServer.start({
      config: [`replicaof 127.0.0.1 ${server.port}`, 'appendonly no'],
    });
    const copy = plainRedis(replica.port);
    await until('the replica follows', async () =>
      String(await copy.call('INFO', 'replication')).includes('master_link_status:up'),
    );
    const target = { listPrefix: prefix() };
    const sink = await open(server.profile, { target, waitReplicas: 1 });
    expect(await sink.write([outgoing({}, 'x')])).toEqual([]);
    expect(await copy.llen(target.listPrefix)).toBe(1);
    const readOnly = await open(replica.profile, { target });
    expect(await failure(readOnly.write([outgoing({})]))).toEqual(['redis_read_only', true]);
    await replica.kill();
    expect(await failure(sink.write([outgoing({}, 'y')]))).toEqual(['redis_not_confirmed', true]);
  });

  test('waits for the AOF if the server can, and says so if it cannot', async () => {
    const lazy = await RedisServer.start({ config: ['appendfsync everysec'] });
    const [, major, minor] =
      /redis_version:(\d+)\.(\d+)/.exec(String(await plainRedis(lazy.port).info('server'))) ?? [];
    const opening = open(lazy.profile, { target: { listPrefix: 'l' }, waitAof: true });
    if (Number(major) * 100 + Number(minor) < 702) {
      expect(await failure(opening)).toEqual(['redis_too_old', false]);
      return;
    }
    const sink = await opening;
    expect(await sink.write(rows(10).map((row) => outgoing(row)))).toEqual([]);
    await plainRedis(lazy.port).config('SET', 'appendonly', 'no');
    expect(await failure(sink.write([outgoing({})]))).toEqual(['redis_refused', false]);
  });

  describe('at a cluster', async () => {
    const nodes = await redisCluster();
    const [a, b] = nodes as [RedisServer, RedisServer, RedisServer];
    const profile = { connection: { addresses: [`redis://127.0.0.1:1`, a.url] } };
    const key = (n: number) => `k${n}`;
    const all = async (read: (node: ReturnType<typeof plainRedis>) => Promise<string[]>) =>
      (await Promise.all(nodes.map((node) => read(plainRedis(node.port))))).flat();

    test('writes each key to its node', async () => {
      const keyPrefix = prefix();
      const sink = await open(profile, { target: { keyPrefix, keyColumn: 'key' } });
      const refusals = await sink.write(Array.from({ length: 200 }, (_, n) => outgoing({ key: key(n) })));
      expect(refusals).toEqual([]);
      const counts = await Promise.all(
        nodes.map(async (node) => (await plainRedis(node.port).keys(`${keyPrefix}*`)).length),
      );
      expect(counts.reduce((sum, count) => sum + count)).toBe(200);
      expect(Math.min(...counts)).toBeGreaterThan(20);
      expect(await all((node) => node.keys(`${keyPrefix}*`))).toHaveLength(200);
    });

    test('follows a slot while it moves, in order', async () => {
      const listPrefix = `{${unique()}}`;
      const slot = slotOf(listPrefix);
      const clients = nodes.map((node) => plainRedis(node.port));
      const ids = await Promise.all(
        clients.map(async (client) => String(await client.call('CLUSTER', 'MYID'))),
      );
      const owner = Math.min(2, Math.floor(slot / (16_384 / 3)));
      const next = (owner + 1) % 3;
      const [from, to] = [clients[owner], clients[next]] as [(typeof clients)[0], (typeof clients)[0]];
      const sink = await open(profile, { target: { listPrefix, listKeyColumn: 'key' } });
      const send = async (first: number) =>
        expect(
          await sink.write(
            Array.from({ length: 20 }, (_, n) =>
              outgoing({ key: String((first + n) % 4) }, String(first + n)),
            ),
          ),
        ).toEqual([]);
      await send(0);
      await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[owner] as string);
      await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[next] as string);
      await from.call('MIGRATE', '127.0.0.1', (nodes[next] as RedisServer).port, `${listPrefix}0`, 0, 30_000);
      await send(20);
      for (const part of [1, 2, 3])
        await from.call(
          'MIGRATE',
          '127.0.0.1',
          (nodes[next] as RedisServer).port,
          `${listPrefix}${part}`,
          0,
          30_000,
        );
      for (const client of clients)
        await client.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[next] as string);
      await send(40);
      for (const part of [0, 1, 2, 3])
        expect(await to.lrange(`${listPrefix}${part}`, 0, -1)).toEqual(
          Array.from({ length: 15 }, (_, n) => String(4 * n + part)),
        );
    });

    test('tells a single server from a cluster', async () => {
      const target = { target: { keyPrefix: '', keyColumn: 'key' } };
      const single = await open(a.profile, target);
      const many = Array.from({ length: 20 }, (_, n) => outgoing({ key: key(n) }));
      expect(await failure(single.write(many))).toEqual(['redis_cluster_only', false]);
      expect(await failure(open({ connection: { addresses: [server.url] } }, target))).toEqual([
        'redis_no_cluster',
        false,
      ]);
    });

    test('loses the connection with a node, and writes again when it is back', async () => {
      const listPrefix = `{${unique()}}`;
      const owner = nodes[Math.min(2, Math.floor(slotOf(listPrefix) / (16_384 / 3)))] as RedisServer;
      const sink = await open(profile, { target: { listPrefix } });
      expect(await sink.write([outgoing({}, '1')])).toEqual([]);
      await owner.kill();
      expect(await failure(sink.write([outgoing({}, '2')]))).toEqual(['connection_lost', true]);
      await owner.resume();
      // A node that has just started does not take its cluster to be complete.
      for (const { port } of nodes)
        await until('the cluster is complete', async () =>
          String(await plainRedis(port).call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
        );
      const again = await open(profile, { target: { listPrefix } });
      expect(await again.write([outgoing({}, '2')])).toEqual([]);
      expect(await plainRedis(owner.port).lrange(listPrefix, 0, -1)).toEqual(['1', '2']);
    });

    test('asks for permission before it dials an address that the cluster names', async () => {
      const client = plainRedis(b.port);
      await client.config('SET', 'cluster-announce-ip', '169.254.169.254');
      await until('the others know', async () =>
        String(await plainRedis(a.port).call('CLUSTER', 'NODES')).includes('169.254.169.254'),
      );
      const sink = await open(profile, { target: { keyPrefix: '', keyColumn: 'key' } });
      const many = Array.from({ length: 50 }, (_, n) => outgoing({ key: key(n) }));
      expect(await failure(sink.write(many))).toEqual(['target_not_allowed', false]);
    });
  });
});
