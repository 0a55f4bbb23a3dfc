import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema } from './codec.ts';
import type { Row } from './format.ts';
import type { ConnectionSchema, Field } from './schema/schema.ts';

const read = (file: string) => readFileSync(new URL(`fixtures/binary/${file}`, import.meta.url));

const fields: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'large', type: 'uint64' },
  { name: 'name', type: 'string' },
  { name: 'celsius', type: 'float64' },
  { name: 'price', type: 'decimal128', precision: 38, scale: 2 },
  { name: 'ok', type: 'bool' },
  { name: 'bytes', type: 'bytes' },
  { name: 'at', type: 'timestamp', unit: 'microsecond' },
  { name: 'tags', type: 'list', items: { type: 'string', required: true } },
  {
    name: 'place',
    type: 'struct',
    fields: [
      { name: 'lat', type: 'float64', required: true },
      { name: 'floor', type: 'int32', required: true },
    ],
  },
];

const rows: Row[] = [
  {
    id: 2n ** 63n - 1n,
    large: 2n ** 64n - 1n,
    name: '日本語 𝄞',
    celsius: 0.1,
    price: '12345678901234567890.12',
    ok: true,
    bytes: Buffer.from([0, 1, 255]),
    at: 1_769_847_300_250_001n,
    tags: ['a', 'b'],
    place: { lat: 48.5, floor: -3 },
  },
  {
    id: -(2n ** 63n),
    large: 0n,
    name: '',
    celsius: Number.NEGATIVE_INFINITY,
    price: '-0.50',
    ok: false,
    bytes: Buffer.alloc(0),
    at: -1n,
    tags: [],
    place: { lat: -0.25, floor: 2 ** 31 - 1 },
  },
  Object.fromEntries(fields.map(({ name }) => [name, null])),
];
const [first] = rows as [Row];

describe('what cbor2 and msgpack for Python have written', () => {
  test.each(['cbor', 'msgpack'] as const)('is read from %s', (type) => {
    const codec = codecFor({ format: { type }, fields });
    rows.forEach((row, index) => {
      expect(codec.decode(read(`${index}.${type}`))).toEqual(row);
    });
  });

  test.each(['canonical.cbor', 'epoch.cbor'])('is read from %s', (file) => {
    expect(codecFor({ format: { type: 'cbor' }, fields }).decode(read(file))).toEqual(first);
  });

  test.each(['cbor', 'msgpack'] as const)('is read from %s as a document', (type) => {
    const { decode } = codecFor(expandSchema({ format: { type, into_unstructured_json: true } }));
    const price = type === 'cbor' ? '12345678901234567890.12' : '"12345678901234567890.12"';
    const at = type === 'cbor' ? '2026-01-31T08:15:00.250001Z' : '2026-01-31T08:15:00.250001000Z';
    expect(decode(read(`0.${type}`)).value).toBe(
      '{"id":9223372036854775807,"large":18446744073709551615,"name":"日本語 𝄞","celsius":0.1,' +
        `"price":${price},"ok":true,"bytes":"AAH/","at":"${at}","tags":["a","b"],` +
        '"place":{"lat":48.5,"floor":-3}}',
    );
  });
});

describe('what fastavro has written', () => {
  const definition = { type: 'avro_schema', schema: read('row.avsc').toString() } as const;
  const withoutLarge = rows.map(({ large: _, ...row }) => row);
  const schemaOf = (options: object): ConnectionSchema =>
    expandSchema({ format: { type: 'avro', ...options }, definition });

  test('has the fields of its schema', () => {
    const expanded = expandSchema({ fields: fields.filter(({ name }) => name !== 'large') });
    expect(schemaOf({}).fields).toEqual(expanded.fields);
  });

  test.each(['null', 'deflate'])('is read from a container with the codec %s', (codec) => {
    expect(codecFor(schemaOf({})).decodeAll?.(read(`${codec}.avro`))).toEqual(withoutLarge);
  });

  test('is read by name when the table has other fields', () => {
    const picked = codecFor({
      format: { type: 'avro' },
      fields: [
        { name: 'new', type: 'string' },
        { name: 'ok', type: 'bool' },
        { name: 'id', type: 'decimal128', precision: 20, scale: 1 },
      ],
    });
    expect(picked.decodeAll?.(read('null.avro'))[0]).toEqual({
      new: null,
      ok: true,
      id: '9223372036854775807.0',
    });
  });

  test('is read from a raw datum, and written the same', () => {
    const codec = codecFor(schemaOf({ raw_datums: true }));
    expect(codec.decode(read('datum.avro'))).toEqual(withoutLarge[0]);
    expect(codec.encode(withoutLarge[0] as Row)).toEqual(read('datum.avro'));
  });

  test('has the fingerprint of the single-object encoding', () => {
    const payload = codecFor(schemaOf({ single_object: true })).encode(withoutLarge[0] as Row);
    expect(payload.subarray(0, 2).toString('hex')).toBe('c301');
    expect(payload.subarray(2, 10).toString('hex')).toBe(read('fingerprint.txt').toString());
    expect(payload.subarray(10)).toEqual(read('datum.avro'));
  });
});

