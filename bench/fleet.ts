import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generate, type Packet } from 'mqtt-packet';
import { Api } from '../src/cli/demo/demo.ts';
import { startBroker } from './brokers.ts';
import { until } from './deadline.ts';
import { Fleet, type Statement } from './fleet-processes.ts';
import { measureThroughput } from './fleet-throughput.ts';
import { MqttSocket } from './mqtt-socket.ts';
import { assertProc, residentBytes } from './proc.ts';
import { machineFacts } from './report.ts';
import { Rig } from './rig.ts';

/**
 * Measures several worker processes on one PostgreSQL: statements a second at rest, the time of a full restart, and with
 * --throughput how fast one job is carried by several. See README.md.
 */

const usage = `usage: node scripts/run.mjs bench/fleet.ts [--definitions 10000] [--jobs 1000] [--workers 4] [--seconds 30]
         [--statements 12] [--before CHECKOUT]
       node scripts/run.mjs bench/fleet.ts --throughput [--parallelism 8] [--workers 4] [--seconds 10] [--rounds 3] [--turns 1]
`;

const startMs = 300_000;
/** Time for what follows a start, such as the first statistics. */
const settleMs = 20_000;

export interface Plan {
  definitions: number;
  jobs: number;
  workers: number;
  seconds: number;
  /** Number of statements to show. */
  statements: number;
  before: string | undefined;
}

const say = (line: string): unknown => process.stdout.write(`${line}\n`);
const secondsSince = (since: number): string => ((performance.now() - since) / 1000).toFixed(1);

/** Writes the definitions as the API stores them: copies of one that it was given. Their queries have no secrets. */
async function store({ database, address }: Fleet, port: number, { definitions, jobs }: Plan): Promise<void> {
  const api = new Api(address);
  const config = { url: `mqtt://127.0.0.1:${port}` };
  await api.post('/connection_profiles', { name: 'broker', connector: 'mqtt', config });
  const table = (name: string, type: string, topic: string): string =>
    `CREATE TABLE ${name} (at DOUBLE, text TEXT) WITH (connector = 'mqtt', connection_profile = 'broker', topic = '${topic}', ` +
    `type = '${type}', qos = 'AtLeastOnce', format = 'json');`;
  const query = `${table('i', 'source', 'in/number')} ${table('o', 'sink', 'out/number')} INSERT INTO o SELECT * FROM i;`;
  await api.post('/pipelines', { name: 'number', query, parallelism: 1 });
  const columnsOf = async (name: string): Promise<string[]> => {
    const { rows } = await database.query<{ column_name: string }>(
      "SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND table_schema = 'public'",
      [name],
    );
    return rows.map(({ column_name }) => column_name);
  };
  const copied: Record<string, string> = {
    'Pipeline.id': "id || '_' || n",
    'Pipeline.name': "'p' || n",
    'Pipeline.query': "replace(query, '/number', '/' || n)",
    'Pipeline.graph': "replace(graph, '/number', '/' || n)",
    'PipelineProfile.pipelineId': `"pipelineId" || '_' || n`,
    'Job.id': "id || '_' || n",
    'Job.pipelineId': `"pipelineId" || '_' || n`,
    'Job.stop': `CASE WHEN n < ${jobs} THEN 'none' ELSE 'graceful' END`,
    'Job.state': `CASE WHEN n < ${jobs} THEN 'Created' ELSE 'Stopped' END`,
  };
  for (const name of ['Pipeline', 'PipelineProfile', 'Job']) {
    const columns = await columnsOf(name);
    const values = columns.map((column) => copied[`${name}.${column}`] ?? `"${column}"`);
    await database.query(
      `INSERT INTO "${name}" (${columns.map((column) => `"${column}"`)})
       SELECT ${values} FROM "${name}", generate_series(0, ${definitions - 1}) AS n`,
    );
  }
  await database.query(`DELETE FROM "Pipeline" WHERE name = 'number'`);
  await database.query('ANALYZE');
}

