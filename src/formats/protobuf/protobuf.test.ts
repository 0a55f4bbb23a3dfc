import fc from 'fast-check';
import protobufjs from 'protobufjs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { arbitraryRow } from '../../../test/support/arbitrary-rows.ts';
import { codecFor, expandSchema, validateSchema } from '../codec.ts';
import type { Row, Value } from '../format.ts';
import type { ConnectionSchema } from '../schema/schema.ts';
import { protobuf } from './protobuf.ts';

const numRuns = process.env.PENSTOCK_SOAK ? 20_000 : 120;

const scalars = [
  ...['int32', 'sint32', 'sfixed32', 'uint32', 'fixed32', 'int64', 'sint64', 'sfixed64', 'uint64', 'fixed64'],
  ...['float', 'double', 'bool', 'string', 'bytes'],
];
const everything = `
  syntax = "proto3";
  package test;
  import "google/protobuf/timestamp.proto";
  import "google/protobuf/duration.proto";
  import "google/protobuf/wrappers.proto";
  message Inner { optional string name = 1; repeated sint64 numbers = 2; optional Inner2 inner = 900; }
  message Inner2 { optional double x = 1; }
  message Everything {
    ${scalars.map((type, index) => `optional ${type} one_${type} = ${index + 1};`).join('\n')}
    ${scalars.map((type, index) => `repeated ${type} many_${type} = ${index + 101};`).join('\n')}
    repeated int64 loose = 200 [packed = false];
    optional Inner inner = 201;
    repeated Inner inners = 202;
    google.protobuf.Timestamp at = 203;
    repeated google.protobuf.Timestamp ats = 204;
    google.protobuf.Duration took = 205;
    google.protobuf.Int64Value wrapped = 206;
    google.protobuf.StringValue wrapped_text = 207;
  }`;

function schemaOf(schema: string, format: object = {}): ConnectionSchema {
  return expandSchema({
    format: { type: 'protobuf', ...format },
    definition: { type: 'protobuf_schema', schema },
  });
}

/** A repeated field cannot hold nulls, and is empty rather than null. */
function withoutNulls(value: Value, list: boolean): Value {
  if (list && value === null) return [];
  if (Array.isArray(value))
    return value.filter((item) => item !== null).map((item) => withoutNulls(item, false));
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      withoutNulls(member, /^many_|^(?:loose|inners|ats|numbers)$/.test(name)),
    ]),
  );
}

const all = schemaOf(everything, { message_name: 'test.Everything' });
const rows = arbitraryRow(all.fields ?? []).map((row) => withoutNulls(row, false) as Row);

describe('any row of a message with every type', () => {
  test('is the same after writing and reading it', () => {
    expect(validateSchema(all)).toEqual([]);
    for (const format of [{}, { length_delimited: true }]) {
      const codec = codecFor(schemaOf(everything, { message_name: 'test.Everything', ...format }));
      fc.assert(
        fc.property(rows, (row) => {
          expect(codec.decode(codec.encode(row))).toEqual(row);
        }),
        { numRuns },
      );
    }
  });

  test('is the same as a JSON document', () => {
    const codec = codecFor(all);
    const documents = codecFor(
      schemaOf(everything, { message_name: 'test.Everything', into_unstructured_json: true }),
    );
    fc.assert(
      fc.property(rows, (row) => {
        const payload = codec.encode(row);
        const again = documents.encode(documents.decode(payload));
        expect(codec.decode(again)).toEqual(row);
      }),
      { numRuns },
    );
  });

  test('is only ever refused with bad_data when bytes of it are changed', () => {
    const codecs = [{}, { into_unstructured_json: true }, { length_delimited: true }].map((format) =>
      codecFor(schemaOf(everything, { message_name: 'test.Everything', ...format })),
    );
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 });
    fc.assert(
      fc.property(rows, damage, fc.nat({ max: 8 }), (row, changes, cut) => {
        for (const codec of codecs) {
          const payload = Buffer.from(codecFor(all).encode(row));
          for (const [at, byte] of changes) if (payload.length > 0) payload[at % payload.length] = byte;
          const part = payload.subarray(0, Math.max(0, payload.length - cut));
          try {
            if (codec.decodeAll) codec.decodeAll(part);
            else codec.decode(part);
          } catch (error) {
            expect(error).toMatchObject({ code: 'bad_data' });
          }
        }
      }),
      { numRuns },
    );
  });
});

