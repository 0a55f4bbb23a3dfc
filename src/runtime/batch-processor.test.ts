import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Outgoing, Sink } from '../connectors/connector.ts';
import type { Row } from '../formats/format.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { badRow } from '../formats/values/bad.ts';
import type { InsertPlan } from '../sql/plan.ts';
import type { Transform } from '../sql/transform.ts';
import { type Batch, BatchProcessor, type InputMessage, type MessageFailure } from './batch-processor.ts';

/** The division of messages into batches, and the message of each row. */

const fields = [
  { name: 'seq', type: 'int32' as const, required: true },
  { name: 'text', type: 'string' as const },
];
const lines: ConnectionSchema = {
  format: { type: 'json' },
  framing: { method: 'newline' },
  fields,
};

/** Filters out odd rows, and fails row 40. */
const everySecond: Transform = {
  run: async (rows) => {
    const kept = rows.map((row, index) => ({ row, index })).filter(({ row }) => Number(row.seq) % 2 === 0);
    const [good, bad] = [kept.filter(({ row }) => row.seq !== 40), kept.filter(({ row }) => row.seq === 40)];
    return {
      rows: good.map(({ row }) => row),
      origin: good.map(({ index }) => index),
      bad: bad.map(({ index }) => ({ index, error: badRow('/seq', 'is forty') })),
    };
  },
} as Transform;

/** Accepts all rows except 42. */
class Taking implements Pick<Sink, 'write'> {
  readonly written: Row[] = [];

  async write(outgoing: readonly Outgoing[]) {
    const refused = outgoing.findIndex(({ row }) => row.seq === 42);
    this.written.push(...outgoing.filter((_, index) => index !== refused).map(({ row }) => row));
    return refused < 0 ? [] : [{ index: refused, error: badRow('', 'is refused') }];
  }
}

function processorOf(
  schema: ConnectionSchema,
  sink: object = new Taking(),
  transform = everySecond,
): BatchProcessor {
  const insert = {
    source: { schema },
    sink: { schema: { format: { type: 'json' }, fields } },
    select: { kind: 'compiled' },
  } as unknown as InsertPlan;
  return new BatchProcessor(insert, transform, sink as Sink);
}

const messageOf = (payload: string | Buffer, more: object = {}): InputMessage => ({
  payload: Buffer.from(payload as string),
  metadata: {},
  ...more,
});
const linesOf = (from: number, count: number, text = '') =>
  Array.from({ length: count }, (_, index) => JSON.stringify({ seq: from + index, text })).join('\n');

const owned = ({ owners, numbers, rows }: Batch<InputMessage>) =>
  rows.map((row, index) => [owners[index], numbers[index], row.seq]);

describe('batches', () => {
  test('end at 10,000 rows and keep each message whole', () => {
    const messages = [4000, 4000, 4000, 1, 9999].map((count) => messageOf(linesOf(0, count)));
    const batches = [...processorOf(lines).batches(messages, () => {})];
    expect(batches.map((batch) => batch.messages.length)).toEqual([3, 2]);
    expect(batches.map((batch) => batch.rows.length)).toEqual([12_000, 10_000]);
    expect(batches.flatMap((batch) => batch.messages)).toEqual(messages);
    expect(batches.map((batch) => batch.rowCounts)).toEqual([
      [4000, 4000, 4000],
      [1, 9999],
    ]);
    const second = owned(batches[1] as Batch<InputMessage>);
    expect(second[0]).toEqual([0, 0, 0]);
    expect(second[1]).toEqual([1, 0, 0]);
    expect(second.at(-1)).toEqual([1, 9998, 9998]);
  });

  test('end by the unpacked size of messages, which are unpacked only on demand', () => {
    const text = 'x'.repeat(1024 * 1024);
    const packed = gzipSync(linesOf(0, 5, text));
    expect(packed.length).toBeLessThan(32 * 1024);
    let taken = 0;
    function* source() {
      for (; taken < 100; taken += 1) yield messageOf(packed);
    }
    const schema: ConnectionSchema = { ...lines, format: { type: 'json', compression: 'gzip' } };
    const batches = processorOf(schema).batches(source(), () => {});
    const first = batches.next().value as Batch<InputMessage>;
    expect(first.messages.length).toBe(4);
    expect(taken).toBeLessThanOrEqual(4);
    const second = batches.next().value as Batch<InputMessage>;
    expect(second.messages.length).toBe(4);
    expect(taken).toBeLessThanOrEqual(8);
    expect(owned(second).map(([owner, number]) => [owner, number])).toEqual(
      [0, 1, 2, 3].flatMap((owner) => [0, 1, 2, 3, 4].map((number) => [owner, number])),
    );
  });

  test('count a decompression bomb as one bad message and keep the others', () => {
    const bomb = gzipSync(Buffer.alloc(512 * 1024 * 1024));
    const schema: ConnectionSchema = { ...lines, format: { type: 'json', compression: 'gzip' } };
    const messages = [gzipSync(linesOf(0, 2)), bomb, gzipSync(linesOf(2, 1))].map((payload) =>
      messageOf(payload),
    );
    const failed: MessageFailure[] = [];
    const batches = [...processorOf(schema).batches(messages, (failure) => failed.push(failure))];
    expect(batches.map((batch) => batch.messages.length)).toEqual([3]);
    expect(failed).toMatchObject([{ stage: 'decode', row: undefined, error: { code: 'bad_data' } }]);
    expect(batches[0]?.failures.get(1)).toEqual(failed);
    expect(batches[0]?.rowCounts).toEqual([2, undefined, 1]);
    expect(owned(batches[0] as Batch<InputMessage>)).toEqual([
      [0, 0, 0],
      [0, 1, 1],
      [2, 0, 2],
    ]);
  });

  test('record the owner of each failure at every stage', async () => {
    const sink = new Taking();
    const processor = processorOf(lines, sink);
    const messages = ['nonsense\n{"seq":38}', `${linesOf(39, 2)}\n[]\n{"seq":42}`, linesOf(44, 2)].map(
      (text) => messageOf(text),
    );
    const heard: MessageFailure[] = [];
    const [batch, ...more] = [...processor.batches(messages, (failure) => heard.push(failure))];
    expect(more).toEqual([]);
    await processor.prepare(batch as Batch<InputMessage>);
    await processor.write(batch as Batch<InputMessage>);
    const failures = [...(batch as Batch<InputMessage>).failures].map(([message, found]) => [
      message,
      found.map(({ stage, row }) => [stage, row]),
    ]);
    expect(failures).toEqual([
      [0, [['decode', 0]]],
      [
        1,
        [
          ['decode', 2],
          ['transform', 1],
          ['write', 3],
        ],
      ],
    ]);
    expect(heard.length).toBe(4);
    expect(batch?.rowCounts).toEqual([2, 4, 2]);
    expect(sink.written.map(({ seq }) => seq)).toEqual([38, 44]);
    expect(batch?.refused.map(({ row }) => row.seq)).toEqual([42]);
  });

  test('take only the remaining rows of a partly written message, and refuse a changed one', () => {
    const left = { rows: new Set([1, 3]), of: 4 };
    const messages = [messageOf(linesOf(0, 4), { left }), messageOf(linesOf(0, 3), { left })];
    const [batch] = [...processorOf(lines).batches(messages, () => {})];
    expect(owned(batch as Batch<InputMessage>)).toEqual([
      [0, 1, 1],
      [0, 3, 3],
    ]);
    expect([...(batch?.failures.keys() ?? [])]).toEqual([1]);
    expect(batch?.failures.get(1)).toMatchObject([{ stage: 'decode', row: undefined }]);
  });
});

