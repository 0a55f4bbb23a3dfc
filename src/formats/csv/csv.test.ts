import { stringify } from 'csv-stringify/sync';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codecFor, rowsOf } from '../codec.ts';
import type { FormatOf, Row } from '../format.ts';
import type { ListItem } from '../schema/schema.ts';
import { csvCell, csvOptions, csvRecords } from './records.ts';

type CsvFormat = Partial<FormatOf<'csv'>>;

const two = [
  { name: 'a', type: 'int32' },
  { name: 'b', type: 'string' },
] as const;

function csv(format: CsvFormat = {}, framed = true) {
  const framing = framed ? ({ method: 'newline' } as const) : null;
  return codecFor({ format: { type: 'csv', ...format }, framing, fields: [...two] });
}

const read = (text: string, format: CsvFormat = {}, framed = true): Row[] =>
  rowsOf(csv(format, framed), Buffer.from(text));

/** Reads one cell of a type, in quotes. */
const cell = (type: ListItem, text: string): unknown =>
  codecFor({ format: { type: 'csv' }, fields: [{ ...type, name: 'a' }] }).decode(
    Buffer.from(`"${text.replaceAll('"', '""')}"`),
  ).a;

describe('reading csv', () => {
  const messages: [text: string, format: CsvFormat, rows: [number | null, string | null][]][] = [
    [
      '1,x\n2,y\n',
      {},
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    [
      '1,x\r\n\r\n\n2,y',
      {},
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    [
      '1,"x, ""y""\nz"\n2,""\n3,\n',
      {},
      [
        [1, 'x, "y"\nz'],
        [2, ''],
        [3, null],
      ],
    ],
    [
      'NULL,NULL\n1,"NULL"\n2,\n',
      { null_value: 'NULL' },
      [
        [null, null],
        [1, 'NULL'],
        [2, ''],
      ],
    ],
    ["1;'x;y'\n", { delimiter: ';', quote: "'" }, [[1, 'x;y']]],
    ['b,c,a\nx,,1\n', { header: true }, [[1, 'x']]],
    ['\ufeffb\nx\n', { header: true }, [[null, 'x']]],
    ['"a","b"\n', { header: true }, []],
    [' 1 , x ', {}, [[1, ' x ']]],
    ['', {}, []],
  ];
  test.each(messages)('%j with %o', (text, format, expected) => {
    expect(read(text, format)).toEqual(expected.map(([a, b]) => ({ a, b })));
  });

  const refused: [text: string, format: CsvFormat, problem: string][] = [
    ['1,x,y\n', {}, 'has 3 values instead of 2'],
    ['1\n', {}, 'has 1 values instead of 2'],
    ['b,a\nx\n', { header: true }, 'has 1 values instead of 2'],
    ['', { header: true }, 'has no header'],
    ['a,b,a\n1,x,2\n', { header: true }, 'is in the header twice'],
    ['1,"x\n', {}, 'has a quote that is not closed in line 1, so the rest of it cannot be read'],
    ['1,"x"y\n', {}, 'has text after a closing quote in line 1, so the rest of it cannot be read'],
    [
      '1,x"y"\n',
      {},
      'has a quote inside a value that is not quoted in line 1, so the rest of it cannot be read',
    ],
    ['one,x\n', {}, 'is not a whole number'],
  ];
  test.each(refused)('refuses %j with %o', (text, format, problem) => {
    expect(() => read(text, format)).toThrow(
      expect.objectContaining({ code: 'bad_data', errors: [expect.objectContaining({ message: problem })] }),
    );
  });

  test('reports the bad record and reads the others', () => {
    const bad: string[] = [];
    const rows = csv().decodeAll?.(Buffer.from('1,x\n2,"y\nz",3\n4,w\n'), ({ message }) => bad.push(message));
    expect(rows).toEqual([
      { a: 1, b: 'x' },
      { a: 4, b: 'w' },
    ]);
    expect(bad).toEqual(['Line 3: The payload has 3 values instead of 2']);
  });

  test('without framing a message is one record, behind a header if there is one', () => {
    expect(csv({}, false).decodeAll).toBeUndefined();
    expect(read('1,"x\ny"', {}, false)).toEqual([{ a: 1, b: 'x\ny' }]);
    expect(read('a,b\n1,x\n', { header: true }, false)).toEqual([{ a: 1, b: 'x' }]);
    for (const text of ['', '\n', '1,x\n2,y'])
      expect(() => read(text, {}, false)).toThrow('rows instead of one');
  });

  test('bounds a record, quoted or not', () => {
    const framing = { method: 'newline', max_line_length: 5 } as const;
    const codec = codecFor({ format: { type: 'csv' }, framing, fields: [...two] });
    expect(() => rowsOf(codec, Buffer.from('1,üü\n1,xyüüü'))).toThrow('is longer than the 5 bytes');
    expect(() => rowsOf(codec, Buffer.from('1,"xyzxyzxyz"\n'))).toThrow('more bytes than max_line_length');
    expect(() => codec.encode({ a: 1, b: 'xyzx' })).toThrow(expect.objectContaining({ code: 'bad_row' }));
  });

  const values: [type: ListItem, text: string, value: unknown][] = [
    [{ type: 'int32' }, '+5', 5],
    [{ type: 'int32' }, '1e3', 1000],
    [{ type: 'int32' }, '', null],
    [{ type: 'int64' }, ' 9223372036854775807', 9223372036854775807n],
    [{ type: 'uint64' }, '+18446744073709551615', 18446744073709551615n],
    [{ type: 'float64' }, '.5', 0.5],
    [{ type: 'float64' }, '5.', 5],
    [{ type: 'decimal128', precision: 5, scale: 2 }, '-.5', '-0.50'],
    [{ type: 'bool' }, 'TRUE', true],
    [{ type: 'bool' }, '0', false],
    [{ type: 'bytes' }, '', Buffer.alloc(0)],
    [{ type: 'timestamp', unit: 'second' }, '1970-01-01 00:00:01', 1n],
    [{ type: 'json' }, '{"a": 12345678901234567890}', '{"a":12345678901234567890}'],
    [{ type: 'list', items: { type: 'int64' } }, '[12345678901234567,null]', [12345678901234567n, null]],
    [{ type: 'struct', fields: [{ name: 'b', type: 'bool' }] }, '{"b":true}', { b: true }],
    [{ type: 'struct', fields: [{ name: 'b', type: 'bool' }] }, 'null', null],
  ];
  test.each(values)('of %o takes %j', (type, text, value) => {
    expect(cell(type, text)).toEqual(value);
  });

  test.each<[ListItem, string]>([
    [{ type: 'int32' }, '0x10'],
    [{ type: 'int32' }, '1,5'],
    [{ type: 'int64' }, '1_000'],
    [{ type: 'float64' }, 'NaN'],
    [{ type: 'float64' }, 'inf'],
    [{ type: 'bool' }, 'yes'],
    [{ type: 'timestamp' }, '31.01.2026'],
    [{ type: 'list', items: { type: 'bool' } }, '[true'],
  ])('of %o refuses %j', (type, text) => {
    expect(() => cell(type, text)).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });
});

describe('splitting without csv-parse', () => {
  test('returns the same as csv-parse', () => {
    const text = fc
      .array(fc.constantFrom('a', ',', '\n', '\r\n', '\r', ' ', '0', 'ü', ''), { maxLength: 30 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (plain) => {
        const options = csvOptions({ type: 'csv', quote: "'" });
        const quoted = csvRecords(`${plain}\n''`, options, Number.POSITIVE_INFINITY).slice(0, -1);
        const split = csvRecords(`${plain}\n`, options, Number.POSITIVE_INFINITY);
        expect(split.map(({ cells }) => cells)).toEqual(quoted.map(({ cells }) => cells));
      }),
      { numRuns: 500 },
    );
  });
});

describe('writing csv', () => {
  test('quotes what csv-stringify quotes', () => {
    const texts = fc.array(
      fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ', 'é'), minLength: 1 }),
      {
        minLength: 1,
      },
    );
    fc.assert(
      fc.property(texts, (record) => {
        const options = csvOptions({ type: 'csv' });
        expect(record.map((text) => csvCell(text, options)).join(',')).toBe(
          stringify([record], { eof: false }),
        );
      }),
    );
  });

  test('writes a header before every row that asks for it', () => {
    expect(csv({ header: true }).encode({ a: 1, b: 'x' }).toString()).toBe('a,b\n1,x\n');
    expect(csv({ header: true }, false).encode({ a: null, b: '' }).toString()).toBe('a,b\n,""');
  });

  test('keeps null and a text that looks like it apart', () => {
    const codec = csv({ null_value: 'NULL' });
    expect(codec.encode({ a: null, b: 'NULL' }).toString()).toBe('NULL,"NULL"\n');
    expect(csv({ null_value: '7' }).encode({ a: 7, b: null }).toString()).toBe('"7",7\n');
  });

  test('refuses a row that would be an empty line', () => {
    const one = (format: CsvFormat) =>
      codecFor({ format: { type: 'csv', ...format }, fields: [{ name: 'a', type: 'int32' }] });
    expect(() => one({}).encode({ a: null })).toThrow('give null_value a text');
    expect(one({ null_value: '-' }).encode({ a: null }).toString()).toBe('-');
  });

  test('refuses numbers that are not finite, and half a surrogate pair', () => {
    const floats = (required: boolean) =>
      codecFor({
        format: { type: 'csv' },
        fields: [
          { name: 'a', type: 'float64', required },
          { name: 'b', type: 'string' },
        ],
      });
    expect(floats(false).encode({ a: Number.NaN, b: 'x' }).toString()).toBe(',x');
    expect(() => floats(true).encode({ a: Number.NaN, b: 'x' })).toThrow('is required');
    expect(() => floats(false).encode({ a: 1, b: '\ud800' })).toThrow('half a surrogate pair');
  });
});
