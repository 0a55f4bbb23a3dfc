import { describe, expect, test } from 'vitest';
import { whyMissing } from '../../../scripts/servers.ts';
import { allDeadLetters } from '../../../test/support/dead-letters.ts';
import { Kafka, user } from '../../../test/support/kafka.ts';
import { created } from '../../../test/support/resources.ts';
import { useRig } from '../../../test/support/rig.ts';
import { SchemaRegistry } from '../../../test/support/schema-registry.ts';
import { skipping } from '../../../test/support/skipping.ts';
import { until } from '../../../test/support/until.ts';
import type { CheckStep } from '../connector.ts';

const missing = whyMissing('Kafka');
const rig = useRig({ broker: { config: ['max_queued_messages 0'], quiet: true }, service: { worker: true } });

describe.skipIf(missing !== undefined)(skipping('pipelines of a real Kafka', missing), async () => {
  if (missing !== undefined) return void test('is needed by all of its tests', () => {});
  const server = await Kafka.start({ secured: true });
  const sasl = (
    topic: string,
  ) => `connector = 'kafka', bootstrap_servers = '127.0.0.1:${server.ports.sasl}', topic = '${topic}',
    auth.type = 'sasl', auth.protocol = 'SASL_PLAINTEXT', auth.mechanism = 'SCRAM-SHA-256',
    auth.username = '${user.username}', auth.password = '${user.password}'`;
  const mqtt = (topic: string) =>
    `connector = 'mqtt', url = '${rig.broker.url}', topic = '${topic}', qos = 'AtLeastOnce'`;

  test('rows go from MQTT to Kafka and back, through tasks for its partitions, with key and headers', async () => {
    await server.createTopic('between', 4);
    const there = `
      CREATE TABLE input (seq BIGINT NOT NULL, text TEXT) WITH (${mqtt('in')}, type = 'source', format = 'json');
      CREATE TABLE output (seq BIGINT, text TEXT, meta JSON) WITH (${sasl('between')}, type = 'sink',
        sink.commit_mode = 'at_least_once', sink.key_field = 'seq', sink.headers_field = 'meta', sink.compression = 'lz4', format = 'json');
      INSERT INTO output SELECT seq, text, '{"from":"mqtt"}'::JSON AS meta FROM input`;
    await rig.run(there, 'there');
    const back = `
      CREATE TABLE source (seq BIGINT NOT NULL, text TEXT, place INT METADATA FROM 'partition', k TEXT METADATA FROM 'key_text',
        h JSON METADATA FROM 'headers', written TIMESTAMP METADATA FROM 'time') WITH (${sasl('between')}, type = 'source', source.offset = 'earliest', format = 'json');
      CREATE TABLE sink (seq BIGINT, text TEXT, place INT, k TEXT, h TEXT, written TIMESTAMP) WITH (${mqtt('out')}, type = 'sink', format = 'json');
      INSERT INTO sink SELECT seq, text, place, k, h::TEXT AS h, written FROM source`;
    const { id } = await created(rig.request, '/pipelines', { name: 'back', query: back, parallelism: 2 });
    const rows: Record<string, unknown>[] = [];
    rig.client.on('message', (_topic, payload) => void rows.push(JSON.parse(String(payload))));
    await rig.client.subscribeAsync('out', { qos: 1 });
    const running = async () => {
      const { body } = await rig.request.get(`/api/v1/pipelines/${id}/jobs`);
      return body.data[0]?.state === 'Running';
    };
    await until('both tasks to run', running, 60_000);
    for (let seq = 0; seq < 200; seq += 1)
      await rig.client.publishAsync('in', JSON.stringify({ seq, text: `t${seq}` }), { qos: 1 });
    await until('all rows', () => new Set(rows.map(({ seq }) => seq)).size === 200, 60_000);
    const row = rows.find(({ seq }) => seq === 17);
    expect(row).toMatchObject({ text: 't17', k: '17', h: '{"from":"mqtt"}' });
    expect(Math.abs(Date.now() - Date.parse(String(row?.written)))).toBeLessThan(120_000);
    expect(new Set(rows.map(({ place }) => place)).size).toBe(4);
  });

  test('a message that the topic refuses becomes a dead letter', async () => {
    await server.createTopic('small', 1, { 'max.message.bytes': '1000' });
    const id = await rig.run(
      `CREATE TABLE input2 (seq BIGINT NOT NULL, text TEXT) WITH (${mqtt('in2')}, type = 'source', format = 'json');
       CREATE TABLE output2 (seq BIGINT, text TEXT) WITH (${sasl('small')}, type = 'sink', sink.commit_mode = 'at_least_once',
         format = 'json', bad_data = 'dead_letter');
       INSERT INTO output2 SELECT seq, text FROM input2`,
      'refusing',
    );
    for (const [seq, text] of ['a', 'x'.repeat(5_000), 'b'].entries())
      await rig.client.publishAsync('in2', JSON.stringify({ seq, text }), { qos: 1 });
    await until('the dead letter', async () => (await allDeadLetters(rig.request, id)).length === 1, 60_000);
    await until('the others', async () => (await server.count('small')) === 2, 60_000);
    expect((await allDeadLetters(rig.request, id)).map(({ code }) => code)).toEqual([
      'kafka_message_refused',
    ]);
  });

  test('the connector confluent writes and reads by TLS, with schemas in a registry', async () => {
    await server.createTopic('cloud', 2);
    const registry = await SchemaRegistry.start();
    registry.login = 'key:secret';
    const { id: profile } = await created(rig.request, '/connection_profiles', {
      name: 'cloud',
      connector: 'confluent',
      config: {
        bootstrapServers: `127.0.0.1:${server.ports.sasltls}`,
        key: user.username,
        secret: user.password,
        tls: { ca: server.authority.cert },
        schemaRegistry: { endpoint: registry.url, apiKey: 'key', apiSecret: 'secret' },
      },
    });
    const table = (name: string, type: object, more: object = {}) => ({
      ...{ name, connector: 'confluent', connection_profile_id: profile },
      config: { topic: 'cloud', type },
      schema: { format: { type: 'avro', confluent_schema_registry: true }, ...more },
    });
    await created(rig.request, '/connection_tables', table('there', { commit_mode: 'at_least_once' }));
    const input = `CREATE TABLE input (seq BIGINT NOT NULL, text TEXT) WITH (${mqtt('cloud/in')}, type = 'source', format = 'json');`;
    await rig.run(`${input} INSERT INTO there SELECT seq, text FROM input`, 'up');
    expect(registry.latest('cloud-value')?.schema).toContain('"seq"');

    const { id } = await created(rig.request, '/connection_tables', table('back', { offset: 'earliest' }));
    await rig.client.publishAsync('cloud/in', '{"seq":1,"text":"a"}', { qos: 1 });
    await until('the message', async () => (await server.count('cloud')) === 1, 60_000);
    const [first] = (await server.read('cloud', 1)) as { value: Buffer }[];
    expect(first?.value.subarray(0, 5).toString('hex')).toBe('0000000001');
    const { body: tested } = await rig.request
      .post(`/api/v1/connection_tables/${id}/test`)
      .set('accept', 'application/json');
    expect(tested.steps.map(({ name, outcome }: CheckStep) => `${name} ${outcome}`)).toEqual(
      expect.arrayContaining(['schema_registry ok', 'sasl ok', 'decode ok']),
    );
    const rows = await rig.collect('cloud/out');
    await rig.run(
      `CREATE TABLE output (seq BIGINT, text TEXT) WITH (${mqtt('cloud/out')}, type = 'sink', format = 'json');
       INSERT INTO output SELECT seq, text FROM back`,
      'down',
    );
    await until('the row', () => rows.includes('{"seq":1,"text":"a"}'), 60_000);
  });

  test('the password of a profile is not shown, and topics are offered', async () => {
    const config = {
      bootstrapServers: `127.0.0.1:${server.ports.sasl}`,
      authentication: { protocol: 'SASL_PLAINTEXT', mechanism: 'PLAIN', ...user },
    };
    const profile = await created(rig.request, '/connection_profiles', {
      name: 'k',
      connector: 'kafka',
      config,
    });
    expect(JSON.stringify(profile)).not.toContain(user.password);
    const { body: offered } = await rig.request.get(`/api/v1/connection_profiles/${profile.id}/autocomplete`);
    expect(offered.values.topic).toContain('between');
  });

  test.each([
    ['from a source that is not in Kafka', 'SELECT seq FROM readings', 'is of mqtt'],
    [
      'of windows',
      `SELECT count(*) AS seq FROM copies GROUP BY tumble(INTERVAL '1 minute')`,
      'windows or aggregates',
    ],
  ])('exactly_once is refused for results %s', async (_, select, message) => {
    const query = `
      CREATE TABLE readings (seq BIGINT NOT NULL) WITH (${mqtt('in3')}, type = 'source', format = 'json');
      CREATE TABLE copies (seq BIGINT NOT NULL) WITH (${sasl('between')}, type = 'source', source.offset = 'earliest', format = 'json');
      CREATE TABLE exact (seq BIGINT) WITH (${sasl('between')}, type = 'sink', sink.commit_mode = 'exactly_once', format = 'json');
      INSERT INTO exact ${select}`;
    const { body } = await rig.request
      .post('/api/v1/pipelines')
      .send({ name: 'exact', query, parallelism: 1 })
      .expect(400);
    expect(JSON.stringify(body)).toContain(message);
    expect(JSON.stringify(body)).toContain('set commit_mode to at_least_once');
  });
});
