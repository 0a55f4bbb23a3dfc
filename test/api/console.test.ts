import { expect, test } from 'vitest';
import { EventReader } from '../support/events.ts';
import { unique } from '../support/mqtt.ts';
import { created, jobOf } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { until as untilWithin } from '../support/until.ts';

/** The requests that Arroyo's console and its API tests send (August 2026), against a broker and a worker. */

const until = (what: string, condition: () => boolean | Promise<boolean>) =>
  untilWithin(what, condition, 60_000);

const rig = useRig({ service: { worker: true }, shared: true });
const api = '/api/v1';
const post = (path: string, body: object) => rig.request.post(`${api}${path}`).send(body);
const get = async (path: string) => (await rig.request.get(`${api}${path}`).expect(200)).body;

const letters = {
  type: 'protobuf_schema',
  schema: 'syntax = "proto3"; message Reading { int32 id = 1; string site = 2; }',
};
const avro = {
  type: 'avro_schema',
  schema: '{"type":"record","name":"r","fields":[{"name":"id","type":"long"}]}',
};
const json = {
  type: 'json_schema',
  schema: JSON.stringify({
    type: 'object',
    properties: {
      a: { type: 'string' },
      b: { type: 'number' },
      c: { type: 'array', items: { type: 'string' } },
    },
    required: ['a'],
  }),
};
/** Expected by Arroyo's API tests. */
const jsonFields = [
  { name: 'a', type: 'string', sql_name: 'TEXT', required: true },
  { name: 'b', type: 'float64', sql_name: 'DOUBLE', required: false },
  {
    ...{ name: 'c', type: 'list', sql_name: 'TEXT[]', required: false },
    items: { name: 'item', type: 'string', sql_name: 'TEXT', required: true },
  },
];

/** The profile form with only the name and the address filled in. */
const profile = (name: string) => {
  const config = {
    name,
    url: rig.broker.url,
    protocolVersion: 'auto',
    insecureSkipVerify: false,
    will: { qos: 'AtMostOnce', retain: false },
  };
  return { name, connector: 'mqtt', config };
};

test('the profile form is tested, stored, shown and deleted', async () => {
  const body = profile(unique());
  const { body: tested } = await post('/connection_profiles/test', body).expect(200);
  expect(tested).toMatchObject({ error: false, done: true });
  const { id } = await created(rig.request, '/connection_profiles', body);
  const { data } = await get('/connection_profiles');
  const { name: _, ...config } = body.config;
  expect(data).toContainEqual(expect.objectContaining({ id, config }));
  await get(`/connection_profiles/${id}/autocomplete`);
  await rig.request.delete(`${api}/connection_profiles/${id}`).expect(200);
});

test.each([
  ['/connection_tables', 200],
  ['/connection_tables', 100],
  ['/pipelines', 100],
  ['/pipelines', 4_294_967_295],
  ['/pipelines', 1e20],
])('a page of %s with the limit %d is given', async (path, limit) => {
  expect(await get(`${path}?limit=${limit}`)).toMatchObject({ data: expect.any(Array), hasMore: false });
});

test('a page holds at most 200 objects', async () => {
  const { db } = rig.service;
  const row = (nth: number) => ({
    ...{ id: `ct_page${nth}`, name: `page${nth}`, connector: 'impulse', tableType: 'source', schema: '{}' },
    ...{ config: '{"event_rate":1}', createdAt: BigInt(nth), updatedAt: BigInt(nth) },
  });
  await db.connectionTable.createMany({ data: Array.from({ length: 205 }, (_, nth) => row(nth)) });
  const first = await get('/connection_tables?limit=1000');
  expect([first.data.length, first.hasMore]).toEqual([200, true]);
  const rest = await get(`/connection_tables?limit=1000&starting_after=${first.data.at(-1).id}`);
  expect([rest.data.length, rest.hasMore]).toEqual([5, false]);
});

