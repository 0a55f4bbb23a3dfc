import { expect, test } from 'vitest';
import { connectEngine, engineError } from './connection.ts';

/** Queries are checked before DuckDB runs them; these settings are the second line of defence. */
test.each([
  "SELECT * FROM read_csv('/etc/passwd')",
  "SELECT * FROM read_text('/etc/passwd')",
  "SELECT * FROM glob('/*')",
  "COPY (SELECT 1) TO '/tmp/penstock-test.csv'",
  "ATTACH '/tmp/penstock-test.db'",
  "EXPORT DATABASE '/tmp/penstock-test'",
  'INSTALL httpfs',
  'LOAD httpfs',
  "SELECT getenv('HOME')",
  'SET threads = 8',
  "SET memory_limit = '64GB'",
  'SET enable_external_access = true',
  'SET lock_configuration = false',
])('the engine refuses %s', async (sql) => {
  const connection = await connectEngine();
  try {
    const error = await connection.run(sql).catch((caught: unknown) => caught);
    expect(['Permission', 'Catalog', 'Invalid Input']).toContain(engineError(error).kind);
  } finally {
    connection.closeSync();
  }
});

test('the engine keeps temporary tables apart, and the time zone is UTC everywhere', async () => {
  const [one, other] = [await connectEngine(), await connectEngine()];
  await one.run('CREATE TEMP TABLE t (a INTEGER)');
  await expect(other.run('SELECT * FROM t')).rejects.toThrow('does not exist');
  const zone = await other.runAndReadAll("SELECT current_setting('TimeZone')");
  expect(zone.getRows()).toEqual([['UTC']]);
  one.closeSync();
  other.closeSync();
});
