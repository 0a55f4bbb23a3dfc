import { expect, test } from 'vitest';
import { exampleCatalog, storedTable } from '../../../test/support/example-catalog.ts';
import { compileQuery } from '../compile.ts';
import { openTransform } from '../open-transform.ts';
import { runExclusive, runShared } from './transform.ts';

const long = 'b'.repeat(900);
const sink = "CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');";

/** Each would take gigabytes for one message of a few kilobytes. */
test.each([
  `SELECT length(replace(replace(s, 'a', '${long}'), 'b', '${long}')) AS q FROM i`,
  `SELECT length(regexp_replace(regexp_replace(s, '.', '${long}', 'g'), '', '${long}', 'g')) AS q FROM i`,
  "SELECT len(list_transform(string_split(s, ''), lambda v: concat(v, s))) AS q FROM i",
  "SELECT unnest(string_split(s, '')) AS q, s AS p FROM i",
  `SELECT length(list_aggregate(string_split(s || s || s, ''), 'string_agg', '${long}${long}')) AS q FROM i`,
  'SELECT damerau_levenshtein(s, reverse(s)) AS q FROM i',
])('a row for which %.60s would need gigabytes is bad, and the others are not', async (select) => {
  const catalog = exampleCatalog(storedTable('i', 'source', [{ name: 's', type: 'string' }]));
  const { inserts } = await compileQuery(`${sink} INSERT INTO o ${select}`, catalog);
  const transform = await openTransform(inserts[0] as NonNullable<(typeof inserts)[0]>);
  try {
    const { rows, bad } = await transform.run([{ s: 'aa' }, { s: 'a'.repeat(32_000) }, { s: null }]);
    expect(bad.map(({ index }) => index)).toEqual([1]);
    expect(bad[0]?.error.message).toContain('it needs more memory than a query may use');
    expect(rows.length).toBeGreaterThan(0);
  } finally {
    await transform.close();
  }
});

test.each([
  [
    `SELECT replace(replace('${long}', 'b', '${long}'), 'b', '${long}') AS q FROM i`,
    'This constant may take more than 1 MiB',
  ],
  ["SELECT list_reduce(string_split(s, ''), lambda v, w: v || v || w) AS q FROM i", 'cannot be bounded'],
])('%.60s is refused', async (select, reason) => {
  const catalog = exampleCatalog(storedTable('i', 'source', [{ name: 's', type: 'string' }]));
  const compiled = compileQuery(`${sink} INSERT INTO o ${select}`, catalog);
  await expect(compiled).rejects.toMatchObject({ errors: [{ message: expect.stringContaining(reason) }] });
});

test('exclusive work starts when shared work has finished, and holds up later work', async () => {
  const log: string[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const work = (name: string, gate?: Promise<void>) => async () => {
    log.push(`${name} begins`);
    await gate;
    log.push(`${name} ends`);
  };
  const first = runShared(work('one', gates[0].promise));
  const second = runShared(work('two', gates[1].promise));
  const single = runExclusive(work('alone'));
  const last = runShared(work('last'));
  gates[1].resolve();
  await second;
  expect(log).toEqual(['one begins', 'two begins', 'two ends']);
  gates[0].resolve();
  await Promise.all([first, single, last]);
  expect(log.slice(3)).toEqual(['one ends', 'alone begins', 'alone ends', 'last begins', 'last ends']);
});

test('failed work releases the lock', async () => {
  const broken = () => Promise.reject(new Error('broken'));
  await expect(runExclusive(broken)).rejects.toThrow('broken');
  await expect(runShared(broken)).rejects.toThrow('broken');
  await expect(runExclusive(() => inNoTime())).resolves.toBe('done');
  await expect(
    Promise.all([runExclusive(inNoTime), runExclusive(inNoTime), runShared(inNoTime)]),
  ).resolves.toHaveLength(3);
});

async function inNoTime(): Promise<string> {
  return 'done';
}