async function running({ database }: Fleet): Promise<number> {
  const { rows } = await database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM "Job" WHERE state = 'Running'`,
  );
  return rows[0]?.count ?? 0;
}

const untilAllRun = (fleet: Fleet, { jobs }: Plan): Promise<void> =>
  until(startMs, 'starting all jobs', fleet.rig.signal, async () => (await running(fleet)) === jobs);

/** Publishes one message to each job, and waits until each has forwarded it. */
async function checkAll({ rig }: Fleet, port: number, { jobs }: Plan): Promise<void> {
  const socket = await MqttSocket.open(port, `bench_check_${performance.now()}`, rig);
  const missing = new Set(Array.from({ length: jobs }, (_, n) => `out/${n}`));
  const packet = (packet: Packet): unknown => packet.cmd === 'publish' && missing.delete(packet.topic);
  socket.readTo({ packet, caughtUp() {} });
  const subscriptions = [{ topic: 'out/#', qos: 0 }] as const;
  await socket.ask({ cmd: 'subscribe', messageId: 1, subscriptions: [...subscriptions] }, 'suback');
  const flags = { qos: 1, dup: false, retain: false } as const;
  for (let n = 0; n < jobs; n++)
    socket.write(
      generate({
        cmd: 'publish',
        topic: `in/${n}`,
        payload: '{"at":1,"text":"x"}',
        messageId: n + 1,
        ...flags,
      }),
    );
  await until(30_000, 'a message of each job', rig.signal, async () => missing.size === 0);
}

interface AtRest {
  perSecond: number;
  text: string;
}

async function atRest(fleet: Fleet, { seconds, statements }: Plan): Promise<AtRest> {
  await sleep(settleMs, undefined, { signal: fleet.rig.signal });
  await fleet.forgetStatements();
  const before = fleet.cpu();
  const since = performance.now();
  await sleep(seconds * 1000, undefined, { signal: fleet.rig.signal });
  const elapsed = (performance.now() - since) / 1000;
  const after = fleet.cpu();
  const all = await fleet.statements();
  const memory = fleet.workerPids.map((pid) => (residentBytes(pid) / 1e6).toFixed(0)).join(', ');
  const sum = (read: (statement: Statement) => number): number =>
    all.reduce((total, one) => total + read(one), 0);
  const perSecond = sum(({ calls }) => calls) / elapsed;
  const share = (name: 'postgres' | 'workers'): string =>
    ((after[name] - before[name]) / elapsed / 10_000).toFixed(1);
  const lines = [
    `- at rest: ${perSecond.toFixed(1)} statements/s, which take ${(sum(({ ms }) => ms) / elapsed).toFixed(1)} ms/s ` +
      `and return ${(sum(({ rows }) => rows) / elapsed).toFixed(0)} rows/s`,
    `- at rest: CPU of PostgreSQL ${share('postgres')} % of a core, of the workers ${share('workers')} %; ` +
      `${await fleet.connections()} connections; memory of the workers ${memory} MB`,
    ...table(all.slice(0, statements), elapsed),
  ];
  return { perSecond, text: lines.join('\n') };
}

function table(statements: readonly Statement[], seconds?: number): string[] {
  const per = seconds === undefined ? '' : '/s';
  const number = (value: number): string =>
    seconds === undefined ? value.toFixed(0) : (value / seconds).toFixed(2);
  return [
    '',
    `| statements${per} | ms${per} | rows${per} | statement |`,
    '| --: | --: | --: | --- |',
    ...statements.map(
      ({ calls, ms, rows, text }) =>
        `| ${number(calls)} | ${number(ms)} | ${number(rows)} | \`${shortened(text)}\` |`,
    ),
    '',
  ];
}

/** A statement without the columns that it names. */
const shortened = (text: string): string =>
  text
    .replaceAll('"public".', '')
    .replace(/^SELECT .*? FROM /, 'SELECT … FROM ')
    .replace(/ SET .*? WHERE /, ' SET … WHERE ')
    .replaceAll('|', '\\|')
    .slice(0, 150);

