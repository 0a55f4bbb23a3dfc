import { describe, expect, test } from 'vitest';
import { anything, planned, refusal, seed } from '../../test/support/compile-fixtures.ts';
import { sqlType } from '../formats/schema/sql-type.ts';

describe('a query that creates its tables', () => {
  test('is planned as a pass-through when it copies', async () => {
    const { plan, insert } = await planned(seed);
    expect(insert.select).toEqual({ kind: 'passthrough' });
    expect(insert.source).toMatchObject({
      name: 'mqtt_input',
      connector: 'mqtt',
      direction: 'source',
      config: { topic: 'sensor/data' },
      profile: { url: 'mqtt://localhost:1883' },
    });
    expect(insert.sink.config).toEqual({ topic: 'sensor/out', qos: 1 });
    expect(insert.source.schema).toMatchObject({
      format: { type: 'json' },
      fields: [{ name: 'value', type: 'string' }],
    });
    expect(plan.tables.map(({ name }) => name)).toEqual(['mqtt_input', 'mqtt_output']);
  });

  test('draws a graph from the source to the sink, with the transform if there is one', async () => {
    const { plan } = await planned(seed);
    expect(plan.graph).toEqual({
      nodes: [
        { node_id: 0, operator: 'mqtt', description: 'mqtt_input (source)', parallelism: 1 },
        { node_id: 1, operator: 'mqtt', description: 'mqtt_output (sink)', parallelism: 1 },
      ],
      edges: [{ src_id: 0, dest_id: 1, key_type: '()', value_type: 'value TEXT', edge_type: 'Forward' }],
    });
    const { plan: computed } = await planned(seed.replace('SELECT value', 'SELECT upper(value)'));
    expect(computed.graph.nodes.map(({ operator }) => operator)).toEqual(['mqtt', 'compiled', 'mqtt']);
    expect(computed.graph.edges.map(({ src_id, dest_id }) => [src_id, dest_id])).toEqual([
      [0, 1],
      [1, 2],
    ]);
  });

  test('keeps the ids of source and sink when its SELECT is edited', async () => {
    const { insert: before } = await planned(seed);
    const { insert: after } = await planned(
      seed.replace(/value FROM mqtt_input/, "value FROM mqtt_input WHERE value > 'm'"),
    );
    expect(after.operatorIds).toEqual(before.operatorIds);
    const ids = Object.values(before.operatorIds);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z_]{1,27}$/);
  });

  test('reads every type that sqlType writes, and the common synonyms', async () => {
    const types = {
      INTEGER: 'INTEGER',
      int: 'INTEGER',
      'SMALLINT UNSIGNED': 'INTEGER UNSIGNED',
      'BIGINT UNSIGNED': 'BIGINT UNSIGNED',
      FLOAT: 'FLOAT',
      'DOUBLE PRECISION': 'DOUBLE',
      'DECIMAL(10, 2)': 'DECIMAL(10, 2)',
      DECIMAL: 'DECIMAL(38, 10)',
      'VARCHAR(20)': 'TEXT',
      STRING: 'TEXT',
      BYTEA: 'BINARY',
      BLOB: 'BINARY',
      TIMESTAMP: 'TIMESTAMP(9)',
      'TIMESTAMP(3)': 'TIMESTAMP(3)',
      'BIGINT[][]': 'BIGINT[][]',
      'ARRAY<JSON>': 'JSON[]',
      'STRUCT <a INTEGER, "b c" STRUCT<d TEXT[]>>': 'STRUCT <a INTEGER, b c STRUCT <d TEXT[]>>',
    };
    const columns = Object.keys(types).map((type, index) => `c${index} ${type}`);
    const query = seed.replace(
      'mqtt_input (value TEXT)',
      `mqtt_input (value TEXT NOT NULL, ${columns.join(', ')})`,
    );
    const { insert } = await planned(query);
    const [value, ...fields] = insert.source.schema.fields ?? [];
    expect(value?.required).toBe(true);
    expect(fields.map(sqlType)).toEqual(Object.values(types));
  });

  test('takes format, bad data and metadata from the definition', async () => {
    const query = `
      CREATE TABLE "In" ("va""lue" JSON, t TEXT METADATA FROM 'topic') WITH ('connector' = 'mqtt', topic = 'a;b''c', -- comment
        type = 'source', format = 'json', json.timestamp_format = 'UnixMillis', bad_data = 'drop', connection_profile = 'p');
      /* a ; in /* nested */ comment */
      CREATE TABLE o (v JSON, t TEXT) WITH (connector = 'mqtt', type = 'sink', format = 'json', json.unstructured = false);
      INSERT INTO O SELECT * FROM "In"`;
    const { insert } = await planned(query);
    expect(insert.source).toMatchObject({ name: 'In', profile: { name: 'p' }, config: { topic: "a;b'c" } });
    expect(insert.source.schema).toMatchObject({
      format: { type: 'json', timestamp_format: 'unix_millis' },
      bad_data: { behavior: 'drop' },
      fields: [{ name: 'va"lue' }, { name: 't', metadata_key: 'topic' }],
    });
    expect(insert.select).toMatchObject({
      kind: 'project',
      columns: [{ from: 'va"lue', to: 'v' }, { to: 't' }],
    });
  });

  test.each([
    ["bad_data = 'fail'", { behavior: 'fail' }],
    ["bad_data = 'dead_letter'", { behavior: 'dead_letter' }],
    [
      "bad_data = 'dead_letter', bad_data.max_count = 50, bad_data.max_bytes = 4096, bad_data.when_full = 'fail'",
      { behavior: 'dead_letter', max_count: 50, max_bytes: 4096, when_full: 'fail' },
    ],
  ])('takes the bad data behaviour from the definition: %s', async (options, bad_data) => {
    const query = `
      CREATE TABLE i (v INT) WITH (connector = 'mqtt', topic = 'a', type = 'source', format = 'json', ${options}, connection_profile = 'p');
      CREATE TABLE o (v INT) WITH (connector = 'mqtt', topic = 'b', type = 'sink', format = 'json', connection_profile = 'p');
      INSERT INTO o SELECT v FROM i`;
    const { insert } = await planned(query);
    expect(insert.source.schema.bad_data).toEqual(bad_data);
  });

  const formats: [options: string, schema: object][] = [
    ["format = 'json', json.debezium = 'true'", { format: { type: 'json', debezium: true } }],
    [
      "format = 'debezium_json', json.timestamp_format = 'RFC3339', json.include_schema = 'true'",
      {
        format: {
          type: 'json',
          debezium: true,
          include_schema: true,
          timestamp_format: 'rfc3339',
          decimal_encoding: 'bytes',
        },
      },
    ],
    [
      "format = 'json', json.decimal_encoding = 'string', json.compression = 'gzip', framing = 'newline'",
      {
        format: { type: 'json', decimal_encoding: 'string', compression: 'gzip' },
        framing: { method: 'newline' },
      },
    ],
    [
      "format = 'csv', csv.delimiter = ';', csv.header = true, csv.null_value = 'NULL', framing = 'newline', framing.newline.max_length = '500'",
      {
        format: { type: 'csv', delimiter: ';', header: true, null_value: 'NULL' },
        framing: { method: 'newline', max_line_length: 500 },
      },
    ],
    [
      "format = 'csv', csv.delimiter = ';', csv.decimal_separator = ','",
      { format: { type: 'csv', delimiter: ';', decimal_separator: ',' } },
    ],
    [
      "format = 'avro', avro.confluent_header = 'true', avro.schema_id = '7', avro.union_branches = 'true'",
      { format: { type: 'avro', confluent_header: true, schema_id: 7, union_branches: true } },
    ],
    [
      "format = 'json', json.confluent_header = 'true', json.schema_id = '4294967295'",
      { format: { type: 'json', confluent_header: true, schema_id: 4294967295 } },
    ],
  ];
  test.each(formats)('takes %s', async (options, schema) => {
    const query = `CREATE TABLE a (b INT) WITH (connector = 'mqtt', type = 'source', ${options});
      CREATE TABLE c (b INT) WITH (connector = 'mqtt', type = 'sink', ${options}); INSERT INTO c SELECT b FROM a`;
    const { insert } = await planned(query);
    expect(insert.source.schema).toMatchObject(schema);
    expect(insert.sink.schema.format).toEqual((schema as { format: object }).format);
  });

  test('gives a sink without columns those of the SELECT', async () => {
    const { insert } = await planned(
      `${anything}INSERT INTO copy SELECT id, upper(name) AS shout, celsius * 2 AS twice, tags[1] AS tag, raw->'$.a' AS a,
       now() AS at, 1.5 AS fixed FROM readings`,
    );
    expect(insert.sink.schema.inferred).toBe(true);
    expect(insert.sink.schema.fields?.map(({ name, sql_name }) => `${name} ${sql_name}`)).toEqual([
      'id BIGINT',
      'shout TEXT',
      'twice DOUBLE',
      'tag TEXT',
      'a TEXT',
      'at TIMESTAMP(6)',
      'fixed DECIMAL(2, 1)',
    ]);
  });

  test('gives raw_string its column', async () => {
    const query = `CREATE TABLE a WITH (connector = 'mqtt', type = 'source', format = 'raw_string');
      CREATE TABLE b WITH (connector = 'mqtt', type = 'sink', format = 'raw_string');
      INSERT INTO b SELECT upper(value) AS value FROM a`;
    const { insert } = await planned(query);
    expect(insert.source.schema.fields).toMatchObject([{ name: 'value', type: 'string' }]);
    await expect(refusal(query.replace('AS value', ''))).resolves.toMatchObject([
      { message: expect.stringContaining('value, of type string; name the columns of the SELECT with AS') },
    ]);
  });
});
