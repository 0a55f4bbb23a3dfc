import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { get } from 'node:http';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from './brokers.ts';
import { copyGenerated, installClone, installPackage, type Sizes, sizesOf } from './installs.ts';
import { assertProc, familyMicros, residentBytes } from './proc.ts';
import { machineFacts, median } from './report.ts';
import { Rig } from './rig.ts';

/** Measures the start of an installed Penstock, and the size of the installation, beside another build. See README.md. */

const usage = 'usage: node scripts/run.mjs bench/start.ts [--before CHECKOUT] [--rounds 5]\n';

const readyMs = 120_000;
const stopMs = 60_000;
const pollMs = 3;
const shownPackages = 10;
const inClone = 'largest in the clone';

/** An installed version of Penstock. */
interface Build {
  name: string;
  /** Path of the program. */
  main: string;
  packed: Sizes;
  clone: Sizes;
}

/** From the start of the process to the first 200 of /readyz. */
interface Start {
  wallMs: number;
  cpuMs: number;
  megabytes: number;
}

/** In one round: with an empty data folder, then with the same data folder. */
interface Round {
  first: Start;
  later: Start;
}

async function install(name: string, checkout: string, rig: Rig): Promise<Build> {
  const [packed, clone] = [join(rig.folder, `${name}-packed`), join(rig.folder, `${name}-clone`)];
  process.stderr.write(`${name}: packing and installing ${checkout}\n`);
  const packages = await installPackage(checkout, packed);
  const cloned = await installClone(checkout, clone);
  const sizes = { packed: await sizesOf(packages), clone: await sizesOf(cloned) };
  const main = join(packages, 'penstock', 'dist', 'main.js');
  if (existsSync(main)) return { name, main, ...sizes };
  // A version whose package has no built form: its users ran the sources.
  copyGenerated(checkout, clone);
  return { name, main: join(clone, 'src', 'main.ts'), ...sizes };
}

async function start({ main, name }: Build, data: string, rig: Rig): Promise<Start> {
  const port = await freePort();
  const startedAt = performance.now();
  const child = rig.run({
    name,
    command: process.execPath,
    args: [main, 'all'],
    // Without the caches of another run, wherever a build may keep them.
    options: { cwd: data, env: environment(data, port) },
  });
  const deadline = startedAt + readyMs;
  while ((await statusOf(port)) !== 200) {
    rig.signal.throwIfAborted();
    if (performance.now() > deadline) throw new Error(`${name} was not ready within ${readyMs} ms`);
    await sleep(pollMs, undefined, { signal: rig.signal });
  }
  const wallMs = performance.now() - startedAt;
  const figures = {
    wallMs,
    cpuMs: familyMicros(child.pid) / 1000,
    megabytes: residentBytes(child.pid) / 1e6,
  };
  await child.stop(stopMs);
  return figures;
}

const environment = (data: string, port: number): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: data,
  TMPDIR: data,
  PENSTOCK_PORT: String(port),
  PENSTOCK_DATA_DIR: data,
  PENSTOCK_DATABASE_URL: `file:${join(data, 'penstock.db')}`,
});

/** The status of /readyz; undefined while nothing listens. */
function statusOf(port: number): Promise<number | undefined> {
  return new Promise((done) => {
    get({ host: '127.0.0.1', port, path: '/readyz', agent: false }, (response) => {
      response.resume();
      done(response.statusCode);
    }).once('error', () => done(undefined));
  });
}

async function measureRounds(builds: Build[], rounds: number, rig: Rig): Promise<Map<string, Round[]>> {
  const results = new Map(builds.map(({ name }) => [name, [] as Round[]]));
  // Round 0 is not counted: it brings the files into the memory of the system.
  for (let round = 0; round <= rounds; round++)
    for (const build of round % 2 === 0 ? builds : builds.toReversed()) {
      const data = join(rig.folder, `${build.name}-data-${round}`);
      await mkdir(data);
      const figures = { first: await start(build, data, rig), later: await start(build, data, rig) };
      process.stderr.write(`round ${round}/${rounds}, ${build.name}: ${JSON.stringify(figures, rounded)}\n`);
      if (round > 0) results.get(build.name)?.push(figures);
    }
  return results;
}

