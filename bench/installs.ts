import { execFile } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** Installations of a checkout as users make them, and their sizes on disk. */

const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
const npmMs = 10 * 60_000;

/** Packs the checkout with `npm pack`, and installs that into the empty `folder`. Returns the folder of the packages. */
export async function installPackage(checkout: string, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  // With its `prepack` script, which builds dist/.
  await npm(['pack', checkout, '--pack-destination', folder, '--loglevel=error'], folder);
  const [tarball] = globSync('*.tgz', { cwd: folder });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  await npm(['install', '--omit=dev', ...quiet, `./${tarball}`], folder);
  return join(folder, 'node_modules');
}

/** Copies the tracked files of the checkout to `folder`, and installs for production there. Returns the folder of the packages. */
export async function installClone(checkout: string, folder: string): Promise<string> {
  const { stdout } = await promisify(execFile)('git', ['-C', checkout, 'ls-files', '-z'], {
    maxBuffer: 64 << 20,
  });
  for (const path of stdout.split('\0'))
    if (path && existsSync(join(checkout, path))) cpSync(join(checkout, path), join(folder, path));
  await npm(['ci', '--omit=dev', ...quiet], folder);
  return join(folder, 'node_modules');
}

/** Copies the clients that `npm run generate` has written, so that the sources of a clone run without its tools. */
export function copyGenerated(checkout: string, folder: string): void {
  const clients = join('src', 'generated');
  cpSync(join(checkout, clients), join(folder, clients), { recursive: true });
}

/** Runs npm as a user does: without the variables of an npm around it, and without the folders that it puts in front. */
async function npm(args: string[], cwd: string): Promise<void> {
  const variables = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS$)/i.test(name));
  const folders = (process.env.PATH ?? '').split(delimiter).filter((each) => !each.includes('node_modules'));
  const env = { ...Object.fromEntries(variables), PATH: folders.join(delimiter) };
  await promisify(execFile)('npm', args, { cwd, env, timeout: npmMs, maxBuffer: 64 << 20 });
}

/** Megabytes of 2^20 bytes on disk. */
export interface Sizes {
  /** Without Node itself. */
  total: number;
  node: number;
  /** Each with the packages nested in it, the largest first. */
  packages: { name: string; size: number }[];
}

/** Sizes of the packages in a `node_modules`, as `du` counts them. */
export async function sizesOf(modules: string): Promise<Sizes> {
  const names = readdirSync(modules).flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => join(name, inner)) : [name],
  );
  const packages = await Promise.all(
    names.map(async (name) => ({ name, size: await diskSize(join(modules, name)) })),
  );
  packages.sort((a, b) => b.size - a.size);
  const node = packages.filter(({ name }) => isNode(name)).reduce((sum, { size }) => sum + size, 0);
  const total = (await diskSize(modules)) - node;
  return { total, node, packages: packages.filter(({ name }) => !isNode(name)) };
}

/** The packages that bring Node itself, one for each platform. */
const isNode = (name: string): boolean => /^node-(bin-)?(darwin|linux|win)-/.test(name);

async function diskSize(path: string): Promise<number> {
  const { stdout } = await promisify(execFile)('du', ['-sk', path], { cwd: dirname(path) });
  return Number.parseInt(stdout, 10) / 1024;
}
