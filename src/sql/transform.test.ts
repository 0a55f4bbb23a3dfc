import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arbitraryFields, arbitraryRow } from '../../test/support/arbitrary-rows.ts';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import type { Row } from '../formats/format.ts';
import { SchemaInference } from '../formats/infer/infer-schema.ts';
import type { Field } from '../formats/schema/schema.ts';
import { compileQuery } from './compile.ts';
import { quoteName } from './names.ts';
import { openTransform } from './open-transform.ts';
import type { InsertPlan } from './plan.ts';
import type { Transformed, TransformOptions } from './transform.ts';

const sink = "CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');\n";

async function planQuery(select: string, fields: Field[], definition = sink): Promise<InsertPlan> {
  const catalog = exampleCatalog(storedTable('i', 'source', fields));
  const plan = await compileQuery(`${definition}INSERT INTO o ${select}`, catalog);
  const [insert] = plan.inserts;
  if (!insert) throw new Error('no insert');
  return insert;
}

/** The same insert, with DuckDB doing what was compiled. */
function inEngine(insert: InsertPlan): InsertPlan {
  const { select } = insert;
  if (select.kind !== 'compiled') return insert;
  return { ...insert, select: { ...select, kind: 'sql', because: 'the test' } };
}

async function transformed(
  insert: InsertPlan,
  rows: Row[],
  options?: TransformOptions,
): Promise<Transformed> {
  const transform = await openTransform(insert, options);
  try {
    return await transform.run(rows);
  } finally {
    await transform.close();
  }
}

const numbers: Field[] = [
  { name: 'n', type: 'int32' },
  { name: 's', type: 'string' },
];

function numberRows(...values: (number | null)[]): Row[] {
  return values.map((n) => ({ n, s: n === null ? null : `s${n}` }));
}

describe.each([
  ['compiled where it can be', (insert: InsertPlan) => insert],
  ['in DuckDB', inEngine],
])('a transform, %s,', (_, chosen) => {
  const planned = async (...query: Parameters<typeof planQuery>) => chosen(await planQuery(...query));

  test('passes the very same rows through when nothing changes', async () => {
    const rows = numberRows(1, 2);
    const result = await transformed(await planned('SELECT * FROM i', numbers), rows);
    expect(result).toEqual({ rows, origin: [0, 1], bad: [] });
    expect(result.rows[0]).toBe(rows[0]);
  });

  test('filters and computes, and reports the input row of each result', async () => {
    const insert = await planned('SELECT n * 2 AS twice, upper(s) AS shout FROM i WHERE n % 2 = 1', numbers);
    const result = await transformed(insert, numberRows(1, 2, null, 3));
    expect(result.rows).toEqual([
      { twice: 2, shout: 'S1' },
      { twice: 6, shout: 'S3' },
    ]);
    expect(result.origin).toEqual([0, 3]);
  });

  test('returns several rows for one when a list is unnested', async () => {
    const insert = await planned('SELECT n, unnest([n, n + 1]) AS m FROM i', numbers);
    const result = await transformed(insert, numberRows(1, 5));
    expect(result.rows.map(({ m }) => m)).toEqual([1, 2, 5, 6]);
    expect(result.origin).toEqual([0, 0, 1, 1]);
  });

  test('reports exactly the rows that fail, and quotes none of their values', async () => {
    const insert = await planned('SELECT CAST(s AS INTEGER) AS v, n FROM i', numbers);
    const rows: Row[] = ['1', 's3cret', '3', '', null, '5'].map((s, n) => ({ n, s }));
    const { rows: good, origin, bad } = await transformed(insert, rows);
    expect(good.map(({ v }) => v)).toEqual([1, 3, null, 5]);
    expect(origin).toEqual([0, 2, 4, 5]);
    expect(bad.map(({ index }) => index)).toEqual([1, 3]);
    for (const { error } of bad) {
      expect(error).toMatchObject({ code: 'bad_row' });
      expect(error.message).toBe(
        'The row cannot be transformed: a value cannot be converted in CAST(s AS INTEGER)',
      );
      expect(JSON.stringify([error.errors, String(error.cause)])).not.toContain('s3cret');
    }
  });

  test('keeps the order of a batch larger than a chunk of DuckDB', async () => {
    const insert = await planned('SELECT n + 0 AS m FROM i WHERE n % 3 <> 0', numbers);
    const rows = numberRows(...Array.from({ length: 10_000 }, (_, index) => index));
    const result = await transformed(insert, rows);
    expect(result.origin).toEqual(rows.map((_, index) => index).filter((index) => index % 3 !== 0));
    expect(result.rows.map(({ m }) => m)).toEqual(result.origin);
  });

  test('handles overlapping calls one after the other, and an empty batch', async () => {
    const transform = await openTransform(await planned('SELECT n + 1 AS m FROM i', numbers));
    const results = await Promise.all(
      [[1, 2], [], [3]].map((values) => transform.run(numberRows(...values))),
    );
    await Promise.all([transform.close(), transform.close()]);
    expect(results.map(({ rows }) => rows.map(({ m }) => m))).toEqual([[2, 3], [], [4]]);
  });

  test('carries every type through DuckDB to the last digit', async () => {
    const fields: Field[] = [
      { name: 'i', type: 'int64' },
      { name: 'u', type: 'uint64' },
      { name: 'd', type: 'decimal128', precision: 38, scale: 20 },
      { name: 't', type: 'timestamp', unit: 'nanosecond' },
      { name: 'b', type: 'bytes' },
      { name: 'x', type: 'struct', fields: [{ name: 'l', type: 'list', items: { type: 'int64' } }] },
    ];
    const row: Row = {
      i: -(2n ** 63n),
      u: 2n ** 64n - 1n,
      d: '123456789012345678.12345678901234567890',
      t: 1769847300123456789n,
      b: Buffer.from([0, 255]),
      x: { l: [2n ** 62n, null] },
    };
    const insert = await planned('SELECT *, 9007199254740993 AS big, i < 0 AS neg FROM i WHERE true', fields);
    const { rows } = await transformed(insert, [row]);
    expect(rows).toEqual([{ ...row, big: 9007199254740993n, neg: true }]);
  });

  test('sees the columns of the table under their names in JSON, lists, structs and lambdas', async () => {
    const fields: Field[] = [
      { name: 'raw', type: 'json' },
      { name: 'tags', type: 'list', items: { type: 'string' } },
    ];
    const select = `SELECT raw->>'$.a.b' AS ab, CAST(raw->'$.n' AS BIGINT) AS n, list_transform(tags, t -> upper(t)) AS loud,
      {'k': tags[1], 'v': [1, 2]} AS st FROM i AS x WHERE x.raw IS NOT NULL`;
    const { rows } = await transformed(await planned(select, fields), [
      { raw: '{"a":{"b":"c"},"n":9007199254740993}', tags: ['p', 'q'] },
    ]);
    expect(rows).toEqual([{ ab: 'c', n: 9007199254740993n, loud: ['P', 'Q'], st: { k: 'p', v: [1, 2] } }]);
  });

  test('converts to the types of the sink', async () => {
    const definition = `CREATE TABLE o (a BIGINT, b DOUBLE, c DECIMAL(12, 2), d TIMESTAMP(3), e TEXT) WITH
      (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');\n`;
    const select = `SELECT n + 1, n, n, TIMESTAMP '2026-01-31 08:15:00.25', json_object('n', n) FROM i`;
    const { rows } = await transformed(await planned(select, numbers, definition), numberRows(7));
    expect(rows).toEqual([{ a: 8n, b: 7, c: '7.00', d: 1769847300250n, e: '{"n":7}' }]);
  });

  test('splits a batch that takes too long, and blames the row that does', async () => {
    const insert = await planned('SELECT n, levenshtein(s, reverse(s)) AS far FROM i', numbers);
    const rows: Row[] = [
      { n: 1, s: 'ba' },
      // A second of work: the 10 ms are over first on a busy machine too.
      { n: 2, s: 'ba'.repeat(8000) },
      { n: 3, s: 'c' },
    ];
    const { rows: good, bad } = await transformed(insert, rows, { batchTimeoutMs: 10 });
    expect(good).toEqual([
      { n: 1, far: 2n },
      { n: 3, far: 0n },
    ]);
    expect(bad.map(({ index }) => index)).toEqual([1]);
    expect(bad[0]?.error.message).toContain('it takes too long');
  });

  test('gives up when a call takes too long', async () => {
    const insert = await planned('SELECT CAST(s AS INTEGER) AS v FROM i', numbers);
    const run = transformed(insert, numberRows(1, 2), { runTimeoutMs: 0 });
    await expect(run).rejects.toMatchObject({ code: 'query_too_slow' });
  });
});