const rounded = (_key: string, value: unknown): unknown =>
  typeof value === 'number' ? Math.round(value) : value;

function startTable(results: Map<string, Round[]>): string {
  const quantities: [string, (round: Round) => number][] = [
    ['first start, wall ms', ({ first }) => first.wallMs],
    ['first start, CPU ms', ({ first }) => first.cpuMs],
    ['later start, wall ms', ({ later }) => later.wallMs],
    ['later start, CPU ms', ({ later }) => later.cpuMs],
    ['resident when ready, later start, MB', ({ later }) => later.megabytes],
  ];
  const rows = quantities.map(([title, read]) => {
    const series = [...results.values()].map((rounds) => rounds.map(read));
    const [own = [], before] = series.toReversed();
    const ratio = before && median(own.map((value, round) => value / (before[round] ?? Number.NaN)));
    return [title, ...series.map((values) => text(median(values), 0)), text(ratio, 2)];
  });
  return markdown(['', ...results.keys(), 'ratio'], rows);
}

function sizeTable(builds: Build[]): string {
  const sizes: [string, (build: Build) => number][] = [
    ['package with its dependencies, without Node', ({ packed }) => packed.total],
    ['production install in the clone, without Node', ({ clone }) => clone.total],
    ['Node', ({ packed }) => packed.node],
  ];
  const rows = sizes.map(([title, read]) => {
    const values = builds.map(read);
    const [own = Number.NaN, before] = values.toReversed();
    return [title, ...values.map((size) => text(size, 1)), text(before && own / before, 2)];
  });
  return markdown(['size in MB', ...builds.map(({ name }) => name), 'ratio'], rows);
}

function packageTable({ name, packed, clone }: Build): string {
  const rows = Array.from({ length: shownPackages }, (_, index) =>
    [packed, clone].flatMap(({ packages }) => {
      const entry = packages[index];
      return [entry?.name ?? '–', text(entry?.size, 1)];
    }),
  );
  return markdown([`${name}: largest in the package`, 'MB', inClone, 'MB'], rows);
}

/** The first column is text, and so are those of names. */
const markdown = (titles: string[], rows: string[][]): string =>
  [titles, titles.map((title, index) => (index === 0 || title === inClone ? '---' : '--:')), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');

const text = (value: number | undefined, decimals: number): string =>
  value === undefined ? '–' : value.toFixed(decimals);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { before: { type: 'string' }, rounds: { type: 'string', default: '5' } },
  });
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds >= 0)) throw new Error('--rounds must be a number');
  const before = values.before === undefined ? undefined : resolve(values.before);
  if (before !== undefined && !existsSync(join(before, 'package.json')))
    throw new Error(`${before} is no checkout`);
  assertProc();
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
  await using rig = await Rig.setUp(interrupted.signal);
  const builds: Build[] = [];
  if (before !== undefined) builds.push(await install('before', before, rig));
  builds.push(await install('this build', fileURLToPath(import.meta.resolve('..')), rig));
  const programs = builds.map(({ name, main: program }) => {
    const form = program.endsWith('.ts') ? 'src/main.ts of the clone' : 'dist/main.js of the package';
    return `- ${name}: ${form}`;
  });
  process.stdout.write(`${machineFacts()}\n${programs.join('\n')}\n\n${sizeTable(builds)}\n\n`);
  for (const build of builds) process.stdout.write(`${packageTable(build)}\n\n`);
  if (rounds > 0) process.stdout.write(`${startTable(await measureRounds(builds, rounds, rig))}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n${usage}`);
  process.exitCode = 1;
});
