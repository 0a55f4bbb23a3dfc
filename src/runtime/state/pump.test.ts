import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planned } from '../../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../../test/support/example-catalog.ts';
import { World } from '../../../test/support/pump-world.ts';
import { forms, queries, updates } from '../../../test/support/window-queries.ts';

const soak = process.env.PENSTOCK_SOAK === '1';

/** The results of the pump are those of one query over all rows, whatever the batches and whenever it is killed. */

const source = (name: string, dedupes: boolean) => ({
  ...storedTable(name, 'source', [
    { name: 'id', type: 'int64' },
    { name: 'k', type: 'string' },
    { name: 'v', type: 'int64' },
    { name: 'ts', type: 'timestamp' },
  ]),
  eventTime: 'ts',
  watermark: `"ts" - INTERVAL '5 seconds'`,
  ...(dedupes && { time: { dedupe: { columns: ['id'], horizonMs: 3_600_000 } } }),
});

const catalogOf = (dedupes: boolean) => exampleCatalog(source('a', dedupes), source('b', dedupes));
const out = `CREATE TABLE out WITH (connector = 'mqtt', type = 'sink', topic = 'out', format = 'json');
INSERT INTO out `;

interface Line {
  id: number;
  k: string | null;
  v: number | null;
  ms: number;
}

const textOf = ({ id, k, v, ms }: Line) =>
  JSON.stringify({ id, k, v, ts: new Date(base + ms).toISOString() });
const base = Date.UTC(2026, 0, 1);

const line = fc.record({
  k: fc.constantFrom(null, 'a', 'b', 'c'),
  v: fc.option(fc.integer({ min: -5, max: 5 }), { freq: 8 }),
  ms: fc.integer({ min: -20, max: 20_000 }),
  jitter: fc.integer({ min: 0, max: 4999 }),
});

/** Rows in an order within the bound of the watermark, in batches. */
const lines = fc
  .record({ rows: fc.array(line, { maxLength: 60 }), sizes: fc.array(fc.integer({ min: 1, max: 25 })) })
  .map(({ rows, sizes }) => {
    const sorted = rows.toSorted((one, other) => one.ms + one.jitter - other.ms - other.jitter);
    const left = sorted.map(({ k, v, ms }, id): Line => ({ id, k, v, ms }));
    const batches: Line[][] = [];
    for (let index = 0; left.length > 0; index++) batches.push(left.splice(0, sizes[index] ?? 10));
    return batches;
  });

const duckdb = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect();
let tables = 0;

async function expected(sql: string, inputs: readonly Line[][][]): Promise<string[]> {
  tables += 1;
  const number = tables;
  const names = ['a', 'b'].map((name) => `${name}${number}`);
  for (const [index, name] of names.entries()) {
    await duckdb.run(`CREATE TABLE ${name} (id BIGINT, k VARCHAR, v BIGINT, ts TIMESTAMP)`);
    for (const { id, k, v, ms } of (inputs[index] ?? []).flat())
      await duckdb.run(
        `INSERT INTO ${name} VALUES (${id}, ${k === null ? 'NULL' : `'${k}'`}, ${v}, epoch_ms(${base + ms}))`,
      );
  }
  const text = sql.replace(/\b(FROM|JOIN) (a|b)\b/g, (_, word, name) => `${word} ${name}${number}`);
  const reader = await duckdb.runAndReadAll(text);
  const found = reader.getRowObjectsJson().map((row) => JSON.stringify(plain(row)));
  for (const name of names) await duckdb.run(`DROP TABLE ${name}`);
  return found.sort();
}

/** Numbers of 64 bits are texts in DuckDB's JSON. */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  return typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
};

const kills = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 });

async function check(name: string, exact: boolean, inputs: Line[][][], killed: number[]): Promise<void> {
  const [stream, table] = { ...queries, ...forms }[name] as [string, string];
  const { insert } = await planned(`${out}${stream}`, catalogOf(!exact));
  const order = [insert.source, ...(insert.others ?? []).map(({ source }) => source)].map((one) => one.name);
  const given = order.map((one) => inputs[one === 'a' ? 0 : 1] as Line[][]);
  const world = new World({
    insert,
    inputs: given.map((one) => one.map((batch) => batch.map(textOf))),
    exact,
  });
  for (const after of killed) if (await world.run(after)) break;
  await world.run();
  const texts = world.written.map(({ text }) => JSON.stringify(plain(JSON.parse(text)))).sort();
  const results = exact ? texts : [...new Set(texts)];
  expect(results).toEqual(await expected(table, inputs));
  expect([world.unacknowledged, world.control?.late ?? 0]).toEqual([0, 0]);
}

async function checkUpdates(name: string, inputs: Line[][][], killed: number[]): Promise<void> {
  const [stream, table] = updates[name] as [string, string];
  const { insert } = await planned(`${out.replace("'json'", "'debezium_json'")}${stream}`, catalogOf(false));
  const order = [insert.source, ...(insert.others ?? []).map(({ source }) => source)].map((one) => one.name);
  const given = order.map((one) =>
    (inputs[one === 'a' ? 0 : 1] as Line[][]).map((batch) => batch.map(textOf)),
  );
  const world = new World({ insert, inputs: given, exact: true });
  for (const after of killed) if (await world.run(after)) break;
  await world.run();
  const rows: string[] = [];
  for (const { text } of world.written) {
    const { before, after } = JSON.parse(text);
    if (before) {
      const index = rows.indexOf(JSON.stringify(before));
      expect(index).toBeGreaterThanOrEqual(0);
      rows.splice(index, 1);
    }
    if (after) rows.push(JSON.stringify(after));
  }
  expect(rows.sort()).toEqual(await expected(table, inputs));
}

const minutes = Number(process.env.PENSTOCK_SOAK_MINUTES ?? 2);

test.each([true, false])(
  'results are those of one query over all rows, exactly once: %s',
  async (exact) => {
    let runs = 0;
    const one = (name: string) =>
      fc.assert(
        fc.asyncProperty(lines, lines, kills, async (a, b, killed) => {
          runs += 1;
          await check(name, exact, [a, b], killed);
        }),
        soak
          ? { numRuns: 1_000_000, interruptAfterTimeLimit: minutes * 30_000, endOnFailure: true }
          : { numRuns: 1, endOnFailure: true },
      );
    await Promise.all(Object.keys(queries).map(one));
    if (soak) process.stdout.write(`${runs} runs\n`);
  },
  soak ? minutes * 60_000 + 60_000 : 30_000,
);

test(
  'the changes of results lead to those of one query over all rows',
  async () => {
    const one = (name: string) =>
      fc.assert(
        fc.asyncProperty(lines, lines, kills, (a, b, killed) => checkUpdates(name, [a, b], killed)),
        soak
          ? { numRuns: 1_000_000, interruptAfterTimeLimit: minutes * 10_000, endOnFailure: true }
          : { numRuns: 2, endOnFailure: true },
      );
    await Promise.all(Object.keys(updates).map(one));
  },
  soak ? minutes * 60_000 : 30_000,
);

const checkedForms = Object.keys(forms).filter((_, index) => soak || index % 4 === 1);

test(
  'further forms of a query compute what DuckDB does',
  async () => {
    const one = (name: string) =>
      fc.assert(
        fc.asyncProperty(lines, lines, (a, b) => check(name, true, [a, b], [])),
        { numRuns: soak ? 20 : 1, endOnFailure: true },
      );
    await Promise.all(checkedForms.map(one));
  },
  soak ? 300_000 : 30_000,
);
