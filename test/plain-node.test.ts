import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/**
 * Vitest finds names in CommonJS packages that Node does not find. So this test loads all modules of the service with
 * plain Node.
 */
const root = join(import.meta.dirname, '..');
/** Modules that start something when loaded. Tests that start processes load them. */
const begin = [join('src', 'main.ts'), join('src', 'runtime', 'thread.ts')];

test('Node loads every file of the service', async () => {
  const files = globSync('src/**/*.ts', { cwd: root })
    .filter((path) => !path.endsWith('.test.ts') && !path.includes('generated'))
    .filter((path) => !begin.includes(path));
  expect(files.length).toBeGreaterThan(150);
  const load = `
    const failed = [];
    for (const path of process.argv.slice(1)) await import(path).catch((error) => failed.push(path + ': ' + error));
    console.log(JSON.stringify(failed));
    process.exit();`;
  const paths = files.map((path) => join(root, path));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', load, ...paths],
    {
      cwd: root,
      timeout: 180_000,
    },
  );
  expect(JSON.parse(stdout)).toEqual([]);
}, 200_000);
