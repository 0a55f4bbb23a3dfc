import { beforeAll, describe, expect, test } from 'vitest';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService();
});

const fields = [{ name: 'a', type: 'int32' }];
const timed = [...fields, { name: 'at', type: 'timestamp' }, { name: 'doc', type: 'json' }];
const withTime = (time: object) => ({ format: { type: 'json' }, fields: timed, time });
const text = [{ name: 'value', type: 'string' }];

async function tested(schema: object): Promise<{ status: number; errors: unknown }> {
  const { status, body } = await service.request.post('/api/v1/connection_tables/schemas/test').send(schema);
  return { status, errors: body?.errors ?? null };
}

describe('schemas/test', () => {
  const valid: object[] = [
    // As Arroyo's console sends them.
    {
      format: {
        type: 'json',
        confluent_schema_registry: false,
        schema_id: null,
        include_schema: false,
        debezium: false,
        unstructured: false,
        timestamp_format: 'rfc3339',
        decimal_encoding: 'number',
        compression: 'uncompressed',
      },
      bad_data: null,
      framing: null,
      fields,
      definition: null,
      inferred: null,
    },
    { format: { type: 'raw_string' }, fields: text },
    {
      format: { type: 'raw_bytes', compression: 'gzip' },
      framing: { method: 'newline', max_line_length: null },
    },
    { format: { type: 'csv', delimiter: '\t', quote: "'", header: true, null_value: 'NULL' }, fields },
    {
      format: { type: 'json', debezium: true, include_schema: true },
      framing: { method: 'newline' },
      fields,
    },
    { format: { type: 'json' }, fields, time: null },
    {
      format: { type: 'json' },
      fields: timed,
      time: {
        event_time_field: 'at',
        watermark_delay_ms: 0,
        idle_timeout_ms: 0,
        max_ahead_ms: null,
        late_data: 'dead_letter',
        dedupe: { columns: ['a', 'at'], horizon_ms: 1000 },
      },
    },
  ];
  test.each(valid)('takes %o', async (schema) => {
    expect(await tested(schema)).toEqual({ status: 200, errors: null });
  });

  const invalid: [schema: object, path: string, message: string][] = [
    [withTime({ event_time_field: 'b' }), '/time/event_time_field', 'There is no field called b'],
    [withTime({ event_time_field: 'a' }), '/time/event_time_field', 'The field a is not a timestamp'],
    [withTime({ watermark_delay_ms: 5 }), '/time/watermark_delay_ms', 'needs event_time_field'],
    [withTime({ idle_timeout_ms: 5 }), '/time/idle_timeout_ms', 'or at least 1000'],
    [withTime({ max_ahead_ms: -1 }), '/time/max_ahead_ms', 'must be >= 0'],
    [withTime({ late_data: 'keep' }), '/time/late_data', 'must be one of drop, dead_letter'],
    [
      withTime({ dedupe: { columns: ['a', 'x'], horizon_ms: 1000 } }),
      '/time/dedupe/columns/1',
      'There is no field called x',
    ],
    [
      withTime({ dedupe: { columns: ['a', 'a'], horizon_ms: 1000 } }),
      '/time/dedupe/columns/1',
      'The field a is named twice',
    ],
    [
      withTime({ dedupe: { columns: ['doc'], horizon_ms: 1000 } }),
      '/time/dedupe/columns/0',
      'cannot identify a message: it is a json',
    ],
    [withTime({ dedupe: { columns: ['a'] } }), '/time/dedupe/horizon_ms', 'is required'],
    [{ fields }, '/format', 'The schema needs a format'],
    [{ format: { type: 'xml' }, fields }, '/format/type', 'must be one of json, avro, '],
    [{ format: {}, fields }, '/format/type', 'is required'],
    [{ format: 'json', fields }, '/format', 'must be object'],
    [{ format: { type: 'parquet' }, fields }, '/format/type', 'parquet is for whole files'],
    [{ format: { type: 'json', delimiter: ';' }, fields }, '/format/delimiter', 'is not a known field'],
    [{ format: { type: 'raw_string', unstructured: true } }, '/format/unstructured', 'is not a known field'],
    [
      { format: { type: 'json', decimal_encoding: 'hex' }, fields },
      '/format/decimal_encoding',
      'must be one of number, string, bytes',
    ],
    [
      { format: { type: 'json', confluent_schema_registry: true, include_schema: true }, fields },
      '/format/include_schema',
      'The schema is in the registry',
    ],
    [
      { format: { type: 'avro', subject: 'a' }, fields },
      '/format/subject',
      'set confluent_schema_registry, or remove subject',
    ],
    [{ format: { type: 'json', schema_id: 3 }, fields }, '/format/schema_id', 'or confluent_header'],
    [{ format: { type: 'json', schema_id: -1 }, fields }, '/format/schema_id', 'must be'],
    [{ format: { type: 'avro', reader_schema: 'x' }, fields }, '/format/reader_schema', 'must be null'],
    [
      { format: { type: 'json', unstructured: true, debezium: true } },
      '/format/debezium',
      'remove debezium or unstructured',
    ],
    [{ format: { type: 'csv', delimiter: 'é' }, fields }, '/format/delimiter', 'must be one ASCII character'],
    [{ format: { type: 'csv', delimiter: '"' }, fields }, '/format/quote', 'must differ'],
    [{ format: { type: 'csv', null_value: 'a,b' }, fields }, '/format/null_value', 'stands unquoted'],
    [{ format: { type: 'csv' } }, '/fields', 'The schema needs at least one field'],
    [{ format: { type: 'raw_bytes' }, fields: text }, '/fields', 'raw_bytes needs exactly one field'],
    [
      { format: { type: 'json' }, framing: { method: 'tabs' }, fields },
      '/framing/method',
      'must be one of newline',
    ],
    [
      { format: { type: 'json' }, framing: { method: 'newline', max_line_length: 0 }, fields },
      '/framing/max_line_length',
      'must be >= 1',
    ],
    [
      { format: { type: 'csv' }, definition: { type: 'json_schema', schema: '{}' } },
      '/definition',
      'The format csv takes no definition',
    ],
    [
      { format: { type: 'json' }, definition: { type: 'avro_schema', schema: '{}' } },
      '/definition',
      'The format json takes json_schema',
    ],
    [{ format: { type: 'json' }, definition: { type: 'json_schema' } }, '/definition/schema', 'is required'],
    [
      {
        format: { type: 'json' },
        fields: [
          {
            name: 'l',
            type: 'list',
            items: { type: 'struct', fields: [...fields, { name: 'b', type: 'bool' }, ...fields] },
          },
        ],
      },
      '/fields/0/items/fields/2/name',
      'Two fields are called a',
    ],
    [
      { format: { type: 'json' }, fields: [...fields, { name: 'A', type: 'bool' }] },
      '/fields/1/name',
      'the fields a and A, which are the same name in SQL',
    ],
    [
      {
        format: { type: 'json' },
        definition: { type: 'json_schema', schema: '{"properties":{"é":{},"É":{}}}' },
      },
      '/fields/1/name',
      'no query can use',
    ],
    [
      {
        format: { type: 'json' },
        fields: [{ name: 's', type: 'struct', fields: [...fields, { name: '__proto__', type: 'bool' }] }],
      },
      '/fields/0/fields/1/name',
      '__proto__',
    ],
    [
      { format: { type: 'json', timezone: 'Mars/Olympus' }, fields },
      '/format/timezone',
      'There is no time zone',
    ],
  ];
  test.each(invalid)('refuses %o', async (schema, path, message) => {
    const { status, errors } = await tested(schema);
    expect(status).toBe(400);
    expect(errors).toEqual([{ path, message: expect.stringContaining(message) }]);
  });
});

