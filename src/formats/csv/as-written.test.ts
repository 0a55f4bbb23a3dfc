import { describe, expect, test } from 'vitest';
import { codecFor, rowsOf, validateSchema } from '../codec.ts';
import type { FormatOf } from '../format.ts';
import type { Field } from '../schema/schema.ts';

/** CSV as spreadsheets, loggers and old firmware write it. */

type Options = Partial<FormatOf<'csv'>>;
const fields: Field[] = [
  { name: 'device', type: 'string' },
  { name: 'temp_outside', type: 'float64' },
];
const schemaOf = (options: Options, columns = fields, framed = true) => ({
  format: { type: 'csv', ...options } as const,
  framing: framed ? ({ method: 'newline' } as const) : null,
  fields: columns,
});
const read = (text: string, options: Options = {}, columns = fields, framed = true) =>
  rowsOf(codecFor(schemaOf(options, columns, framed)), Buffer.from(text));
const header: Options = { header: true };
const row = { device: 'a', temp_outside: 21.5 };

describe('a header', () => {
  test.each([
    'device,temp_outside\na,21.5',
    'Device,TEMP_OUTSIDE\na,21.5',
    ' device , temp_outside \na,21.5',
    'device,Temp Outside\na,21.5',
    'device,temp-outside\na,21.5',
    '"Device"," Temp  Outside"\n"a","21.5"',
    'x,Temp Outside,y,Device\n1,21.5,2,a',
    '\ufeffDevice,Temp outside\r\na,21.5\r\n',
  ])('%j names the columns', (text) => {
    expect(read(text, header)).toEqual([row]);
    expect(read(text, header, fields, false)).toEqual([row]);
  });

  test('prefers the very name, and refuses two that mean the same column', () => {
    expect(read('Device,device,temp_outside\nx,a,21.5', header)).toEqual([row]);
    expect(() => read('Device,DEVICE,temp_outside\nx,a,21.5', header)).toThrow('is in the header twice');
    const twins: Field[] = [
      { name: 'a b', type: 'int32' },
      { name: 'a_b', type: 'int32' },
    ];
    expect(read('a_b,a b\n1,2', header, twins)).toEqual([{ 'a b': 2, a_b: 1 }]);
  });

  test.each([
    [
      'a,21.5\nb,22',
      'has none of the columns device, temp_outside in its first line, which must be a header',
    ],
    ['Station 5\ndevice,temp_outside\na,21.5', 'has none of the columns'],
    ['device;temp_outside\na;21.5', 'its delimiter seems to be ";"'],
    ['device\ttemp_outside\na\t21.5', 'its delimiter seems to be a tab'],
  ])('that names no column is refused, rather than read as nulls: %j', (text, problem) => {
    expect(() => read(text, header)).toThrow(expect.objectContaining({ code: 'bad_data' }));
    expect(() => read(text, header)).toThrow(problem);
  });

  test('that is not expected is bad data, and the records after it are read', () => {
    for (const text of ['device,temp_outside\na,21.5\n', 'Device, Temp Outside\r\na,21.5']) {
      const errors: string[] = [];
      const rows = codecFor(schemaOf({})).decodeAll?.(Buffer.from(text), ({ message }) =>
        errors.push(message),
      );
      expect(rows).toEqual([row]);
      expect(errors).toEqual([
        'Line 1: The payload holds the names of the columns instead of values: set header',
      ]);
    }
    const texts: Field[] = [
      { name: 'a', type: 'string' },
      { name: 'b', type: 'string' },
    ];
    expect(() => read('A,B\n1,2', {}, texts)).toThrow('set header');
    expect(read('value', {}, [{ name: 'value', type: 'string' }])).toEqual([{ value: 'value' }]);
    expect(read('a,c', {}, texts)).toEqual([{ a: 'a', b: 'c' }]);
  });
});

describe('a line sep=', () => {
  test.each([
    ['sep=;\r\ndevice;temp_outside\r\na;21.5\r\n', header],
    ['SEP=;\na;21.5', {}],
    ['\ufeffsep=\t\na\t21.5', {}],
    ['sep=|\ra|21.5', {}],
    ['sep=,\na,21.5', { delimiter: ';' }],
  ])('%j sets the delimiter of the message', (text, options) => {
    expect(read(text, options)).toEqual([row]);
  });

  test('counts as a line, and may not be the quote', () => {
    expect(() => read('sep=;\na;x')).toThrow('Line 2: ');
    expect(() => read('sep="\na"x')).toThrow('has a line sep=');
    expect(() => read('sep=,\na,x', { delimiter: ';', decimal_separator: ',' })).toThrow('has a line sep=');
  });

  test('is only that in the first line, and a value like it is written in quotes', () => {
    expect(read('a,1\nsep=,2')).toEqual([
      { device: 'a', temp_outside: 1 },
      { device: 'sep=', temp_outside: 2 },
    ]);
    const codec = codecFor(schemaOf({}));
    for (const device of ['sep=', 'sep=;', 'Sep=']) {
      const value = { device, temp_outside: null };
      expect(codec.decode(codec.encode(value))).toEqual(value);
    }
  });
});

