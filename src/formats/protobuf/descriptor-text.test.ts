import protobuf from 'protobufjs';
import { expect, test } from 'vitest';
import { messageTypeOf } from './definition.ts';
import { protoTexts } from './descriptor-text.ts';

/** Files, and their descriptors as protoc 35.1 of grpcio-tools 1.85.1 writes them. */
const files = [
  [
    'rich.Outer',
    `syntax = "proto2";
package rich;
enum Color { option allow_alias = true; RED = 0; BLUE = 1; AZURE = 1; }
message Outer {
  required string name = 1 [default = "a\\"b"];
  optional int64 n = 2 [default = -5];
  optional Color color = 3 [default = BLUE];
  repeated int32 loose = 4;
  repeated int32 packed = 5 [packed = true];
  map<string, Inner> inners = 6;
  oneof one { string text = 7; Inner inner = 8; }
  optional bytes raw = 9 [default = "\\001x"];
  message Inner { enum Kind { A = 0; } optional Kind kind = 1; optional Outer outer = 2; }
  optional bool last = 10;
}`,
    [
      'CgtyaWNoMi5wcm90bxIEcmljaCLoAwoFT3V0ZXISFwoEbmFtZRgBIAIoCToDYSJiUgRuYW1lEhAKAW4YAiABKAM6Ai01UgFu',
      'EicKBWNvbG9yGAMgASgOMgsucmljaC5Db2xvcjoEQkxVRVIFY29sb3ISFAoFbG9vc2UYBCADKAVSBWxvb3NlEhoKBnBhY2tl',
      'ZBgFIAMoBUICEAFSBnBhY2tlZBIvCgZpbm5lcnMYBiADKAsyFy5yaWNoLk91dGVyLklubmVyc0VudHJ5UgZpbm5lcnMSFAoE',
      'dGV4dBgHIAEoCUgAUgR0ZXh0EikKBWlubmVyGAggASgLMhEucmljaC5PdXRlci5Jbm5lckgAUgVpbm5lchIXCgNyYXcYCSAB',
      'KAw6BVwwMDF4UgNyYXcSEgoEbGFzdBgKIAEoCFIEbGFzdBpMCgtJbm5lcnNFbnRyeRIQCgNrZXkYASABKAlSA2tleRInCgV2',
      'YWx1ZRgCIAEoCzIRLnJpY2guT3V0ZXIuSW5uZXJSBXZhbHVlOgI4ARplCgVJbm5lchIqCgRraW5kGAEgASgOMhYucmljaC5P',
      'dXRlci5Jbm5lci5LaW5kUgRraW5kEiEKBW91dGVyGAIgASgLMgsucmljaC5PdXRlclIFb3V0ZXIiDQoES2luZBIFCgFBEABC',
      'BQoDb25lKikKBUNvbG9yEgcKA1JFRBAAEggKBEJMVUUQARIJCgVBWlVSRRABGgIQAQ==',
    ].join(''),
  ],
  [
    'rich.M',
    `syntax = "proto3";
package rich;
message M {
  optional string maybe = 1;
  oneof one { int32 a = 2; string b = 3; }
  repeated sint64 many = 4;
  repeated fixed32 loose = 5 [packed = false];
  map<int32, string> names = 6;
  oneof two { bool c = 7; }
  double plain = 8;
}`,
    [
      'CgtyaWNoMy5wcm90bxIEcmljaCKOAgoBTRIZCgVtYXliZRgBIAEoCUgCUgVtYXliZYgBARIOCgFhGAIgASgFSABSAWESDgoB',
      'YhgDIAEoCUgAUgFiEhIKBG1hbnkYBCADKBJSBG1hbnkSGAoFbG9vc2UYBSADKAdCAhAAUgVsb29zZRIoCgVuYW1lcxgGIAMo',
      'CzISLnJpY2guTS5OYW1lc0VudHJ5UgVuYW1lcxIOCgFjGAcgASgISAFSAWMSFAoFcGxhaW4YCCABKAFSBXBsYWluGjgKCk5h',
      'bWVzRW50cnkSEAoDa2V5GAEgASgFUgNrZXkSFAoFdmFsdWUYAiABKAlSBXZhbHVlOgI4AUIFCgNvbmVCBQoDdHdvQggKBl9t',
      'YXliZWIGcHJvdG8z',
    ].join(''),
  ],
] as const;

const typeOf = (schema: string, name: string): protobuf.Type =>
  messageTypeOf({ type: 'protobuf_schema', schema }, name);

/** As text: some values of protobufjs only look alike. */
const fieldsOf = (type: protobuf.Type): string[] =>
  type.fieldsArray.map((field) => {
    const absent: unknown = type.ctor.prototype[field.name];
    return JSON.stringify({
      ...{ id: field.id, name: field.name, oneof: field.partOf?.name, presence: field.hasPresence },
      ...{ repeated: field.repeated, packed: field.packed, map: Boolean(field.map) },
      type: field.resolvedType?.fullName ?? field.type,
      key: field instanceof protobuf.MapField ? field.keyType : undefined,
      values: field.resolvedType instanceof protobuf.Enum ? { ...field.resolvedType.values } : undefined,
      absent: JSON.stringify(absent, (_, value) => (typeof value === 'bigint' ? `${value}n` : value)),
    });
  });

test.each(files)('the descriptor of %s says the same as its file', (name, text, descriptor) => {
  const { schema } = protoTexts({ schema: descriptor, references: {} });
  expect(schema).toContain('syntax = ');
  const [made, own] = [typeOf(schema, name), typeOf(text, name)];
  expect(fieldsOf(made)).toEqual(fieldsOf(own));
  for (const inner of own.nestedArray)
    if (inner instanceof protobuf.Type)
      expect(fieldsOf(made.get(inner.name) as protobuf.Type)).toEqual(fieldsOf(inner));
});

test('what is a text stays as it is, and other descriptors are refused', () => {
  const schema = 'syntax = "proto3"; message A {}';
  expect(protoTexts({ schema, references: { b: schema } })).toEqual({ schema, references: { b: schema } });
  expect(() => protoTexts({ schema: 'AAAA', references: {} })).toThrow();
});
