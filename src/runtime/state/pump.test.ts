import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planned } from '../../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../../test/support/example-catalog.ts';
import { World } from '../../../test/support/pump-world.ts';

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

const tumble = (table: string) =>
  `SELECT tumble(INTERVAL '4 seconds') AS window, k, count(*) AS n, sum(v) AS t, avg(v) AS m FROM ${table} GROUP BY window, k`;
const bucket = (table: string) =>
  `SELECT time_bucket(INTERVAL '4 seconds', ts) AS s, k, count(*) AS n, CAST(sum(v) AS BIGINT) AS t, avg(v) AS m FROM ${table} GROUP BY ALL`;

/** What a stream computes, and the same for a table. */
const queries: Record<string, [stream: string, table: string]> = {
  'tumble, folded': [
    `SELECT epoch_us(window.start) AS s, k, n, t, m FROM (${tumble('a')})`,
    `SELECT epoch_us(s) AS s, k, n, t, m FROM (${bucket('a')})`,
  ],
  'tumble, rows': [
    `SELECT epoch_us(window.end) AS e, l, n FROM (SELECT tumble(INTERVAL '3 seconds') AS window, list(v ORDER BY id) AS l,
      count(DISTINCT k) AS n FROM a WHERE v > 0 GROUP BY 1)`,
    `SELECT epoch_us(time_bucket(INTERVAL '3 seconds', ts)) + 3000000 AS e, list(v ORDER BY id) AS l, count(DISTINCT k) AS n
      FROM a WHERE v > 0 GROUP BY ALL`,
  ],
  'hop, rows': [
    `SELECT epoch_us(window.start) AS s, k, l FROM (SELECT hop(INTERVAL '2 seconds', INTERVAL '6 seconds') AS window, k,
      list(v ORDER BY id) AS l FROM a GROUP BY 1, 2)`,
    `SELECT epoch_us(s) AS s, k, list(v ORDER BY id) AS l FROM (SELECT *, unnest(generate_series(
      time_bucket(INTERVAL '2 seconds', ts) - INTERVAL '4 seconds', time_bucket(INTERVAL '2 seconds', ts), INTERVAL '2 seconds')) AS s
      FROM a) GROUP BY ALL`,
  ],
  'hop, folded': [
    `SELECT epoch_us(window.start) AS s, k, n FROM (SELECT hop(INTERVAL '3 seconds', INTERVAL '6 seconds') AS window, k,
      sum(v) FILTER (v > 2) AS n FROM a GROUP BY 1, 2) WHERE n IS NOT NULL`,
    `SELECT epoch_us(s) AS s, k, n FROM (SELECT s, k, CAST(sum(v) FILTER (v > 2) AS BIGINT) AS n FROM (SELECT *, unnest(generate_series(
      time_bucket(INTERVAL '3 seconds', ts) - INTERVAL '3 seconds', time_bucket(INTERVAL '3 seconds', ts), INTERVAL '3 seconds')) AS s
      FROM a) GROUP BY s, k) WHERE n IS NOT NULL`,
  ],
  session: [
    `SELECT epoch_us(window.start) AS s, epoch_us(window.end) AS e, k, n FROM (SELECT session(INTERVAL '2 seconds') AS window, k,
      count(*) AS n FROM a GROUP BY 1, 2)`,
    `SELECT min(epoch_us(ts)) AS s, max(epoch_us(ts)) + 2000000 AS e, k, count(*) AS n FROM (SELECT *, count(*) FILTER (b IS NULL OR
      ts - b >= INTERVAL '2 seconds') OVER (PARTITION BY k ORDER BY ts) AS g FROM (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts) AS b FROM a))
      GROUP BY k, g`,
  ],
  join: [
    `SELECT epoch_us(x.window.start) AS s, x.k AS k, x.n AS n, y.t AS t FROM (${tumble('a')}) x
      LEFT JOIN (${tumble('b')}) y ON x.k = y.k AND x.window = y.window`,
    `SELECT epoch_us(x.s) AS s, x.k AS k, x.n AS n, y.t AS t FROM (${bucket('a')}) x LEFT JOIN (${bucket('b')}) y ON x.k = y.k AND x.s = y.s`,
  ],
  'top two': [
    `SELECT epoch_us(window.start) AS s, k, n, r FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window ORDER BY n DESC, k) AS r
      FROM (${tumble('a')})) WHERE r <= 2`,
    `SELECT epoch_us(s) AS s, k, n, r FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s ORDER BY n DESC, k) AS r FROM (${bucket('a')})) WHERE r <= 2`,
  ],
  'union below': [
    `SELECT epoch_us(window.start) AS s, n FROM (SELECT tumble(INTERVAL '4 seconds') AS window, count(*) AS n
      FROM (SELECT ts, k FROM a UNION ALL SELECT ts, k FROM b) GROUP BY 1)`,
    `SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, count(*) AS n FROM (SELECT ts FROM a UNION ALL SELECT ts FROM b) GROUP BY ALL`,
  ],
};

interface Line {
  id: number;
  k: string | null;
  v: number | null;
  ms: number;
}

const textOf = ({ id, k, v, ms }: Line) => JSON.stringify({ id, k, v, ts: new Date(base + ms).toISOString() });
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
  const text = sql.replace(/\bFROM (a|b)\b/g, (_, name) => `FROM ${name}${number}`);
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
  const [stream, table] = queries[name] as [string, string];
  const { insert } = await planned(`${out}${stream}`, catalogOf(!exact));
  const order = [insert.source, ...(insert.others ?? []).map(({ source }) => source)].map((one) => one.name);
  const given = order.map((one) => inputs[one === 'a' ? 0 : 1] as Line[][]);
  const world = new World({ insert, inputs: given.map((one) => one.map((batch) => batch.map(textOf))), exact });
  for (const after of killed) if (await world.run(after)) break;
  await world.run();
  const texts = world.written.map(({ text }) => JSON.stringify(plain(JSON.parse(text)))).sort();
  const results = exact ? texts : [...new Set(texts)];
  expect(results).toEqual(await expected(table, inputs));
  expect([world.unacknowledged, world.control?.late ?? 0]).toEqual([0, 0]);
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
    if (soak) console.info(`${runs} runs`);
  },
  soak ? minutes * 60_000 + 60_000 : 30_000,
);
