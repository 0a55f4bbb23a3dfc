import { expect, test } from 'vitest';
import { codecFor, expandSchema } from './codec.ts';
import type { Field } from './schema/schema.ts';

/** Bytes written by cbor2 6.3.0 and msgpack 1.2.4 for Python, unless said otherwise. */

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const a: Field = { name: 'a', type: 'int64' };
const as = (x: Omit<Field, 'name'>): Field[] => [a, { name: 'x', ...x }];
const read = (type: 'cbor' | 'msgpack', hex: string, fields: Field[]) =>
  codecFor({ format: { type }, fields }).decode(bytes(hex));
const document = (type: 'cbor' | 'msgpack', hex: string) =>
  codecFor(expandSchema({ format: { type, into_unstructured_json: true } })).decode(bytes(hex)).value;
const refusal = (path: string, message: string) =>
  expect.objectContaining({ code: 'bad_data', errors: [{ path, message }] });

const tag = (number: number) => `holds the CBOR tag ${number}, which is not supported`;
const extension = (number: number) => `holds the MessagePack extension ${number}, which is not supported`;

test.each([
  ['cbor', 'a typed array', 'a26161016178d8464401000000', tag(70)],
  ['cbor', 'a fraction', 'a26161016178d81e820103', tag(30)],
  ['cbor', 'a regular expression', 'a26161016178d8236161', tag(35)],
  ['cbor', 'an IP address', 'a26161016178d834440a000001', tag(52)],
  ['cbor', 'a binary float', 'a26161016178c5822003', tag(5)],
  ['cbor', 'a class of cbor-x, by hand', 'a26161016178d81b82655265674578612e', tag(27)],
  ['cbor', 'a record of cbor-x, by hand', 'a26161016178d9dfff8319e00081616201', tag(57343)],
  ['cbor', 'a tag in a tag, by hand', 'a26161016178d840d84101', tag(64)],
  ['cbor', 'a simple value', 'a26161016178f863', 'holds the CBOR simple value 99'],
  ['cbor', 'a simple value in the head, by hand', 'a26161016178e3', 'holds the CBOR simple value 3'],
  ['cbor', 'text that is not UTF-8, by hand', 'a2616101617862c328', 'holds text that is not UTF-8'],
  ['msgpack', 'an extension', '82a16101a178c70305010203', extension(5)],
  ['msgpack', 'an extension of fixed length', '82a16101a178d47f01', extension(127)],
  ['msgpack', 'what is a RegExp for msgpackr', '82a16101a178d67892a12ea0', extension(120)],
  ['msgpack', 'a time of three bytes, by hand', '82a16101a178c703ff010203', extension(-1)],
  ['msgpack', 'text of the old raw type', '82a16101a178a2fffe', 'holds text that is not UTF-8'],
] as const)('%s: %s costs only a column that reads it', (type, _name, hex, problem) => {
  expect(read(type, hex, [a])).toEqual({ a: 1n });
  for (const item of ['string', 'json', 'bytes', 'timestamp', 'float64'] as const)
    expect(() => read(type, hex, as({ type: item }))).toThrow(refusal('/x', problem));
  expect(() => read(type, hex, as({ type: 'struct', fields: [a] }))).toThrow(refusal('/x', problem));
  expect(() => document(type, hex)).toThrow(refusal('/value', problem));
});

test.each([
  ['cbor', 'a261610161788201d84640', tag(70)],
  ['msgpack', '82a16101a1789201d60131323334', extension(1)],
] as const)('%s: the error names the list that holds it', (type, hex, problem) => {
  expect(() => read(type, hex, as({ type: 'list', items: { type: 'json' } }))).toThrow(
    refusal('/x/*', problem),
  );
  expect(() => read(type, hex, as({ type: 'json' }))).toThrow(refusal('/x', problem));
});

test('a tag around the whole message is named', () => {
  expect(() => read('cbor', 'd81ca26161016178d81c82d81c8101d81d02', [a])).toThrow(refusal('', tag(28)));
  expect(() => read('cbor', 'd90100a26161016178826761616161616161d81900', [a])).toThrow(
    refusal('', tag(256)),
  );
});

