import { describe, expect, test } from 'vitest';
import { alerts, planned, refusal, seed, stored } from '../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import { PenstockError } from '../errors.ts';
import { compileQuery, diagnose } from './compile.ts';
import type { Catalog } from './plan.ts';

describe('a SELECT alone', () => {
  const graphOf = async (query: string) => (await compileQuery(query, stored())).graph.nodes;

  test.each([
    ['SELECT id, celsius * 2 AS twice FROM readings', ['id', 'twice']],
    ['SELECT * FROM readings WHERE celsius > 90', undefined],
    ['SELECT id, id FROM readings', undefined],
    ['CREATE VIEW hot AS SELECT id FROM readings; SELECT * FROM hot;', ['id']],
    ['(SELECT 1 AS one FROM readings)', ['one']],
  ])('has a preview as its sink: %s', async (query, columns) => {
    const { inserts, tables } = await compileQuery(query, stored());
    const [{ sink, source } = { sink: undefined, source: undefined }] = inserts;
    expect(sink).toMatchObject({ name: 'preview', connector: 'preview', direction: 'sink' });
    if (columns) expect(sink?.schema.fields?.map(({ name }) => name)).toEqual(columns);
    expect(tables).toEqual([source]);
  });

  test('stands beside others and INSERTs, each with its own node', async () => {
    const query = `INSERT INTO alerts SELECT id, celsius FROM readings;
      SELECT id FROM readings; SELECT celsius FROM readings`;
    const nodes = await graphOf(query);
    expect(nodes.map(({ description }) => description).filter((text) => text.endsWith('(sink)'))).toEqual([
      'alerts (sink)',
      'preview (sink)',
      'preview 2 (sink)',
    ]);
    const { inserts } = await compileQuery(query, stored());
    expect(new Set(inserts.flatMap(({ operatorIds }) => Object.values(operatorIds))).size).toBe(9);
  });

  test('is refused as in an INSERT', async () => {
    await expect(refusal('SELECT nope FROM readings')).resolves.toMatchObject([
      { message: expect.stringContaining('nope') },
    ]);
    await expect(refusal('SELECT id FROM nowhere')).resolves.toMatchObject([
      { message: expect.stringContaining('There is no table called nowhere') },
    ]);
  });
});

describe('a query over stored tables', () => {
  test('finds them whatever the case, unless the name is quoted', async () => {
    const { insert } = await planned('insert into ALERTS select ID, r.Celsius from Readings r');
    expect(insert.source.stored).toEqual({ tableId: 'ct_readings' });
    expect(insert.select).toEqual({
      kind: 'project',
      columns: [
        { from: 'id', to: 'id', convert: 'none' },
        { from: 'celsius', to: 'celsius', convert: 'none' },
      ],
    });
    await expect(refusal('INSERT INTO "ALERTS" SELECT id, celsius FROM readings')).resolves.toEqual([
      { message: 'There is no table called ALERTS; did you mean alerts?', span: span(1, 13, 1, 21) },
    ]);
  });

  test('widens numbers without DuckDB where JavaScript can', async () => {
    const narrow = storedTable('narrow', 'source', [
      { name: 'a', type: 'int32' },
      { name: 'b', type: 'float32' },
    ]);
    const { insert } = await planned(
      'INSERT INTO alerts SELECT * FROM narrow',
      exampleCatalog(narrow, alerts),
    );
    expect(insert.select).toEqual({
      kind: 'project',
      columns: [
        { from: 'a', to: 'id', convert: 'to_bigint' },
        { from: 'b', to: 'celsius', convert: 'none' },
      ],
    });
  });

  test('passes an error of the catalog through unchanged', async () => {
    const away = new PenstockError('database_unavailable', 'The database does not respond');
    const catalog: Catalog = {
      ...stored(),
      table: () => Promise.reject(away),
      inline: () => Promise.reject(away),
    };
    await expect(diagnose('INSERT INTO alerts SELECT 1 FROM readings', catalog)).rejects.toBe(away);
    await expect(diagnose(seed, catalog)).rejects.toBe(away);
  });

  test('is refused as invalid_query with the place in each message', async () => {
    const error = await compileQuery(
      'INSERT INTO alerts SELECT nope,\n random() FROM readings',
      stored(),
    ).catch((e) => e);
    expect(error).toMatchObject({
      code: 'invalid_query',
      errors: [
        { path: '/query', message: 'Line 1, column 27: There is no column nope' },
        { path: '/query', message: expect.stringMatching(/^Line 2, column 2: The function random/) },
      ],
    });
  });
});

function span(line: number, column: number, endLine: number, endColumn: number) {
  return { start: { line, column }, end: { line: endLine, column: endColumn } };
}
