import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  allAtOnce,
  history,
  live,
  put,
  resultTexts,
  selectOf,
  statsFields,
  statsSelect,
  timed,
} from '../../../test/support/state-tables.ts';
import { StateSession } from '../engine/state-session.ts';
import type { StatefulSelect, WindowSpec } from '../plan.ts';
import { StateTables } from './tables.ts';

const soak = process.env.PENSTOCK_SOAK === '1';

let opened: StateTables[] = [];
/** Keeps the instance of DuckDB from being started for each test. */
let instance: StateSession;

beforeAll(async () => {
  instance = await StateSession.open();
});

afterAll(() => instance.close());

afterEach(async () => {
  await Promise.all(opened.map((tables) => tables.close()));
  opened = [];
});

async function open(select: StatefulSelect, fields = statsFields): Promise<StateTables> {
  const tables = await StateTables.open(select, fields);
  opened.push(tables);
  return tables;
}

const tumble: WindowSpec = { kind: 'tumble', width: 10 };
const hop: WindowSpec = { kind: 'hop', slide: 5, width: 10 };
const session: WindowSpec = { kind: 'session', gap: 5 };

const unordered = [
  timed('a', 1, -3),
  timed(null, 2, -2),
  timed('a', 3, 4),
  timed(null, 5, 12),
  timed('a', 10, -1),
  timed('b', 2, 2),
];

describe.each([false, true])('windows of rows out of order, folded: %s', (folded) => {
  test.each<[WindowSpec, string[], string[]]>([
    [tumble, ['0 a 2 11 10', '0 null 1 2 2'], ['10 a 1 3 3', '10 b 1 2 2', '20 null 1 5 5']],
    [
      hop,
      ['0 a 2 11 10', '0 null 1 2 2', '5 a 3 14 10', '5 b 1 2 2', '5 null 1 2 2'],
      ['10 a 1 3 3', '10 b 1 2 2', '15 null 1 5 5', '20 null 1 5 5'],
    ],
    [{ kind: 'hop', slide: 10, width: 4 }, ['4 b 1 2 2'], ['14 null 1 5 5']],
    [session, ['3 null 1 2 2', '4 a 2 11 10'], ['17 null 1 5 5', '7 b 1 2 2', '9 a 1 3 3']],
  ])('%j', async (window, early, late) => {
    const tables = await open(statsSelect(window, folded));
    for (const rows of [unordered.slice(0, 4), unordered.slice(4)]) {
      put(tables, rows);
      const [delta] = await tables.take();
      expect(delta).toMatchObject({ leaf: 0, rows: rows.length });
    }
    const first = await tables.closeWindows(undefined, 5n);
    expect((await resultTexts(tables, first)).sort()).toEqual(early);
    await tables.trim(5n);
    // The same call as the one before, as after a restore.
    expect((await tables.closeWindows(5n, 5n)).count).toBe(0);
    const second = await tables.closeWindows(5n, 50n);
    expect(second.count).toBe(late.length);
    expect((await resultTexts(tables, second)).sort()).toEqual(late);
    await tables.trim(50n);
    expect(await tables.size()).toEqual({ rows: 0, bytes: 0 });
    expect(tables.earliest()).toEqual([undefined]);
  });
});

test('sessions with a row in every gap stay open, and rows exactly a gap apart are of two', async () => {
  const tables = await open(statsSelect(session, false));
  put(tables, [timed('a', 1, 0), timed('a', 1, 4), timed('b', 1, 0), timed('b', 1, 5)]);
  await tables.take();
  expect(await resultTexts(tables, await tables.closeWindows(undefined, 8n))).toEqual(['5 b 1 1 1']);
  await tables.trim(8n);
  expect(await tables.openWindows(8n)).toEqual({ count: 2, earliest: 4n });
  put(tables, [timed('a', 1, 8)]);
  await tables.take();
  expect(await resultTexts(tables, await tables.closeWindows(8n, 12n))).toEqual(['10 b 1 1 1']);
  await tables.trim(12n);
  expect(await resultTexts(tables, await tables.closeWindows(12n, 13n))).toEqual(['13 a 3 3 1']);
});

