import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startBroker } from './brokers.ts';
import { Counter } from './counter.ts';
import { Generator } from './generator.ts';
import { ClosedLoop } from './load.ts';
import { rawString, setUp, startPenstock } from './penstock.ts';
import { machineFacts } from './report.ts';
import { Rig } from './rig.ts';
import { percentile } from './stretch.ts';

/**
 * Measures reads of the API while a job of the same process runs at full load, and while it is idle. See README.md.
 */

const usage = 'usage: node scripts/run.mjs bench/reads.ts [--seconds 20]\n';
const perSecond = 50;
const warmUpMs = 4_000;
const paths = ['/connection_profiles', '/connection_tables', '/pipelines', '/jobs'];

/** Sends reads at a fixed rate. Returns their durations in milliseconds, sorted. */
async function read(address: string, seconds: number, signal: AbortSignal): Promise<Float64Array> {
  const took: number[] = [];
  const pending: Promise<void>[] = [];
  const ask = async (path: string): Promise<void> => {
    const since = performance.now();
    const response = await fetch(`${address}/api/v1${path}`, { signal });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    took.push(performance.now() - since);
  };
  for (let index = 0; index < seconds * perSecond; index++) {
    pending.push(ask(paths[index % paths.length] as string));
    await sleep(1000 / perSecond, undefined, { signal });
  }
  await Promise.all(pending);
  return Float64Array.from(took).sort();
}

const line = (name: string, took: Float64Array, rate: number): string =>
  `| ${name} | ${rate.toFixed(0)} | ${took.length} | ${percentile(took, 0.5).toFixed(1)} | ${percentile(took, 0.99).toFixed(1)} | ${took.at(-1)?.toFixed(1)} |\n`;

async function measure(seconds: number, interrupted: AbortSignal): Promise<void> {
  await using rig = await Rig.setUp(interrupted);
  const from = await startBroker(rig, 'a');
  const to = await startBroker(rig, 'b');
  const load = new ClosedLoop();
  await Counter.subscribe(to.port, rig, load);
  const generator = await Generator.connect(from.port, 1, rig);
  const { address } = await startPenstock(rig, { PENSTOCK_RATE_LIMIT: '1000000' });
  const route = { fromPort: from.port, toPort: to.port, qos: 1 } as const;
  await setUp(address, route, rawString, 'INSERT INTO sink SELECT * FROM source');
  const print = (text: string): unknown => process.stdout.write(text);
  print(
    '| job | messages/s | reads | p50 ms | p99 ms | longest ms |\n| --- | --: | --: | --: | --: | --: |\n',
  );
  await read(address, 2, rig.signal);
  print(line('idle', await read(address, seconds, rig.signal), 0));
  await load.start(generator, rig.signal);
  await sleep(warmUpMs, undefined, { signal: rig.signal });
  const before = { counted: load.counted, at: performance.now() };
  const took = await read(address, seconds, rig.signal);
  const rate = ((load.counted - before.counted) / (performance.now() - before.at)) * 1000;
  print(line('flat out', took, rate));
  await load.drain(rig.signal);
  print(`\n${load.missing} lost, ${load.duplicates} duplicated\n`);
}

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } });
const seconds = Number(values.seconds);
if (!(seconds >= 1 && seconds <= 3600)) throw new Error(usage);
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
process.stdout.write(`${machineFacts()}\n\n`);
await measure(seconds, interrupted.signal);
