import { describe, expect, test } from 'vitest';
import { allDeadLetters, deadLetterOf } from '../../../test/support/dead-letters.ts';
import { EventReader } from '../../../test/support/events.ts';
import { Endpoint } from '../../../test/support/http-endpoint.ts';
import { created, createPipeline, jobOf, profileBody } from '../../../test/support/resources.ts';
import { useRig } from '../../../test/support/rig.ts';
import { SchemaRegistry } from '../../../test/support/schema-registry.ts';
import { until } from '../../../test/support/until.ts';
import type { CheckStep } from '../connector.ts';

const rig = useRig({ broker: { config: ['max_queued_messages 0'], quiet: true }, service: { worker: true } });

const avroSchema = {
  type: 'record',
  name: 'Reading',
  fields: [
    { name: 'n', type: 'long' },
    { name: 'device', type: 'string' },
  ],
};

/** A message of `avroSchema`, or of one with the same beginning. */
function message(id: number, n: number, more = ''): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(id, 1);
  return Buffer.concat([header, Buffer.from([n * 2, 2]), Buffer.from('d'), Buffer.from(more, 'hex')]);
}

const format = (type: string, more: object = {}) => ({ type, confluent_schema_registry: true, ...more });

async function profileOf(registry: SchemaRegistry, more: object = {}): Promise<string> {
  const { id } = await created(rig.request, '/connection_profiles', {
    name: `plant ${registry.url} ${JSON.stringify(more)}`,
    connector: 'mqtt',
    config: { url: rig.broker.url, schemaRegistryEnum: { endpoint: registry.url, ...more } },
  });
  return id;
}

const tableBody = (name: string, profile: string, topic: string, schema: object, type: object = {}) => ({
  name,
  connector: 'mqtt',
  connection_profile_id: profile,
  config: { topic, type, qos: 'AtLeastOnce' },
  schema,
});

