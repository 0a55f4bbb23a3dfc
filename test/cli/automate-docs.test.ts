import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../support/at-end.ts';
import { Penstock, program } from '../support/penstock.ts';

const root = join(import.meta.dirname, '../..');
const folder = temporaryFolder('automate');
let penstock: Penstock;
beforeAll(async () => {
  penstock = await Penstock.start();
});

test('the commands of docs/automate.md work as described', async () => {
  const text = readFileSync(join(root, 'docs/automate.md'), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)```/gm)].map((match) => match[1] as string);
  expect(blocks).toHaveLength(5);
  const script = blocks
    .join('echo ==\n')
    .replaceAll('http://127.0.0.1:5115', penstock.address)
    .replace('dist/main.js', program)
    .replaceAll(/(> |-f )overheating\.yaml/g, `$1${folder}/overheating.yaml`);
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', `set -euo pipefail\n${script}`], {
    cwd: root,
    timeout: 110_000,
    env: { ...process.env, PENSTOCK_SERVER: penstock.address },
  });
  expect(stderr).toBe('');
  const [, applied, exported, planned, found] = stdout.split('==\n');
  expect(applied).toContain('to be created 4,');
  expect(applied).toContain('\ncreated 4,');
  expect(applied).toMatch(/^overheating-alerts +\w+ +1 +app=overheating +pl_\w+( +\S+)?$/m);
  expect(exported).toMatch(/^created 0, updated 0, unchanged 4, deleted 0\n/);
  expect(JSON.parse(planned ?? '')).toMatchObject({
    applied: false,
    summary: { unchanged: 4 },
    affected_pipelines: [],
  });
  const { data } = JSON.parse(found ?? '') as { data: { name: string }[] };
  expect(data.map(({ name }) => name).sort()).toEqual(['overheating_alerts', 'overheating_readings']);
});
