import { describe, expect, test } from 'vitest';
import { anything, planned, refusal, seed } from '../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import type { Row } from '../formats/format.ts';
import { compilePreview, compileQuery, diagnose } from './compile.ts';
import { openTransform } from './open-transform.ts';
import type { InsertPlan } from './plan.ts';
import type { Transformed } from './transform.ts';

/** SQL as users of Arroyo write it. */

const catalog = exampleCatalog(
  storedTable('cars', 'source', [
    { name: 'id', type: 'int64' },
    { name: 'plate', type: 'string' },
    { name: 'speed', type: 'float64' },
    { name: 'raw', type: 'json' },
  ]),
  storedTable('vans', 'source', [
    { name: 'id', type: 'int64' },
    { name: 'plate', type: 'string' },
  ]),
  storedTable('out', 'sink', [
    { name: 'id', type: 'int64' },
    { name: 'plate', type: 'string' },
  ]),
);

const cars: Row[] = [
  { id: 1n, plate: 'A-1', speed: 40, raw: '{"b":1}' },
  { id: 2n, plate: 'B-2', speed: 90, raw: '{"a":"x"}' },
  { id: 3n, plate: 'C-3', speed: 120, raw: '{"a":null}' },
];

/** Runs a plan as it is chosen and, if that is not DuckDB, in DuckDB too: both must agree. */
async function run(plan: InsertPlan, rows: Row[]): Promise<Transformed> {
  const results: Transformed[] = [];
  const { select } = plan;
  const inEngine =
    'rowColumn' in select
      ? [{ ...plan, select: { ...select, kind: 'sql' as const, because: 'the test' } }]
      : [];
  for (const variant of [plan, ...inEngine]) {
    const transform = await openTransform(variant);
    results.push(await transform.run(rows));
    await transform.close();
  }
  const [first, second = first] = results;
  expect(first?.rows).toEqual(second?.rows);
  expect(first?.bad.map(({ index }) => index)).toEqual(second?.bad.map(({ index }) => index));
  return first as Transformed;
}

async function results(query: string, rows: Row[] = cars): Promise<Row[]> {
  const plan = (await compileQuery(query, catalog)).inserts[0] as InsertPlan;
  const { rows: made, bad } = await run(plan, rows);
  expect(bad).toEqual([]);
  return made;
}

describe('a SELECT inside another', () => {
  const wanted = [
    { id: 2n, plate: 'b-2' },
    { id: 3n, plate: 'c-3' },
  ];
  test.each([
    'SELECT id, low FROM (SELECT id, lower(plate) AS low, speed FROM cars) WHERE speed > 50',
    'SELECT q.id, q.low FROM (SELECT id, lower(plate) AS low FROM cars WHERE speed > 50) AS q',
    'SELECT q.id, q.low FROM (SELECT id, lower(p) AS low FROM (SELECT id, plate AS p, speed FROM cars) WHERE speed > 50) q',
    'WITH fast AS (SELECT * FROM cars WHERE speed > 50) SELECT id, lower(plate) FROM fast',
    'WITH cars AS (SELECT * FROM cars WHERE speed > 50) SELECT cars.id, lower(cars.plate) FROM cars',
    'WITH a AS (SELECT * FROM cars), b AS (SELECT id, lower(plate) AS l, speed FROM a) SELECT x.id, x.l FROM b x WHERE speed > 50',
    'SELECT id, l FROM (WITH a AS (SELECT id, lower(plate) AS l, speed FROM cars) SELECT * FROM a) WHERE speed > 50',
    '(SELECT id, lower(plate) FROM cars WHERE speed > 50)',
  ])('computes the rows of %s', async (select) => {
    expect(await results(`INSERT INTO out ${select}`)).toEqual(wanted);
  });

  test('may be in a view, and over a view', async () => {
    const views = `CREATE VIEW v AS (WITH a AS (SELECT id, plate FROM cars) SELECT id AS n, plate AS p FROM a);
      CREATE TABLE w AS SELECT n, upper(p) AS p FROM (SELECT * FROM v WHERE n < 3);\n`;
    const rows = await results(`${views}INSERT INTO out SELECT n, p FROM w WHERE n > 1`);
    expect(rows).toEqual([{ id: 2n, plate: 'B-2' }]);
    const [preview] = await compilePreview(`${views}SELECT * FROM w`, catalog);
    expect(preview?.columns.map(({ name }) => name)).toEqual(['n', 'p']);
  });

  test('is compiled with what is around it', async () => {
    const { inserts } = await compileQuery(
      'INSERT INTO out SELECT i, p FROM (SELECT id + 1 AS i, plate AS p FROM cars) WHERE i > 2',
      catalog,
    );
    expect(inserts[0]?.select.kind).toBe('compiled');
  });

  test('may be a UNION ALL at the top, which becomes an insert for each SELECT', async () => {
    const query =
      "INSERT INTO copy SELECT id, 'car' AS kind FROM cars UNION ALL (SELECT id, 'van' FROM vans) UNION ALL SELECT 1, plate FROM vans";
    const { inserts } = await compileQuery(`${anything}${query}`, catalog);
    expect(inserts.map(({ source, sink }) => [source.name, sink.name])).toEqual([
      ['cars', 'copy'],
      ['vans', 'copy'],
      ['vans', 'copy'],
    ]);
    for (const { sink } of inserts)
      expect(sink.schema.fields?.map(({ name }) => name)).toEqual(['id', 'kind']);
    expect(new Set(inserts.map(({ operatorIds }) => operatorIds.sink)).size).toBe(3);
    const rows = await run(inserts[1] as InsertPlan, [{ id: 7n, plate: 'V' }]);
    expect(rows.rows).toEqual([{ id: 7n, kind: 'van' }]);
  });
});