describe('what protoc and protobuf for Python have written', () => {
  const schemaOf = (options: object): ConnectionSchema =>
    expandSchema({
      format: { type: 'protobuf', message_name: 'test.Row', ...options },
      definition: { type: 'protobuf_schema', schema: read('row.proto').toString() },
    });
  const row: Row = {
    id: 2n ** 63n - 1n,
    large: 2n ** 64n - 1n,
    name: '日本語 𝄞',
    celsius: 0.1,
    ok: true,
    data: Buffer.from([0, 1, 255]),
    tags: ['a', 'b'],
    numbers: [-1n, 2n ** 62n, 0n],
    place: { lat: 48.5, floor: -3 },
    state: 'RUNNING',
    counts: '{"a":-1,"b":1099511627776}',
    text: 'one of two',
    number: null,
    at: 1_769_847_300_250_001_000n,
    took: '-1.500000001',
    limit: 0n,
    more: '{"deep":{"yes":true},"list":[1,null,"x"]}',
    child: expect.stringContaining('"name":"inside"'),
  };
  const none = { large: null, place: null, text: null, number: null, at: null, took: null };
  const empty: Row = {
    ...none,
    ...{ id: 0n, name: '', celsius: 0, ok: false, data: Buffer.alloc(0), tags: [], numbers: [] },
    ...{ state: 'UNKNOWN', counts: '{}', limit: null, more: null, child: null },
  };

  test('is read, and written the same', () => {
    const codec = codecFor(schemaOf({}));
    const found = codec.decode(read('row.pb'));
    expect(found).toEqual(row);
    expect(codec.encode(found)).toEqual(read('row.pb'));
    expect(codec.decode(read('empty.pb'))).toEqual(empty);
    expect(codec.encode(empty)).toEqual(read('empty.pb'));
  });

  test('is read behind its lengths', () => {
    const codec = codecFor(schemaOf({ length_delimited: true }));
    expect(codec.decodeAll?.(read('delimited.pb'))).toEqual([row, { ...empty, name: '2' }]);
  });

  test('is read as a document, and written the same', () => {
    const codec = codecFor(schemaOf({ into_unstructured_json: true }));
    const document = codec.decode(read('row.pb'));
    expect(JSON.parse(document.value as string)).toMatchObject({
      counts: { a: -1, b: 2 ** 40 },
      took: '-1.500000001s',
      at: '2026-01-31T08:15:00.250001Z',
      more: { deep: { yes: true }, list: [1, null, 'x'] },
      child: { name: 'inside', tags: [] },
    });
    expect(codec.encode(document)).toEqual(read('row.pb'));
  });

  test('is read as Sparkplug B', () => {
    const names = {
      name: 'string',
      alias: 'uint64',
      datatype: 'string',
      is_historical: 'bool',
      is_null: 'bool',
      value: 'json',
      int_value: 'int64',
      payload_seq: 'uint64',
    } as const;
    const picked: Field[] = Object.entries(names).map(([name, type]) => ({ name, type }));
    const time: Field = { name: 'timestamp', type: 'timestamp', unit: 'millisecond' };
    const codec = codecFor({ format: { type: 'sparkplug_b' }, fields: [...picked, time] });
    const metrics = codec.decodeAll?.(read('payload.spb')) ?? [];
    expect(metrics.map(({ name, datatype, value }) => [name, datatype, value])).toEqual([
      ['bdSeq', 'Int64', '-5'],
      ['small', 'Int8', '-128'],
      ['short', 'Int16', '-2'],
      [null, 'UInt64', '18446744073709551615'],
      ['f', 'Float', '0.5'],
      ['on', 'Boolean', 'false'],
      ['s', 'String', '"ü"'],
      ['t', 'DateTime', '"2026-01-31T08:15:00.250Z"'],
      ['none', 'Int32', null],
      ['table', 'DataSet', '{"columns":["c"],"types":["UInt32"],"rows":[[3]]}'],
    ]);
    expect(metrics[0]).toMatchObject({ int_value: -5n, payload_seq: 7n, timestamp: 1_769_847_300_250n });
    expect(metrics[3]).toMatchObject({ alias: 12n, timestamp: 1n, is_null: false });
    expect(metrics[8]).toMatchObject({ is_null: true, is_historical: false, int_value: null });
  });
});
