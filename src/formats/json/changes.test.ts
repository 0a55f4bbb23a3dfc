import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { expandSchema } from '../codec.ts';
import type { Row } from '../format.ts';
import type { ConnectionSchema } from '../schema/schema.ts';
import { changeReader, codecsBetween } from './changes.ts';

const schema = (more: object = {}): ConnectionSchema =>
  expandSchema({
    format: { type: 'json', debezium: true, ...more },
    fields: [
      { name: 'id', type: 'int64', required: true },
      { name: 'n', type: 'int32' },
    ],
  });

/** Passes messages on, without the rows whose `n` is negative; 13 is bad. */
function passed(changes: ReturnType<typeof codecsBetween>, ...messages: unknown[]): unknown[] {
  const inputs = messages.flatMap(
    (message) => changes.source.decodeAll?.(Buffer.from(JSON.stringify(message))) ?? [],
  );
  const kept = inputs.map((row, index) => ({ row, index })).filter(({ row }) => Number(row.n) >= 0);
  const good = kept.filter(({ row }) => row.n !== 13);
  const bad = kept.filter(({ row }) => row.n === 13).map(({ index }) => ({ index }));
  const results = {
    rows: good.map(({ row }) => ({ ...row }) as Row),
    origin: good.map(({ index }) => index),
    bad,
  };
  return results.rows.flatMap((_, index) => {
    const payload = changes.encode(inputs, results, index);
    return payload ? [JSON.parse(payload.toString())] : [];
  });
}

const plain = codecsBetween(schema(), schema());
const [one, two] = [
  { id: 1, n: 1 },
  { id: 1, n: 2 },
];
const hidden = { id: 1, n: -1 };
const broken = { id: 1, n: 13 };

test.each([
  ['an insert', { before: null, after: one, op: 'c' }, [{ before: null, after: one, op: 'c' }]],
  ['a snapshot', { before: null, after: one, op: 'r' }, [{ before: null, after: one, op: 'c' }]],
  ['an update', { before: one, after: two, op: 'u' }, [{ before: one, after: two, op: 'u' }]],
  ['a delete', { before: one, after: null, op: 'd' }, [{ before: one, after: null, op: 'd' }]],
  [
    'an update without its state before',
    { before: null, after: two, op: 'u' },
    [{ before: null, after: two, op: 'u' }],
  ],
  [
    'an update out of the filter',
    { before: one, after: hidden, op: 'u' },
    [{ before: one, after: null, op: 'd' }],
  ],
  [
    'an update into the filter',
    { before: hidden, after: two, op: 'u' },
    [{ before: null, after: two, op: 'c' }],
  ],
  ['an update beside the filter', { before: hidden, after: hidden, op: 'u' }, []],
  ['a delete that the filter drops', { before: hidden, after: null, op: 'd' }, []],
  ['an update whose new state is bad: no delete', { before: one, after: broken, op: 'u' }, []],
  [
    'an update whose old state is bad',
    { before: broken, after: two, op: 'u' },
    [{ before: null, after: two, op: 'u' }],
  ],
])('%s', (_, message, wanted) => {
  expect(passed(plain, message)).toEqual(wanted);
});

test('several changes in a row stay apart and in order', () => {
  const changes = [
    { before: null, after: one, op: 'c' },
    { before: one, after: two, op: 'u' },
    { before: two, after: null, op: 'd' },
  ];
  expect(passed(plain, ...changes, ...changes)).toEqual([...changes, ...changes]);
});

test('pass between tables with and without the envelope of Kafka Connect', () => {
  const changes = codecsBetween(schema({ include_schema: true }), schema());
  const payload = { before: one, after: null, op: 'd' };
  expect(passed(changes, { schema: {}, payload })).toEqual([payload]);
});