test('rows in very many windows are read by several queries, in order', async () => {
  const wide: WindowSpec = { kind: 'hop', slide: 1, width: 500 };
  const tables = await StateTables.open(statsSelect(wide, false), statsFields, 100);
  opened.push(tables);
  put(tables, [timed('a', 1, 0), timed('b', 1, 10)]);
  await tables.take();
  const ends = Array.from({ length: 510 }, (_, index) => index + 1);
  const expected = ends.flatMap((end) => [...(end <= 500 ? [end] : []), ...(end > 10 ? [end] : [])]);
  const texts = await resultTexts(tables, await tables.closeWindows(undefined, 5000n));
  expect(texts.map((text) => Number(text.split(' ')[0]))).toEqual(expected);
});

describe.each([false, true])('the union of what closes is the query over all rows, folded: %s', (folded) => {
  test.each<[WindowSpec]>([
    [tumble],
    [{ kind: 'hop', slide: 4, width: 10 }],
    [{ kind: 'hop', slide: 5, width: 15 }],
    [{ kind: 'session', gap: 7 }],
  ])('%j', async (window) => {
    const property = fc.asyncProperty(history, async (past) => {
      const { rows, results } = await live(statsSelect(window, folded), past);
      expect(results.sort()).toEqual(await allAtOnce(window, rows));
    });
    await fc.assert(property, { numRuns: soak ? 300 : 6 });
  });
});

test('values of every type are restored exactly', async () => {
  const fields = [
    { name: 'd', type: 'decimal128', precision: 38, scale: 4 },
    { name: 's', type: 'timestamp', unit: 'second' },
    { name: 'n', type: 'timestamp', unit: 'nanosecond' },
    { name: 'u', type: 'uint64' },
    { name: 'j', type: 'json' },
    { name: 'b', type: 'bytes' },
    { name: 'f', type: 'float32' },
    { name: 'l', type: 'list', items: { type: 'struct', fields: [{ name: 'a b', type: 'timestamp' }] } },
  ] as const;
  const base = selectOf(tumble, 'SELECT "__w", d, s, n, u, j, b, f, l FROM "__leaf0"');
  const [leaf] = base.leaves;
  const select = { ...base, leaves: [{ ...leaf, columns: fields, keys: [] }] } as unknown as StatefulSelect;
  const row = {
    d: '-12345678901234567890.5000',
    s: -5n,
    n: 1_700_000_000_123_456_789n,
    u: 18_446_744_073_709_551_615n,
    j: '{"a":1.50}',
    b: Buffer.from([0, 255]),
    f: Number.NaN,
    l: [{ 'a b': -1n }, null],
  };
  const nothing = Object.fromEntries(fields.map(({ name }) => [name, null]));
  const tables = await open(select, [...fields] as never);
  expect(tables.append(0, [row, { ...row, s: 2n ** 60n }, nothing], [1n, 1n, 1n])).toEqual([1]);
  const restored = await open(select, [...fields] as never);
  await restored.load(await tables.take());
  const { data } = await restored.closeWindows(undefined, 10n);
  for await (const { rows } of restored.readResults(data as Uint8Array)) expect(rows).toEqual([row, nothing]);
});

test('sums beyond 64 bits survive a snapshot, and merging keeps the types of partials', async () => {
  const select = selectOf(
    undefined,
    'SELECT k, CAST(sum(p1) AS VARCHAR), typeof(any_value(p0)) FROM "__leaf0" GROUP BY k',
    true,
  );
  const fields = ['k', 's', 't'].map((name) => ({ name, type: 'string' as const }));
  const max = 2 ** 62;
  let tables = await open(select, fields);
  for (let round = 0; round < 3; round++) {
    const rows = Array.from({ length: 10_000 }, (_, index) => timed(`k${index}`, max, 0));
    put(tables, rows);
    await tables.take();
  }
  // The third batch made it merge.
  expect((await tables.size()).rows).toBe(10_000);
  const segments = await tables.snapshot();
  tables = await open(select, fields);
  await tables.load(segments);
  await tables.load(segments);
  const { count, data } = await tables.changes();
  expect(count).toBe(10_000);
  for await (const changes of tables.readChanges(data as Uint8Array))
    for (const { after } of changes)
      expect(after).toMatchObject({ s: String(6n * BigInt(max)), t: 'BIGINT' });
});

