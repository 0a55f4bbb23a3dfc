import { describe, expect, test } from 'vitest';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import type { Field } from '../formats/schema/schema.ts';
import { reserved } from '../formats/schema/sql-type.ts';
import { compileQuery, diagnose } from './compile.ts';
import { connectEngine } from './engine/connection.ts';

const fields: Field[] = [
  { name: 'id', type: 'int64', required: true },
  { name: 'at', type: 'timestamp', unit: 'second' },
  { name: 'tags', type: 'list', items: { type: 'string' } },
  { name: 'place', type: 'struct', fields: [{ name: 'room', type: 'string' }] },
];
const without = fields.slice(1);
const reordered = [...without, ...fields.slice(0, 1)];
const coarser = fields.map((field) =>
  field.name === 'at' ? { ...field, unit: 'nanosecond' as const } : field,
);
const catalog = exampleCatalog(
  storedTable('readings', 'source', fields),
  storedTable('Order', 'source', fields),
  storedTable('zähler', 'source', fields),
  storedTable('copy', 'sink', fields),
  storedTable('fewer', 'sink', without),
  storedTable('reordered', 'sink', reordered),
  storedTable('coarser', 'sink', coarser),
);

async function planned(query: string) {
  const { inserts } = await compileQuery(query, catalog);
  const [insert] = inserts;
  return { select: insert?.select, source: insert?.source.name, sink: insert?.sink.name };
}

/** The same query planned with DuckDB: `AS` makes it more than four tokens. */
const inEngine = (query: string) => planned(`${query} AS renamed`);

describe('a copy of whole rows', () => {
  test.each([
    'INSERT INTO copy SELECT * FROM readings',
    'insert into COPY select * from Readings;',
    'INSERT INTO "copy" SELECT /* all */ * FROM "readings" -- done',
    'INSERT INTO copy SELECT * FROM "Order"',
    'INSERT INTO copy SELECT * FROM zähler',
  ])('is planned as DuckDB would: %s', async (query) => {
    const plan = await planned(query);
    expect(plan.select).toEqual({ kind: 'passthrough' });
    expect(plan).toEqual(await inEngine(query.replace(/;| -- done$/, '')));
  });

  test('is more than a copy when the columns differ', async () => {
    expect((await planned('INSERT INTO coarser SELECT * FROM readings')).select?.kind).toBe('compiled');
    for (const sink of ['fewer', 'reordered'])
      expect(await diagnose(`INSERT INTO ${sink} SELECT * FROM readings`, catalog)).toHaveProperty(
        'diagnostics',
      );
  });

  test.each([
    [
      'a table that is not there',
      'INSERT INTO copy SELECT * FROM reading',
      'There is no table called reading',
    ],
    ['a keyword', 'INSERT INTO copy SELECT * FROM order', 'syntax error'],
    ['a sink', 'INSERT INTO copy SELECT * FROM fewer', 'cannot be read from'],
    ['into a source', 'INSERT INTO readings SELECT * FROM readings', 'cannot be written to'],
  ])('refuses %s', async (_what, query, message) => {
    const result = await diagnose(query, catalog);
    expect(result).toMatchObject({ diagnostics: [{ message: expect.stringContaining(message) }] });
  });

  test('knows the words that DuckDB reserves', async () => {
    const connection = await connectEngine();
    const read = await connection.runAndReadAll(
      "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')",
    );
    connection.closeSync();
    const names = read.getRows().map(([name]) => String(name));
    expect([...reserved].sort()).toEqual(names.sort());
  });
});
