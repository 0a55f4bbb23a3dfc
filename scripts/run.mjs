// Runs a script with the Node version that this project pins. Installs missing dependencies first.
//
// This file must run on any Node that started npm (20 or newer), so it is plain JavaScript and uses only built-in
// modules. Everything else runs on node_modules/.bin/node.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runNode, whenNpmEnds } from '../bin/run-node.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const windows = process.platform === 'win32';
const pinnedNode = join(root, 'node_modules', '.bin', windows ? 'node.cmd' : 'node');

/** Runs `step` unless the stamp of its last run still matches the files it depends on. */
function once(name, inputs, stillThere, step) {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(readFileSync(resolve(root, input)));
  const stamp = join(root, 'node_modules', `.penstock-${name}`);
  const digest = hash.digest('hex');
  if (stillThere() && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  step();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}

function mustRun(command, args, env = {}) {
  const done = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: windows,
  });
  if (done.status === 0) return;
  process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}\n`);
  throw new Error(`"${command} ${args.join(' ')}" failed; see above`);
}

/** Two commands started at once in a fresh clone must not install over each other. */
function withLock(step) {
  const lock = join(root, '.install-lock');
  const deadline = Date.now() + 10 * 60_000;
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const abandoned = existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 10 * 60_000;
      if (abandoned) rmSync(lock, { recursive: true, force: true });
      else if (Date.now() > deadline)
        throw new Error(`another install holds ${lock}; remove it if none is running`);
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    step();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function install() {
  once(
    'install',
    ['package.json', 'package-lock.json', '.npmrc'],
    () => existsSync(pinnedNode),
    () => {
      const modules = join(root, 'node_modules');
      // npm would empty the folder that the link points to.
      if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink())
        throw new Error(`${modules} is a link to another folder; remove it, and this installs its own`);
      process.stderr.write('penstock: installing dependencies (once)\n');
      mustRun('npm', [
        'ci',
        '--ignore-scripts',
        '--no-dry-run',
        '--loglevel=error',
        '--no-audit',
        '--no-fund',
      ]);
    },
  );
  const sources = ['prisma/schema.prisma', 'scripts/generate.ts', 'scripts/schema.ts', 'package-lock.json'];
  once(
    'generate',
    sources,
    () => existsSync(join(root, 'src', 'generated', 'sqlite', 'client.ts')),
    () => {
      mustRun(pinnedNode, [join('scripts', 'generate.ts')]);
    },
  );
}

/** Paths of the files below a folder, but not those of tests. */
function filesBelow(...folder) {
  const entries = readdirSync(join(root, ...folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'));
  return files.map((entry) => join(entry.parentPath, entry.name)).sort();
}

const consoleSources = () => [
  ...filesBelow('console', 'src'),
  ...['index.html', 'package.json', 'vite.config.ts'].map((name) => join('console', name)),
  ...['client.ts', 'types.ts'].map((name) => join('examples', 'typed-client', name)),
  ...['package-lock.json', join('scripts', 'console.ts'), join('docs', 'errors.md')],
];

/** Builds the web console and the service if they are missing or older than their sources, for what runs them. */
function build(script, [command = 'all']) {
  const runs = script === 'dist/main.js';
  const all = ['scripts/check.ts', 'scripts/package.ts'].includes(script);
  const serves = ['all', 'api', 'demo'].includes(command) && process.env.PENSTOCK_CONSOLE !== 'off';
  const built = (...file) => existsSync(join(root, ...file));
  if (all || (runs && serves)) {
    once(
      'console',
      consoleSources(),
      () => built('console', 'dist', 'index.html'),
      () => {
        process.stderr.write('penstock: building the web console (once)\n');
        mustRun(pinnedNode, [join('scripts', 'console.ts')]);
      },
    );
  }
  if (runs || script === 'scripts/check.ts' || script.startsWith('bench/')) {
    const sources = [...filesBelow('src'), join('scripts', 'package.ts'), 'package-lock.json'];
    once(
      'service',
      sources,
      () => built('dist', 'main.js'),
      () => {
        process.stderr.write('penstock: building the service (once)\n');
        mustRun(pinnedNode, [join('scripts', 'package.ts')], { PENSTOCK_CONSOLE: 'off' });
      },
    );
  }
}

const supported = Number(process.versions.node.split('.')[0]) >= 20;
if (!supported) {
  process.stderr.write(`penstock: npm runs on Node ${process.versions.node}; use 20 or newer\n`);
  process.exit(1);
}
try {
  withLock(() => {
    install();
    build(process.argv[2], process.argv.slice(3));
  });
} catch (error) {
  process.stderr.write(`penstock: ${error.message}\n`);
  process.exit(1);
}

// A terminal sends SIGINT to the child too.
process.on('SIGINT', () => {});
const child = runNode(pinnedNode, process.argv.slice(2), [], {
  shell: windows,
  env: { ...process.env, PATH: `${dirname(pinnedNode)}${windows ? ';' : ':'}${process.env.PATH}` },
});
whenNpmEnds(() => child.kill('SIGTERM'));
