import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { PenstockError } from '../errors.ts';
import { expandSchema } from '../formats/codec.ts';
import { type Change, takesChanges } from '../formats/json/changes.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { changesEncoder } from './changes.ts';

type ChangesSink = Parameters<typeof changesEncoder>[0];

const fields: ConnectionSchema['fields'] = [
  { name: 'k', type: 'int64', required: true },
  { name: 'n', type: 'int32' },
  { name: 'doc', type: 'json' },
];
const sinkOf = (schema: ConnectionSchema, more: Partial<ChangesSink> = {}): ChangesSink => ({
  schema: expandSchema({ fields, ...schema }),
  ...more,
});
const row = (k: number | null, n: number, doc: string | null = null) => ({
  k: k === null ? null : BigInt(k),
  n,
  doc,
});
const [one, two] = [row(1, 5), row(1, 6)];
const changes: Change[] = [{ after: one }, { before: one, after: two }, { before: two }];
const debezium = (more: object = {}) => ({ type: 'json', debezium: true, ...more }) as const;

function encoded(sink: ChangesSink, given: readonly Change[]) {
  const bad: [number, string][] = [];
  const { messages, origins } = changesEncoder(sink)(given, (index, error: PenstockError) => {
    bad.push([index, error.code]);
  });
  return { messages, origins, bad };
}

const texts = (sink: ChangesSink, given: readonly Change[]) =>
  encoded(sink, given).messages.map(({ payload }) => payload.toString());

test('a sink in Debezium format gets inserts, updates and deletes', () => {
  const sink = sinkOf({ format: debezium() });
  const [c1, c2] = ['{"k":1,"n":5,"doc":null}', '{"k":1,"n":6,"doc":null}'];
  expect(texts(sink, changes)).toEqual([
    `{"before":null,"after":${c1},"op":"c"}`,
    `{"before":${c1},"after":${c2},"op":"u"}`,
    `{"before":${c2},"after":null,"op":"d"}`,
  ]);
  expect(encoded(sink, [{ after: one }, { after: row(null, 1) }, { before: one }])).toMatchObject({
    origins: [0, 2],
    bad: [[1, 'bad_row']],
  });
});

test('its lines, compression, header and outer envelope are kept', () => {
  const insert = '{"before":null,"after":{"k":1,"n":5,"doc":[1, 2]},"op":"c"}';
  const change = [{ after: row(1, 5, '[1,\n2]') }];
  const framed = sinkOf({ format: debezium(), framing: { method: 'newline' } });
  expect(texts(framed, change)).toEqual([`${insert}\n`]);
  const short = sinkOf({ format: debezium(), framing: { method: 'newline', max_line_length: 20 } });
  expect(encoded(short, change).bad).toEqual([[0, 'bad_row']]);
  const packed = encoded(sinkOf({ format: debezium({ compression: 'gzip' }) }), [{ before: one }]);
  expect(gunzipSync(packed.messages[0]?.payload as Buffer).toString()).toContain('"op":"d"');
  const headed = encoded(sinkOf({ format: debezium({ confluent_header: true, schema_id: 7 }) }), change);
  expect(headed.messages[0]?.payload.subarray(0, 6)).toEqual(Buffer.from([0, 0, 0, 0, 7, 0x7b]));
  const outer = sinkOf({ format: debezium({ include_schema: true }) });
  expect(JSON.parse(texts(outer, [{ before: one }])[0] as string)).toMatchObject({ payload: { op: 'd' } });
});

test('a sink that deletes by key gets deletions, then rows', () => {
  const sink = sinkOf({}, { takesRows: true, deletesBy: ['k'] });
  const moved = [
    { before: row(1, 1), after: row(2, 1) },
    { before: row(2, 2), after: row(1, 2) },
    { before: row(3, 3), after: row(3, 4) },
    { before: row(4, 4) },
    { after: row(5, 5) },
    { after: row(null, 6) },
  ];
  const { messages, origins, bad } = encoded(sink, moved);
  expect(messages.map(({ row: { k, n }, deleted }) => [Number(k), n, deleted ?? false])).toEqual([
    [1, 1, true],
    [2, 2, true],
    [4, 4, true],
    [2, 1, false],
    [1, 2, false],
    [3, 4, false],
    [5, 5, false],
  ]);
  expect(origins).toEqual([0, 1, 3, 0, 1, 2, 4]);
  expect(bad).toEqual([[5, 'bad_row']]);
});

test('every sink takes rows that never change', () => {
  expect(texts(sinkOf({ format: { type: 'json' } }), [{ after: one }])).toEqual(['{"k":1,"n":5,"doc":null}']);
  const rows = encoded(sinkOf({}, { takesRows: true }), [{ after: one }]);
  expect(rows.messages).toEqual([{ payload: Buffer.alloc(0), row: one }]);
  expect(() => encoded(sinkOf({ format: { type: 'json' } }), [{ before: one }])).toThrow();
});

test('only Debezium and sinks that delete by key take changes', () => {
  expect(takesChanges(sinkOf({ format: debezium() }))).toBe(true);
  expect(takesChanges(sinkOf({}, { takesRows: true, deletesBy: ['k'] }))).toBe(true);
  expect(takesChanges(sinkOf({}, { takesRows: true }))).toBe(false);
  expect(takesChanges(sinkOf({ format: { type: 'json' } }))).toBe(false);
  expect(takesChanges(sinkOf({ format: { type: 'csv' } }))).toBe(false);
});