describe('lines that end with a carriage return alone', () => {
  test.each([
    ['a,21.5\ra,21.5\r', {}],
    ['device,temp_outside\ra,21.5\r\ra,21.5', header],
    ['"a","21.5"\ra,21.5', {}],
  ])('%j are two records', (text, options) => {
    expect(read(text, options)).toEqual([row, row]);
  });

  test('are one record without framing, and a return inside quotes stays', () => {
    expect(read('a,21.5\r', {}, fields, false)).toEqual([row]);
    expect(read('"x\ry",1\r"z",2\r')).toMatchObject([{ device: 'x\ry' }, { device: 'z' }]);
    expect(read('x\ry,1\nz,2\n')).toMatchObject([{ device: 'x\ry' }, { device: 'z' }]);
    expect(() => read('a,21.5\ra,21.5\r', {}, fields, false)).toThrow('rows instead of one');
  });
});

describe('a decimal comma', () => {
  const german: Options = { delimiter: ';', decimal_separator: ',' };
  const money: Field[] = [
    { name: 'f', type: 'float64' },
    { name: 'd', type: 'decimal128', precision: 10, scale: 2 },
    { name: 'i', type: 'int64' },
    { name: 's', type: 'string' },
  ];

  test('is read and written with decimal_separator', () => {
    expect(read('-21,5;0,5;7;a,b', german, money)).toEqual([{ f: -21.5, d: '0.50', i: 7n, s: 'a,b' }]);
    expect(read('1,5e3;,5;+7;', german, money)).toEqual([{ f: 1500, d: '0.50', i: 7n, s: null }]);
    const codec = codecFor(schemaOf(german, money));
    const value = { f: 0.1, d: '-12.50', i: -7n, s: 'x.y,z' };
    expect(codec.encode(value).toString()).toBe('0,1;-12,50;-7;x.y,z\n');
    expect(codec.decode(codec.encode(value))).toEqual(value);
    const excel = codecFor(schemaOf({ ...german, header: true }, money));
    expect(excel.decode(Buffer.from('sep=;\r\nF;D;I;S\r\n21,5;1;2;x\r\n'))).toMatchObject({ f: 21.5 });
  });

  test.each([
    ['1.234;1;1;x', german, 'has a point, but the decimal separator is a comma'],
    ['1.234,5;1;1;x', german, 'has a point, but the decimal separator is a comma'],
    ['1,2,3;1;1;x', german, 'is not a number'],
    ['1,5;1;1;x', { delimiter: ';' }, 'has a decimal comma: set decimal_separator'],
    ['1;1,50;1;x', { delimiter: ';' }, 'has a decimal comma: set decimal_separator'],
    ['1;1;1,0;x', { delimiter: ';' }, 'has a decimal comma: set decimal_separator'],
    ['1;1;1,5;x', german, 'is not a whole number'],
    ['1;2;3;x', {}, 'has 1 values instead of 4; its delimiter seems to be ";"'],
  ] as const)('%j with %o is bad data', (text, options, problem) => {
    expect(() => read(text, options, money)).toThrow(problem);
  });

  test('cannot be the delimiter', () => {
    expect(validateSchema(schemaOf({ decimal_separator: ',' }))).toMatchObject([
      { path: '/format/decimal_separator' },
    ]);
    expect(validateSchema(schemaOf(german))).toEqual([]);
  });
});

describe('a record without a value', () => {
  test.each([',', ';;', '\t\t\t', '|'])('%j is bad data, rather than a row of nulls', (text) => {
    const delimiter = /[,;\t|]/.exec(text)?.[0] ?? ',';
    const columns = Array.from({ length: text.split(delimiter).length }, (_, index) => ({
      name: `c${index}`,
      type: 'float64' as const,
    }));
    expect(() => read(text, { delimiter }, columns)).toThrow('has only empty values');
  });

  test('costs only itself, and a null that is written is one', () => {
    const bad: number[] = [];
    const codec = codecFor(schemaOf(header));
    const rows = codec.decodeAll?.(Buffer.from('device,temp_outside\n,\na,21.5\n,\n'), (_, row) =>
      bad.push(row),
    );
    expect([rows, bad]).toEqual([[row], [0, 2]]);
    expect(read('-,-', { null_value: '-' })).toEqual([{ device: null, temp_outside: null }]);
    expect(() => codec.encode({ device: null, temp_outside: null })).toThrow('give null_value a text');
  });
});

describe('a timezone', () => {
  const at: Field[] = [{ name: 'at', type: 'timestamp', unit: 'second' }];
  test.each([
    ['2024-07-01T12:00:00', 1_719_828_000n],
    ['2024-12-01 12:00:00', 1_733_050_800n],
    ['2024-07-01T12:00:00Z', 1_719_835_200n],
    ['2024-07-01T12:00:00+05:30', 1_719_815_400n],
  ])('reads %s', (text, time) => {
    expect(read(text, { timezone: 'Europe/Berlin' }, at)).toEqual([{ at: time }]);
  });

  test('that does not exist is refused', () => {
    expect(validateSchema(schemaOf({ timezone: 'Europe/Nowhere' }))[0]?.path).toBe('/format/timezone');
  });
});
