import { describe, expect, test } from 'vitest';
import { codecFor, expandSchema } from '../codec.ts';
import type { Field } from '../schema/schema.ts';
import { AvroInput } from './bytes.ts';
import { rowReader } from './read.ts';
import { parseAvroSchema } from './schema.ts';

/** Data and their JSON as fastavro 1.13.1 writes them with schemaless_writer and json_writer. */
const id = [{ name: 'id', type: 'long' }];
const schema = JSON.stringify({
  type: 'record',
  name: 'R',
  namespace: 'plant',
  fields: [
    {
      name: 'e',
      type: [
        'null',
        { type: 'record', name: 'Start', fields: id },
        { type: 'record', name: 'Stop', fields: id },
        'string',
        'long',
      ],
    },
    { name: 'o', type: ['null', 'long'] },
  ],
});
const codecOf = (options: object) =>
  codecFor(
    expandSchema({
      format: { type: 'avro', raw_datums: true, ...options },
      definition: { type: 'avro_schema', schema },
    }),
  );
const data: [hex: string, e: unknown][] = [
  ['040a0202', { 'plant.Stop': { id: 5 } }],
  ['020a0202', { 'plant.Start': { id: 5 } }],
  ['0602780202', { string: 'x' }],
  ['000202', null],
  ['080e0202', { long: 7 }],
];

describe('with union_branches', () => {
  test.each(data)('%s keeps its branch', (hex, e) => {
    const payload = Buffer.from(hex, 'hex');
    const columns = codecOf({ union_branches: true });
    const row = columns.decode(payload);
    expect(row).toEqual({ e: e === null ? null : JSON.stringify(e), o: 1n });
    expect(columns.encode(row)).toEqual(payload);
    const document = codecOf({ union_branches: true, into_unstructured_json: true });
    expect(JSON.parse(document.decode(payload).value as string)).toEqual({ e, o: 1 });
    expect(document.encode(document.decode(payload))).toEqual(payload);
  });

  test.each([
    '{"Stop":{"id":5}}',
    '{"plant.Stop":{"id":5},"long":1}',
    '{"id":5}',
    '"x"',
    '{"long":"x"}',
    '[]',
  ])('a sink refuses %s', (e) => {
    expect(() => codecOf({ union_branches: true }).encode({ e, o: null })).toThrow(
      'does not fit the Avro schema',
    );
  });

  test('is the same in containers, whose schema comes with them', () => {
    const container = codecFor(
      expandSchema({
        format: { type: 'avro', union_branches: true },
        definition: { type: 'avro_schema', schema },
      }),
    );
    const row = { e: '{"plant.Stop":{"id":5}}', o: null };
    expect(container.decode(container.encode(row))).toEqual(row);
  });
});

test('without it the value stands alone', () => {
  expect(codecOf({}).decode(Buffer.from('040a0202', 'hex'))).toEqual({ e: '{"id":5}', o: 1n });
});

test('records in unions within unions are compiled once for each field', () => {
  const branches = Array.from({ length: 8 }, (_, index) => index);
  /** The first union of a level defines its records; the others name them. */
  const defined = new Set<string>();
  const level = (depth: number): unknown =>
    branches.map((index) => {
      const name = `R${depth}_${index}`;
      if (defined.has(name)) return name;
      defined.add(name);
      return { type: 'record', name, fields: [{ name: 'x', type: depth === 3 ? 'int' : level(depth + 1) }] };
    });
  const { type } = parseAvroSchema(JSON.stringify({ ...(level(0) as object[])[0] }), '');
  let asked = 0;
  const leaf = {
    name: 'x',
    get type() {
      asked += 1;
      return 'int32' as const;
    },
  };
  const nest = (depth: number): Field =>
    depth === 0 ? leaf : { name: 'x', type: 'struct', fields: [nest(depth - 1)] };
  const read = rowReader(type, [nest(3)]);
  // 8 records of the last level, and not 8 * 8 * 8.
  expect(asked).toBeLessThan(100);
  // x is branch 1 of each union, and 5 in the last record.
  expect(read(new AvroInput(Buffer.from('0202020a', 'hex')))).toEqual({ x: { x: { x: { x: 5 } } } });
});
