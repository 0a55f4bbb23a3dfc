#!/usr/bin/env node
// The command `penstock`: works on Node 20 or newer, and runs Penstock on the Node 24 that is installed with it.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { runNode, whenNpmEnds } from './run-node.mjs';

const wanted = 24;
const major = Number(process.versions.node.split('.')[0]);
const windows = process.platform === 'win32';

/** Returns the path of the Node that is installed with this package, undefined if there is none for this machine. */
function installedNode() {
  const { optionalDependencies } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  );
  const machine = `-${windows ? 'win' : process.platform}-${process.arch}`;
  const name = Object.keys(optionalDependencies).find((one) => one.endsWith(machine));
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/node${windows ? '.exe' : ''}`);
  } catch {
    return undefined;
  }
}

// A checkout runs its sources.
const main = ['../src/main.ts', '../dist/main.js']
  .map((path) => new URL(path, import.meta.url))
  .find((file) => existsSync(file));
const node = major === wanted ? undefined : installedNode();
if (node) {
  const child = runNode(node, [fileURLToPath(main), ...process.argv.slice(2)], ['SIGINT']);
  if (process.env.npm_command) whenNpmEnds(() => child.kill('SIGTERM'));
} else if (major >= wanted) {
  if (process.env.npm_command) whenNpmEnds(() => process.kill(process.pid, 'SIGTERM'));
  await import(main.href);
} else {
  process.stderr.write(
    `penstock: Node ${process.versions.node} is too old, and no newer one was installed with Penstock; install Node ${wanted}\n`,
  );
  process.exitCode = 1;
}
