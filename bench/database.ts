import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Api } from '../src/cli/demo/demo.ts';
import { startPostgres } from '../test/support/postgres.ts';
import { startBroker } from './brokers.ts';
import type { Child } from './child.ts';
import { Generator } from './generator.ts';
import { topic } from './message.ts';
import { json, startPenstock } from './penstock.ts';
import { assertProc, cpuMicros } from './proc.ts';
import { machineFacts, median } from './report.ts';
import { Rig } from './rig.ts';
import { postgresOutput, startTelegraf } from './telegraf.ts';

/**
 * Measures how fast messages at QoS 1 become rows of PostgreSQL, beside one INSERT a message, beside Telegraf and beside one COPY
 * of the same rows without MQTT. See README.md.
 */

const usage =
  'usage: node scripts/run.mjs bench/database.ts [--rows 100000] [--rounds 3] [--telegraf PATH]\n';

/** A contestant that takes longer is stopped there; its rate is that of what it has written. */
const maxMs = 30_000;
/** Rows before the measurement, to warm up. */
const warmUp = 5_000;

interface Figures {
  perSecond: number;
  cpuMicrosPerRow: number;
}

interface Bench {
  rig: Rig;
  /** Its table `rows` is empty. */
  url: string;
  database: pg.Client;
  rows: number;
}

type Start = (port: number, bench: Bench) => Promise<Child>;

const script = (name: string): string => join(import.meta.dirname, name);

const bare =
  (connections: number): Start =>
  async (port, { rig, url }) =>
    rig.run({
      name: 'the bare loop',
      command: process.execPath,
      args: [script('database-bare.ts'), String(port), url, String(connections)],
    });

const penstock =
  (config: object): Start =>
  async (port, { rig, url }) => {
    const { child, address } = await startPenstock(rig);
    const api = new Api(address);
    const table = async (name: string, connector: string, profile: object, own: object, schema: object) => {
      const { id } = await api.post('/connection_profiles', { name, connector, config: profile });
      await api.post('/connection_tables', {
        name,
        connector,
        connection_profile_id: id,
        config: own,
        schema,
      });
    };
    const source = { topic, qos: 'AtLeastOnce', type: {} };
    await table('source', 'mqtt', { url: `mqtt://127.0.0.1:${port}` }, source, json);
    const fields = { fields: json.fields };
    await table('sink', 'postgres', { url, tls: { mode: 'disable' } }, { table: 'rows', ...config }, fields);
    const query = 'INSERT INTO sink SELECT seq, text FROM source;';
    const { id } = await api.post('/pipelines', { name: 'bench', query, parallelism: 1 });
    await api.untilRunning(id, maxMs);
    return child;
  };

const contestants: Record<string, Start> = {
  'one INSERT a message': bare(1),
  'one INSERT a message, 10 connections': bare(10),
  'penstock, append': penstock({}),
  'penstock, upsert': penstock({ mode: 'upsert', key: ['seq'] }),
};

/** The contestants, with Telegraf if there is a path of its binary. */
function contestantsWith(telegraf: string | undefined): Record<string, Start> {
  if (telegraf === undefined) return contestants;
  const program = resolve(telegraf);
  if (!existsSync(program)) throw new Error(`there is no ${program}`);
  return {
    ...contestants,
    telegraf: (port, { rig, url }) => startTelegraf(program, port, postgresOutput(url), rig),
  };
}

/** Publishes as fast as the broker takes it, and waits until the rows are there. */
async function forwarded(start: Start, bench: Bench): Promise<Figures> {
  const { rig, rows } = bench;
  const broker = await startBroker(rig, 'bench');
  const child = await start(broker.port, bench);
  const generator = await Generator.connect(broker.port, 1, rig);
  // A message that comes before the subscription is lost.
  for (let seq = 0; (await written(bench)) === 0; ) {
    generator.publish(++seq, 1);
    await sleep(200, undefined, { signal: rig.signal });
    if (seq > 100) throw new Error('nothing is written');
  }
  generator.publish(1_000, warmUp);
  await until(bench, warmUp);
  await sleep(500);
  const before = { rows: await written(bench), cpu: cpuMicros(child.pid), at: performance.now() };
  generator.publish(1_000_000, rows);
  await until(bench, before.rows + rows);
  const taken = performance.now() - before.at;
  const count = (await written(bench)) - before.rows;
  return { perSecond: (count * 1_000) / taken, cpuMicrosPerRow: (cpuMicros(child.pid) - before.cpu) / count };
}

