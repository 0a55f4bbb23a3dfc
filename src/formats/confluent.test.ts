import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema, rowsOf, validateSchema } from './codec.ts';
import type { ConnectionSchema, Format } from './schema/schema.ts';

/** Messages written by the serializers of confluent-kafka 2.16.1 for Python, with its mock registry. */
const bytes = (hex: string) => Buffer.from(hex, 'hex');

const proto = `syntax = "proto3"; package t;
  message First { string s = 1; }
  message Second {
    map<string, int32> m = 1;
    message Inner { message Deep { int32 y = 1; } int32 x = 1; map<int32, int32> z = 2; }
    Inner inner = 2;
    map<string, int32> n = 3;
  }`;
const avroSchema = JSON.stringify({
  type: 'record',
  name: 'R',
  fields: [
    { name: 's', type: 'string' },
    { name: 'n', type: ['null', 'long'] },
  ],
});
const schemaOf = (format: Format): ConnectionSchema => {
  if (format.type === 'json') return expandSchema({ format, fields: [{ name: 's', type: 'string' }] });
  const definition =
    format.type === 'avro'
      ? ({ type: 'avro_schema', schema: avroSchema } as const)
      : ({ type: 'protobuf_schema', schema: proto } as const);
  return expandSchema({ format, definition });
};
const codecOf = (format: Format) => codecFor(schemaOf(format));
const headed = (message_name: string, more: object = {}): Format => ({
  type: 'protobuf',
  message_name,
  confluent_header: true,
  ...more,
});
const avro: Format = { type: 'avro', confluent_header: true };
const json: Format = { type: 'json', confluent_header: true };

describe('messages of Confluent serializers', () => {
  test.each([
    [headed('t.First'), '0000000001000a0178', { s: 'x' }],
    [headed('t.Second'), '000000000102021a050a01611001', { m: '{}', inner: null, n: '{"a":1}' }],
    [headed('t.Second.Inner'), '00000000010402020805', { x: 5, z: '{}' }],
    [headed('t.Second.Inner.Deep'), '0000000001060202000807', { y: 7 }],
    [avro, '000000000202780205', { s: 'x', n: -3n }],
    [json, '00000000037b2273223a2278227d', { s: 'x' }],
  ] as const)('are read with %o', (format, hex, row) => {
    expect(codecOf(format).decode(bytes(hex))).toEqual(row);
  });

  test('are read from a serializer for Java, which does not count the entries of maps', () => {
    expect(codecOf(headed('t.Second.Inner')).decode(bytes('00000000010402000805'))).toMatchObject({ x: 5 });
  });

  test.each([
    [headed('t.First', { schema_id: 1 }), '0000000001000a0178'],
    [headed('t.Second', { schema_id: 1 }), '000000000102021a050a01611001'],
    [headed('t.Second.Inner.Deep', { schema_id: 1 }), '0000000001060200000807'],
    [{ ...avro, schema_id: 2 } as Format, '000000000202780205'],
    [{ ...json, schema_id: 3 } as Format, '00000000037b2273223a2278227d'],
  ] as const)('are written the same with %o', (format, hex) => {
    const codec = codecOf(format);
    expect(codec.encode(codec.decode(bytes(hex))).toString('hex')).toBe(hex);
    const { schema_id: _, ...without } = format as { schema_id?: number };
    const other = codecOf(without as Format);
    expect(() => other.encode(other.decode(bytes(hex)))).toThrow('without the schema_id');
  });

  test('may hold several rows, and be compressed as a whole', () => {
    const framed = codecFor({
      ...schemaOf({ ...json, compression: 'gzip' }),
      framing: { method: 'newline' },
    });
    const payload = Buffer.concat([bytes('0000000003'), Buffer.from('{"s":"a"}\n{"s":"b"}\n')]);
    expect(rowsOf(framed, gzipSync(payload))).toEqual([{ s: 'a' }, { s: 'b' }]);
    const delimited = codecOf(headed('t.First', { length_delimited: true }));
    expect(rowsOf(delimited, bytes('000000000100030a0178030a0179'))).toEqual([{ s: 'x' }, { s: 'y' }]);
  });
});

describe('a header that does not fit', () => {
  test.each([
    [json, '7b2273223a2278227d', "does not begin with Confluent's header"],
    [avro, '00000001', "does not begin with Confluent's header"],
    [
      { ...avro, schema_id: 7 } as Format,
      '000000000202780205',
      'was written with the schema id 2 instead of 7',
    ],
    [
      headed('t.First'),
      '000000000102021a050a01611001',
      'was written for the message with the indexes 1 of its schema; First has 0',
    ],
    [headed('t.Second.Inner'), '0000000001060202000807', 'indexes 1,1,0 of its schema; Inner has 1,0'],
    [headed('t.First'), '0000000001', "has no message indexes after Confluent's header"],
    [headed('t.First'), '0000000001ffffffff0f', "has no message indexes after Confluent's header"],
  ] as const)('%o, %s is bad data', (format, hex, problem) => {
    expect(() => codecOf(format).decode(bytes(hex))).toThrow(problem);
  });

  test('schema_id and single_object have their place', () => {
    expect(validateSchema(schemaOf({ type: 'avro', raw_datums: true, schema_id: 3 }))).toMatchObject([
      { path: '/format/schema_id' },
    ]);
    expect(validateSchema(schemaOf({ ...avro, single_object: true }))).toMatchObject([
      { path: '/format/single_object' },
    ]);
    expect(validateSchema(schemaOf({ type: 'json', schema_id: null }))).toEqual([]);
  });
});

describe('without the option a bad message guesses it', () => {
  const guess = (id: number) => `a zero byte and the schema id ${id}: set confluent_header if that is so`;

  test.each([
    [{ type: 'protobuf', message_name: 't.First' }, '0000000001000a0178', 1],
    [{ type: 'protobuf', message_name: 't.First', into_unstructured_json: true }, '0000000001000a0178', 1],
    [{ type: 'avro' }, '000000000202780205', 2],
    [{ type: 'avro', raw_datums: true }, '000000000202780205', 2],
    [{ type: 'avro', single_object: true }, '000000000202780205', 2],
    [{ type: 'json' }, '00000000037b2273223a2278227d', 3],
    [{ type: 'json', unstructured: true }, '00000000037b2273223a2278227d', 3],
  ] as const)('with %o', (format, hex, id) => {
    const fields = 'unstructured' in format ? [{ name: 'value', type: 'json' } as const] : undefined;
    const schema = fields ? { format, fields } : schemaOf(format as Format);
    expect(() => codecFor(schema).decode(bytes(hex))).toThrow(
      expect.objectContaining({ code: 'bad_data', message: expect.stringContaining(guess(id)) }),
    );
  });

  test('in lines too, and only where it may be so', () => {
    const codec = codecFor({ ...schemaOf({ type: 'json' }), framing: { method: 'newline' } });
    const messages: string[] = [];
    codec.decodeAll?.(bytes('00000000037b2273223a2278227d0a7b7d0a78'), ({ message }) =>
      messages.push(message),
    );
    expect(messages).toHaveLength(2);
    expect(messages[0]).toContain(guess(3));
    expect(messages[1]).not.toContain('confluent');
    expect(() => codecOf({ type: 'json' }).decode(bytes('0000000003'))).not.toThrow('confluent');
    expect(() => codecOf({ type: 'json' }).decode(bytes('007b7d'))).not.toThrow('confluent');
  });
});
