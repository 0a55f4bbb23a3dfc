import { expect, test } from 'vitest';
import { MessageEvents } from '../../src/api/connection-tables/message-event.ts';
import { Tail } from '../../src/api/connection-tables/tail.ts';
import { type PreviewBatch, PreviewRows } from '../../src/api/pipelines/preview-rows.ts';
import { connectorFor } from '../../src/connectors/registry.ts';
import { codecFor, expandSchema } from '../../src/formats/codec.ts';
import type { ConnectionSchema } from '../../src/formats/schema/schema.ts';
import { compilePreview } from '../../src/sql/compile.ts';
import { exampleCatalog, storedTable } from '../support/example-catalog.ts';
import { until } from '../support/until.ts';

/** Rows and messages that cannot be shown, between others that can. */

const mqtt = connectorFor('mqtt');
const watched = (payload: Buffer) => ({ payload, metadata: {}, receivedAt: Date.now() });

test.each<[name: string, schema: ConnectionSchema, payload: (seq: number) => Buffer, problem: string]>([
  [
    'a time after the year 9999',
    {
      format: { type: 'json', timestamp_format: 'unix_seconds' },
      fields: [{ name: 'at', type: 'timestamp', unit: 'second' }],
    },
    (seq) => Buffer.from(`{"at":${seq === 1 ? 999_999_999_999_999 : seq}}`),
    'it cannot be shown: The column /at is a time outside the years 0000 to 9999',
  ],
  [
    'a time before the year 0, in milliseconds',
    {
      format: { type: 'msgpack' },
      fields: [{ name: 'at', type: 'timestamp', unit: 'millisecond' }],
    },
    (seq) =>
      codecFor({ format: { type: 'msgpack' }, fields: [{ name: 'at', type: 'int64' }] }).encode({
        at: seq === 1 ? -(2n ** 62n) : 5n,
      }),
    'it cannot be shown: The column /at is a time outside the years',
  ],
  [
    'a row that is too large',
    { format: { type: 'raw_string' }, fields: [{ name: 'value', type: 'string', required: true }] },
    (seq) => Buffer.from('x'.repeat(seq === 1 ? 200_000 : 5)),
    'it is too large to show',
  ],
])('a tail goes on after %s', async (_name, schema, payload, problem) => {
  const tail = new Tail(new MessageEvents(mqtt, expandSchema(schema)), {
    seconds: 60,
    rows: 10,
    rows_per_second: 100,
  });
  for (let seq = 0; seq < 3; seq += 1) tail.deliver(watched(payload(seq)));
  tail.end(new Error('over'));
  const events: Record<string, unknown>[] = [];
  for await (const json of tail.events) events.push(JSON.parse(json));
  expect(events.slice(0, 3).map(({ name, row }) => [name, row === null])).toEqual([
    ['row', false],
    ['row', true],
    ['row', false],
  ]);
  expect(events[1]?.message).toContain(problem);
});

test('a tail goes on after a message that an error in Penstock keeps from being shown', () => {
  const logged: unknown[] = [];
  const events = new MessageEvents(
    mqtt,
    { format: { type: 'json' }, fields: [{ name: 'a', type: 'int32' }] },
    { unexpected: (error) => logged.push(error) },
  );
  const payload = Buffer.from('{"a":1}');
  payload.toString = () => {
    throw new TypeError('a bug');
  };
  const [event] = events.show(watched(payload));
  expect(JSON.parse(event?.json ?? '')).toMatchObject({ name: 'bad_message', code: 'internal' });
  expect(logged).toEqual([expect.any(TypeError)]);
});

test.each([
  ['a json column that is no JSON', "CAST('{\"a\":' || s || '}' AS JSON)", 'NaN'],
  ['a time after the year 9999', 'make_timestamp_ms(CAST(s AS BIGINT))', '900000000000000'],
  ['a row that is too large', 'repeat(s, 1000)', 'x'.repeat(100)],
])('a preview goes on after %s', async (_name, expression, odd) => {
  const catalog = exampleCatalog(storedTable('r', 'source', [{ name: 's', type: 'string' }]));
  const [plan] = await compilePreview(`SELECT ${expression} AS x FROM r`, catalog);
  if (!plan) throw new Error('no plan');
  const batches: PreviewBatch[] = [];
  const failures: unknown[] = [];
  const rows = await PreviewRows.open(plan, {
    onBatch: (batch) => batches.push(batch),
    onLeftOut: () => {},
    onError: (error) => failures.push(error),
  });
  for (const s of ['1', odd, '2']) rows.deliver(watched(Buffer.from(JSON.stringify({ s }))));
  await until('three are shown', () => batches.flatMap(({ rows, bad }) => [...rows, ...bad]).length === 3);
  expect(batches.flatMap((batch) => batch.rows)).toHaveLength(2);
  expect(batches.flatMap(({ bad }) => bad.map(({ message }) => message))).toEqual([
    expect.stringMatching(/^The row is computed; it (?:cannot be shown: .*|is too large to show)$/),
  ]);
  expect(failures).toEqual([]);
  await rows.close();
});
