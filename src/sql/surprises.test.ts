import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { connectEngine } from './engine/connection.ts';

/** The list "What surprises" of docs/sql.md: every line gives an expression and its result, and DuckDB has to agree. */

const text = readFileSync(new URL('../../docs/sql.md', import.meta.url), 'utf8');
const section = text.split('\n## What surprises\n')[1]?.split('\n## ')[0] ?? '';
const lines = [...section.matchAll(/^\| `(.+?)` \| `(.+?)` \|/gm)].map(
  ([, expression = '', result = '']): [string, string] => [expression.replaceAll('\\|', '|'), result],
);

const opened = connectEngine();
afterAll(async () => (await opened).closeSync());

test('the list has lines', () => {
  expect(lines.length).toBeGreaterThan(15);
});

test.each(lines)('%s', async (expression, result) => {
  const connection = await opened;
  const run = connection.runAndReadAll(`SELECT CAST((${expression}) AS VARCHAR)`);
  if (result === 'fails') await expect(run).rejects.toThrow();
  else expect((await run).getRows()[0]?.[0] ?? 'NULL').toBe(result);
});
