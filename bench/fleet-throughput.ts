import { setTimeout as sleep } from 'node:timers/promises';
import { startBroker } from './brokers.ts';
import { Counter } from './counter.ts';
import { until, within } from './deadline.ts';
import { Fleet } from './fleet-processes.ts';
import { Generator } from './generator.ts';
import { ClosedLoop } from './load.ts';
import { rawString, setUp } from './penstock.ts';
import { cpuMicros } from './proc.ts';
import { median } from './report.ts';
import { Rig } from './rig.ts';

/** Measures how fast one job of several tasks carries messages at QoS 1 on one worker, and on several. */

const warmUpMs = 4_000;
/** Messages in transit for each task, so that its batches have the usual size. */
const inTransit = 1_000;
const startMs = 60_000;
const query = 'INSERT INTO sink SELECT * FROM source';

interface Plan {
  parallelism: number;
  workers: number;
  seconds: number;
  rounds: number;
  /** Number of turns of 10 ms, of which each worker runs in one, as on a machine with a part of a core. 1 for no limit. */
  turns: number;
}

interface Figures {
  perSecond: number;
  /** Shares of a core. */
  workers: number;
  postgres: number;
  brokers: number;
  generator: number;
  /** Number of tasks of each worker. */
  tasks: number[];
}

const say = (line: string): unknown => process.stdout.write(`${line}\n`);

export async function measureThroughput(plan: Plan, interrupted: AbortSignal): Promise<void> {
  const results = new Map<number, Figures[]>([
    [1, []],
    [plan.workers, []],
  ]);
  for (let round = 0; round < plan.rounds; round++)
    for (const [workers, figures] of results) {
      const one = await measure({ ...plan, workers }, interrupted);
      process.stderr.write(
        `round ${round + 1}: ${workers} workers with ${one.tasks} tasks, ${one.perSecond.toFixed(0)}/s\n`,
      );
      figures.push(one);
    }
  say(
    `\nOne job of parallelism ${plan.parallelism}, QoS 1, one thread in each worker${plan.turns > 1 ? ` and 1/${plan.turns} of a core at most` : ''}; medians of ${plan.rounds} rounds of ${plan.seconds} s\n`,
  );
  say(
    '| workers | tasks of each | messages/s | of one worker | CPU of the workers | of both brokers | of generator and counter | of PostgreSQL |',
  );
  say('| --: | --- | --: | --: | --: | --: | --: | --: |');
  const middle = (figures: Figures[], read: (one: Figures) => number): number =>
    median(figures.map(read)) ?? 0;
  const single = middle(results.get(1) ?? [], ({ perSecond }) => perSecond);
  for (const [workers, figures] of results) {
    const perSecond = middle(figures, (one) => one.perSecond);
    const shares = (['workers', 'brokers', 'generator', 'postgres'] as const).map(
      (name) => `${(100 * middle(figures, (one) => one[name])).toFixed(0)} %`,
    );
    say(
      `| ${workers} | ${figures.at(-1)?.tasks.join(', ')} | ${perSecond.toFixed(0)} | ${(perSecond / single).toFixed(2)} | ${shares.join(' | ')} |`,
    );
  }
}

async function measure(
  { parallelism, workers, seconds, turns }: Plan,
  interrupted: AbortSignal,
): Promise<Figures> {
  await using rig = await Rig.setUp(interrupted);
  const from = await startBroker(rig, 'a');
  const to = await startBroker(rig, 'b');
  const settings = { PENSTOCK_WORKER_THREADS: '1' };
  const fleet = await Fleet.create(rig, { checkout: undefined, workers, settings });
  await fleet.startApi();
  fleet.startWorkers();
  await until(
    startMs,
    'starting the workers',
    rig.signal,
    async () => (await fleet.tasks()).length === workers,
  );
  if (turns > 1) takeTurns(fleet.workerPids, turns, rig);
  const load = new ClosedLoop(inTransit * parallelism);
  await Counter.subscribe(to.port, rig, load);
  const generator = await Generator.connect(from.port, 1, rig);
  await within(
    startMs,
    'starting the pipeline',
    rig.signal,
    setUp(fleet.address, { fromPort: from.port, toPort: to.port, qos: 1 }, rawString, query, parallelism),
  );
  await load.start(generator, rig.signal);
  await sleep(warmUpMs, undefined, { signal: rig.signal });
  const sample = () => ({
    at: performance.now(),
    counted: load.counted,
    ...fleet.cpu(),
    brokers: cpuMicros(from.process.pid) + cpuMicros(to.process.pid),
    generator: cpuMicros(process.pid),
  });
  const before = sample();
  await sleep(seconds * 1000, undefined, { signal: rig.signal });
  const after = sample();
  const tasks = await fleet.tasks();
  await load.drain(rig.signal);
  if (load.missing > 0) throw new Error(`${load.missing} messages are lost`);
  const elapsed = (after.at - before.at) / 1000;
  const share = (name: 'workers' | 'postgres' | 'brokers' | 'generator') =>
    (after[name] - before[name]) / elapsed / 1e6;
  return {
    perSecond: (after.counted - before.counted) / elapsed,
    workers: share('workers'),
    postgres: share('postgres'),
    brokers: share('brokers'),
    generator: share('generator'),
    tasks,
  };
}

/** Stops every process but those whose turn it is, until the end. */
function takeTurns(pids: readonly number[], turns: number, rig: Rig): void {
  let turn = 0;
  const timer = setInterval(() => {
    turn = (turn + 1) % turns;
    for (const [nth, pid] of pids.entries()) process.kill(pid, nth % turns === turn ? 'SIGCONT' : 'SIGSTOP');
  }, 10);
  rig.defer(() => {
    clearInterval(timer);
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  });
}
