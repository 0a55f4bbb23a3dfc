import fc from 'fast-check';
import type { Row } from '../../src/formats/format.ts';
import type { Field } from '../../src/formats/schema/schema.ts';
import { StateSession } from '../../src/sql/engine/state-session.ts';
import type { StatefulSelect, WindowSpec } from '../../src/sql/plan.ts';
import type { Results } from '../../src/sql/state/result-reader.ts';
import type { LeafSegment } from '../../src/sql/state/snapshots.ts';
import { StateTables } from '../../src/sql/state/tables.ts';

/** Selects over one leaf with a group `k` and a value `v`, written by hand. */

const leafFields: Field[] = [
  { name: 'k', type: 'string' },
  { name: 'v', type: 'int64' },
];

export const statsFields: Field[] = [
  { name: 'k', type: 'string' },
  { name: 'n', type: 'int64' },
  { name: 's', type: 'int64' },
  { name: 'm', type: 'int64' },
];

const partials = [
  { name: 'p0', sql: 'count(*)', merge: 'sum' },
  { name: 'p1', sql: 'sum(v)', merge: 'sum' },
  { name: 'p2', sql: 'max(v)', merge: 'max' },
] as const;

/** Count, sum and maximum by group. */
export function statsSelect(window: WindowSpec | undefined, folded: boolean): StatefulSelect {
  const columns = folded
    ? 'CAST(sum(p0) AS BIGINT), CAST(sum(p1) AS BIGINT), max(p2)'
    : 'count(*), CAST(sum(v) AS BIGINT), max(v)';
  return selectOf(
    window,
    `SELECT ${window ? '"__w", ' : ''}k, ${columns} FROM "__leaf0" GROUP BY ALL`,
    folded,
  );
}

export function selectOf(window: WindowSpec | undefined, sql: string, folded = false): StatefulSelect {
  const leaf = {
    name: '__leaf0',
    inputs: [],
    columns: leafFields,
    times: { event: false, watermark: false },
    keys: ['k'],
    ...(folded && { fold: { partials } }),
  };
  const limits = { maxStateBytes: 1e9, whenFull: 'fail', ttl: 1e12 } as const;
  return {
    kind: 'stateful',
    window,
    leaves: [leaf],
    clocks: [],
    sql,
    key: window ? undefined : ['k'],
    limits,
  };
}

export interface TimedRow {
  k: string | null;
  v: bigint;
  at: bigint;
}

export const timed = (k: string | null, v: number, at: number): TimedRow => ({
  k,
  v: BigInt(v),
  at: BigInt(at),
});

export function put(tables: StateTables, rows: readonly TimedRow[]): void {
  const refused = tables.append(
    0,
    rows.map(({ k, v }) => ({ k, v })),
    rows.map(({ at }) => at),
  );
  if (refused.length > 0) throw new Error('rows were refused');
}

/** The rows of results as texts: the end of the window, then the values. */
export async function resultTexts(tables: StateTables, { data }: Results): Promise<string[]> {
  const texts: string[] = [];
  if (!data) return texts;
  for await (const { rows, ends } of tables.readResults(data))
    texts.push(...rows.map((row: Row, index) => [ends[index], ...Object.values(row)].map(String).join(' ')));
  return texts;
}

/** What the windows of all rows give, computed by one query each that shares nothing with the tables. */
export async function allAtOnce(window: WindowSpec, rows: readonly TimedRow[]): Promise<string[]> {
  if (rows.length === 0) return [];
  const values = rows.map(({ k, v, at }) => `(${k === null ? 'NULL' : `'${k}'`}, ${v}, ${at}::BIGINT)`);
  const all = `(SELECT * FROM (VALUES ${values.join(', ')}) AS r(k, v, t))`;
  const stats = "concat_ws(' ', e, COALESCE(k, 'null'), count(*), sum(v), max(v))";
  const texts = `SELECT ${stats} AS line FROM (${endsOf(window, all)}) GROUP BY e, k`;
  const session = await StateSession.open();
  try {
    const [lines] = await session.first(`SELECT string_agg(line, '\n') FROM (${texts})`);
    return String(lines).split('\n').sort();
  } finally {
    session.close();
  }
}

function endsOf(window: WindowSpec, all: string): string {
  if (window.kind === 'session') {
    const starts = `SELECT *, COALESCE(t - lag(t) OVER w >= ${window.gap}, true) AS s FROM ${all} WINDOW w AS (PARTITION BY k ORDER BY t)`;
    const numbers = `SELECT *, sum(s::INT) OVER (PARTITION BY k ORDER BY t RANGE UNBOUNDED PRECEDING) AS i FROM (${starts})`;
    return `SELECT *, max(t) OVER (PARTITION BY k, i) + ${window.gap} AS e FROM (${numbers})`;
  }
  const slide = window.kind === 'hop' ? window.slide : window.width;
  const ends = `SELECT unnest(range(-100, 400)) * ${slide} + ${window.width} AS e`;
  return `SELECT k, v, e FROM ${all} JOIN (${ends}) ON t < e AND t >= e - ${window.width}`;
}

/** One commit: rows ahead of the watermark, how far it moves, and what happens then. */
interface Step {
  rows: { k: string | null; v: bigint; ahead: bigint }[];
  advance: bigint;
  event: 'none' | 'kill' | 'snapshot';
}

const step: fc.Arbitrary<Step> = fc.record({
  rows: fc.array(
    fc.record({
      k: fc.constantFrom('a', 'b', null),
      v: fc.bigInt({ min: -5n, max: 5n }),
      ahead: fc.bigInt({ min: 0n, max: 40n }),
    }),
    { maxLength: 12 },
  ),
  advance: fc.bigInt({ min: 0n, max: 25n }),
  event: fc.constantFrom('none', 'none', 'kill', 'snapshot'),
});

export const history = fc.record({
  /** Of the clock; often before 1970. */
  start: fc.bigInt({ min: -150n, max: 30n }),
  steps: fc.array(step, { minLength: 1, maxLength: 7 }),
});

/** Few, so that windows that close together are divided. */
const rowsAtOnce = 20;

/** Feeds a history as the runtime does. Returns all rows, and all that closed. */
export async function live(
  select: StatefulSelect,
  { start, steps }: { start: bigint; steps: readonly Step[] },
): Promise<{ rows: TimedRow[]; results: string[] }> {
  let tables = await StateTables.open(select, statsFields, rowsAtOnce);
  let segments: LeafSegment[] = [];
  let watermark = start;
  let closedUntil: bigint | undefined;
  const all: TimedRow[] = [];
  const results: string[] = [];
  const closeTo = async (until: bigint) => {
    results.push(...(await resultTexts(tables, await tables.closeWindows(closedUntil, until))));
    await tables.trim(until);
    closedUntil = until;
  };
  try {
    for (const { rows, advance, event } of steps) {
      const base = watermark;
      const batch = rows.map(({ ahead, ...row }) => ({ ...row, at: base + ahead }));
      all.push(...batch);
      put(tables, batch);
      segments.push(...(await tables.take()));
      watermark += advance;
      await closeTo(watermark);
      if (event === 'snapshot') segments = await tables.snapshot();
      if (event !== 'kill') continue;
      await tables.close();
      tables = await StateTables.open(select, statsFields, rowsAtOnce);
      await tables.load(segments);
      await tables.trim(watermark);
    }
    await closeTo(watermark + 1000n);
    return { rows: all, results };
  } finally {
    await tables.close();
  }
}
