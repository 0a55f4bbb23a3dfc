import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import type { Row } from '../formats/format.ts';
import type { Field } from '../formats/schema/schema.ts';
import { compileQuery } from './compile.ts';
import { openTransform } from './open-transform.ts';
import type { InsertPlan } from './plan.ts';
import type { Transformed } from './transform.ts';

/** The batch of a message is chance, so it must not affect the result. */

const fields: Field[] = [
  { name: 'n', type: 'int32' },
  { name: 's', type: 'string' },
  { name: 'raw', type: 'json' },
  { name: 'tags', type: 'list', items: { type: 'string' } },
];

const rows: fc.Arbitrary<Row[]> = fc.array(
  fc.record({
    n: fc.option(fc.integer({ min: 0, max: 5 })),
    // Some rows need DuckDB, so that it gets only a part of a batch.
    s: fc.constantFrom('1', '2', 'x', '0', '1e2', ' 7', 'ß', '99999999999', null),
    raw: fc.constantFrom('{"a":1}', '{"a":1.50}', '{"a":"x"}', '[]', null),
    tags: fc.array(fc.option(fc.constantFrom('a', 'b')), { maxLength: 3 }),
  }),
  { maxLength: 40 },
);

const selects: [kind: InsertPlan['select']['kind'], select: string][] = [
  ['passthrough', 'SELECT * FROM i'],
  ['project', 'SELECT s AS text, n FROM i'],
  ['compiled', 'SELECT 100 // CAST(s AS INTEGER) AS q, n FROM i WHERE n <> 3'],
  ['compiled', "SELECT upper(s) AS loud, CAST(raw->>'$.a' AS DOUBLE) AS a, n FROM i"],
  [
    'compiled',
    "SELECT n FROM i WHERE s <> 'x' AND (CAST(s AS INTEGER) > 0 OR n IN (1, 2)) AND tags[1] = 'a'",
  ],
  ['sql', 'SELECT n, unnest(tags) AS tag, CAST(s AS INTEGER) AS v FROM i'],
  [
    'sql',
    "SELECT regexp_replace(s, '[0-9]', '') AS rest, list_sort(tags) AS tags FROM i WHERE CAST(s AS INTEGER) > 0",
  ],
  [
    'sql',
    "SELECT n, list_transform(tags, t -> t || s) AS l FROM i WHERE s <> 'x' AND CAST(s AS INTEGER) > n",
  ],
];

describe.each(selects)('batches of a %s select', (kind, select) => {
  test(`do not show in the result: ${select}`, async () => {
    const sink = "CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');";
    const catalog = exampleCatalog(storedTable('i', 'source', fields));
    const { inserts } = await compileQuery(`${sink} INSERT INTO o ${select}`, catalog);
    const [insert] = inserts;
    if (insert?.select.kind !== kind) throw new Error(`it is planned as ${insert?.select.kind}`);
    const transform = await openTransform(insert);
    const cuts = fc.array(fc.nat(40), { maxLength: 5 });
    const property = fc.asyncProperty(rows, cuts, async (input, places) => {
      const edges = [0, ...places.filter((at) => at <= input.length), input.length].sort((a, b) => a - b);
      const parts = await Promise.all(
        edges.slice(1).map(async (to, index) => {
          const from = edges[index] as number;
          return shifted(await transform.run(input.slice(from, to)), from);
        }),
      );
      const together: Transformed = {
        rows: parts.flatMap((part) => part.rows),
        origin: parts.flatMap((part) => part.origin),
        bad: parts.flatMap((part) => part.bad),
      };
      expect(together).toEqual(await transform.run(input));
    });
    await fc.assert(property, { numRuns: 25 });
    await transform.close();
  });
});

function shifted(result: Transformed, by: number): Transformed {
  return {
    rows: result.rows,
    origin: result.origin.map((index) => index + by),
    bad: result.bad.map(({ index, error }) => ({ index: index + by, error })),
  };
}