async function measure(
  name: string,
  plan: Plan,
  checkout: string | undefined,
  interrupted: AbortSignal,
): Promise<void> {
  await using rig = await Rig.setUp(interrupted);
  say(`\n## ${name}\n`);
  const { port } = await startBroker(rig, 'm');
  const fleet = await Fleet.create(rig, { checkout, workers: plan.workers, settings: {} });
  await fleet.startApi();
  await store(fleet, port, plan);
  const startedAt = performance.now();
  fleet.startWorkers();
  await untilAllRun(fleet, plan);
  say(
    `- ${plan.jobs} jobs of ${plan.definitions} pipelines: all run ${secondsSince(startedAt)} s after ${plan.workers} workers started`,
  );
  await checkAll(fleet, port, plan);
  const { text } = await atRest(fleet, plan);
  say(text);
  const stoppedAt = performance.now();
  await fleet.stop();
  say(
    `- all processes ended ${secondsSince(stoppedAt)} s after SIGTERM; ${await running(fleet)} jobs still shown as Running`,
  );
  await fleet.database.query(`UPDATE "Job" SET state = 'Scheduling' WHERE state = 'Running'`);
  await fleet.forgetStatements();
  const cpu = fleet.cpu();
  const restartedAt = performance.now();
  fleet.startWorkers();
  await fleet.startApi();
  await untilAllRun(fleet, plan);
  const took = performance.now() - restartedAt;
  const used = fleet.cpu();
  const all = await fleet.statements();
  const total = (read: (statement: Statement) => number) =>
    all.reduce((sum, one) => sum + read(one), 0).toFixed(0);
  say(
    `- restart: all run ${(took / 1000).toFixed(1)} s after all processes were started, with ${total(({ calls }) => calls)} ` +
      `statements that took ${total(({ ms }) => ms)} ms; CPU of the workers ${(used.workers / 1e6).toFixed(1)} s, ` +
      `of PostgreSQL ${((used.postgres - cpu.postgres) / 1e6).toFixed(1)} s`,
  );
  say(table(all.slice(0, plan.statements)).join('\n'));
  await checkAll(fleet, port, plan);
  say('- each job has forwarded a message after both starts');
  await fleet.stop();
}

const options = {
  definitions: { type: 'string', default: '10000' },
  jobs: { type: 'string', default: '1000' },
  workers: { type: 'string', default: '4' },
  seconds: { type: 'string', default: '30' },
  statements: { type: 'string', default: '12' },
  rounds: { type: 'string', default: '3' },
  parallelism: { type: 'string', default: '8' },
  turns: { type: 'string', default: '1' },
  throughput: { type: 'boolean', default: false },
  before: { type: 'string' },
} as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options });
  const number = (
    name: 'definitions' | 'jobs' | 'workers' | 'seconds' | 'statements' | 'rounds' | 'parallelism' | 'turns',
  ) => {
    const value = Number(values[name]);
    if (!(Number.isInteger(value) && value >= 1 && value <= 1_000_000)) throw new Error(usage);
    return value;
  };
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
  assertProc();
  const before = values.before === undefined ? undefined : resolve(values.before);
  if (before !== undefined && !existsSync(join(before, 'src', 'main.ts')))
    throw new Error(`${before} is no checkout\n${usage}`);
  say(machineFacts());
  if (values.throughput) {
    const [workers, seconds] = [number('workers'), number('seconds')];
    await measureThroughput(
      {
        workers,
        seconds,
        rounds: number('rounds'),
        parallelism: number('parallelism'),
        turns: number('turns'),
      },
      interrupted.signal,
    );
    return;
  }
  const plan: Plan = {
    definitions: number('definitions'),
    jobs: number('jobs'),
    workers: number('workers'),
    seconds: number('seconds'),
    statements: number('statements'),
    before,
  };
  if (plan.jobs > plan.definitions) throw new Error(usage);
  if (before) await measure('before', plan, before, interrupted.signal);
  await measure('this build', plan, undefined, interrupted.signal);
}

await main();
