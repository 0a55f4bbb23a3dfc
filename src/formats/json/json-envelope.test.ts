import { describe, expect, test } from 'vitest';
import { codecFor } from '../codec.ts';
import type { FormatOf } from '../format.ts';
import type { Field } from '../schema/schema.ts';

const fields: Field[] = [
  { name: 'id', type: 'int64', required: true },
  { name: 'price', type: 'decimal128', precision: 10, scale: 2 },
  { name: 'topic', type: 'string', metadata_key: 'topic' },
];
const json = (options: Partial<FormatOf<'json'>>, columns = fields) =>
  codecFor({ format: { type: 'json', ...options }, fields: columns });
const refusal = (path: string, message: string) =>
  expect.objectContaining({ code: 'bad_data', errors: [{ path, message }] });

describe('a Debezium envelope', () => {
  const codec = json({ debezium: true, decimal_encoding: 'bytes', timestamp_format: 'unix_millis' });
  const row = { id: 9007199254740993n, price: '-12.50', topic: null };

  // As Debezium's PostgreSQL connector writes it without schemas.
  const change = (op: string, after: string) =>
    Buffer.from(
      `{"before":{"id":1,"price":"AA=="},"after":${after},"source":{"connector":"postgresql","lsn":24023128},` +
        `"op":"${op}","ts_ms":1559033904863,"transaction":null}`,
    );

  test.each(['c', 'r', 'u'])('gives the state after op %s', (op) => {
    expect(codec.decode(change(op, '{"id":9007199254740993,"price":"+x4="}'))).toEqual(row);
  });

  test.each<[string, Buffer, string, string]>([
    ['a delete', change('d', 'null'), '/op', 'is a delete, which a row cannot express'],
    ['a truncation', change('t', 'null'), '/op', 'is not one of c, r, u and d'],
    ['no state', change('c', 'null'), '/after', 'is not an object'],
    ['no op', Buffer.from('{"after":{"id":1}}'), '/op', 'is required but missing'],
    ['no envelope', Buffer.from('[]'), '', 'is not an object'],
    ['a wrong member', change('c', '{"id":"x"}'), '/after/id', 'is not a whole number'],
    [
      'a long decimal',
      change('c', '{"id":1,"price":"AAAAAAAAAAAAAAAAAAAAAAA="}'),
      '/after/price',
      'has more than 16 bytes, or none',
    ],
  ])('refuses %s', (_name, payload, path, message) => {
    expect(() => codec.decode(payload)).toThrow(refusal(path, message));
  });

  test('makes every row an insert', () => {
    expect(codec.encode(row).toString()).toBe(
      '{"before":null,"after":{"id":9007199254740993,"price":"+x4="},"op":"c"}',
    );
  });
});

describe('the schema of Kafka Connect', () => {
  test('stands beside the payload, whose fields it describes as they are written', () => {
    const columns: Field[] = [
      ...fields,
      { name: 'at', type: 'timestamp', unit: 'microsecond', required: true },
      { name: 'any', type: 'json' },
      { name: 'tags', type: 'list', items: { type: 'string', required: true } },
      { name: 'in', type: 'struct', fields: [{ name: 'f', type: 'float32' }] },
    ];
    const options = {
      include_schema: true,
      timestamp_format: 'unix_millis',
      decimal_encoding: 'bytes',
    } as const;
    const codec = json(options, columns);
    const payload = codec.encode({
      id: 1n,
      price: '0.10',
      at: 1_500_000n,
      any: '{"a":1}',
      tags: ['x'],
      in: { f: 0.5 },
    });
    const logical = 'org.apache.kafka.connect.data';
    expect(JSON.parse(payload.toString())).toEqual({
      schema: {
        type: 'struct',
        name: 'Penstock',
        optional: false,
        fields: [
          { field: 'id', type: 'int64', optional: false },
          {
            field: 'price',
            type: 'bytes',
            optional: true,
            name: `${logical}.Decimal`,
            version: 1,
            parameters: { scale: '2' },
          },
          { field: 'at', type: 'int64', optional: false, name: `${logical}.Timestamp`, version: 1 },
          { field: 'any', type: 'string', optional: true, name: 'io.debezium.data.Json', version: 1 },
          { field: 'tags', type: 'array', optional: true, items: { type: 'string', optional: false } },
          {
            field: 'in',
            type: 'struct',
            optional: true,
            fields: [{ field: 'f', type: 'float', optional: true }],
          },
        ],
      },
      payload: { id: 1, price: 'Cg==', at: 1500, any: '{"a":1}', tags: ['x'], in: { f: 0.5 } },
    });
  });

  test('declares string and double if times or decimals are written so', () => {
    const at: Field[] = [
      { name: 'at', type: 'timestamp' },
      { name: 'd', type: 'decimal128', precision: 5, scale: 1 },
    ];
    const typesOf = (options: Partial<FormatOf<'json'>>) =>
      JSON.parse(
        json({ include_schema: true, ...options }, at)
          .encode({ at: 0n, d: '1.5' })
          .toString(),
      ).schema.fields.map(({ type }: { type: string }) => type);
    expect(typesOf({})).toEqual(['string', 'double']);
    expect(typesOf({ decimal_encoding: 'string' })).toEqual(['string', 'string']);
  });

  test('is around the envelope of Debezium when both are asked for', () => {
    const codec = json({ include_schema: true, debezium: true });
    const { schema, payload } = JSON.parse(codec.encode({ id: 1n, price: '1.50' }).toString());
    expect(schema.fields.map(({ field }: { field: string }) => field)).toEqual(['before', 'after', 'op']);
    expect(payload).toEqual({ before: null, after: { id: 1, price: 1.5 }, op: 'c' });
    expect(() => codec.decode(Buffer.from('{"payload":{"op":"d"}}'))).toThrow(
      refusal('/payload/op', 'is a delete, which a row cannot express'),
    );
  });

  test('is ignored when reading, in favour of the fields of the table', () => {
    const codec = json({ include_schema: true });
    expect(codec.decode(Buffer.from('{"schema":17,"payload":{"id":1,"more":2}}'))).toMatchObject({ id: 1n });
    expect(() => codec.decode(Buffer.from('{"id":1}'))).toThrow(
      refusal('/payload', 'is required but missing'),
    );
    expect(() => codec.decode(Buffer.from('{"payload":{"id":true}}'))).toThrow(
      refusal('/payload/id', 'is not a whole number'),
    );
  });
});