describe('MQTT with schemas in a registry', () => {
  test('loses nothing while the registry is down, and keeps what has an unknown schema', async () => {
    const registry = await SchemaRegistry.start();
    const id = registry.add('in-value', avroSchema);
    const profile = await profileOf(registry);
    const from = { format: format('avro'), bad_data: { behavior: 'dead_letter' } };
    const table = await created(
      rig.request,
      '/connection_tables',
      tableBody('readings', profile, 'in', from),
    );
    expect(table.schema).toMatchObject({
      definition: { type: 'avro_schema' },
      fields: [{ name: 'n' }, { name: 'device' }],
    });
    const to = { format: format('json'), inferred: true };
    await created(rig.request, '/connection_tables', tableBody('out', profile, 'out', to, { retain: false }));
    const pipeline = await createPipeline(rig.request, 'INSERT INTO out SELECT n, device FROM readings', 'p');
    await rig.inState(pipeline, 'Running');
    expect(registry.subjects()).toEqual(['in-value', 'out-value']);

    const written: Buffer[] = [];
    rig.client.on('message', (_topic, payload) => void written.push(payload));
    await rig.client.subscribeAsync('out', { qos: 1 });
    const publish = (payload: Buffer) => rig.client.publishAsync('in', payload, { qos: 1 });
    await publish(message(id, 1));
    await until('the first row', () => written.length === 1);
    const later = registry.add('in-value', {
      ...avroSchema,
      fields: [...avroSchema.fields, { name: 'more', type: 'int' }],
    });
    await registry.down();
    await publish(message(id, 2));
    await publish(message(later, 3, '02'));
    await until('the job to wait for the registry', async () => {
      const { body } = await rig.request.get(`/api/v1/pipelines/${pipeline}/jobs`);
      return JSON.stringify(body).includes('schema_registry_unavailable');
    });
    await publish(message(later, 4, '02'));
    expect(await allDeadLetters(rig.request, pipeline)).toEqual([]);
    await registry.up();
    const numbers = () => new Set(written.map((payload) => JSON.parse(String(payload.subarray(5))).n));
    await until('all rows', () => numbers().size === 4);
    expect(written[0]?.readUInt32BE(1)).toBe(registry.latest('out-value')?.id);

    await publish(message(99, 5));
    await publish(message(id, 6));
    await until('the row behind it', () => numbers().has(6));
    await until('the dead letter', async () => (await allDeadLetters(rig.request, pipeline)).length > 0);
    const [letter] = await allDeadLetters(rig.request, pipeline);
    expect(letter).toMatchObject({ code: 'bad_data', stage: 'decode' });
    const { attempt } = await deadLetterOf(rig.request, pipeline, letter?.id ?? '');
    expect(JSON.stringify(attempt)).toContain('has the schema id 99, which the registry does not have');
  });

  test('passes through a query with state, whose changes have a schema too', async () => {
    const registry = await SchemaRegistry.start();
    const id = registry.add('state-value', avroSchema);
    const profile = await profileOf(registry);
    const from = { format: format('avro') };
    await created(rig.request, '/connection_tables', tableBody('readings', profile, 'state', from));
    const to = { format: format('json', { debezium: true, subject: 'sums' }), inferred: true };
    await created(
      rig.request,
      '/connection_tables',
      tableBody('sums', profile, 'sums', to, { retain: false }),
    );
    const query = 'INSERT INTO sums SELECT device, SUM(n) AS total FROM readings GROUP BY device';
    const pipeline = await createPipeline(rig.request, query, 'sums');
    await rig.inState(pipeline, 'Running');
    const changes: Buffer[] = [];
    rig.client.on('message', (_topic, payload) => void changes.push(payload));
    await rig.client.subscribeAsync('sums', { qos: 1 });
    for (const n of [1, 2]) await rig.client.publishAsync('state', message(id, n), { qos: 1 });
    const totals = () => changes.map((payload) => JSON.parse(String(payload.subarray(5))).after?.total);
    await until('the sum', () => totals().includes(3));
    expect(changes.at(-1)?.readUInt32BE(1)).toBe(registry.latest('sums')?.id);
    expect(registry.latest('sums')?.schema).toContain('"before"');
  });

  test('is shown live, and tested', async () => {
    const registry = await SchemaRegistry.start();
    registry.login = 'key:secret';
    const id = registry.add('live-value', avroSchema);
    const profile = await profileOf(registry, { apiKey: 'key', apiSecret: 'secret' });
    const shown = await rig.request.get(`/api/v1/connection_profiles/${profile}`).expect(200);
    expect(shown.text).not.toContain('"secret"');
    const from = { format: format('avro') };
    const { id: table } = await created(
      rig.request,
      '/connection_tables',
      tableBody('readings', profile, 'live', from),
    );
    await rig.client.publishAsync('live', message(id, 7), { qos: 1, retain: true });

    const tested = await rig.request
      .post(`/api/v1/connection_tables/${table}/test`)
      .set('accept', 'application/json')
      .expect(200);
    const outcomes = tested.body.steps.map(({ name, outcome }: CheckStep) => `${name} ${outcome}`);
    expect(outcomes[0]).toBe('schema_registry ok');
    expect(outcomes.at(-1)).toBe('decode ok');

    const { body: inferred } = await rig.request.post('/api/v1/connection_tables/infer_schema').send({
      connector: 'mqtt',
      connection_profile_id: profile,
      config: { topic: 'live', type: {} },
      messages: 1,
    });
    expect(inferred).toMatchObject({
      schema: {
        format: { type: 'avro', confluent_schema_registry: true },
        definition: { type: 'avro_schema' },
      },
      preview: [{ row: { n: 7, device: 'd' } }],
    });

    const tail = new EventReader(`${rig.service.address}/api/v1/connection_tables/${table}/tail?rows=1`);
    expect((await tail.has('the row', ({ name }) => name === 'row')).row).toEqual({ n: 7, device: 'd' });
    const query = 'SELECT n + 1 AS more FROM readings';
    const preview = await created(rig.request, '/pipelines/preview', { query });
    const job = await jobOf(rig.request, preview.id);
    const output = new EventReader(
      `${rig.service.address}/api/v1/pipelines/${preview.id}/jobs/${job.id}/output`,
    );
    await output.has('the row', ({ batch }) => String(batch).includes('"more":8'));
    await Promise.all([tail.hangUp(), output.hangUp()]);

    await registry.down();
    const { body: guessed } = await rig.request.post('/api/v1/connection_tables/infer_schema').send({
      connector: 'mqtt',
      connection_profile_id: await profileOf(registry),
      config: { topic: 'live', type: {} },
      messages: 1,
    });
    expect(guessed).toMatchObject({ messages: 1, preview: [{ name: 'row' }] });
    expect(guessed.notes.at(-1)).toContain('The schemas of the messages are unknown. The schema registry at');
  });

  test('is there for tables without a profile, which name the registry themselves', async () => {
    const registry = await SchemaRegistry.start();
    registry.login = 'key:secret';
    const [id, endpoint] = [registry.add('polled', avroSchema), await new Endpoint().start()];
    endpoint.reply = ({ method }) =>
      method === 'GET' ? { status: 200, text: message(id, 7).toString('latin1') } : 200;
    const schemaRegistryEnum = { endpoint: registry.url, apiKey: 'key', apiSecret: 'secret' };
    const http = (name: string, connector: string, more: object, schema: object) =>
      created(rig.request, '/connection_tables', {
        ...{ name, connector, schema },
        config: { endpoint: endpoint.url, schemaRegistryEnum, ...more },
      });
    const polled = { format: format('avro', { subject: 'polled' }) };
    const table = await http('polled', 'polling_http', { emit_behavior: 'changed' }, polled);
    expect(table.schema).toMatchObject({ fields: [{ name: 'n' }, { name: 'device' }] });
    expect(JSON.stringify(table)).not.toContain('"secret"');
    await http('hooked', 'webhook', {}, { format: format('json', { subject: 'hooked' }), inferred: true });
    const query = 'INSERT INTO hooked SELECT n + 1 AS more, device FROM polled';
    await rig.inState(await createPipeline(rig.request, query, 'hooked'), 'Running');
    const posted = () => endpoint.received.find(({ method }) => method === 'POST')?.body;
    const body = await until('the message', () => posted());
    expect(Buffer.from(body).readUInt32BE(1)).toBe(registry.latest('hooked')?.id);
    expect(JSON.parse(body.slice(5))).toEqual({ more: 8, device: 'd' });

    const post = async (connector: string, config: object) => {
      const schema = { format: format('json', { subject: 'x' }), fields: [{ name: 'n', type: 'int64' }] };
      const table = { name: 'no', connector, config: { endpoint: endpoint.url, ...config }, schema };
      return JSON.stringify((await rig.request.post('/api/v1/connection_tables').send(table)).body);
    };
    expect(await post('webhook', {})).toContain('set it in the config of the table');
    expect(await post('webhook', { schemaRegistryEnum: { endpoint: 'x' } })).toContain(
      'must begin with http',
    );
    expect(await post('polling_http', { schemaRegistryEnum, items: '/' })).toContain('with items or cursor');
    expect(await post('sse', {})).toContain('Server-Sent Events has no schema registry');
    const batches = await rig.request.post('/api/v1/connection_tables/test').send({
      ...{ name: 'no', connector: 'webhook' },
      config: { endpoint: endpoint.url, schemaRegistryEnum, batch: 'ndjson' },
      schema: { format: format('json', { subject: 'x' }), fields: [{ name: 'n', type: 'int64' }] },
    });
    expect(batches.text).toContain('these begin with an id');
  });

  test('is refused with what to set', async () => {
    const registry = await SchemaRegistry.start();
    const { id: bare } = await created(rig.request, '/connection_profiles', profileBody(rig.broker.url));
    const profile = await profileOf(registry);
    const post = async (body: object) => {
      const { status, body: problem } = await rig.request.post('/api/v1/connection_tables').send(body);
      return `${status} ${problem.code} ${problem.errors[0]?.path}`;
    };
    const schema = { format: format('avro') };
    expect(await post(tableBody('a', bare, 'a', schema))).toBe(
      '400 invalid_schema /schema/format/confluent_schema_registry',
    );
    const withFields = { ...schema, fields: [{ name: 'n', type: 'int64' }] };
    expect(await post(tableBody('a', bare, 'a', withFields))).toBe(
      '400 invalid_schema /schema/format/confluent_schema_registry',
    );
    expect(await post(tableBody('a', profile, 'a', schema))).toBe('400 invalid_schema /schema/definition');
    expect(await post(tableBody('a', profile, 'a/+', schema))).toBe('400 invalid_schema /schema/definition');
    registry.add('a-value', '{"type":"object","properties":{"n":{"type":"integer"}}}', 'JSON');
    expect(await post(tableBody('a', profile, 'a', schema))).toBe('400 invalid_schema /schema/format/type');
    const query = `CREATE TABLE t (n BIGINT) WITH (connector = 'mqtt', url = '${rig.broker.url}', topic = 't', type = 'source',
      format = 'avro', avro.confluent_schema_registry = true); SELECT n FROM t`;
    const { body } = await rig.request.post('/api/v1/pipelines/validate_query').send({ query });
    expect(JSON.stringify(body)).toContain('needs a schema registry');
    const set = query.replace('format =', `schema_registry.endpoint = '${registry.url}', format =`);
    const { body: valid } = await rig.request.post('/api/v1/pipelines/validate_query').send({ query: set });
    expect(valid.errors ?? []).toEqual([]);
    const kafka = `CREATE TABLE t (n BIGINT) WITH (connector = 'kafka', bootstrap_servers = 'k:9092', topic = 't', type = 'source',
      source.offset = 'latest', value.subject = 's', format = 'json'); SELECT n FROM t`;
    const { body: subject } = await rig.request
      .post('/api/v1/pipelines/validate_query')
      .send({ query: kafka });
    expect(JSON.stringify(subject)).toContain('must be true, because the table has the subject');
    await registry.down();
    expect(await post(tableBody('a', profile, 'a', schema))).toContain('schema_registry_unavailable');
    await created(rig.request, '/connection_tables', tableBody('kept', profile, 'a', withFields));
    const { status, body: used } = await rig.request
      .patch(`/api/v1/connection_profiles/${profile}`)
      .send({ config: { schemaRegistryEnum: null } });
    expect(`${status} ${JSON.stringify(used.errors)}`).toMatch(
      /^409 .*table kept: .*needs a schema registry/,
    );
  });
});
