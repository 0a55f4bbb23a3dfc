import { execFile } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..', '..');

interface Output {
  stdout: string;
  stderr: string;
}

/**
 * The npm package, packed and installed in an empty folder. Its dependencies are hard links to those of the checkout, so
 * that npm needs no network and has little to write.
 */
export class Installed {
  readonly folder = mkdtempSync(join(tmpdir(), 'penstock-package-'));
  /** Paths of the files in the package. */
  readonly files: string[] = [];
  /** The environment of a user: none of npm's variables, and the machine's own Node first. */
  readonly environment = { PATH: pathOfMachine(), HOME: this.folder };

  static async create(): Promise<Installed> {
    const installed = new Installed();
    await installed.#pack();
    return installed;
  }

  /** The command that npm has linked. */
  get command(): string {
    return join(this.folder, 'node_modules', '.bin', 'penstock');
  }

  /** Runs `command` in the folder; rejects if it fails. */
  run(command: string, args: string[]): Promise<Output> {
    const options = { cwd: this.folder, env: this.environment, timeout: 120_000, maxBuffer: 16 << 20 };
    return promisify(execFile)(command, args, options);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #pack(): Promise<void> {
    // `npm pack` would run this through scripts/run.mjs, which may install dependencies below the other tests. A bundle that other
    // tests run is up to date, and must not be replaced meanwhile.
    if (process.env.PENSTOCK_TEST_BUILT !== '1')
      await this.run(process.execPath, [join(root, 'scripts', 'package.ts')]);
    const { stdout } = await this.run('npm', ['pack', root, '--json', '--ignore-scripts']);
    const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    this.files.push(...packed.files.map(({ path }) => path));
    writeFileSync(join(this.folder, 'package.json'), '{ "private": true }\n');
    linkDependencies(this.folder);
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
    await this.run('npm', ['install', '--offline', '--ignore-scripts', ...quiet, `./${packed.filename}`]);
  }
}

/** Without the folders of Node that npm puts in front. */
function pathOfMachine(): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.filter((folder) => !folder.includes('node_modules')).join(delimiter);
}

/** Puts the packages that Penstock runs with into `folder`, as npm would. */
function linkDependencies(folder: string): void {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: true; devOptional?: true }>;
  };
  const paths = Object.keys(packages).filter(
    (path) =>
      path &&
      !packages[path]?.dev &&
      !packages[path]?.devOptional &&
      existsSync(join(root, path, 'package.json')),
  );
  for (const path of paths) linkFolder(join(root, path), join(folder, path));
  const parents = paths.map((path) =>
    path.slice(0, path.lastIndexOf('node_modules') + 'node_modules'.length),
  );
  for (const parent of new Set(parents))
    linkCommands(join(root, parent, '.bin'), join(folder, parent, '.bin'));
}

function linkFolder(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.name === 'node_modules') continue;
    const [source, copy] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkFolder(source, copy);
    else linkFile(source, copy);
  }
}

function linkFile(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // The temporary folder is on another disk.
    copyFileSync(from, to);
  }
}

/** Links the commands whose packages are there. */
function linkCommands(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    const target = readlinkSync(join(from, name));
    if (existsSync(join(to, target))) symlinkSync(target, join(to, name));
  }
}
