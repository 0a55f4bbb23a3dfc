import { describe, expect, test } from 'vitest';
import { codecFor } from '../codec.ts';
import type { Row } from '../format.ts';
import { datatypes, messageTypes } from './payload.ts';

const payloadType = messageTypes().payload.type;

/** Values as the specification of Eclipse Sparkplug 3.0.0 means them; the bytes of arrays are its own examples. */

const codec = codecFor({
  format: { type: 'sparkplug_b' },
  fields: [
    { name: 'value', type: 'json' },
    { name: 'bytes_value', type: 'bytes' },
  ],
});

function read(datatype: string, value: object): Row {
  const number = datatypes.findIndex((known) => known?.name === datatype);
  const metric = { name: 'm', datatype: number, ...value };
  const payload = payloadType.encode(payloadType.fromObject({ metrics: [metric] })).finish();
  return codec.decodeAll?.(Buffer.from(payload))[0] as Row;
}

const arrays: [datatype: string, hex: string, items: unknown[]][] = [
  ['Int8Array', 'e97b', [-23, 123]],
  ['Int16Array', 'd08a3075', [-30000, 30000]],
  ['Int32Array', 'ffffffff3b85a312', [-1, 312706363]],
  ['UInt8Array', '17fa', [23, 250]],
  ['UInt16Array', '1e0088cc', [30, 52360]],
  ['UInt32Array', '34000000ffffffff', [52, 4294967295]],
  ['FloatArray', '0000003f000080bf', [0.5, -1]],
  ['DoubleArray', '000000000000e03f', [0.5]],
  ['BooleanArray', '0c00000034d0', [...'001101001101'].map((bit) => bit === '1')],
  ['StringArray', '41424300c3bc00', ['ABC', 'ü']],
  ['DateTimeArray', '0000000000000000', ['1970-01-01T00:00:00.000Z']],
];

describe('arrays', () => {
  test.each(arrays)('%s are lists', (datatype, hex, items) => {
    const row = read(datatype, { bytes_value: Buffer.from(hex, 'hex') });
    expect(JSON.parse(row.value as string)).toEqual(items);
    expect(row.bytes_value).toEqual(Buffer.from(hex, 'hex'));
  });

  test('of 64-bit integers keep all digits', () => {
    const bytes = Buffer.from('ffffffffffffff7f', 'hex');
    expect(read('Int64Array', { bytes_value: bytes }).value).toBe('[9223372036854775807]');
    expect(read('UInt64Array', { bytes_value: Buffer.alloc(8, 255) }).value).toBe('[18446744073709551615]');
  });

  test.each([
    ['Int16Array', '010203'],
    ['BooleanArray', '0c00'],
    ['BooleanArray', 'ffffffff00'],
    ['StringArray', '4142'],
    ['StringArray', 'ff00'],
  ])('%s that are cut off are bad data: %s', (datatype, hex) => {
    expect(() => read(datatype, { bytes_value: Buffer.from(hex, 'hex') })).toThrow(
      `is not the bytes of a ${datatype}`,
    );
  });

  test('end at 100,000 items', () => {
    const most = Buffer.concat([Buffer.from([0xa0, 0x86, 1, 0]), Buffer.alloc(12_500)]);
    expect(JSON.parse(read('BooleanArray', { bytes_value: most }).value as string).length).toBe(100_000);
    expect(() => read('Int8Array', { bytes_value: Buffer.alloc(100_001) })).toThrow('more than 100000 items');
    expect(() => read('StringArray', { bytes_value: Buffer.alloc(100_001) })).toThrow(
      'more than 100000 items',
    );
  });
});

test('a DataSet is a table with signed integers and times', () => {
  const types = [3, 4, 13, 12, 11];
  const cells = [
    { int_value: 4294967291 },
    { long_value: '18446744073709551615' },
    { long_value: 0 },
    { string_value: 'x' },
    { boolean_value: true },
  ];
  const dataset_value = {
    num_of_columns: 5,
    columns: ['a', 'b', 'c', 'd', 'e'],
    types,
    rows: [{ elements: cells }],
  };
  expect(JSON.parse(read('DataSet', { dataset_value }).value as string)).toEqual({
    columns: ['a', 'b', 'c', 'd', 'e'],
    types: ['Int32', 'Int64', 'DateTime', 'String', 'Boolean'],
    rows: [[-5, -1, '1970-01-01T00:00:00.000Z', 'x', true]],
  });
});