test.each([
  ["digest(plate, 'sha512')", 'The function digest does not exist; write md5(…) or sha256(…)'],
  ['SHA384(plate)', 'does not exist; write md5(…) or sha256(…)'],
  ["regexp_match(plate, 'a(b)')", 'does not exist; write regexp_extract(text, pattern, 1)'],
  ["named_struct('a', id)", "does not exist; write {'name': value, …}"],
  ["arrow_cast(id, 'Int32')", 'does not exist; write CAST(value AS type)'],
  ['approx_median(id)', 'There is no aggregate approx_median'],
  ['my_double(id)', 'The function my_double does not exist; a query cannot define functions'],
])('%s is refused with what to write instead', async (expression, message) => {
  const [found] = await refusal(`INSERT INTO out SELECT ${expression}, plate FROM cars`, catalog);
  expect(found?.message).toContain(message);
  expect(found?.span?.start).toEqual({ line: 1, column: 24 });
});

test('overlay replaces characters', async () => {
  const query = "INSERT INTO out SELECT id, overlay(plate PLACING 'xy' FROM 2 FOR 1) FROM cars WHERE id = 1";
  expect(await results(query)).toEqual([{ id: 1n, plate: 'Axy1' }]);
  expect(await results(query.replace(' FOR 1', ''))).toEqual([{ id: 1n, plate: 'Axy' }]);
});

describe('a memory table', () => {
  const table = 'CREATE TABLE memory (p TEXT, i BIGINT);\n';

  test('passes on the rows of its INSERT, with its own names and types', async () => {
    const query = `${table}INSERT INTO memory SELECT upper(plate), id AS other FROM cars WHERE id > 1;
      INSERT INTO out SELECT i * 10, p FROM memory WHERE i < 3`;
    expect(await results(query)).toEqual([{ id: 20n, plate: 'B-2' }]);
  });

  test.each([
    ['SELECT * FROM memory', 'Nothing is written to the memory table memory yet'],
    ['INSERT INTO memory SELECT plate, id FROM cars; INSERT INTO memory SELECT plate, id FROM vans', 'twice'],
    ['INSERT INTO memory SELECT plate FROM cars', 'has 1 columns, but the memory table has 2'],
    ['INSERT INTO memory SELECT plate, speed FROM cars', 'but the column i of memory is BIGINT'],
    ['INSERT INTO memory SELECT plate, plate FROM cars', 'two columns called plate'],
  ])('is refused: %s', async (statements, message) => {
    const found = await diagnose(`${table}${statements}; INSERT INTO out SELECT i, p FROM memory`, catalog);
    const messages = 'diagnostics' in found ? found.diagnostics.map((one) => one.message).join('\n') : '';
    expect(messages).toContain(message);
  });
});