test('a snapshot holds the rows of the moment, while others are added and removed', async () => {
  const tables = await open(statsSelect(tumble, false));
  const many = Array.from({ length: 50_000 }, (_, index) => timed(`k${index % 100}`, index, index % 20));
  put(tables, many);
  await tables.take();
  const taking = tables.snapshot();
  put(tables, [timed('late', 1, 15)]);
  await tables.take();
  await tables.closeWindows(undefined, 10n);
  await tables.trim(10n);
  const restored = await open(statsSelect(tumble, false));
  await restored.load(await taking);
  expect((await restored.size()).rows).toBe(50_000);
  const closed = await restored.closeWindows(10n, 20n);
  expect(closed.count).toBe(50);
});

describe('updating results', () => {
  const read = async (tables: StateTables) => {
    const { data } = await tables.changes();
    const changes: { before?: unknown; after?: unknown }[] = [];
    if (data) for await (const some of tables.readChanges(data)) changes.push(...some);
    return changes;
  };

  test.each([false, true])('are what changed by key, folded: %s', async (folded) => {
    const tables = await open(statsSelect(undefined, folded));
    expect(await read(tables)).toEqual([]);
    put(tables, [timed('a', 1, 0), timed(null, 2, 0)]);
    await tables.take();
    const a = { k: 'a', n: 1n, s: 1n, m: 1n };
    const none = { k: null, n: 1n, s: 2n, m: 2n };
    expect(await read(tables)).toEqual(expect.arrayContaining([{ after: a }, { after: none }]));
    put(tables, [timed('a', 3, 9)]);
    await tables.take();
    expect(await tables.forget(100n)).toBe(0);
    const more = { k: 'a', n: 2n, s: 4n, m: 3n };
    expect(await read(tables)).toEqual([{ before: a, after: more }]);
    expect(await read(tables)).toEqual([]);
    // The group without a name is forgotten silently, and begins anew.
    expect(await tables.forget(5n)).toBe(1);
    put(tables, [timed(null, 7, 10)]);
    await tables.take();
    expect(await read(tables)).toEqual([{ after: { k: null, n: 1n, s: 7n, m: 7n } }]);
  });

  test('retract and insert without a key, go on after a restore, and count equal rows', async () => {
    const select = {
      ...selectOf(undefined, 'SELECT k, v, v, v FROM "__leaf0" WHERE v < (SELECT max(v) FROM "__leaf0")'),
      key: undefined,
    };
    const tables = await open(select);
    put(tables, [timed('x', 1, 0), timed('x', 1, 0), timed('x', 2, 0)]);
    const segments = await tables.take();
    expect(await read(tables)).toHaveLength(2);
    const restored = await open(select);
    await restored.load(segments);
    await restored.prime();
    put(restored, [timed('x', 1, 0), timed('x', 3, 0)]);
    await restored.take();
    const one = { k: 'x', n: 1n, s: 1n, m: 1n };
    const two = { k: 'x', n: 2n, s: 2n, m: 2n };
    expect(await read(restored)).toEqual(expect.arrayContaining([{ after: one }, { after: two }]));
  });
});

test('many small segments are loaded at once', async () => {
  const tables = await open(statsSelect(tumble, true));
  put(tables, [timed('a', 1, 0)]);
  const [delta] = await tables.take();
  const restored = await open(statsSelect(tumble, true));
  await restored.load(Array.from({ length: 600 }, () => delta as NonNullable<typeof delta>));
  expect(await resultTexts(restored, await restored.closeWindows(undefined, 10n))).toEqual([
    '10 a 600 600 1',
  ]);
});

test('a failure on the data says which part failed, but not on which value', async () => {
  const sql = 'SELECT "__w", CAST(concat(k, \'secret\') AS BIGINT), 1, 1, 1 FROM "__leaf0"';
  const tables = await open(selectOf(tumble, sql));
  put(tables, [timed('a', 1, 0)]);
  await tables.take();
  const error = await tables.closeWindows(undefined, 10n).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'window_failed', passing: false });
  expect((error as Error).message).toBe(
    "The aggregates cannot be computed: a value cannot be converted in CAST(concat(k, 'secret') AS BIGINT)",
  );
});

test('a query reaches no file, not even through the folder for Parquet', async () => {
  const select = selectOf(undefined, "SELECT content, 1, 1, 1 FROM read_text('/etc/hostname')");
  await expect(open(select)).rejects.toMatchObject({ code: 'internal' });
});
