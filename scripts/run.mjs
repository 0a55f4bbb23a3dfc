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

/** The files that the web console is built from. */
function consoleSources() {
  const src = readdirSync(join(root, 'console', 'src'), { recursive: true, withFileTypes: true });
  return [
    ...src.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)),
    ...['index.html', 'package.json', 'vite.config.ts'].map((name) => join(root, 'console', name)),
    ...['client.ts', 'types.ts'].map((name) => join(root, 'examples', 'typed-client', name)),
    ...[
      join(root, 'package-lock.json'),
      join(root, 'scripts', 'console.ts'),
      join(root, 'docs', 'errors.md'),
    ],
  ].sort();
}

/** Builds the web console if it is missing or older than its sources, for what serves or tests it. */
function buildConsole(script, [command = 'all']) {
  const serves = script === 'src/main.ts' && ['all', 'api', 'demo'].includes(command);
  const wanted =
    (serves && process.env.PENSTOCK_CONSOLE !== 'off') ||
    ['scripts/check.ts', 'scripts/package.ts'].includes(script);
  if (!wanted) return;
  const page = join(root, 'console', 'dist', 'index.html');
  once(
    'console',
    consoleSources(),
    () => existsSync(page),
    () => {
      process.stderr.write('penstock: building the web console (once)\n');
      mustRun(pinnedNode, [join('scripts', 'console.ts')]);
    },
  );
}

const supported = Number(process.versions.node.split('.')[0]) >= 20;
if (!supported) {
  process.stderr.write(`penstock: npm runs on Node ${process.versions.node}; use 20 or newer\n`);
  process.exit(1);
}
try {
  withLock(() => {
    install();
    buildConsole(process.argv[2], process.argv.slice(3));
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