test('functions are answered with what the console can show', async () => {
  const definition = 'fn my_double(x: i64) -> i64 { x * 2 }';
  for (const body of [
    { definition },
    { definition, language: 'rust' },
    { definition: '', language: 'python' },
  ]) {
    const { body: result } = await post('/udfs/validate', body).expect(200);
    expect(result).toEqual({ udf_name: null, errors: [expect.stringContaining('not supported')] });
  }
  expect(await get('/udfs')).toEqual({ data: [] });
  const global = {
    definition: 'def f(x: int) -> int: return x',
    language: 'python',
    prefix: '',
    description: '',
  };
  const { body: refused } = await post('/udfs', global).expect(400);
  expect(refused).toMatchObject({
    error: 'User-defined functions are not supported',
    code: 'invalid_request',
  });
  const { body: none } = await rig.service.request.delete('/api/v1/udfs/udf_1').expect(404);
  expect(none).toMatchObject({ code: 'not_found' });
});

test('a query is checked beside functions that it does not use', async () => {
  const udfs = [{ definition: 'fn my_double(x: i64) -> i64 { x * 2 }', language: 'rust' }];
  const source = "CREATE TABLE impulse WITH (connector = 'impulse', event_rate = '10');";
  const query = `${source} SELECT counter FROM impulse`;
  const check = async (body: object) => (await post('/pipelines/validate_query', body).expect(200)).body;
  expect(await check({ query, udfs })).toMatchObject({ errors: [], graph: { nodes: expect.any(Array) } });
  expect(await check({ query, udfs: null })).toMatchObject({ errors: [] });
  const using = await check({ query: `${source} SELECT my_double(counter) FROM impulse`, udfs });
  expect(using.graph).toBeNull();
  expect(using.errors.map(({ message }: { message: string }) => message)).toEqual([
    expect.stringContaining('my_double'),
    expect.stringContaining('User-defined functions are not supported'),
  ]);
  const stored = await post('/pipelines', { name: unique(), query, parallelism: 1, udfs });
  expect([stored.status, stored.body.errors?.[0].path]).toEqual([400, '/udfs']);
  await post('/pipelines/preview', { query, udfs, enable_sinks: false }).expect(200);
});

test('a write of a pipeline warns as a check of its query does', async () => {
  const table =
    "CREATE TABLE t (s TEXT) WITH (connector = 'mqtt', url = 'mqtt://localhost:1', topic = 'w', type = 'source', format = 'json');";
  const query = `${table} SELECT CAST(s AS TIMESTAMP) AS at FROM t WHERE s < '9'`;
  const { warnings } = (await post('/pipelines/validate_query', { query }).expect(200)).body;
  expect(warnings.length).toBeGreaterThan(0);
  const body = { name: unique(), query, parallelism: 1 };
  const dry = await post('/pipelines?dry_run=true', body).expect(200);
  expect(dry.body.warnings).toEqual(warnings);
  const { body: made } = await post('/pipelines', body).expect(200);
  expect(made.warnings).toEqual(warnings);
  const change = async (patch: object) =>
    (await rig.request.patch(`/api/v1/pipelines/${made.id}`).send(patch).expect(200)).body.warnings;
  expect(await change({ labels: { a: 'b' } })).toEqual([]);
  const eight = warnings.map((one: { message: string }) => ({
    ...one,
    message: one.message.replace('> 9', '> 8'),
  }));
  expect(await change({ query: query.replace("'9'", "'8'") })).toEqual(eight);
  const same = { ...body, query: `${table} SELECT s FROM t` };
  const put = await rig.request.put(`/api/v1/pipelines/${made.id}`).send(same).expect(200);
  expect(put.body.warnings).toEqual([]);
});

/** The request of the console's editor of schemas, for each choice. */
const schemas: [string, object, string[]][] = [
  ['JSON schema', { format: { type: 'json' }, definition: json, fields: [] }, ['a', 'b', 'c']],
  ['Avro datums', { format: { type: 'avro', raw_datums: true }, definition: avro, fields: [] }, ['id']],
  ['Avro documents', { format: { type: 'avro' }, definition: avro, fields: [] }, ['id']],
  [
    'Protobuf with no name',
    {
      format: { type: 'protobuf', message_name: '', length_delimited: false },
      definition: letters,
      fields: [],
    },
    ['id', 'site'],
  ],
  [
    'Protobuf with a name',
    { format: { type: 'protobuf', message_name: 'Reading', length_delimited: true }, definition: letters },
    ['id', 'site'],
  ],
];