test.each([
  [{ op: 'd', before: null, after: null }, 'is required in a delete but missing'],
  [{ op: 'd', before: { n: 1 }, after: null }, 'is required but missing'],
  [{ op: 'u', before: { id: 'x' }, after: one }, 'is not'],
  [{ op: 'x', after: one }, 'is not one of c, r, u and d'],
  [{ before: one }, 'is required but missing'],
  [5, 'is not an object'],
])('%j is bad data', (message, problem) => {
  expect(() => passed(plain, message)).toThrow(problem);
});

test.each([
  [schema(), schema({ debezium: false })],
  [schema({ compression: 'gzip' }), schema()],
  [{ ...schema(), framing: { method: 'newline' as const } }, schema()],
])('between other tables a row is a row', (source, target) => {
  const { source: codec, encode } = codecsBetween(source, target);
  expect(encode([], { rows: [{ id: 1n, n: 1 }], origin: [0], bad: [] }, 0)?.toString()).toContain('"id":1');
  expect(() => codec.decode(Buffer.from('{"op":"d","before":{"id":1}}'))).toThrow();
});

describe('a reader of changes', () => {
  const read = (source: ConnectionSchema, message: unknown) => {
    const changes = changeReader(source);
    if (!changes) throw new Error('no changes');
    const payload = Buffer.isBuffer(message) ? message : Buffer.from(JSON.stringify(message));
    return (changes.codec.decodeAll?.(payload) ?? []).map((row) => [changes.effectOf(row), row.n]);
  };
  const keyed = { ...schema(), primary_keys: ['id'] };

  test.each([
    [{ before: null, after: one, op: 'c' }, [['insert', 1]]],
    [{ before: null, after: one, op: 'r' }, [['insert', 1]]],
    [{ before: one, after: null, op: 'd' }, [['retract', 1]]],
    [
      { before: one, after: two, op: 'u' },
      [
        ['retract', 1],
        ['insert', 2],
      ],
    ],
  ])('says what each row does: %j', (message, effects) => {
    expect(read(schema(), message)).toEqual(effects);
    expect(read(keyed, message)).toEqual(effects);
    expect(read(schema({ compression: 'gzip' }), gzipSync(JSON.stringify(message)))).toEqual(effects);
    expect(read(schema({ include_schema: true }), { schema: {}, payload: message })).toEqual(effects);
  });

  test('needs a primary key for an update without the state before', () => {
    const update = { before: null, after: two, op: 'u' };
    expect(read(keyed, update)).toEqual([['replace', 2]]);
    expect(changeReader(keyed)?.key).toEqual(['id']);
    expect(() => read(schema(), update)).toThrow('is required in an update of a table without PRIMARY KEY');
  });

  test('needs only the primary key in the state before', () => {
    const strict = { ...keyed, fields: keyed.fields?.map((field) => ({ ...field, required: true })) ?? [] };
    const { primary_keys: _, ...without } = strict;
    const gone = { before: { id: 1 }, after: null, op: 'd' };
    expect(read(strict, gone)).toEqual([['retract', null]]);
    expect(() => read(without, gone)).toThrow('is required but missing');
    expect(() => read(strict, { before: { n: 1 }, op: 'd' })).toThrow('is required but missing');
  });

  test('is there for Debezium without lines only', () => {
    expect(changeReader(schema({ debezium: false }))).toBeUndefined();
    expect(changeReader({ ...schema(), framing: { method: 'newline' } })).toBeUndefined();
  });
});

test('changes pass with the header of Confluent', () => {
  const headed = schema({ confluent_header: true, schema_id: 5 });
  const { source, encode } = codecsBetween(headed, headed);
  const message = Buffer.concat([
    Buffer.from([0, 0, 0, 0, 5]),
    Buffer.from(JSON.stringify({ before: one, after: null, op: 'd' })),
  ]);
  const rows = source.decodeAll?.(message) ?? [];
  expect(encode(rows, { rows, origin: [0], bad: [] }, 0)).toEqual(message);
});
