import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { created, createTables } from './support/resources.ts';
import { useProcessRig } from './support/rig.ts';

/** Runs the commands of docs/edit.md literally. */
const rig = useProcessRig();

test('the commands of docs/edit.md work as described', async () => {
  await createTables(rig.penstock.request, rig.broker.url);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  await created(rig.penstock.request, '/pipelines', { name: 'all', query, parallelism: 1 });
  const text = readFileSync(new URL('../docs/edit.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^( *)```sh\n([\s\S]*?)```/gm)].map((match) => match[2] as string);
  expect(blocks).toHaveLength(7);
  const script = blocks
    .map((block, i) => `echo "== ${i}"\n${block}`)
    .join('\n')
    .replaceAll('http://127.0.0.1:5115', rig.penstock.address)
    .replaceAll('localhost:1883', `127.0.0.1:${rig.broker.port}`);
  const running = promisify(execFile)('bash', ['-c', `set -euo pipefail\n${script}`], { timeout: 110_000 });
  const { stdout, stderr } = await running;
  expect(stderr).toBe('');
  const said = stdout.split(/== \d\n/).slice(1);
  const [, tried, stored, dry, conditional, put, selected] = said as string[];
  expect(tried).toContain('"error":false');
  const affected = /"affected_pipelines":\[{"id":"pl_\w+","name":"all"}\]/;
  expect(stored).toMatch(affected);
  expect(stored).toContain('"password":"********"');
  expect(dry).toMatch(affected);
  expect(dry).toContain('"code":"connection_profile_in_use"');
  expect(conditional).toContain('"site":"north"');
  expect(conditional?.trimEnd()).toMatch(/"status":412$/);
  const [first, second] = put?.trim().split('\n') ?? [];
  expect(first).toContain('"labels":{"site":"north"}');
  expect(JSON.parse(second as string)).toMatchObject({ name: 'plant', affected_pipelines: [] });
  expect(selected).toBe('"name":"plant"\n');
});
