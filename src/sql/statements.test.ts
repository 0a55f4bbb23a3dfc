import { describe, expect, test } from 'vitest';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import type { Row } from '../formats/format.ts';
import { compilePreview, compileQuery, diagnose } from './compile.ts';
import { openTransform } from './open-transform.ts';
import type { InsertPlan } from './plan.ts';

const catalog = exampleCatalog(
  storedTable('readings', 'source', [
    { name: 'id', type: 'int64' },
    { name: 'celsius', type: 'float64' },
    { name: 'raw', type: 'json' },
  ]),
  storedTable('doors', 'source', [{ name: 'id', type: 'int64' }]),
  storedTable('alerts', 'sink', [
    { name: 'id', type: 'int64' },
    { name: 'celsius', type: 'float64' },
  ]),
  storedTable('log', 'sink', [{ name: 'id', type: 'int64' }]),
);

async function inserts(query: string): Promise<readonly InsertPlan[]> {
  return (await compileQuery(query, catalog)).inserts;
}

async function rowsOf(plan: Parameters<typeof openTransform>[0], rows: Row[]): Promise<Row[]> {
  const transform = await openTransform(plan);
  const result = await transform.run(rows);
  await transform.close();
  expect(result.bad).toEqual([]);
  return result.rows;
}

async function refusal(query: string) {
  const result = await diagnose(query, catalog);
  return 'diagnostics' in result ? result.diagnostics[0] : undefined;
}

const readings: Row[] = [
  { id: 1n, celsius: 20, raw: '{"room":"a"}' },
  { id: 2n, celsius: 80, raw: '{"room":"b"}' },
  { id: 3n, celsius: 95, raw: '{"room":null}' },
];

