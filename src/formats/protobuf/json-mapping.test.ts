import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema } from '../codec.ts';

/**
 * `mapping.pb`, and its JSON with names as in the definition and in camel case, were written by protobuf 7.36.2 for
 * Python: SerializeToString and json_format.MessageToJson.
 */
const read = (file: string) => readFileSync(new URL(`../fixtures/binary/${file}`, import.meta.url));
const payload = read('mapping.pb');
const written = JSON.parse(read('mapping.json').toString());

function codecOf(schema: string, message_name: string, format: object = { into_unstructured_json: true }) {
  const definition = { type: 'protobuf_schema', schema } as const;
  return codecFor(expandSchema({ format: { type: 'protobuf', message_name, ...format }, definition }));
}

const mapping = codecOf(read('mapping.proto').toString(), 't.M');
const small = (fields: string, imports: string[] = []) => {
  const lines = imports.map((name) => `import "google/protobuf/${name}.proto";`).join(' ');
  return codecOf(`syntax = "proto3"; ${lines} enum E { A = 0; B = 1; } message M { ${fields} }`, 'M');
};

describe('a document', () => {
  test('is the JSON that protobuf for Python writes', () => {
    expect(JSON.parse(mapping.decode(payload).value as string)).toEqual(written);
  });

  test.each(['mapping.json', 'mapping-camel.json'])('is read back from %s', (file) => {
    const value = mapping.decode(mapping.encode({ value: read(file).toString() })).value;
    expect(JSON.parse(value as string)).toEqual(written);
  });

  test('has 64-bit integers as exact numbers, and takes them as texts too', () => {
    const codec = small('int64 a = 1; map<int64, uint64> b = 2;');
    const value = '{"a":-9223372036854775807,"b":{"-1":18446744073709551615}}';
    expect(codec.decode(codec.encode({ value })).value).toBe(value);
    const texts = '{"a":"-9223372036854775807","b":{"-1":"18446744073709551615"}}';
    expect(codec.decode(codec.encode({ value: texts })).value).toBe(value);
  });

  test('keeps the bytes of an Any whose type the definition does not have', () => {
    const codec = small('google.protobuf.Any any = 1;', ['any']);
    const value = '{"any":{"@type":"type.googleapis.com/other.Type","value":"CAU="}}';
    expect(codec.decode(codec.encode({ value })).value).toBe(value);
    expect(codec.decode(codec.encode({ value: '{"any":{}}' })).value).toBe('{"any":{}}');
  });

  test('refuses an Any in itself without end, and one with bytes of another type', () => {
    const codec = small('google.protobuf.Any any = 1;', ['any']);
    const url = 'type.googleapis.com/google.protobuf.Any';
    let inner = '{"@type":"type.googleapis.com/google.protobuf.Any","value":{}}';
    for (let level = 0; level < 20; level += 1) inner = `{"@type":"${url}","value":${inner}}`;
    expect(codec.decode(codec.encode({ value: `{"any":${inner}}` })).value).toContain('"value":{}');
    for (let level = 0; level < 20; level += 1) inner = `{"@type":"${url}","value":${inner}}`;
    expect(() => codec.decode(codec.encode({ value: `{"any":${inner}}` }))).toThrow('inside each other');
    const bad = codec.encode({ value: '{"any":{"@type":"x/unknown.T","value":"/w=="}}' });
    expect(codec.decode(bad).value).toContain('"/w=="');
    const message = Buffer.from(bad.toString('latin1').replace('x/unknown.T', '//////////M'), 'latin1');
    expect(() => codec.decode(message)).toThrow(expect.objectContaining({ code: 'bad_data' }));
  });

  test.each([
    ['double v = 1;', '{"v":"abc"}', 'is not a number'],
    ['double v = 1;', '{"v":true}', 'is not a number'],
    ['int32 v = 1;', '{"v":"NaN"}', 'is not a whole number'],
    ['bytes v = 1;', '{"v":"a"}', 'is not a base64 string'],
    ['E v = 1;', '{"v":"C"}', 'is none of A, B'],
    ['google.protobuf.FieldMask v = 1;', '{"v":["a"]}', 'is not the text of a FieldMask'],
    ['google.protobuf.Any v = 1;', '{"v":{"x":1}}', 'is a google.protobuf.Any without @type'],
  ])('with %s refuses %s', (fields, value, problem) => {
    expect(() => small(fields, ['field_mask', 'any']).encode({ value })).toThrow(problem);
  });

  test.each([
    ['E v = 1;', '{"v":9}', '{"v":9}'],
    ['E v = 1;', '{"v":"9"}', '{"v":9}'],
    ['bytes v = 1;', '{"v":"_-4"}', '{"v":"/+4="}'],
    ['float v = 1;', '{"v":"-Infinity"}', '{"v":"-Infinity"}'],
    ['string some_name_2 = 1;', '{"someName2":"x"}', '{"some_name_2":"x"}'],
    [
      'google.protobuf.Timestamp v = 1;',
      '{"v":"0500-02-03T00:00:00.1Z"}',
      '{"v":"0500-02-03T00:00:00.100Z"}',
    ],
  ])('with %s takes %s', (fields, value, expected) => {
    const codec = small(fields, ['timestamp']);
    expect(codec.decode(codec.encode({ value })).value).toBe(expected);
  });
});

test('json columns of a row follow the same mapping', () => {
  const columns = codecOf(read('mapping.proto').toString(), 't.M', {});
  // A column holds the times of 64 bits of nanoseconds.
  const row = columns.decode(mapping.encode({ value: JSON.stringify({ ...written, times: [] }) }));
  for (const name of ['by_name', 'any', 'mask', 'numbers', 'flags', 'value', 'some_struct'])
    expect(JSON.parse(row[name] as string)).toEqual(written[name]);
  expect(row).toMatchObject({ state: '7', took: '-0.500000000', nothing: 'NULL_VALUE' });
  expect(columns.decode(columns.encode(row))).toEqual(row);
});