const source = (columns: string, options = '') =>
  `CREATE TABLE t (${columns}) WITH (connector = 'mqtt', topic = 'a', type = 'source', format = 'json'${options});\n`;

describe('a computed column', () => {
  test('is computed from the columns of the message, in its place', async () => {
    const query = `${source(
      `sent TEXT, seen TIMESTAMP GENERATED ALWAYS AS (CAST(sent AS TIMESTAMP)) STORED, n INT,
       twice BIGINT GENERATED ALWAYS AS (n * 2) VIRTUAL, doc JSON,
       old INT GENERATED ALWAYS AS (extract_json(doc, '$.old')[1])`,
    )}${anything}INSERT INTO copy SELECT * FROM t WHERE twice > 2`;
    const rows = [
      { sent: '2026-01-02T03:04:05', n: 1, doc: '{}' },
      { sent: '2026-01-02T03:04:05', n: 4, doc: '{"old":7}' },
    ];
    const { insert } = await planned(query);
    expect(insert.source.schema.fields?.map(({ name }) => name)).toEqual(['sent', 'n', 'doc']);
    const { rows: made } = await run(insert, rows);
    const seen = 1767323045n * 1_000_000_000n;
    expect(made).toEqual([{ sent: '2026-01-02T03:04:05', seen, n: 4, twice: 8n, doc: '{"old":7}', old: 7 }]);
  });

  test('makes a row bad that cannot be computed, or is null and must not be', async () => {
    const query = `${source(
      'a TEXT, n INT NOT NULL GENERATED ALWAYS AS (CAST(a AS INT))',
    )}${anything}INSERT INTO copy SELECT n FROM t`;
    const { insert } = await planned(query);
    const { rows, bad } = await run(insert, [{ a: '1' }, { a: 'x' }, { a: null }]);
    expect([rows, bad.map(({ index }) => index)]).toEqual([[{ n: 1 }], [1, 2]]);
  });

  test('works in raw_string, through views, sub-selects and qualified names', async () => {
    const table = `CREATE TABLE t (value TEXT, size BIGINT GENERATED ALWAYS AS (length(value)))
      WITH (connector = 'mqtt', topic = 'a', type = 'source', format = 'raw_string');\n`;
    const query = `${table}${anything}CREATE VIEW v AS SELECT t.size AS s FROM t;
      INSERT INTO copy SELECT q.s + 1 AS more FROM (SELECT s FROM v WHERE s > 1) q`;
    const { insert } = await planned(query);
    const { rows } = await run(insert, [{ value: 'a' }, { value: 'abc' }]);
    expect(rows).toEqual([{ more: 4n }]);
  });

  const refused: [columns: string, message: string, at: string][] = [
    ['a INT, b INT GENERATED ALWAYS AS (nope + 1)', 'There is no column nope', 'nope'],
    ['a INT, b INT GENERATED ALWAYS AS (count(a))', 'The aggregate count is not supported', 'count'],
    ['a INT, b INT GENERATED ALWAYS AS (random())', 'a different value at each call', 'random'],
    ["a INT, b INT GENERATED ALWAYS AS (getenv('A'))", 'is not available', 'getenv'],
    ['a INT, b INT GENERATED ALWAYS AS (nope(a))', 'The function nope does not exist', 'nope'],
    ['a INT, b INT GENERATED ALWAYS AS ((SELECT 1))', 'A SELECT inside an expression', ''],
    ['a INT, b INT GENERATED ALWAYS (a)', 'AS is missing after GENERATED ALWAYS', '(a)'],
    ['a INT, b INT GENERATED ALWAYS AS a', '( is missing', 'a)'],
    ['a INT, b INT GENERATED ALWAYS AS ()', 'syntax error', ''],
  ];
  test.each(refused)('is refused at its place: %s', async (columns, message, at) => {
    const query = `${source(columns)}${anything}INSERT INTO copy SELECT 1 AS one FROM t`;
    const [found] = await refusal(query);
    expect(found?.message).toContain(message);
    if (at !== '') expect(found?.span?.start.column).toBe(query.indexOf(at, 17) + 1);
  });

  test('is refused in a sink, and in Debezium format', async () => {
    const column = 'a INT, b INT GENERATED ALWAYS AS (a)';
    const sink = source(column).replace("'source'", "'sink'");
    expect((await refusal(`${sink}${anything}`))[0]?.message).toContain('are for sources');
    const changes = source(column, ", json.debezium = 'true'");
    expect((await refusal(`${changes}${anything}`))[0]?.message).toContain('Debezium format');
  });
});

