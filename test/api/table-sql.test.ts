import { beforeAll, expect, test } from 'vitest';
import { connectors } from '../../src/connectors/catalog.ts';
import { compileQuery } from '../../src/sql/compile.ts';
import type { TableDefinition } from '../../src/sql/plan.ts';
import { created, profileBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const secret = "it's a secret";
let service: Service;
const profiles: Record<string, string> = {};

beforeAll(async () => {
  service = await startService({ targets: ['127.0.0.1'] });
  const bodies = [
    profileBody('mqtt://127.0.0.1:1', { name: "plant's" }),
    { name: 'database', connector: 'postgres', config: { host: '127.0.0.1', user: 'u', database: 'd' } },
    { name: 'cluster', connector: 'kafka', config: { bootstrapServers: '127.0.0.1:1', authentication: {} } },
    {
      name: 'cloud',
      connector: 'confluent',
      config: {
        ...{ bootstrapServers: '127.0.0.1:1', key: 'k', secret: 's' },
        schemaRegistry: { endpoint: 'http://127.0.0.1:1', apiKey: 'k', apiSecret: 's' },
      },
    },
    { name: 'keys', connector: 'redis', config: { connection: { address: 'redis://127.0.0.1:1' } } },
    { name: 'servers', connector: 'nats', config: { servers: '127.0.0.1:1', authentication: {} } },
    { name: 'queues', connector: 'rabbitmq', config: { host: '127.0.0.1:1' } },
    { name: 'store', connector: 'filesystem', config: { endpoint: 'http://127.0.0.1:1', region: 'eu' } },
  ];
  for (const body of bodies) {
    const { id } = await created(service.request, '/connection_profiles', body);
    profiles[body.connector] = id;
  }
});

const json = { type: 'json' };
const fields = [
  { name: 'Device "x"', type: 'string', required: true },
  { name: 'n', type: 'int64' },
  { name: 'at', type: 'timestamp', unit: 'microsecond' },
  { name: 'select', type: 'decimal128', precision: 20, scale: 4 },
];
const everyType = [
  ...['int32', 'int64', 'uint32', 'uint64', 'float32', 'float64', 'bool', 'string', 'bytes', 'json'].map(
    (type) => ({
      name: `c_${type}`,
      type,
      required: type === 'json',
    }),
  ),
  ...['second', 'millisecond', 'microsecond', 'nanosecond'].map((unit) => ({
    name: unit,
    type: 'timestamp',
    unit,
  })),
  { name: 'd', type: 'decimal128', precision: 38, scale: 0 },
  { name: 'list', type: 'list', items: { type: 'list', items: { type: 'timestamp', unit: 'second' } } },
  {
    name: 'struct',
    type: 'struct',
    required: true,
    fields: [
      { name: 'a b', type: 'int32', required: true },
      { name: 'in', type: 'list', items: { type: 'struct', fields: [{ name: 'q"', type: 'uint64' }] } },
    ],
  },
];

interface Example {
  connector: string;
  config: object;
  schema?: object;
  profile?: boolean;
}

const mqtt = (config: object, schema: object = {}): Example => ({
  connector: 'mqtt',
  profile: true,
  config: { topic: 'a', ...config },
  schema: { format: json, fields, ...schema },
});
const redis = (connectorType: object): Example => ({
  connector: 'redis',
  profile: true,
  config: { connectorType },
  schema: { format: json, fields },
});
const rabbitmq = (config: object): Example => ({
  connector: 'rabbitmq',
  profile: true,
  config,
  schema: { format: json, fields },
});
const http = (connector: string, config: object, schema?: object): Example => ({
  connector,
  config: { endpoint: `${connector === 'websocket' ? 'ws' : 'http'}://127.0.0.1:1/x`, ...config },
  schema: { fields, ...schema },
});

const examples: Record<string, Example> = {
  'an MQTT source': mqtt({ type: {} }),
  'a queue of RabbitMQ': rabbitmq({
    type: { queue: 'q', consumer_priority: 3, watch_exchange: 'x', watch_key: '#' },
  }),
  'a stream of RabbitMQ': rabbitmq({ stream: 's', type: { offset: 'first' } }),
  'an exchange of RabbitMQ': rabbitmq({
    type: {
      exchange: 'x',
      routing_key: 'hot.{{ n }}',
      transient: true,
      headers: { n: '{{ n }}' },
      priority: 1,
    },
  }),
  'an MQTT source with all options': mqtt(
    { qos: 'ExactlyOnce', type: { retained: 'never', messagesPerSecond: 0.5, maxSilenceSecs: 60 } },
    {
      format: { type: 'json', timestamp_format: 'unix_millis', timezone: 'Europe/Berlin', skip_empty: true },
      framing: { method: 'newline', max_line_length: 1000 },
      bad_data: { behavior: 'dead_letter', max_count: 10, max_bytes: 2048, when_full: 'fail' },
      fields: [...fields, { name: 'topic', type: 'string', metadata_key: 'topic' }],
      primary_keys: ['n', 'Device "x"'],
      time: {
        ...{ event_time_field: 'at', watermark_delay_ms: 1500, idle_timeout_ms: 90_000, max_ahead_ms: 1 },
        ...{ late_data: 'dead_letter', dedupe: { columns: ['n', 'Device "x"'], horizon_ms: 3_600_000 } },
      },
    },
  ),
  'a source without a delay': mqtt(
    { type: {} },
    { time: { event_time_field: 'at', watermark_delay_ms: 0, idle_timeout_ms: 0 } },
  ),
  'a source with the default delay': mqtt({ type: {} }, { time: { event_time_field: 'at' } }),
  'a source of every type': mqtt({ type: {} }, { fields: everyType }),
  'a source of text': mqtt({ type: {} }, { format: { type: 'raw_string' }, fields: [] }),
  'a source of CSV': mqtt(
    { type: {} },
    { format: { type: 'csv', delimiter: ';', quote: "'", header: true } },
  ),
  'a source of Sparkplug': mqtt(
    { type: {} },
    { format: { type: 'sparkplug_b' }, fields: [{ name: 'value', type: 'json' }] },
  ),
  'an MQTT sink': mqtt({ type: { retain: false } }),
  'an MQTT sink without columns': mqtt({ type: { retain: true } }, { fields: [], inferred: true }),
  'an MQTT sink with all options': mqtt({
    topic: 'a/{{ n }}',
    type: {
      ...{
        retain: true,
        expirySecs: '{{ n }}',
        contentType: "it's",
        responseTopic: 'r',
        correlationData: 'c',
      },
      userProperties: { 'a "b"': "c'd", site: 'north' },
    },
  }),
  'a Kafka source': {
    connector: 'kafka',
    profile: true,
    config: { topic: 'a', type: { offset: 'group', read_mode: 'read_committed', group_id: 'g' } },
    schema: { format: json, fields },
  },
  'a Kafka sink': {
    connector: 'kafka',
    profile: true,
    config: {
      topic: 'a',
      type: { commit_mode: 'at_least_once', key_field: 'n', timestamp_field: 'at', compression: 'lz4' },
    },
    schema: { format: json, fields },
  },
  'a table of Confluent Cloud with a schema registry': {
    connector: 'confluent',
    profile: true,
    config: { topic: 'a', type: { commit_mode: 'at_least_once' }, value_subject: 's' },
    schema: {
      format: { type: 'avro', confluent_schema_registry: true, register_schema: false },
      fields: [{ name: 'n', type: 'int64' }],
    },
  },
  'a postgres sink': {
    connector: 'postgres',
    profile: true,
    config: {
      table: 'public.x',
      mode: 'upsert',
      key: ['n'],
      columns: { n: 'number' },
      create_table: 'if_missing',
    },
    schema: { fields: fields.slice(1) },
  },
  'a redis string': redis({
    target: { keyPrefix: "k'", keyColumn: 'Device "x"', ttlSecs: 60 },
    waitReplicas: 1,
  }),
  'a redis list': redis({ target: { listPrefix: 'l', maxLength: 5, operation: 'Prepend' } }),
  'a redis hash': redis({
    target: { hashKeyPrefix: 'h', hashKeyColumn: 'n', hashFieldColumn: 'Device "x"' },
  }),
  'a redis stream': redis({
    target: { streamPrefix: 's', maxLength: 5, entry: 'fields', payloadField: 'p' },
    waitAof: true,
  }),
  'a redis source': redis({
    stream: 's',
    consumerGroup: 'g',
    start: 'earliest',
    entry: 'fields',
    claimIdleSecs: 0,
  }),
  'a stream of NATS': {
    connector: 'nats',
    profile: true,
    config: {
      connectorType: {
        sourceType: {
          ...{ stream: 'S', ackWait: 60, filterSubjects: ['a.>', 'b'], deliverPolicy: 'New', maxDeliver: -1 },
          ...{ rateLimit: 100, inactiveThreshold: 0, description: "plant's" },
        },
      },
    },
    schema: { format: json, fields },
  },
  'a subject of NATS': {
    connector: 'nats',
    profile: true,
    config: { connectorType: { sourceType: { subject: 'a.*', queueGroup: 'g' } } },
    schema: { format: json, fields },
  },
  'a stream of NATS to write': {
    connector: 'nats',
    profile: true,
    config: {
      connectorType: {
        sinkType: { subject: 'a.{{ n }}', stream: 'S', messageId: '{{ n }}', headers: { site: 'north' } },
      },
    },
    schema: { format: json, fields },
  },
  'a subject of NATS to write': {
    connector: 'nats',
    profile: true,
    config: { connectorType: { sinkType: { subject: 'a' } } },
    schema: { format: json, fields },
  },
  'a filesystem source': {
    connector: 'filesystem',
    profile: true,
    config: {
      table_type: {
        type: 'source',
        path: 's3://bucket/a',
        compression_format: 'gzip',
        regex_pattern: '.*\\.json',
      },
    },
    schema: { format: json, fields },
  },
  'a filesystem sink': {
    connector: 'filesystem',
    profile: true,
    config: {
      table_type: {
        ...{
          type: 'sink',
          path: 's3://bucket/b',
          rolling_policy: { interval_seconds: 60, file_size_bytes: 1000000 },
        },
        ...{ file_naming: { prefix: 'p', strategy: 'uuid_v7' }, partitioning: { fields: ['n'] } },
      },
    },
    schema: { format: { type: 'parquet', compression: 'zstd', row_group_bytes: 4096 }, fields },
  },
  'a single file': {
    connector: 'single_file',
    config: { path: 'in.json', table_type: 'source' },
    schema: { format: json, fields },
  },
  'a single file to write': {
    connector: 'single_file',
    config: { path: 'out.json', table_type: 'sink' },
    schema: { format: json, fields },
  },
  'a webhook': http('webhook', {
    ...{ headers: `Authorization: ${secret}`, method: 'PUT', concurrency: 4, order_by: 'n', timeout_ms: 500 },
    ...{ endpoint: 'https://127.0.0.1:1/x', tls: { ca: 'ca.pem' } },
  }),
  'a webhook with a schema registry': http(
    'webhook',
    { schemaRegistryEnum: { endpoint: 'http://127.0.0.1:1', apiKey: 'k' } },
    { format: { type: 'json', confluent_schema_registry: true, subject: 's' } },
  ),
  'an HTTP poll': http('polling_http', {
    ...{
      headers: `Authorization: ${secret}`,
      poll_interval_ms: 1000,
      emit_behavior: 'changed',
      items: '/data',
    },
  }),
  'server-sent events': http('sse', { events: 'reading,alarm', idle_timeout_secs: 60 }),
  'a WebSocket': http('websocket', {
    subscription_messages: ["it's", '{"a": [1, 2]}'],
    ping_interval_secs: 10,
  }),
  'a black hole': { connector: 'blackhole', config: {}, schema: { fields } },
  'an impulse': { connector: 'impulse', config: { event_rate: 0.5, message_count: 10 } },
  'the standard output': { connector: 'stdout', config: {}, schema: { format: json, fields } },
};

/** Reduces a definition to the parts that two definitions of one table share. */
function comparable({ stored: _, ...table }: TableDefinition): object {
  const {
    time: _time,
    inferred: _inferred,
    definition: _definition,
    primary_keys = [],
    ...schema
  } = table.schema;
  const { format, framing, bad_data, ...rest } = schema;
  const given = Object.entries({ format, framing, bad_data }).filter(([, value]) => value);
  return { ...table, schema: { ...rest, ...Object.fromEntries(given), primary_keys } };
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Stores a table, and returns its SQL with the rest of a query that uses it. */
async function written({ connector, profile, config, schema }: Example, name: string) {
  const { request } = service;
  const connection_profile_id = profile ? profiles[connector] : null;
  const body = { name, connector, connection_profile_id, config, ...(schema && { schema }) };
  const { id, table_type } = await created(request, '/connection_tables', body);
  const { body: shown } = await request.get(`/api/v1/connection_tables/${id}/sql`).expect(200);
  const { fields: columns = [] } = (schema ?? {}) as { fields?: { name: string }[] };
  const read = (columns.length > 0 ? columns : fields).map((column) => quoted(column.name)).join(', ');
  const source = `CREATE TABLE other ("Device ""x""" TEXT, n BIGINT, at TIMESTAMP(6), "select" DECIMAL(20, 4)) WITH (
    connector = 'mqtt', url = 'mqtt://127.0.0.1:1', topic = 'o', type = 'source', format = 'json');`;
  const rest =
    table_type === 'sink'
      ? `${source} INSERT INTO ${quoted(name)} SELECT ${read} FROM other;`
      : `CREATE TABLE other WITH (connector = 'blackhole'); INSERT INTO other SELECT * FROM ${quoted(name)};`;
  const { sql, notes } = shown as { sql: string; notes: string[] };
  return { sql, notes, rest, end: table_type as 'source' | 'sink' };
}

test.each(Object.entries(examples))('%s is defined by its SQL in the same way', async (name, example) => {
  const { sql, notes, rest, end } = await written(example, name);
  expect(sql).not.toContain('secret');
  const own = sql.replace('********', `Authorization: ${secret}`.replaceAll("'", "''"));
  const query = `${own}\n${rest}`;
  const { body } = await service.request.post('/api/v1/pipelines/validate_query').send({ query });
  expect(body.errors, sql).toEqual([]);
  const defined = async (text: string) => {
    const [insert] = (await compileQuery(text, service.catalog)).inserts;
    return comparable(insert?.[end] as TableDefinition);
  };
  expect(await defined(query), sql).toEqual(await defined(rest));
  const masked = own === sql ? [] : ['The option headers is a secret: write it in place of ********'];
  expect(notes).toEqual(masked);
});

test('every connector has an example', () => {
  const shown = connectors.filter(({ hidden }) => !hidden).map(({ id }) => id);
  expect([...new Set(Object.values(examples).map(({ connector }) => connector))].sort()).toEqual(
    shown.sort(),
  );
});

test('says what SQL has no place for', async () => {
  const definition = {
    type: 'json_schema',
    schema: '{"type": "object", "properties": {"n": {"type": "integer"}}}',
  };
  const described = await written(mqtt({ type: {} }, { definition, fields: undefined }), 'described');
  expect(described.sql).toContain('"n" BIGINT');
  expect(described.notes).toEqual([expect.stringContaining('no place for the definition (json_schema)')]);
  const items = [{ name: 'l', type: 'list', items: { type: 'int64', required: true } }];
  const lists = await written(mqtt({ type: {} }, { fields: items }), 'lists');
  expect(lists.notes).toEqual([expect.stringContaining('column l are required')]);
  const missing = await service.request.get('/api/v1/connection_tables/ct_none/sql');
  expect(missing.body).toMatchObject({ status: 404, code: 'not_found' });
});