test('tags that only annotate are passed over', () => {
  expect(read('cbor', 'd9d9f7a1616101', [a])).toEqual({ a: 1n });
  expect(document('cbor', 'a26161016178d901028101')).toBe('{"a":1,"x":[1]}');
  expect(document('cbor', 'a26161016178d903ec6a323032362d30312d3331')).toBe('{"a":1,"x":"2026-01-31"}');
});

test.each([
  ['cbor', 'a361610141780241ff03'],
  ['msgpack', '83a16101c4017802c401ff03'],
] as const)('%s: a key of bytes is its text, or base64', (type, hex) => {
  expect(read(type, hex, as({ type: 'int32' }))).toEqual({ a: 1n, x: 2 });
  expect(document(type, hex)).toBe('{"a":1,"x":2,"/w==":3}');
});

test.each([
  ['cbor', 'a201fb40358000000000002002'],
  ['msgpack', '8201cb4035800000000000ff02'],
] as const)('%s: an integer key is its digits', (type, hex) => {
  const fields: Field[] = [
    { name: '1', type: 'float64' },
    { name: '-1', type: 'int32' },
  ];
  expect(read(type, hex, fields)).toEqual({ 1: 21.5, '-1': 2 });
  expect(document(type, hex)).toBe('{"1":21.5,"-1":2}');
});

test.each([
  ['cbor', 'a2616101' + '82010203'],
  ['msgpack', '82a16101' + '92010203'],
  ['cbor', 'a2616101' + 'd8464003'],
  ['msgpack', '82a16101' + 'd4010003'],
] as const)('%s: a key that is a list, tag or extension costs only a json column: %s', (type, hex) => {
  expect(read(type, hex, [a])).toEqual({ a: 1n });
  expect(() => document(type, hex)).toThrow('holds a map key that is not a text, a number or bytes');
});

test('CBOR strings in chunks are put together', () => {
  const hex = `bf6161017f61626163ff5f4101420203ff61785f41014102ffff`;
  const fields: Field[] = [a, { name: 'bc', type: 'bytes' }, { name: 'x', type: 'bytes' }];
  expect(read('cbor', hex, fields)).toEqual({ a: 1n, bc: bytes('010203'), x: bytes('0102') });
  for (const broken of ['a161617f4161ff', 'a161617f7f6161ffff', 'a161617f6161'])
    expect(() => read('cbor', broken, [a])).toThrow('is not one well-formed CBOR item');
});

test('beside a value that cannot be read, all others are read as in any message', () => {
  const fields: Field[] = [
    { name: 'half', type: 'float64' },
    { name: 'float', type: 'float64' },
    { name: 'big', type: 'uint64' },
    { name: 'low', type: 'int64' },
    { name: 'price', type: 'decimal128', precision: 10, scale: 2 },
    { name: 'at', type: 'timestamp', unit: 'millisecond' },
    { name: 'none', type: 'bool' },
    { name: 'list', type: 'list', items: { type: 'int32' } },
  ];
  const members =
    '6468616c66f93e00' +
    '65666c6f6174fa3f000000' +
    '636269671bffffffffffffffff' +
    '636c6f773b7fffffffffffffff' +
    '657072696365c482211904d2' +
    '626174c1fb41d954401000000000000000'.slice(0, 6 + 2 + 18) +
    '646e6f6e65f6' +
    '646c69737483012039012b';
  const plain = read('cbor', `a8${members}`, fields);
  expect(plain).toMatchObject({ half: 1.5, price: '12.34', list: [1, -1, -300], none: null });
  expect(plain).toMatchObject({ float: 0.5, big: 2n ** 64n - 1n, low: -(2n ** 63n) });
  expect(read('cbor', `a9${members}6178d84600`, fields)).toEqual(plain);
  const packed =
    '84a16ccfffffffffffffffffa173d38000000000000000a174d6ff697db9b4a16694cb3ff8000000000000ca3f000000d1fed4ff';
  const columns: Field[] = [
    { name: 'l', type: 'uint64' },
    { name: 's', type: 'int64' },
    { name: 't', type: 'timestamp', unit: 'second' },
    { name: 'f', type: 'list', items: { type: 'float64' } },
  ];
  const row = { l: 2n ** 64n - 1n, s: -(2n ** 63n), t: 1_769_847_220n, f: [1.5, 0.5, -300, -1] };
  expect(read('msgpack', packed, columns)).toEqual(row);
  expect(read('msgpack', `85${packed.slice(2)}a178d40100`, columns)).toEqual(row);
});