describe('event time', () => {
  test.each([
    source('ts TIMESTAMP, n INT', ", event_time_field = 'ts'"),
    source('ts TIMESTAMP, n INT', ', event_time_field = ts'),
    source('ts TIMESTAMP, n INT, WATERMARK FOR ts'),
    source("ts TIMESTAMP, n INT, watermark for ts AS (ts - interval '5 seconds')"),
    source("ts TIMESTAMP, n INT, watermark for ts AS ts - INTERVAL '1' MINUTE"),
    source('n INT, ts TIMESTAMP GENERATED ALWAYS AS (to_timestamp(n)), WATERMARK FOR ts'),
  ])('is kept: %s', async (table) => {
    const { insert } = await planned(`${table}${anything}INSERT INTO copy SELECT n FROM t`);
    expect(insert.source.eventTime).toBe('ts');
  });

  test.each([
    [source('ts TIMESTAMP', ', event_time_field = tss'), 'There is no column tss; did you mean ts?'],
    [source('ts TEXT', ', event_time_field = ts'), 'must be a TIMESTAMP'],
    [source('ts TIMESTAMP, WATERMARK FOR no'), 'There is no column no'],
    [source('ts TIMESTAMP, WATERMARK FOR ts AS 5'), 'A watermark must be a timestamp'],
    [source('ts TIMESTAMP, WATERMARK FOR ts AS nope'), 'There is no column nope'],
    [source('ts TIMESTAMP, WATERMARK FOR ts, WATERMARK FOR ts'), 'A table has one WATERMARK'],
    [source('a TIMESTAMP, b TIMESTAMP, WATERMARK FOR a', ', event_time_field = b'), 'must name the event_'],
  ])('is refused: %s', async (table, message) => {
    const found = await refusal(`${table}${anything}INSERT INTO copy SELECT 1 AS one FROM t`);
    expect(found[0]?.message).toContain(message);
  });

  test('is row_time(), which is the time of processing without it', async () => {
    const query = `${source('ts TIMESTAMP, WATERMARK FOR ts')}${anything}INSERT INTO copy SELECT row_time() AS r FROM t`;
    expect((await refusal(query))[0]?.message).toContain('write its column ts');
    const { insert } = await planned(
      `${source('n INT')}${anything}INSERT INTO copy SELECT row_time() AS r FROM t`,
    );
    expect(insert.sink.schema.fields?.[0]?.type).toBe('timestamp');
  });
});

describe('options and settings', () => {
  test('take plain words, numbers, lists, intervals and quoted names', async () => {
    const query = `SET updating_ttl = interval '5' second; SET updating_ttl TO '1 hour';
      CREATE TABLE t (v INT) WITH (connector = mqtt, "url" = 'mqtt://h', 'topic' = "a/b", qos = 1, type = source,
        'format' = json, json.timestamp_format = RFC3339);
      CREATE TABLE o (v INT) WITH (connector = "mqtt", type = sink, topic = 'o', format = 'json');
      INSERT INTO o SELECT v FROM t`;
    const { insert } = await planned(query);
    expect(insert.source).toMatchObject({ config: { topic: 'a/b', qos: 1 }, profile: { url: 'mqtt://h' } });
    expect(insert.source.schema.format).toEqual({ type: 'json', timestamp_format: 'rfc3339' });
  });

  test.each([
    [
      "SET threads = '4'",
      'There is no setting threads; there are updating_ttl, max_state_bytes, when_state_full',
    ],
    ["SET memory_limit = '64GB'", 'There is no setting memory_limit'],
    ['SET updating_ttl', '= is missing after the name of the setting'],
    ['SET updating_ttl =', 'The value of the setting is missing'],
    ['RESET threads', 'This statement is not supported'],
  ])('are refused: %s', async (statement, message) => {
    expect((await refusal(`${statement}; ${seed}`))[0]?.message).toContain(message);
  });
});

