import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { codecFor, rowsOf } from './codec.ts';
import type { Row } from './format.ts';
import type { Field, Format } from './schema/schema.ts';

const fields: Field[] = [
  { name: 'id', type: 'int64', required: true },
  { name: 'name', type: 'string' },
  { name: 'celsius', type: 'float64', required: true },
  { name: 'price', type: 'decimal128', precision: 38, scale: 2 },
  { name: 'ok', type: 'bool' },
  { name: 'at', type: 'timestamp', unit: 'microsecond' },
  { name: 'data', type: 'json' },
];

const rows: Row[] = [
  {
    id: 9223372036854775807n,
    name: 'quoted "name", with a comma\nand a second line',
    celsius: 0.1,
    price: '12345678901234567890.12',
    ok: true,
    at: 1_769_847_300_250_000n,
    data: '{"list":[1,null,12345678901234567890],"ü":"𝄞"}',
  },
  {
    id: -9223372036854775808n,
    name: '',
    celsius: 1e-300,
    price: '-0.50',
    ok: false,
    at: -1n,
    data: '[]',
  },
  {
    id: 0n,
    name: '日本語 \u2028 \x7f é e\u0301',
    celsius: Number.MIN_VALUE,
    price: null,
    ok: null,
    at: null,
    data: null,
  },
];

const files: [file: string, format: Format][] = [
  ['escaped.jsonl', { type: 'json' }],
  ['compact.jsonl', { type: 'json' }],
  ['compact.jsonl.gz', { type: 'json', compression: 'gzip' }],
  ['excel.csv', { type: 'csv', header: true }],
  ['unix.csv', { type: 'csv', header: true }],
  ['bom-semicolon.csv', { type: 'csv', header: true, delimiter: ';', quote: "'" }],
];

describe('what Python has written', () => {
  test.each(files)('is read from %s', (file, format) => {
    const payload = readFileSync(new URL(`fixtures/python/${file}`, import.meta.url));
    const codec = codecFor({ format, fields, framing: { method: 'newline' } });
    // Unquoted, an empty text is null: Python's csv does not tell them apart.
    const unquoted = ['excel.csv', 'bom-semicolon.csv'].includes(file);
    const expected = unquoted
      ? rows.map((row) => ({ ...row, name: row.name === '' ? null : row.name }))
      : rows;
    expect(rowsOf(codec, payload)).toEqual(expected);
  });
});
