import { gunzipSync, gzipSync } from 'node:zlib';
import avsc from 'avsc';
import * as cborX from 'cbor-x/encode';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { Packr } from 'msgpackr/pack';
import protobuf from 'protobufjs';
import type { Row } from '../src/formats/format.ts';
import type { ConnectionSchema, Field } from '../src/formats/schema/schema.ts';

/** One format, and the usual library for it. */
export interface FormatCase {
  name: string;
  schema: ConnectionSchema;
  rows: readonly Row[];
  /** Reads a message with the library. */
  read(payload: Buffer): unknown;
  /** Writes one row, prepared by `plain`, with the library. */
  write(row: unknown): Buffer;
  plain(row: Row): unknown;
}

const fields: Field[] = [
  { name: 'device', type: 'string', required: true },
  { name: 'seq', type: 'int32', required: true },
  { name: 'celsius', type: 'float64' },
  { name: 'ok', type: 'bool' },
  { name: 'site', type: 'string' },
];

const rows = Array.from(
  { length: 100 },
  (_, index): Row => ({
    device: `sensor-${index % 17}`,
    seq: 100_000 + index,
    celsius: 20 + index / 7,
    ok: index % 3 > 0,
    site: 'building 4, second floor',
  }),
);

/** Types that libraries lack: exact integers and decimals, times. */
const exactFields: Field[] = [
  { name: 'device', type: 'string', required: true },
  { name: 'seq', type: 'int64', required: true },
  { name: 'price', type: 'decimal128', precision: 18, scale: 2 },
  { name: 'at', type: 'timestamp', unit: 'millisecond' },
  { name: 'ok', type: 'bool' },
];

const exactRows = Array.from(
  { length: 100 },
  (_, index): Row => ({
    device: `sensor-${index % 17}`,
    seq: 9_007_199_254_740_993n + BigInt(index),
    price: `${index * 31}.50`,
    at: 1_769_847_300_250n + BigInt(index) * 1_001n,
    ok: index % 3 > 0,
  }),
);

/** JSON.stringify refuses bigints, so it gets a value of the same length. */
const exactPlain = ({ seq, price, at, ...row }: Row): unknown => ({
  ...row,
  seq: Number(seq),
  price: Number(price),
  at: new Date(Number(at)).toISOString(),
});

// TypeScript 7 does not declare these two yet.
const sourceAware = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

const json = {
  read: (payload: Buffer): unknown => JSON.parse(payload.toString()),
  write: (row: unknown): Buffer => Buffer.from(JSON.stringify(row)),
  plain: (row: Row): unknown => row,
};
const csv = {
  read: (payload: Buffer): unknown => parse(payload),
  write: (row: unknown): Buffer => Buffer.from(stringify([row as unknown[]])),
  plain: (row: Row): unknown => Object.values(row),
};
const newline = { method: 'newline' } as const;

const cborEncoder = new cborX.Encoder({ useRecords: false, variableMapSize: true });
const cbor = {
  read: (payload: Buffer): unknown => cborEncoder.decode(payload),
  write: (row: unknown): Buffer => cborEncoder.encode(row),
  plain: (row: Row): unknown => row,
};
const packr = new Packr({ useRecords: false });
const msgpack = {
  read: (payload: Buffer): unknown => packr.unpack(payload),
  write: (row: unknown): Buffer => packr.pack(row),
  plain: (row: Row): unknown => row,
};

/** These two libraries represent times as Dates and decimals as doubles. */
const dated = ({ price, at, ...row }: Row): unknown => ({
  ...row,
  price: Number(price),
  at: new Date(Number(at)),
});

/** Reads and writes the same digits as Penstock, with the means of the language and the libraries. */
const exactly = {
  json: {
    read: (payload: Buffer): unknown => {
      const { at, ...row } = sourceAware.parse(payload.toString(), (key, value, { source }) => {
        if (key === 'seq') return BigInt(source as string);
        return key === 'price' ? source : value;
      }) as { at: string };
      return { ...row, at: BigInt(Date.parse(at)) };
    },
    write: ({ seq, price, at, ...row }: Row): Buffer => {
      const exact = { seq: sourceAware.rawJSON(String(seq)), price: sourceAware.rawJSON(price as string) };
      return Buffer.from(JSON.stringify({ ...row, ...exact, at: new Date(Number(at)).toISOString() }));
    },
  },
  msgpack: {
    read: (payload: Buffer): unknown => {
      const { seq, at, ...row } = packr.unpack(payload) as Record<string, unknown>;
      const { seconds, nanoseconds } = at as { seconds: bigint; nanoseconds: bigint };
      return { ...row, seq: BigInt(seq as bigint), at: seconds * 1000n + nanoseconds / 1_000_000n };
    },
    write: ({ at, ...row }: Row): Buffer => packr.pack({ ...row, at: new Date(Number(at)) }),
  },
  cbor: {
    read: (payload: Buffer): unknown => {
      const { seq, price, at, ...row } = cborEncoder.decode(payload) as Record<string, unknown>;
      const [exponent, mantissa] = (price as cborX.Tag).value as [number, number | bigint];
      const digits = String(mantissa).padStart(1 - exponent, '0');
      const text = `${digits.slice(0, exponent)}.${digits.slice(exponent)}`;
      return {
        ...row,
        seq: BigInt(seq as bigint),
        price: text,
        at: BigInt(Date.parse((at as cborX.Tag).value as string)),
      };
    },
    write: ({ seq, price, at, ...row }: Row): Buffer => {
      const mantissa = BigInt((price as string).replace('.', ''));
      const time = new cborX.Tag(new Date(Number(at)).toISOString(), 0);
      return cborEncoder.encode({ ...row, seq, price: new cborX.Tag([-2, mantissa], 4), at: time });
    },
  },
};

