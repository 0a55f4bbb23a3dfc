import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema } from './codec.ts';
import type { Field, Format } from './schema/schema.ts';

/** A hostile message must not keep the codec busy, use unbounded memory, create a class, or end the process. */

const fields: Field[] = [{ name: 'a', type: 'json' }];
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const map = (rest: Buffer, head: string) => Buffer.concat([hex(head), rest]);

const cborMessages: [string, Buffer][] = [
  ['an array of 2^32 items', map(hex('9affffffff'), 'a16161')],
  ['an array of 2^40 items', map(hex('9b0000010000000000'), 'a16161')],
  ['a map of 2^31 members', hex('ba80000000')],
  [
    'arrays in arrays that each claim a million',
    map(Buffer.from('9a000f4240'.repeat(10_000), 'hex'), 'a16161'),
  ],
  ['arrays without end', map(Buffer.alloc(1_000_000, 0x9f), 'a16161')],
  ['tags without end', map(Buffer.alloc(1_000_000, 0xc1), 'a16161')],
  ['a bignum of a megabyte', map(Buffer.concat([hex('c25a000fffff'), Buffer.alloc(0xfffff, 1)]), 'a16161')],
  ['a reference', map(hex('82d81c80d81d00'), 'a16161')],
  ['a class', map(hex('d81b82655265674578612e'), 'a16161')],
  ['a record definition', hex('d9dfff8319e0008161610100')],
  ['a packed table', map(hex('d83384816161808000'), 'a16161')],
  ['text that is not UTF-8', hex('a1616162c328')],
  ['trailing bytes', hex('a1616101ff')],
  ['a decimal with an exponent of a billion', map(hex('c4821a3b9aca0001'), 'a16161')],
];

const msgpackMessages: [string, Buffer][] = [
  ['an array of 2^32 items', hex('81a161ddffffffff')],
  ['arrays without end', map(Buffer.alloc(1_000_000, 0x91), '81a161')],
  ['a RegExp', hex('81a161d47800 92a12ea0')],
  ['an Error', hex('81a161d46500 92a5 4572726f72 a178')],
  ['a record definition', hex('d4724091a16101')],
  ['a reference', hex('81a161d67000000000')],
  ['text that is not UTF-8', hex('81a161a2c328')],
  ['trailing bytes', hex('81a16101c0')],
];

const avroList: Field[] = [{ name: 'a', type: 'list', items: { type: 'bool' } }];
const nulls = { type: 'record', name: 'R', fields: [{ name: 'a', type: { type: 'array', items: 'null' } }] };

function refusal(format: Format, columns: Field[], payload: Buffer): unknown {
  const codec = codecFor({ format, fields: columns });
  try {
    codec.decode(payload);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('a hostile message', () => {
  test.each(cborMessages)('in CBOR with %s is refused', (_name, payload) => {
    expect(refusal({ type: 'cbor' }, fields, payload)).toMatchObject({ code: 'bad_data' });
  });

  test.each(msgpackMessages)('in MessagePack with %s is refused', (_name, payload) => {
    expect(refusal({ type: 'msgpack' }, fields, payload)).toMatchObject({ code: 'bad_data' });
  });

  test('in Avro with a list of 2^40 items is refused, even where an item takes no bytes', () => {
    const count = hex('80808080808040');
    const datum: Format = { type: 'avro', raw_datums: true };
    expect(refusal(datum, avroList, Buffer.concat([hex('02'), count]))).toMatchObject({ code: 'bad_data' });
    const definition = { type: 'avro_schema', schema: JSON.stringify(nulls) } as const;
    const codec = codecFor(expandSchema({ format: datum, definition }));
    expect(() => codec.decode(count)).toThrow(expect.objectContaining({ code: 'bad_data' }));
    expect(codec.decode(hex('0600'))).toEqual({ a: [null, null, null] });
  });

  test('in Avro with a block that grows without end is refused', () => {
    const sync = Buffer.alloc(16);
    const text = (value: string | Buffer) => {
      const bytes = Buffer.from(value);
      let rest = bytes.length * 2;
      const length: number[] = [];
      for (; rest > 127; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128);
      return Buffer.concat([Buffer.from([...length, rest]), bytes]);
    };
    const header = Buffer.concat([
      ...[Buffer.from('Obj\x01\x04'), text('avro.schema'), text(JSON.stringify(nulls))],
      ...[text('avro.codec'), text('deflate'), Buffer.from([0]), sync],
    ]);
    const bomb = deflateRawSync(Buffer.alloc(65 * 1024 * 1024));
    const payload = Buffer.concat([header, Buffer.from([2]), text(bomb), sync]);
    expect(refusal({ type: 'avro' }, [{ name: 'a', type: 'json' }], payload)).toMatchObject({
      code: 'bad_data',
    });
  });

  test('in Protobuf with messages in messages without end is refused', () => {
    const schema = 'syntax = "proto3"; message Node { Node node = 1; optional int32 x = 2; }';
    let payload = Buffer.alloc(0);
    for (let depth = 0; depth < 500; depth += 1) {
      const length =
        payload.length < 128 ? [payload.length] : [(payload.length & 127) | 128, payload.length >> 7];
      payload = Buffer.concat([Buffer.from([10, ...length]), payload]);
    }
    for (const options of [{}, { into_unstructured_json: true }]) {
      const codec = codecFor(
        expandSchema({
          format: { type: 'protobuf', ...options },
          definition: { type: 'protobuf_schema', schema },
        }),
      );
      expect(() => codec.decode(payload)).toThrow(expect.objectContaining({ code: 'bad_data' }));
    }
  });

  test('cannot reach the prototype of objects', () => {
    for (const [type, payload] of [
      ['cbor', '{"__proto__":{"x":1}}'],
      ['msgpack', '{"__proto__":{"x":1}}'],
    ] as const) {
      const codec = codecFor(expandSchema({ format: { type, into_unstructured_json: true } }));
      expect(codec.decode(codec.encode({ value: payload }))).toEqual({ value: payload });
      expect(({} as { x?: number }).x).toBeUndefined();
    }
  });
});

test('a Protobuf definition imports nothing but its dependencies', () => {
  const schemaOf = (dependencies: Record<string, string>) => () =>
    expandSchema({
      format: { type: 'protobuf' },
      definition: {
        type: 'protobuf_schema',
        schema: 'syntax = "proto3"; import "a/b.proto"; message M { B b = 1; }',
        dependencies,
      },
    });
  expect(schemaOf({})).toThrow(/imports a\/b.proto, which is not among its dependencies/);
  expect(schemaOf({ 'a/b.proto': 'syntax = "proto3"; message B { int32 x = 1; }' })().fields).toMatchObject([
    { name: 'b', type: 'struct', fields: [{ name: 'x', type: 'int32' }] },
  ]);
});