const written = async ({ database }: Bench): Promise<number> =>
  Number((await database.query('SELECT count(*) AS n FROM rows')).rows[0].n);

async function until(bench: Bench, count: number): Promise<void> {
  const deadline = performance.now() + maxMs;
  while (performance.now() < deadline && (await written(bench)) < count)
    await sleep(50, undefined, { signal: bench.rig.signal });
}

/** One COPY in a process of its own. */
async function copied({ rig, url, rows }: Bench): Promise<Figures> {
  const { promise, resolve } = Promise.withResolvers<string>();
  rig.run({
    name: 'COPY',
    command: process.execPath,
    args: [script('database-copy.ts'), url, String(rows)],
    onLine: resolve,
  });
  const { ms, cpuMicros: cpu } = JSON.parse(await promise) as { ms: number; cpuMicros: number };
  return { perSecond: (rows * 1_000) / ms, cpuMicrosPerRow: cpu / rows };
}

async function measure(work: (bench: Bench) => Promise<Figures>, rows: number): Promise<Figures> {
  await using rig = await Rig.setUp(new AbortController().signal);
  // As it is by default: a committed row is on disk.
  const settings = { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on', max_wal_size: '4GB' };
  const server = await startPostgres({ settings });
  rig.defer(() => server.stop());
  const url = server.url('postgres');
  const database = new pg.Client({ connectionString: url });
  await database.connect();
  rig.defer(() => database.end());
  await database.query('CREATE TABLE rows (seq bigint PRIMARY KEY, text text)');
  return await work({ rig, url, database, rows });
}

function report(results: Map<string, Figures[]>): string {
  const of = (name: string) => median((results.get(name) ?? []).map(({ perSecond }) => perSecond)) ?? 0;
  const lines = [...results].map(([name, figures]) => {
    const rate = of(name);
    const cpu = median(figures.map(({ cpuMicrosPerRow }) => cpuMicrosPerRow)) ?? 0;
    const ratios = [rate / of('one INSERT a message'), rate / of('COPY')].map((ratio) => ratio.toFixed(2));
    return `| ${name} | ${rate.toFixed(0)} | ${cpu.toFixed(1)} | ${ratios.join(' | ')} |`;
  });
  return [
    '| | rows/s | CPU µs/row | × one INSERT | × COPY |',
    '| --- | --: | --: | --: | --: |',
    ...lines,
  ].join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '3' },
      telegraf: { type: 'string' },
    },
  });
  assertProc();
  const works = new Map<string, (bench: Bench) => Promise<Figures>>([
    ...Object.entries(contestantsWith(values.telegraf)).map(
      ([name, start]) => [name, (bench: Bench) => forwarded(start, bench)] as const,
    ),
    ['COPY', copied],
  ]);
  const results = new Map<string, Figures[]>([...works.keys()].map((name) => [name, []]));
  const leftOut = values.telegraf === undefined ? '\n- without Telegraf: no path was given (--telegraf)' : '';
  process.stdout.write(`${machineFacts()}${leftOut}\n\n`);
  for (let round = 0; round < Number(values.rounds); round += 1)
    for (const [name, work] of works) {
      const figures = await measure(work, Number(values.rows));
      process.stderr.write(`${round} ${name}: ${JSON.stringify(figures)}\n`);
      results.get(name)?.push(figures);
    }
  process.stdout.write(`${report(results)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n${usage}`);
  process.exitCode = 1;
});
