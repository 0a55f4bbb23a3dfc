import { describe, expect, test } from 'vitest';
import { allDeadLetters } from '../../../test/support/dead-letters.ts';
import { unique } from '../../../test/support/mqtt.ts';
import { noRedis, plainRedis, RedisServer } from '../../../test/support/redis.ts';
import { created } from '../../../test/support/resources.ts';
import { useRig } from '../../../test/support/rig.ts';
import { skipping } from '../../../test/support/skipping.ts';
import { until } from '../../../test/support/until.ts';

describe.skipIf(noRedis !== undefined)(skipping('a pipeline', noRedis), async () => {
  if (noRedis !== undefined) return;
  const rig = useRig({ broker: { quiet: true }, service: { worker: true } });
  const server = await RedisServer.start({ config: ['appendfsync no'] });
  const redis = plainRedis(server.port);

  test('writes what comes by MQTT, by options as Arroyo has them, and keeps bad rows as dead letters', async () => {
    const sink = (name: string, options: string) => `
      CREATE TABLE ${name} (device TEXT NOT NULL, celsius DOUBLE) WITH (connector = 'redis', type = 'sink', address = '${server.url}',
        ${options}, format = 'json', bad_data = 'dead_letter');`;
    const from = `
      CREATE TABLE input (device TEXT, celsius DOUBLE) WITH (connector = 'mqtt', url = '${rig.broker.url}', topic = 'in',
        type = 'source', qos = 'AtLeastOnce', format = 'json');`;
    const latest = `target = 'string', 'target.key_prefix' = 'latest:', 'target.key_column' = 'device', 'target.ttl_secs' = 600`;
    const all = `target = 'list', 'target.key_prefix' = 'all:', 'target.key_column' = 'device', 'target.max_length' = 10,
      'target.operation' = 'prepend'`;
    const table = `target = 'hash', 'target.key_prefix' = 'table', 'target.field_column' = 'device'`;
    await redis.set('all:wrong', 'no list');
    const insert = (name: string, options: string) =>
      rig.run(`${from}${sink(name, options)} INSERT INTO ${name} SELECT * FROM input`, name);
    const [, list] = [
      await insert('latest', latest),
      await insert('every', all),
      await insert('hashed', table),
    ];
    const publish = (device: string, celsius: number) =>
      rig.client.publishAsync('in', JSON.stringify({ device, celsius }), { qos: 1 });
    for (const celsius of [1, 2, 3]) await publish('a', celsius);
    await publish('wrong', 4);
    await until(
      'the last',
      async () => (await redis.hlen('table')) === 2 && (await redis.exists('latest:wrong')) === 1,
    );
    await until('the list', async () => (await redis.llen('all:a')) === 3);
    expect(await redis.get('latest:a')).toBe('{"device":"a","celsius":3}');
    expect(await redis.ttl('latest:a')).toBeGreaterThan(500);
    expect((await redis.lrange('all:a', 0, -1)).map((text) => JSON.parse(text).celsius)).toEqual([3, 2, 1]);
    expect(JSON.parse((await redis.hget('table', 'wrong')) ?? '')).toEqual({ device: 'wrong', celsius: 4 });
    await until('the dead letter', async () => (await allDeadLetters(rig.request, list)).length === 1);
    expect((await allDeadLetters(rig.request, list))[0]).toMatchObject({ code: 'redis_wrong_type' });
  });

  test('reads a stream with several tasks, fills metadata columns, and writes fields', async () => {
    const config = { connection: { address: server.url } };
    const profile = await created(rig.request, '/connection_profiles', {
      name: 'keys',
      connector: 'redis',
      config,
    });
    const [from, to] = [unique(), unique()];
    const table = (name: string, connectorType: object, schema: object) =>
      created(rig.request, '/connection_tables', {
        name,
        connector: 'redis',
        connection_profile_id: profile.id,
        config: { connectorType },
        schema: { format: { type: 'json' }, bad_data: { behavior: 'dead_letter' }, ...schema },
      });
    const fields = [
      { name: 'n', type: 'int64', required: true },
      { name: 'text', type: 'string' },
    ];
    const id = { name: 'id', type: 'string', metadata_key: 'id' };
    await table(
      'readings',
      { stream: from, consumerGroup: 'g', start: 'earliest', entry: 'fields' },
      { fields: [...fields, id] },
    );
    await table(
      'copies',
      { target: { streamPrefix: to, entry: 'fields' } },
      { fields: [...fields, { name: 'id', type: 'string' }] },
    );
    for (let n = 0; n < 200; n += 1) await redis.xadd(from, '*', 'n', n, 'text', 'é');
    await redis.xadd(from, '*', 'n', 'many');
    const query = 'INSERT INTO copies SELECT n, text, id FROM readings';
    const pipeline = await created(rig.request, '/pipelines', { name: 'copy', query, parallelism: 3 });
    await until('all', async () => (await redis.xlen(to)) >= 200);
    const ids = (await redis.xrange(from, '-', '+')).map(([one]) => one);
    const copies = (await redis.xrange(to, '-', '+')).map(([, entry]) => entry);
    expect(copies.map((entry) => Number(entry[1])).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, n) => n),
    );
    for (const entry of copies)
      expect(entry).toEqual(['n', entry[1], 'text', 'é', 'id', ids[Number(entry[1])]]);
    await until('the dead letter', async () => (await allDeadLetters(rig.request, pipeline.id)).length === 1);
    await until('nothing is pending', async () => ((await redis.xpending(from, 'g')) as [number])[0] === 0);
  });

  test('the API masks the password, tests a table, offers streams and shows messages', async () => {
    const { body } = await rig.request.get('/api/v1/connectors/redis');
    expect(body).toMatchObject({ id: 'redis', sink: true, source: true, testing: true });
    const config = { connection: { address: server.url }, password: 'geheim' };
    const secret = await created(rig.request, '/connection_profiles', {
      name: 'secret',
      connector: 'redis',
      config,
    });
    expect(JSON.stringify(secret)).not.toContain('geheim');
    const open = { connection: { address: server.url } };
    const profile = await created(rig.request, '/connection_profiles', {
      name: 'open',
      connector: 'redis',
      config: open,
    });
    await redis.xadd('offered', '*', 'payload', '{"n":1}');
    const { body: offered } = await rig.request.get(`/api/v1/connection_profiles/${profile.id}/autocomplete`);
    expect(offered.values.stream).toContain('offered');
    const tested = await rig.request
      .post('/api/v1/connection_tables/test')
      .set('accept', 'application/json')
      .send({
        name: 't',
        connector: 'redis',
        connection_profile_id: profile.id,
        config: { connectorType: { stream: 'offered', consumerGroup: 'g' } },
        schema: { format: { type: 'json' }, fields: [{ name: 'n', type: 'int64' }] },
      })
      .expect(200);
    expect(JSON.stringify(tested.body)).toContain('first_message');
    expect(JSON.stringify(tested.body)).not.toContain('"failed"');
  });
});
