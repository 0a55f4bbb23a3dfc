// The checks before a commit: types, lint, dead code, tests. `tests` runs only the tests, `soak` the long ones, and `images`
// those of the console, which then save the pictures of the documents.
// Further arguments go to vitest: npm test -- test/api
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { installServers } from './servers.ts';

const bin = (name: string): string => `node_modules/.bin/${name}`;

/** Runs a command with its output shown; returns its exit code. */
function run(command: string, args: string[], env: Record<string, string> = {}): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

const [mode = 'all', ...rest] = process.argv.slice(2);
const vitest = ['run', ...rest];
const steps: [string, () => Promise<number>][] = [];
if (mode === 'all') {
  steps.push(['types', () => run(bin('tsc'), ['--noEmit'])]);
  steps.push(['types of the console', () => run(bin('tsc'), ['--noEmit', '--project', 'console'])]);
  steps.push(['lint', () => run(bin('biome'), ['check', '--error-on-warnings', '.'])]);
  steps.push(['dead code', () => run(bin('knip'), [])]);
}
// It mostly waits for the network, so it begins at once.
const servers = installServers(mode === 'soak');
steps.push(['servers', () => servers]);
// The tests start hundreds of processes and threads from the same files.
const env = { NODE_COMPILE_CACHE: resolve('node_modules/.cache/compiled'), PENSTOCK_TEST_BUILT: '1' };
if (mode === 'soak') steps.push(['soak', () => run(bin('vitest'), vitest, { ...env, PENSTOCK_SOAK: '1' })]);
else if (mode === 'images') {
  const pictures = { ...env, PENSTOCK_TEST_IMAGES: resolve('docs/images') };
  steps.push(['images', () => run(bin('vitest'), ['run', 'console/test', ...rest], pictures)]);
} else steps.push(['tests', () => run(bin('vitest'), vitest, env)]);

const startedAt = performance.now();
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;
for (const [name, step] of steps) {
  const since = performance.now();
  const code = await step();
  console.log(`${code === 0 ? '✓' : '✗'} ${name} (${seconds(since)})`);
  if (code === 0) continue;
  // An installation that was cut off would have to be repaired by hand.
  await servers;
  process.exit(1);
}
console.log(`✓ all in ${seconds(startedAt)}`);
