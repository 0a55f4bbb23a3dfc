import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startBroker } from './brokers.ts';
import type { Child } from './child.ts';
import { until, within } from './deadline.ts';
import { checkoutsOf, rawString, runningJobs, setUp, startPenstock } from './penstock.ts';
import { assertProc, residentBytes, type ThreadUse, threadUse } from './proc.ts';
import { machineFacts, median } from './report.ts';
import { Rig } from './rig.ts';

/**
 * Measures a process that runs one pipeline without messages: memory, CPU time and wake-ups of its threads. See README.md.
 */

const usage =
  'usage: node scripts/run.mjs bench/idle.ts [--before CHECKOUT] [--rounds 3] [--seconds 60] [--settle 30] [--tasks 1] [--threads]\n';

const runMs = 60_000;

interface Plan {
  checkouts: Map<string, string>;
  rounds: number;
  seconds: number;
  settle: number;
  tasks: number;
  threads: boolean;
}

interface Idle {
  name: string;
  megabytes: number;
  cpuPercent: number;
  wakeUps: number;
  threads: Map<string, ThreadUse>;
}

function readArguments(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      before: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '60' },
      settle: { type: 'string', default: '30' },
      tasks: { type: 'string', default: '1' },
      threads: { type: 'boolean', default: false },
    },
  });
  const [rounds = 0, seconds = 0, settle = -1, tasks = 0] = [
    values.rounds,
    values.seconds,
    values.settle,
    values.tasks,
  ].map(Number);
  const checkouts = checkoutsOf(values.before);
  if (!checkouts || !(rounds >= 1 && seconds >= 1 && settle >= 0 && tasks >= 1)) throw new Error(usage);
  return { checkouts, rounds, seconds, settle, tasks, threads: values.threads };
}

/** Stores the pipeline in a first process, and starts another that finds it. */
async function start(
  rig: Rig,
  name: string,
  checkout: string,
  ports: [number, number],
  tasks: number,
): Promise<Child> {
  const folder = join(rig.folder, name.replace(' ', '-'));
  await mkdir(folder);
  const settings = {
    PENSTOCK_DATA_DIR: folder,
    PENSTOCK_DATABASE_URL: `file:${join(folder, 'penstock.db')}`,
    PENSTOCK_WORKER_THREADS: String(tasks),
  };
  const first = await startPenstock(rig, settings, checkout);
  const [fromPort, toPort] = ports;
  const query = 'INSERT INTO sink SELECT * FROM source';
  const route = { fromPort, toPort, qos: 1 } as const;
  await within(
    runMs,
    'starting the pipeline',
    rig.signal,
    setUp(first.address, route, rawString, query, tasks),
  );
  await first.child.stop();
  const { child, address } = await startPenstock(rig, settings, checkout);
  const runs = async (): Promise<boolean> => (await runningJobs(address)) === 1;
  await until(runMs, 'starting the pipeline again', rig.signal, runs);
  return child;
}

/** All versions run side by side, so that other work on the machine affects them alike. */
async function measure(
  { checkouts, seconds, settle, tasks }: Plan,
  interrupted: AbortSignal,
): Promise<Idle[]> {
  await using rig = await Rig.setUp(interrupted);
  const [from, to] = [await startBroker(rig, 'a'), await startBroker(rig, 'b')];
  const running: { name: string; pid: number }[] = [];
  for (const [name, checkout] of checkouts) {
    const child = await start(rig, name, checkout, [from.port, to.port], tasks);
    running.push({ name, pid: child.pid });
  }
  await sleep(settle * 1000, undefined, { signal: rig.signal });
  const before = running.map(({ pid }) => threadUse(pid));
  const since = performance.now();
  await sleep(seconds * 1000, undefined, { signal: rig.signal });
  const elapsed = (performance.now() - since) / 1000;
  return running.map(({ name, pid }, index) => {
    const used = perSecond(threadUse(pid), before[index] ?? new Map(), elapsed);
    const sum = (read: (use: ThreadUse) => number): number =>
      [...used.values()].reduce((total, use) => total + read(use), 0);
    return {
      name,
      megabytes: residentBytes(pid) / 1e6,
      cpuPercent: sum(({ micros }) => micros) / 10_000,
      wakeUps: sum(({ wakeUps }) => wakeUps),
      threads: used,
    };
  });
}

function perSecond(
  after: ReadonlyMap<string, ThreadUse>,
  before: ReadonlyMap<string, ThreadUse>,
  seconds: number,
): Map<string, ThreadUse> {
  return new Map(
    [...after].map(([id, { name, micros, wakeUps }]) => [
      id,
      {
        name,
        micros: (micros - (before.get(id)?.micros ?? 0)) / seconds,
        wakeUps: (wakeUps - (before.get(id)?.wakeUps ?? 0)) / seconds,
      },
    ]),
  );
}

function table(results: readonly Idle[]): string {
  const groups = Map.groupBy(results, ({ name }) => name);
  const of = (name: string, read: (idle: Idle) => number): number =>
    median((groups.get(name) ?? []).map(read)) ?? Number.NaN;
  const lines = [...groups.keys()].map((name) => {
    const cells = [
      of(name, ({ megabytes }) => megabytes).toFixed(0),
      of(name, ({ cpuPercent }) => cpuPercent).toFixed(2),
      of(name, ({ wakeUps }) => wakeUps).toFixed(1),
    ];
    return `| ${name} | ${cells.join(' | ')} |`;
  });
  if (groups.size === 2) {
    const [before, after] = [...groups.values()];
    const ratio = (read: (idle: Idle) => number): string =>
      (
        median((after ?? []).map((idle, round) => read(idle) / read(before?.[round] ?? idle))) ?? Number.NaN
      ).toFixed(2);
    lines.push(
      `| ratio | ${[ratio(({ megabytes }) => megabytes), ratio(({ cpuPercent }) => cpuPercent), ratio(({ wakeUps }) => wakeUps)].join(' | ')} |`,
    );
  }
  return ['| | RSS MB | CPU % of a core | wake-ups/s |', '| --- | --: | --: | --: |', ...lines].join('\n');
}

const threadLines = ({ name, threads }: Idle): string =>
  [...threads.values()]
    .filter(({ wakeUps }) => wakeUps > 0)
    .sort((a, b) => b.micros - a.micros)
    .map(
      (use) => `- ${name}, ${use.name}: ${use.micros.toFixed(0)} µs/s, ${use.wakeUps.toFixed(1)} wake-ups/s`,
    )
    .join('\n');

async function main(): Promise<void> {
  assertProc();
  const plan = readArguments(process.argv.slice(2));
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
  process.stdout.write(`${machineFacts()}\n\n`);
  const results: Idle[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const round = await measure(plan, interrupted.signal);
    if (plan.threads) process.stdout.write(`${round.map(threadLines).join('\n')}\n\n`);
    results.push(...round);
  }
  process.stdout.write(`${table(results)}\n`);
}

await main();