describe('a definition whose files import each other in layers', () => {
  const file = (imported: readonly string[], message: string) =>
    `syntax = "proto3"; ${imported.map((name) => `import "${name}";`).join(' ')} message ${message} { int32 x = 1; }`;
  const written = (dependencies: Record<string, string>, imported: readonly string[]) =>
    protobuf.registry?.written({
      format: { type: 'protobuf', message_name: 'Top', confluent_schema_registry: true },
      definition: { type: 'protobuf_schema', schema: file(imported, 'Top'), dependencies },
    });

  test('is parsed file by file', () => {
    const layers = [0, 1, 2, 3, 4, 5];
    const next = (layer: number) => (layer === 5 ? [] : [`a${layer + 1}`, `b${layer + 1}`]);
    const dependencies = Object.fromEntries(
      layers.flatMap((layer) =>
        [`a${layer}`, `b${layer}`].map((name) => [name, file(next(layer), `M${name}`)]),
      ),
    );
    const parse = vi.spyOn(protobufjs, 'parse');
    onTestFinished(() => void parse.mockRestore());
    const { references } = written(dependencies, ['a0', 'b0']) ?? {};
    expect(references?.map(({ name }) => name)).toEqual(['a0', 'b0']);
    expect(references?.[0]?.references[0]).toBe(references?.[1]?.references[0]);
    // Once for its type, and once for its imports.
    expect(parse).toHaveBeenCalledTimes(2 * 13);
  });

  test('is refused if they are too many to register, or import themselves', () => {
    const chain = Object.fromEntries(
      Array.from({ length: 101 }, (_, index) => [
        `f${index}`,
        file(index === 100 ? [] : [`f${index + 1}`], `M${index}`),
      ]),
    );
    expect(() => written(chain, ['f0'])).toThrow('imports more than 100 files');
    expect(() => written({ a: file(['b'], 'A'), b: file(['a'], 'B') }, ['a'])).toThrow('imports itself');
  });
});

describe('a message that comes twice', () => {
  const twice = `
    syntax = "proto3";
    message Row { Part part = 1; oneof one { Part left = 2; string right = 3; } }
    message Part { string name = 1; int32 number = 2; repeated int32 list = 3; Part inner = 4; }`;
  // part {name: a, number: 1, list: [1], inner {name: x}} and part {number: 2, list: [2], inner {number: 5}}
  const both = Buffer.from('0a0c0a01611001180122030a0178' + '0a081002180222021005', 'hex');

  test('adds its second half to the first, and what the half does not have stays', () => {
    const codec = codecFor(schemaOf(twice, { message_name: 'Row' }));
    const documents = codecFor(schemaOf(twice, { message_name: 'Row', into_unstructured_json: true }));
    const part = { name: 'a', number: 2, list: [1, 2] };
    expect(codec.decode(both)).toMatchObject({ part });
    expect(JSON.parse(documents.decode(both).value as string)).toMatchObject({
      part: { ...part, inner: { name: 'x', number: 5 } },
    });
  });

  test('begins anew when another member of its oneof has come between', () => {
    const codec = codecFor(schemaOf(twice, { message_name: 'Row' }));
    // left {name: a}, right "r", left {number: 2}
    const payload = Buffer.from('12030a01611a017212021002', 'hex');
    expect(codec.decode(payload)).toMatchObject({ left: { name: '', number: 2 }, right: null });
    expect(codec.decode(payload.subarray(0, 8))).toMatchObject({ left: null, right: 'r' });
  });
});
