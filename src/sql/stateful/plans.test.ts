import { describe, expect, test } from 'vitest';
import { anything, planned, refusal } from '../../../test/support/compile-fixtures.ts';
import type { StatefulSelect } from '../plan.ts';

const minute = "tumble(INTERVAL '1 minute')";

async function selectOf(query: string): Promise<StatefulSelect> {
  const { insert } = await planned(`${anything}INSERT INTO copy ${query}`);
  if (insert.select.kind !== 'stateful') throw new Error(`a plan of kind ${insert.select.kind}`);
  return insert.select;
}

describe('one query in several spellings has one plan', () => {
  test.each([
    [`SELECT ${minute} AS window, name, count(*) AS n FROM readings GROUP BY window, name`],
    [`SELECT ${minute} AS window, name, count(*) AS n FROM readings GROUP BY 1, 2`],
    [`SELECT ${minute} AS window, name, count(*) AS n FROM readings GROUP BY ${minute}, name`],
    [`SELECT ${minute} AS window, name, count(*) AS n FROM readings GROUP BY ALL`],
    [`SELECT ${minute} AS window, r.name, count(*) AS n FROM readings r GROUP BY "window", NAME`],
    [
      `SELECT TUMBLE('60 seconds') AS window, readings.Name AS name, count() AS n FROM readings GROUP BY 1, name`,
    ],
    [
      `WITH x AS (SELECT * FROM readings) SELECT ${minute} AS window, name, count(*) AS n FROM x GROUP BY 1, 2`,
    ],
  ])('%s', async (query) => {
    const select = await selectOf(query);
    expect(select).toMatchObject({
      window: { kind: 'tumble', width: 60_000_000 },
      leaves: [{ keys: [expect.any(String)], fold: { partials: [{ merge: 'sum' }] } }],
    });
    expect(select.leaves).toHaveLength(1);
    expect(select.key?.map((name) => name.toLowerCase())).toEqual(['window', 'name']);
  });
});

test.each([
  ['count(DISTINCT name)', false],
  ['list(name ORDER BY id)', false],
  ['string_agg(name)', false],
  ['quantile_cont(celsius, 0.5)', false],
  ['sum(celsius) FILTER (WHERE id > 3)', true],
  ['avg(id)', true],
  ['min(id)', true],
  ['max(name)', true],
  ['max(id, 3)', false],
])('%s is folded: %s', async (aggregate, folded) => {
  const { leaves } = await selectOf(`SELECT name, ${aggregate} AS x FROM readings GROUP BY ${minute}, name`);
  expect(leaves[0]?.fold !== undefined).toBe(folded);
});

test.each([
  [
    `SELECT celsius AS name, count(*) AS n FROM readings GROUP BY ${minute}, name`,
    'celsius must be in GROUP BY',
  ],
  [
    `SELECT id, row_number() OVER (ORDER BY id) AS r FROM (SELECT ${minute} AS w, id FROM readings GROUP BY 1, 2)`,
    'PARTITION BY must have',
  ],
  [
    `SELECT a.n, b.n AS m FROM (SELECT ${minute} AS w, count(*) AS n FROM readings GROUP BY 1) a JOIN (SELECT tumble('2 minutes') AS w, count(*) AS n FROM readings GROUP BY 1) b ON a.n = b.n`,
    'All windows of a statement must be the same',
  ],
  [`SELECT count(*) AS n FROM readings GROUP BY ROLLUP(name)`, 'GROUPING SETS, ROLLUP and CUBE'],
  [`SELECT count(*) AS n FROM readings GROUP BY tumble('1 month')`, 'months and years have no fixed length'],
  [
    `SELECT count(*) AS n FROM readings GROUP BY hop('7 seconds', '60 seconds')`,
    'must be a multiple of its slide',
  ],
])('is refused: %s', async (query, message) => {
  const found = await refusal(`${anything}INSERT INTO copy ${query}`);
  expect(found.map((one) => one.message).join()).toContain(message);
});

describe('joins and selects over windows', () => {
  const side = (group: string) =>
    `(SELECT ${minute} AS window, ${group}, count(*) AS n FROM readings GROUP BY 1, 2)`;
  test.each([
    [`SELECT a.n, b.n AS m FROM ${side('name')} a JOIN ${side('name')} b USING (name)`, 2],
    [`SELECT a.n, b.n AS m FROM ${side('name')} a FULL JOIN ${side('id')} b ON a.n = b.n`, 2],
    [`SELECT a.n FROM ${side('name')} a SEMI JOIN ${side('id')} b ON a.n = b.n`, 2],
    [`SELECT name, n FROM ${side('name')} NATURAL JOIN ${side('name')}`, 2],
    [
      `SELECT name, n FROM ${side('name')} QUALIFY row_number() OVER (PARTITION BY window ORDER BY n) <= 3`,
      1,
    ],
    [`SELECT window.start, max(n) AS n FROM ${side('name')} GROUP BY window`, 1],
    [`SELECT ${minute}.end AS e, max(n) AS n FROM ${side('name')} GROUP BY ${minute}`, 1],
    [`SELECT x.w, x.n, x.n AS m FROM (SELECT window AS w, n FROM ${side('name')}) x WHERE n > 1`, 1],
  ])('%s', async (query, leaves) => {
    const select = await selectOf(query);
    expect(select.window).toEqual({ kind: 'tumble', width: 60_000_000 });
    expect(select.leaves).toHaveLength(leaves);
  });
});

test('keys of types that no table can hold, and names that are hostile, are planned', async () => {
  const select = await selectOf(
    `SELECT CAST(id AS HUGEINT)::TEXT AS "a""; DROP", (INTERVAL '1 day' * id)::TEXT AS "Select", count(*) AS "__n"
     FROM readings GROUP BY CAST(id AS HUGEINT), INTERVAL '1 day' * id, CAST(now() AS DATE), ${minute}`,
  );
  expect(select.leaves[0]?.keys).toHaveLength(3);
});