describe('a view', () => {
  const views = `CREATE VIEW hot AS SELECT id, celsius, celsius * 1.8 + 32 AS f, raw->>'$.room' AS room FROM readings
    WHERE celsius > 50;
  CREATE VIEW hot_rooms AS SELECT *, upper(room) AS loud FROM Hot WHERE room IS NOT NULL;\n`;

  test('is written in place, also over another view, and compiled with it', async () => {
    const [insert] = await inserts(
      `${views}INSERT INTO alerts SELECT h.id, f FROM hot_rooms AS h WHERE loud = 'B'`,
    );
    expect(insert?.source.name).toBe('readings');
    expect(insert?.select.kind).toBe('compiled');
    const wanted = [{ id: 2n, celsius: 80 * 1.8 + 32 }];
    expect(await rowsOf(insert as InsertPlan, readings)).toEqual(wanted);
    const { select } = insert as InsertPlan;
    if (select.kind !== 'compiled') throw new Error('not compiled');
    const inEngine = {
      ...(insert as InsertPlan),
      select: { ...select, kind: 'sql' as const, because: 'the test' },
    };
    expect(await rowsOf(inEngine, readings)).toEqual(wanted);
  });

  test('gives all its columns to SELECT *, and none of those below it', async () => {
    const [preview] = await compilePreview(`${views}SELECT * FROM hot_rooms`, catalog);
    expect(preview?.columns.map(({ name }) => name)).toEqual(['id', 'celsius', 'f', 'room', 'loud']);
  });

  test('may be used by several inserts, and by none', async () => {
    const plans = await inserts(
      `${views}INSERT INTO alerts SELECT id, celsius FROM hot; INSERT INTO log SELECT id FROM hot`,
    );
    expect(plans.map(({ source, sink }) => [source.name, sink.name])).toEqual([
      ['readings', 'alerts'],
      ['readings', 'log'],
    ]);
    expect(await inserts(`${views}INSERT INTO log SELECT id FROM doors`)).toHaveLength(1);
  });

  test('reports rows that fail inside it', async () => {
    const query = `CREATE VIEW n AS SELECT id, CAST(raw->>'$.room' AS INTEGER) AS r FROM readings;
      INSERT INTO log SELECT r FROM n`;
    const [insert] = await inserts(query);
    const transform = await openTransform(insert as InsertPlan);
    const { origin, bad } = await transform.run(readings);
    await transform.close();
    expect([origin, bad.map(({ index }) => index)]).toEqual([[2], [0, 1]]);
    expect(bad[0]?.error.code).toBe('bad_row');
  });

  const mistakes: [query: string, message: string, line: number, column: number][] = [
    ['CREATE VIEW v AS SELECT 1 AS a', 'FROM and the name of a source table are missing', 1, 18],
    ['CREATE VIEW v AS SELECT nope FROM readings', 'There is no column nope', 1, 25],
    ['CREATE VIEW v AS SELECT count(nope) FROM readings', 'There is no column nope', 1, 31],
    ['CREATE VIEW v AS SELECT id FROM alerts', 'alerts is a sink and cannot be read from', 1, 33],
    ['CREATE VIEW v AS SELECT id, id FROM readings', 'The view has two columns called id', 1, 18],
    ['CREATE VIEW v (a) AS SELECT id FROM readings', 'name the columns with AS in the SELECT', 1, 15],
    ['CREATE OR REPLACE VIEW v AS SELECT id FROM readings', 'OR REPLACE is not supported', 1, 8],
    ['CREATE VIEW a.v AS SELECT id FROM readings', 'Schemas are not supported', 1, 14],
    ['CREATE VIEW v SELECT id FROM readings', 'AS is missing after the name of the view', 1, 15],
    ['CREATE VIEW v AS', 'A SELECT is missing here', 1, 17],
    [
      'CREATE VIEW readings AS SELECT id FROM readings',
      'A view must not have the name of the table it reads',
      1,
      13,
    ],
    [
      'CREATE VIEW v AS SELECT id FROM doors; CREATE VIEW V AS SELECT id FROM doors',
      'two views called V',
      1,
      52,
    ],
    [
      'CREATE VIEW v AS SELECT id FROM w; CREATE VIEW w AS SELECT id FROM doors',
      'There is no table called w',
      1,
      33,
    ],
    ["CREATE VIEW v AS SELECT * FROM read_csv('/etc/passwd')", 'Table functions are not supported', 1, 32],
  ];
  test.each(mistakes)('is refused: %s', async (query, message, line, column) => {
    const found = await refusal(`${query}; INSERT INTO log SELECT id FROM doors`);
    expect(found?.message).toContain(message);
    expect(found?.span?.start).toEqual({ line, column });
  });

  test.each([
    ["repeat('x', 100)", 'repeat(a, 100)'],
    ['range(100)', 'unnest(range(100)), a'],
    ['unnest(range(100))', 'unnest(range(100))'],
  ])('is refused where sizes multiply through it: %s, then %s', async (below, above) => {
    const query = `CREATE VIEW v AS SELECT id, ${below} AS a FROM readings; CREATE VIEW w AS SELECT id, ${above} FROM v;
      INSERT INTO log SELECT id FROM w`;
    expect((await refusal(query))?.message).toContain('Sizes multiply here');
  });

  test('may spread a list out that the view below has made', async () => {
    const query = `CREATE VIEW v AS SELECT range(1000) AS a FROM readings; CREATE VIEW w AS SELECT unnest(a) AS id FROM v;
      INSERT INTO log SELECT id FROM w`;
    expect(await refusal(query)).toBeUndefined();
  });

  test('cannot make others grow without bounds', async () => {
    const doubled = Array.from({ length: 20 }, (_, index) => {
      const from = index === 0 ? 'readings' : `v${index - 1}`;
      const value = index === 0 ? 'raw' : 'x || x';
      return `CREATE VIEW v${index} AS SELECT id, ${value} AS x FROM ${from};`;
    });
    const found = await refusal(`${doubled.join('\n')} INSERT INTO log SELECT id FROM v19`);
    expect(found?.message).toContain('too large');
  });

  test('cannot be written to, and is read by its columns', async () => {
    const written = await refusal(`${views}INSERT INTO hot SELECT id, celsius FROM readings`);
    expect(written?.message).toBe('hot is a view and cannot be written to; name a sink table');
    const read = await refusal(`${views}INSERT INTO alerts SELECT id, raw FROM hot`);
    expect(read).toMatchObject({
      message: 'There is no column raw',
      span: { start: { line: 4, column: 31 } },
    });
    const near = await refusal(`${views}INSERT INTO alerts SELECT id, f FROM hot_room`);
    expect(near?.message).toBe('There is no table called hot_room; did you mean hot_rooms?');
  });
});