describe('copied texts', () => {
  const schema: ConnectionSchema = {
    format: { type: 'raw_string' },
    fields: [{ name: 'value', type: 'string', required: true }],
  };
  const packed = { ...schema, format: { type: 'raw_string' as const, compression: 'gzip' as const } };
  const copied: Transform = {
    run: (rows) => ({ rows: [...rows], origin: rows.map((_, index) => index), bad: [] }),
    close: async () => {},
  };
  const copying = (source: ConnectionSchema, sink: ConnectionSchema): BatchProcessor => {
    const insert = { source: { schema: source }, sink: { schema: sink }, select: { kind: 'passthrough' } };
    return new BatchProcessor(insert as unknown as InsertPlan, copied, new Taking() as unknown as Sink);
  };

  test('keep their bytes, each its own although others are bad or written already', () => {
    const processor = copying(schema, schema);
    const [one, three] = ['\ufeffone', 'drei ✓'].map((text) => messageOf(text));
    const bad = messageOf(Buffer.from([0xff]));
    const written = messageOf('written', { left: { rows: new Set(), of: 1 } });
    const messages = [one, bad, written, three] as InputMessage[];
    const batch = processor.batch(messages, 0, () => {});
    expect(processor.prepare(batch)).toBeUndefined();
    expect(batch.outgoing.map(({ payload }) => payload)).toEqual([one?.payload, three?.payload]);
    expect([...batch.failures.keys()]).toEqual([1]);
  });

  test.each([
    ['to a compressed table', schema, packed, (bytes: Buffer) => gzipSync(bytes)],
    [
      'to lines',
      schema,
      { ...schema, framing: { method: 'newline' as const } },
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('\n')]),
    ],
  ])('are written as the sink demands: %s', (_where, source, sink, wanted) => {
    const processor = copying(source, sink);
    const message = messageOf('one');
    const batch = processor.batch([message], 0, () => {});
    expect(processor.prepare(batch)).toBeUndefined();
    expect(batch.outgoing[0]?.payload).toEqual(wanted(message.payload));
  });
});

describe('texts that are passed on as they are', () => {
  const text: ConnectionSchema = {
    format: { type: 'raw_string' },
    fields: [{ name: 'value', type: 'string' }],
  };
  const passed: Transform = {
    run: (rows: readonly Row[]) => ({ rows, origin: rows.map((_, index) => index), bad: [] }),
  } as never;
  const rowsOf = async (uses: readonly object[]) => {
    const sink = new Taking();
    const insert = {
      ...{ source: { schema: text }, sink: { schema: text, uses } },
      select: { kind: 'passthrough' },
    } as unknown as InsertPlan;
    const processor = new BatchProcessor(insert, passed, sink as unknown as Sink);
    const failures: MessageFailure[] = [];
    const messages = [messageOf('a'), messageOf(Buffer.of(0xff)), messageOf('b')];
    const batch = processor.batch(messages, 0, (failure) => failures.push(failure));
    await processor.prepare(batch);
    await processor.write(batch);
    expect(batch.outgoing.map(({ payload }) => payload.toString())).toEqual(['a', 'b']);
    expect(failures).toMatchObject([{ stage: 'decode', error: { code: 'bad_data' } }]);
    return sink.written;
  };

  test('are read only if the sink uses the column', async () => {
    expect(await rowsOf([{ path: '/topic', column: 'value' }])).toEqual([{ value: 'a' }, { value: 'b' }]);
    expect(await rowsOf([])).toEqual([{}, {}]);
  });
});