const avroSchema = {
  type: 'record',
  name: 'row',
  fields: [
    { name: 'device', type: 'string' },
    { name: 'seq', type: 'int' },
    { name: 'celsius', type: ['null', 'double'] },
    { name: 'ok', type: ['null', 'boolean'] },
    { name: 'site', type: ['null', 'string'] },
  ],
} as const;
const avroType = avsc.Type.forSchema(avroSchema as unknown as avsc.Schema);

const protoSchema = `syntax = "proto3";
message Row {
  string device = 1;
  int32 seq = 2;
  optional double celsius = 3;
  optional bool ok = 4;
  optional string site = 5;
}`;
const exactProtoSchema = protoSchema.replace('}', '  int64 total = 6;\n}');
const exactProtoRows = rows.map(
  (row, index): Row => ({ ...row, total: 9_007_199_254_740_993n + BigInt(index) }),
);

function protobufCase(text: string) {
  const type = protobuf.parse(text, { keepCase: true }).root.lookupType('Row');
  return {
    schema: {
      format: { type: 'protobuf' },
      definition: { type: 'protobuf_schema', schema: text },
    } satisfies ConnectionSchema,
    read: (payload: Buffer) => type.decode(payload),
    write: (row: unknown) => type.encode(row as object).finish() as Buffer,
    plain: (row: Row) =>
      type.fromObject(row.total === undefined ? row : { ...row, total: String(row.total) }),
  };
}

export const formatCases: readonly FormatCase[] = [
  { name: 'json', schema: { format: { type: 'json' }, fields }, rows, ...json },
  {
    name: 'json, exact types',
    schema: { format: { type: 'json' }, fields: exactFields },
    rows: exactRows,
    ...json,
    plain: exactPlain,
  },
  {
    name: 'json, exact types, both exact',
    schema: { format: { type: 'json' }, fields: exactFields },
    rows: exactRows,
    read: exactly.json.read,
    write: (row) => exactly.json.write(row as Row),
    plain: (row) => row,
  },
  {
    name: 'json lines',
    schema: { format: { type: 'json' }, framing: newline, fields },
    rows,
    ...json,
    read: (payload) =>
      payload
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
  },
  {
    name: 'json, gzip',
    schema: { format: { type: 'json', compression: 'gzip' }, fields },
    rows,
    ...json,
    read: (payload) => JSON.parse(gunzipSync(payload).toString()),
    write: (row) => gzipSync(JSON.stringify(row)),
  },
  { name: 'csv', schema: { format: { type: 'csv' }, fields }, rows, ...csv },
  { name: 'csv lines', schema: { format: { type: 'csv' }, framing: newline, fields }, rows, ...csv },
  {
    name: 'raw_string',
    schema: { format: { type: 'raw_string' }, fields: [{ name: 'value', type: 'string' }] },
    rows: rows.map((row) => ({ value: JSON.stringify(row) })),
    read: (payload) => ({ value: payload.toString() }),
    write: (row) => Buffer.from(row as string),
    plain: ({ value }) => value,
  },
  { name: 'cbor', schema: { format: { type: 'cbor' }, fields }, rows, ...cbor },
  {
    name: 'cbor, exact types',
    schema: { format: { type: 'cbor' }, fields: exactFields },
    rows: exactRows,
    ...cbor,
    plain: dated,
  },
  {
    name: 'cbor, exact types, both exact',
    schema: { format: { type: 'cbor' }, fields: exactFields },
    rows: exactRows,
    read: exactly.cbor.read,
    write: (row) => exactly.cbor.write(row as Row),
    plain: (row) => row,
  },
  { name: 'msgpack', schema: { format: { type: 'msgpack' }, fields }, rows, ...msgpack },
  {
    name: 'msgpack, exact types',
    schema: { format: { type: 'msgpack' }, fields: exactFields },
    rows: exactRows,
    ...msgpack,
    plain: dated,
  },
  {
    name: 'msgpack, exact types, both exact',
    schema: { format: { type: 'msgpack' }, fields: exactFields },
    rows: exactRows,
    read: exactly.msgpack.read,
    write: (row) => exactly.msgpack.write(row as Row),
    plain: (row) => row,
  },
  {
    name: 'avro, raw datums',
    schema: {
      format: { type: 'avro', raw_datums: true },
      definition: { type: 'avro_schema', schema: JSON.stringify(avroSchema) },
    },
    rows,
    read: (payload) => avroType.fromBuffer(payload),
    write: (row) => avroType.toBuffer(row),
    plain: (row) => row,
  },
  { name: 'protobuf', rows, ...protobufCase(protoSchema) },
  { name: 'protobuf, exact types', rows: exactProtoRows, ...protobufCase(exactProtoSchema) },
];
