import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema } from '../codec.ts';

/** Custom options are for code generators: a definition that has them must be read as if they were not there. */

const descriptor = 'import "google/protobuf/descriptor.proto";';
/** The shape of nanopb.proto 0.4.9. */
const nanopb = `
  syntax = "proto2";
  ${descriptor}
  option java_package = "fi.kapsi.koti.jpa.nanopb";
  enum FieldType { FT_DEFAULT = 0; FT_CALLBACK = 1; FT_STATIC = 2; }
  message NanoPBOptions {
    optional int32 max_size = 1;
    optional FieldType type = 3 [default = FT_DEFAULT];
    repeated string include = 24;
    optional string type_override = 27;
  }
  extend google.protobuf.FileOptions { optional NanoPBOptions nanopb_fileopt = 1010; }
  extend google.protobuf.MessageOptions { optional NanoPBOptions nanopb_msgopt = 1010; }
  extend google.protobuf.EnumOptions { optional NanoPBOptions nanopb_enumopt = 1010; }
  extend google.protobuf.FieldOptions { optional NanoPBOptions nanopb = 1010; }`;
const installed = createRequire(import.meta.url).resolve('protobufjs/package.json');
const googleapis = (file: string) =>
  readFileSync(new URL(`google/api/${file}`, `file://${installed}`), 'utf8');

/** A definition's message Reading { string name = 1; repeated int32 v = 2; }. */
const definitions: [name: string, schema: string, dependencies?: Record<string, string>][] = [
  [
    "nanopb's, imported",
    `syntax = "proto3"; import "nanopb.proto"; option (nanopb_fileopt).max_size = 16;
     message Reading {
       option (nanopb_msgopt).type = FT_CALLBACK;
       string name = 1 [(nanopb).max_size = 40, (nanopb).type = FT_STATIC];
       repeated int32 v = 2 [(nanopb) = { max_size: 8 include: ["a.h", 'b.h'] type_override: "x" "y" }];
     }`,
    { 'nanopb.proto': nanopb },
  ],
  [
    "nanopb's, without the file that has them",
    `syntax = "proto3"; import "nanopb.proto";
     message Reading { string name = 1 [(nanopb).max_size = 40]; repeated int32 v = 2; }`,
  ],
  [
    'own ones',
    `syntax = "proto3"; ${descriptor} enum Unit { NONE = 0; CELSIUS = 1; }
     extend google.protobuf.FieldOptions { Unit unit = 50001; repeated string notes = 50002; }
     message Reading {
       extend google.protobuf.MessageOptions { bool inner = 50003; }
       option (Reading.inner) = true;
       string name = 1 [(notes) = "a", (notes) = "b", json_name = "n"];
       repeated int32 v = 2 [(unit) = CELSIUS, deprecated = true];
     }`,
  ],
  [
    'own ones, extended without the import',
    `syntax = "proto3"; extend google.protobuf.FieldOptions { string unit = 50001; }
     message Reading { string name = 1 [(unit) = "m/s"]; repeated int32 v = 2; }`,
  ],
  [
    "buf/validate's, without the file that has them",
    `syntax = "proto3"; import "buf/validate/validate.proto";
     message Reading {
       option (buf.validate.message).cel = { id: "a.b", message: "not } a [ brace", expression: "this.v.all(x, x > 0)" };
       string name = 1 [(buf.validate.field).string = {in: ["a", "b"], min_len: 1}, (buf.validate.field).required = true];
       repeated int32 v = 2 [(buf.validate.field).repeated = { items { int32 { gte: -1 } } }];
       oneof kind { option (buf.validate.oneof).required = true; int32 other = 3; }
     }`,
  ],
  [
    "googleapis', imported",
    `syntax = "proto3"; import "google/api/annotations.proto"; import "google/api/field_behavior.proto";
     service Readings { rpc Get(Reading) returns (stream Reading) {
       option (google.api.http) = { post: "/v1/{name=a/*}" body: "*" additional_bindings { get: "/x"; } };
     } }
     message Reading { string name = 1 [(google.api.field_behavior) = REQUIRED]; repeated int32 v = 2; }`,
    {
      'google/api/annotations.proto': googleapis('annotations.proto'),
      'google/api/http.proto': googleapis('http.proto'),
    },
  ],
  [
    'features of a language, in an edition',
    `edition = "2023"; import "google/protobuf/cpp_features.proto"; option features.(pb.cpp).string_type = VIEW;
     message Reading {
       string name = 1 [features.field_presence = IMPLICIT];
       repeated int32 v = 2 [features.repeated_field_encoding = EXPANDED];
     }`,
  ],
];

describe('custom options', () => {
  test.each(definitions)('%s', (_name, schema, dependencies = {}) => {
    const codec = codecFor(
      expandSchema({
        format: { type: 'protobuf', message_name: 'Reading' },
        definition: { type: 'protobuf_schema', schema, dependencies },
      }),
    );
    expect(codec.decode(Buffer.from('0a01781203010203', 'hex'))).toMatchObject({ name: 'x', v: [1, 2, 3] });
    expect(codec.decode(codec.encode({ name: 'y', v: [-1] }))).toMatchObject({ name: 'y', v: [-1] });
  });

  test('descriptor.proto and its like may be messages too', () => {
    const files = ['descriptor', 'type', 'api', 'source_context'];
    const schema = `syntax = "proto3"; ${files.map((file) => `import "google/protobuf/${file}.proto";`).join('')}
      message M { google.protobuf.FieldDescriptorProto field = 1; google.protobuf.Method method = 2; }`;
    const { fields } = expandSchema({
      format: { type: 'protobuf' },
      definition: { type: 'protobuf_schema', schema },
    });
    expect(fields).toMatchObject([
      { name: 'field', type: 'struct' },
      { name: 'method', type: 'struct' },
    ]);
  });

  test('a missing import is named when a type of it is used', () => {
    const schema = `syntax = "proto3"; import "nanopb.proto"; import "a/units.proto";
      message M { double v = 1 [(nanopb).max_size = 1]; Unit unit = 2; }`;
    const expand = () =>
      expandSchema({ format: { type: 'protobuf' }, definition: { type: 'protobuf_schema', schema } });
    expect(expand).toThrow('imports nanopb.proto, a/units.proto, which are not among its dependencies');
    expect(expand).toThrow("no such Type or Enum 'Unit'");
  });
});
