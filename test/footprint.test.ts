import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Penstock } from './support/penstock.ts';
import { skipping } from './support/skipping.ts';
import { until } from './support/until.ts';

let penstock: Penstock | undefined;

const tables = ['source', 'sink']
  .map(
    (type) => `CREATE TABLE ${type}_table (value BIGINT) WITH (connector = 'mqtt', type = '${type}',
    url = 'mqtt://127.0.0.1:1', topic = '${type}', format = 'json');`,
  )
  .join('\n');

async function understands(select: string): Promise<void> {
  const query = `${tables} INSERT INTO sink_table ${select};`;
  const answer = await penstock?.request.post('/api/v1/pipelines/validate_query').send({ query });
  expect(answer?.body.errors ?? []).toEqual([]);
  expect(answer?.status).toBe(200);
}

const notLinux = process.platform === 'linux' ? undefined : 'it reads /proc, which only Linux has';

describe.skipIf(notLinux !== undefined)(skipping('a process', notLinux), () => {
  test('loads DuckDB with the first query that needs it', async () => {
    penstock = await Penstock.start();
    await understands('SELECT * FROM source_table');
    expect(penstock.proc('maps')).not.toContain('duckdb');
    await understands('SELECT value + 1 FROM source_table');
    expect(penstock.proc('maps')).toContain('duckdb');
  });

  test('sets its own heap sizes, and still exits normally', async () => {
    penstock = await Penstock.start();
    expect(penstock.proc('cmdline')).toMatch(/--max-semi-space-size=\d+\0.*main\.[tj]s\0all/);
    for (const setting of ['MALLOC_ARENA_MAX=1', 'MALLOC_MMAP_THRESHOLD_=524288'])
      expect(penstock.proc('environ')).toContain(setting);
    expect(await penstock.kill('SIGTERM')).toBe(0);
  });

  test('keeps compiled code in its data folder, for the next start', async () => {
    penstock = await Penstock.start({ NODE_COMPILE_CACHE: '' });
    const compiled = join(penstock.folder, 'compile-cache');
    await until('it is there', () => existsSync(compiled) && readdirSync(compiled).length > 0);
    expect(readdirSync(penstock.folder)).toContain('penstock.db');
  });

  test('leaves the heap as the user has sized it', async () => {
    penstock = await Penstock.start({ NODE_OPTIONS: '--max-semi-space-size=32' });
    expect(penstock.proc('cmdline')).not.toContain('--max-semi-space-size');
  });
});