test.each(schemas)('a table with a %s answers the fields that it gives', async (_, schema, names) => {
  await post('/connection_tables/schemas/test', schema).expect(200);
  const { id: connection_profile_id } = await created(rig.request, '/connection_profiles', profile(unique()));
  const config = { topic: unique(), qos: 'AtMostOnce', type: { retained: 'when_new' } };
  const body = { name: unique(), connector: 'mqtt', connection_profile_id, config, schema };
  const table = await created(rig.request, '/connection_tables', body);
  const fieldsOf = (schema: unknown) => (schema as { fields: { name: string; sql_name: string }[] }).fields;
  expect(fieldsOf(table.schema).map(({ name }) => name)).toEqual(names);
  if (names.length === 3) expect(fieldsOf(table.schema)).toEqual(jsonFields);
  expect(fieldsOf(table.schema).every(({ sql_name }) => sql_name !== undefined)).toBe(true);
  const path = `${api}/connection_tables/${table.id}`;
  const { body: got, headers } = await rig.request.get(path).expect(200);
  expect(got.schema).toEqual(table.schema);
  // Sent back as it came, it is the same table.
  const again = await rig.request
    .put(path)
    .send({ ...body, schema: got.schema })
    .expect(200);
  expect(again.headers.etag).toBe(headers.etag);
});

test.each([
  [
    'unstructured',
    {
      format: { type: 'json', unstructured: true, confluent_schema_registry: false },
      fields: [{ name: 'value', type: 'json', required: true }],
    },
  ],
  [
    'a string',
    {
      format: { type: 'raw_string' },
      fields: [{ name: 'value', type: 'string', required: true }],
      bad_data: { behavior: 'drop' },
    },
  ],
  [
    'bytes',
    {
      format: { type: 'raw_bytes' },
      framing: { method: 'newline' },
      fields: [{ name: 'value', type: 'bytes', required: true }],
    },
  ],
  [
    'inferred',
    {
      format: { type: 'json', unstructured: false, confluent_schema_registry: false },
      fields: [],
      inferred: true,
    },
  ],
])('a table that is %s is tested with events, and stored', async (_, schema) => {
  const { id: connection_profile_id } = await created(rig.request, '/connection_profiles', profile(unique()));
  const config = { topic: unique(), qos: 'AtMostOnce', type: { retain: false } };
  const body = { name: unique(), connector: 'mqtt', connection_profile_id, config, schema };
  const { text, headers } = await rig.request
    .post(`${api}/connection_tables/test`)
    .set('accept', 'text/event-stream')
    .send(body)
    .expect(200);
  expect(headers['content-type']).toContain('text/event-stream');
  const events = text
    .split('\n')
    .flatMap((line) => (line.startsWith('data:') ? [JSON.parse(line.slice(5))] : []));
  expect(events.at(-1)).toMatchObject({ done: true, error: false });
  await created(rig.request, '/connection_tables', body);
});