test('a table returns its format as it was sent', async () => {
  const { request } = service;
  const profile = await created(request, '/connection_profiles', profileBody('mqtt://127.0.0.1:1'));
  const schema = {
    format: { type: 'csv', delimiter: ';', header: true, compression: 'gzip' },
    framing: { method: 'newline', max_line_length: 500 },
    fields,
  };
  const body = { ...tableBody('lines', profile.id, { topic: 'a', type: {} }), schema };
  const table = await created(request, '/connection_tables', body);
  const { format, framing } = (await request.get(`/api/v1/connection_tables/${table.id}`)).body.schema;
  expect({ format, framing }).toEqual({ format: schema.format, framing: schema.framing });
});

test('a source keeps what windows need to know; a sink is refused', async () => {
  const { request } = service;
  const profile = await created(request, '/connection_profiles', {
    ...profileBody('mqtt://127.0.0.1:1'),
    name: 'other',
  });
  const schema = withTime({ event_time_field: 'at', dedupe: { columns: ['a'], horizon_ms: 60_000 } });
  const source = tableBody('timed', profile.id, { topic: 'a', type: {} }, schema);
  const table = await created(request, '/connection_tables', source);
  expect((await request.get(`/api/v1/connection_tables/${table.id}`)).body.schema.time).toEqual(schema.time);
  const sink = tableBody('late', profile.id, { topic: 'a', type: { retain: false } }, schema);
  const { status, body } = await request.post('/api/v1/connection_tables').send(sink);
  expect({ status, errors: body.errors }).toEqual({
    status: 400,
    errors: [{ path: '/schema/time', message: 'is for sources; remove it from this sink' }],
  });
});

test('a table in a query is held to the formats of its connector, as a stored one is', async () => {
  const query = (format: string) => `CREATE TABLE files (value BYTEA) WITH (
      connector = 'filesystem', type = 'source', path = 'in', format = '${format}');
    CREATE TABLE gone WITH (connector = 'blackhole');
    INSERT INTO gone SELECT value FROM files`;
  const errors = async (format: string) => {
    const { body } = await service.request
      .post('/api/v1/pipelines/validate_query')
      .send({ query: query(format) })
      .expect(200);
    return (body.errors as { message: string }[]).map(({ message }) => message);
  };
  expect(await errors('raw_bytes')).toEqual([expect.stringContaining('raw_bytes has no lines')]);
});