describe('for any rows', () => {
  const carried = arbitraryFields.filter(
    (fields) => !JSON.stringify(fields.map(({ name, ...rest }) => rest)).includes('__proto__'),
  );
  const cases = carried.chain((fields) =>
    fc.tuple(fc.constant(fields), fc.array(arbitraryRow(fields), { minLength: 1, maxLength: 6 })),
  );

  test('DuckDB and JavaScript pick the same columns', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ([fields, rows]) => {
        const columns = fields.map(({ name }, index) => `${quoteName(name)} AS c${index}`).reverse();
        const select = `SELECT ${columns.join(', ')} FROM i`;
        const inJavaScript = await planQuery(select, fields);
        const engine = inEngine(await planQuery(`${select} WHERE true`, fields));
        expect([inJavaScript.select.kind, engine.select.kind]).toEqual(['project', 'sql']);
        expect(await transformed(engine, rows)).toEqual(await transformed(inJavaScript, rows));
      }),
      { numRuns: 60 },
    );
  });
});

const noon = 1_719_828_000_000_000n;

test.each<[text: string, value: unknown]>([
  ['2024-07-01T12:00:00+0200', noon],
  ['2024-07-01 12:00:00+02', noon],
  ['2024-07-01T10:00:00,5Z', noon + 500_000n],
  ['2024-07-01T10:00Z', noon],
  ['2024-07-01 10:00:00 UTC', noon],
  ['2024/07/01 10:00:00', noon],
  ['20240701100000', noon],
  ['Mon Jul  1 10:00:00 2024', noon],
  ['2024-183', noon - 36_000_000_000n],
  ['/Date(1719828000123+0200)/', noon + 123_000n],
  ['01.07.2024 10:00:00', noon],
  ['20240701T100000Z', noon],
  ['-21,5', -21.5],
  ['1,234.5', 1234.5],
  ['1.234.567,5', 1_234_567.5],
  ['21,5 °C', 21.5],
  ['-70dBm', -70],
  ['001234.567*kWh', 1234.567],
  ['0x1F', 31n],
  ['off', false],
  ['Yes', true],
  ['TRUE', true],
])('the expression that infer_schema names for %s reads it', async (text, value) => {
  const inference = new SchemaInference();
  inference.observe(Buffer.from(JSON.stringify({ s: text })));
  const note = inference.propose().fields[0]?.note ?? '';
  const query = / in a query (.*) reads them/.exec(note)?.[1];
  const { rows } = await transformed(await planQuery(`SELECT ${query} AS v FROM i`, numbers), [
    { n: 1, s: text },
  ]);
  expect(rows).toEqual([{ v: value }]);
});