describe('a column of the SELECT', () => {
  const into = (type: string) =>
    `CREATE TABLE s (v ${type}) WITH (connector = 'mqtt', type = 'sink', topic = 's', format = 'json');\n`;

  test.each([
    ['id', 'TEXT', '2'],
    ['speed', 'TEXT', '90.0'],
    ['speed > 50', 'TEXT', 'true'],
    ['CAST(1.50 AS DECIMAL(4,2))', 'TEXT', '1.50'],
    ["TIMESTAMP '2026-01-02 03:04:05.250'", 'TEXT', '2026-01-02T03:04:05.25Z'],
    ['CAST(id AS UBIGINT)', 'BIGINT', 2n],
    ['CAST(id AS UINTEGER)', 'INT', 2],
    ['CAST(id AS INTEGER)', 'DECIMAL(12, 1)', '2.0'],
    ['id', 'DOUBLE', 2],
  ])('%s becomes %s without a CAST', async (expression, type, value) => {
    const rows = await results(`${into(type)}INSERT INTO s SELECT ${expression} FROM cars WHERE id = 2`);
    expect(rows).toEqual([{ v: value }]);
  });

  test('that does not fit makes its row bad', async () => {
    const query = `${into('BIGINT')}INSERT INTO s SELECT CAST(9223372036854775807 AS UBIGINT) + CAST(id AS UBIGINT) - 2 FROM cars`;
    const { inserts } = await compileQuery(query, catalog);
    const { rows, bad } = await run(inserts[0] as InsertPlan, cars);
    expect([rows.length, bad.map(({ index }) => index)]).toEqual([2, [2]]);
  });

  test.each([
    ['plate', 'INT'],
    ['speed', 'BIGINT'],
    ['id', 'INT'],
    ['plate', 'TIMESTAMP'],
    ['CAST(1.555 AS DECIMAL(4,3))', 'DECIMAL(4,1)'],
    ['id', 'BOOLEAN'],
  ])('%s is refused for %s: something could be lost', async (expression, type) => {
    const query = `${into(type)}INSERT INTO s SELECT ${expression} FROM cars`;
    const found = await diagnose(query, catalog);
    expect('diagnostics' in found && found.diagnostics[0]?.message).toContain('write CAST(… AS');
  });

  test('that a JSON document is searched for is JSON in text, as in Arroyo; a JSON column takes it as it is', async () => {
    const select = "SELECT raw->'a' AS a, json_get(raw, 'b') AS b, raw AS whole FROM (SELECT raw FROM cars)";
    expect(await results(`${anything}INSERT INTO copy ${select}`)).toEqual([
      { a: 'null', b: '1', whole: '{"b":1}' },
      { a: '"x"', b: 'null', whole: '{"a":"x"}' },
      { a: 'null', b: 'null', whole: '{"a":null}' },
    ]);
    const deep = "WITH w AS (SELECT raw->'a' AS a FROM cars) SELECT a AS v FROM w";
    expect(await results(`${into('TEXT')}INSERT INTO s ${deep}`)).toEqual([
      { v: 'null' },
      { v: '"x"' },
      { v: 'null' },
    ]);
    expect(await results(`${into('JSON')}INSERT INTO s ${deep}`)).toEqual([
      { v: null },
      { v: '"x"' },
      { v: 'null' },
    ]);
    expect(await results(`${into('TEXT')}INSERT INTO s SELECT raw->>'a' FROM cars`)).toEqual([
      { v: null },
      { v: 'x' },
      { v: null },
    ]);
  });
});