describe('several inserts', () => {
  const several = `INSERT INTO alerts SELECT id, celsius FROM readings WHERE celsius > 90;
    INSERT INTO log SELECT id FROM doors;
    INSERT INTO log SELECT id FROM readings;
    INSERT INTO log SELECT id + 1 FROM readings;`;

  test('never share a client id with the broker, and keep the one a single insert has', async () => {
    const plans = await inserts(several);
    const [alone] = await inserts('INSERT INTO log SELECT id FROM doors');
    expect(plans[1]?.operatorIds).toEqual(alone?.operatorIds);
    for (const kind of ['source', 'sink', 'transform'] as const) {
      const ids = plans.map(({ operatorIds }) => operatorIds[kind]);
      expect(new Set(ids).size).toBe(4);
      for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z_]{1,27}$/);
    }
  });

  test('are drawn from one source to their sinks', async () => {
    const { graph, tables } = await compileQuery(several, catalog);
    const sources = graph.nodes.filter(({ description }) => description.endsWith('(source)'));
    expect(sources.map(({ description }) => description)).toEqual(['readings (source)', 'doors (source)']);
    const sinks = graph.nodes.filter(({ description }) => description.endsWith('(sink)'));
    expect(sinks.map(({ description }) => description)).toEqual(['alerts (sink)', 'log (sink)']);
    expect(tables.map(({ name }) => name)).toEqual(['readings', 'alerts', 'doors', 'log']);
  });

  test('are each refused for their own mistakes', async () => {
    const found = await refusal(
      'INSERT INTO log SELECT id FROM doors;\nINSERT INTO log SELECT nope FROM doors',
    );
    expect(found).toMatchObject({
      message: 'There is no column nope',
      span: { start: { line: 2, column: 24 } },
    });
  });
});

describe('a preview', () => {
  test('accepts a SELECT alone, and reports its columns', async () => {
    const [preview, ...rest] = await compilePreview(
      "SELECT id, raw->>'$.room' AS room FROM readings",
      catalog,
    );
    expect(rest).toEqual([]);
    expect(preview?.columns.map(({ name, sql_name }) => `${name} ${sql_name}`)).toEqual([
      'id BIGINT',
      'room TEXT',
    ]);
    if (!preview) throw new Error('no preview');
    const { source, select, columns } = preview;
    const rows = await rowsOf({ source, select, sink: { schema: { fields: columns } } }, readings);
    expect(rows.map(({ room }) => room)).toEqual(['a', 'b', null]);
  });

  test('runs the SELECT of an insert without looking at its sink', async () => {
    const previews = await compilePreview(
      'INSERT INTO nowhere SELECT id FROM doors; SELECT celsius FROM readings',
      catalog,
    );
    expect(previews.map(({ source }) => source.name)).toEqual(['doors', 'readings']);
  });

  test('is refused as a query is', async () => {
    await expect(compilePreview('SELECT max(nope) FROM readings', catalog)).rejects.toMatchObject({
      code: 'invalid_query',
    });
    await expect(compilePreview('', catalog)).rejects.toThrow('The query has no SELECT');
  });
});

test('the graph shows how each insert is evaluated, and why DuckDB is needed', async () => {
  const { graph } = await compileQuery(
    `INSERT INTO log SELECT id + 1 FROM doors;
     INSERT INTO alerts SELECT id, celsius FROM readings WHERE regexp_matches(raw->>'$.room', '^a')`,
    catalog,
  );
  expect(graph.nodes.map(({ operator, description }) => `${operator}: ${description}`)).toEqual([
    'mqtt: doors (source)',
    'compiled: computes rows with compiled functions',
    'mqtt: log (sink)',
    'mqtt: readings (source)',
    'sql: computes rows in DuckDB because of the function regexp_matches',
    'mqtt: alerts (sink)',
  ]);
});