test('a pipeline with a bare SELECT runs, is rescaled, restarted and deleted as its API tests do', {
  timeout: 180_000,
}, async () => {
  const name = `source_${unique()}`;
  const table = await created(rig.request, '/connection_tables', {
    name,
    connector: 'impulse',
    config: { event_rate: 10 },
  });
  const query = `select counter from ${name} where counter % 2 == 0`;
  const { body: valid } = await post('/pipelines/validate_query', { query, udfs: [] }).expect(200);
  expect(valid.errors).toEqual([]);
  const sink = valid.graph.nodes.find(({ description }: { description: string }) =>
    description.includes('sink'),
  );
  expect(sink).toMatchObject({ operator: 'preview' });

  const body = { name: unique(), query, parallelism: 1, checkpoint_interval_micros: 1_000_000, udfs: [] };
  const { id } = await created(rig.request, '/pipelines', body);
  const job = () => jobOf(rig.request, id);
  /** Waits as those tests do: for the state, in another run than `run`. */
  const reached = async (state: string, run?: number): Promise<number> => {
    await until(`${state} after run ${run}`, async () => {
      const found = await job();
      return found.run_id !== run && found.state === state;
    });
    return (await job()).run_id as number;
  };
  const patch = (changes: object) => rig.request.patch(`${api}/pipelines/${id}`).send(changes).expect(200);
  await reached('Running');
  const metrics = `/pipelines/${id}/jobs/${(await job()).id}/operator_metric_groups`;
  await until(
    'metrics of every node',
    async () => (await get(metrics)).data.length === valid.graph.nodes.length,
  );
  // They wait for a checkpoint by its number, and then want its operators.
  const checkpoints = `/pipelines/${id}/jobs/${(await job()).id}/checkpoints`;
  const finished = async (least: number) => {
    const { data } = await get(checkpoints);
    return data.find(
      (each: Record<string, number>) => Number(each.epoch) >= least && each.finish_time !== null,
    );
  };
  await until('a checkpoint', async () => (await finished(1)) !== undefined);
  const { epoch } = await finished(1);
  await until('a later one', async () => (await finished(epoch + 2)) !== undefined);
  const later = await finished(epoch + 1);
  expect(later.finish_time).toBeGreaterThanOrEqual(later.start_time);
  const groups = await get(`${checkpoints}/${later.epoch}/operator_checkpoint_groups`);
  expect(groups.data.length).toBe(valid.graph.nodes.length);
  await patch({ stop: 'checkpoint' });
  const stopped = await reached('Stopped');
  await patch({ stop: 'none' });
  const started = await reached('Running', stopped);
  await patch({ parallelism: 2 });
  const rescaled = await reached('Running', started);
  const { graph } = await get(`/pipelines/${id}`);
  expect(graph.nodes.map(({ parallelism }: { parallelism: number }) => parallelism)).toEqual([2, 2, 2]);
  await post(`/pipelines/${id}/restart`, {}).expect(200);
  await reached('Running', rescaled);
  await patch({ stop: 'immediate' });
  await reached('Stopped');
  await rig.request.delete(`${api}/pipelines/${id}`).expect(200);
  await rig.request.delete(`${api}/connection_tables/${table.id}`).expect(200);
});

test('the editor previews an INSERT with its sinks', async () => {
  const query = `CREATE TABLE impulse WITH (connector = 'impulse', event_rate = '20');
    CREATE TABLE hole WITH (connector = 'blackhole'); INSERT INTO hole SELECT counter FROM impulse`;
  const { id } = await created(rig.request, '/pipelines/preview', { query, udfs: [], enable_sinks: true });
  const job = await jobOf(rig.request, id);
  expect(job).toMatchObject({ running_desired: true, state: 'Running', finish_time: null });
  const output = new EventReader<{ batch: string }>(
    `${rig.service.address}${api}/pipelines/${id}/jobs/${job.id}/output`,
  );
  await output.has('a row', ({ batch }) => JSON.parse(batch).length > 0);
  await output.hangUp();
  expect(await get(`/pipelines/${id}/jobs/${job.id}/errors`)).toEqual({ data: [], hasMore: false });
  await rig.request.patch(`${api}/pipelines/${id}`).send({ stop: 'immediate' }).expect(200);
});

test('the former name of a field is refused with the new one, in a query and a bundle', async () => {
  const query = `CREATE TABLE t (id BIGINT) WITH (connector = 'mqtt', url = 'mqtts://broker', topic = 't', type = 'source',
    format = 'json', reject_unauthorized = false); SELECT id FROM t`;
  const { body: checked } = await post('/pipelines/validate_query', { query }).expect(200);
  expect(checked.errors).toMatchObject([
    {
      message: expect.stringMatching(/is now insecure_skip_verify, with the opposite meaning/),
      span: { start: { line: 2 } },
    },
  ]);
  const config = { url: 'mqtts://broker', rejectUnauthorized: false };
  const applied = await post('/apply', { connection_profiles: [{ name: 'p', connector: 'mqtt', config }] });
  expect([applied.status, applied.body.error]).toEqual([
    400,
    expect.stringContaining('is now insecureSkipVerify'),
  ]);
});
