import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockProcess } from './penstock-process.ts';
import { Fleet, startBroker } from './plant.ts';

/**
 * The demo: a broker and simulated devices in this process, Penstock in its own process, and everything a user would
 * do, over HTTP. Penstock can be killed at any time: it is started again, and no alert is lost.
 */

export interface DemoOptions {
  /** Kill Penstock once, and end when every alert has arrived. */
  exit: boolean;
  /** Resolves when the user wants the demo to end. */
  stop: Promise<unknown>;
  node: string;
  environment: Record<string, string | undefined>;
  print(line: string): void;
}

/** Number of readings with `exit`, half of them before the kill. */
const readingsToExit = 400;
const deadlineMs = 60_000;

/** Returns the exit code: 0 when every alert arrived. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { print } = options;
  const folder = await mkdtemp(join(tmpdir(), 'penstock-demo-'));
  const broker = await startBroker();
  const fleet = await Fleet.connect(broker.url, print);
  const penstock = new PenstockProcess({ ...options, folder });
  try {
    print(`A broker listens on ${broker.url}; five devices publish to plant/<device>/readings.`);
    const address = await penstock.start();
    print(`Penstock serves ${address}\n`);
    const api = new Api(address);
    await setUp(api, broker.url, print);
    return options.exit
      ? await proveAndExit(fleet, penstock, print)
      : await showUntilStopped(options, fleet, penstock);
  } finally {
    await penstock.stop();
    await fleet.close();
    await broker.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Does what the README's tour does with curl. */
async function setUp(api: Api, brokerUrl: string, print: (line: string) => void): Promise<void> {
  const profile = { name: 'plant', connector: 'mqtt', config: { url: brokerUrl } };
  print('Testing a connection profile            POST /api/v1/connection_profiles/test');
  const test = await api.post('/connection_profiles/test', profile);
  for (const { name, outcome, durationMs, message } of test.steps)
    print(`  ${mark(outcome)} ${name.padEnd(14)} ${durationMs.toFixed(1).padStart(7)} ms  ${message}`);
  if (test.error) throw new Error(`the test failed: ${test.message}`);
  const { id } = await api.post('/connection_profiles', profile);
  print('Storing it                              POST /api/v1/connection_profiles');
  const fields = [
    { name: 'device', type: 'string', required: true },
    { name: 'seq', type: 'int64', required: true },
    { name: 'celsius', type: 'float64', required: true },
  ];
  const table = (name: string, topic: string, type: object) => ({
    name,
    connector: 'mqtt',
    connection_profile_id: id,
    config: { topic, qos: 'AtLeastOnce', type },
    schema: { format: { type: 'json' }, bad_data: { behavior: 'drop' }, fields },
  });
  await api.post('/connection_tables', table('readings', 'plant/+/readings', {}));
  await api.post('/connection_tables', table('alerts', 'plant/alerts', { retain: false }));
  print('Storing a source and a sink table       POST /api/v1/connection_tables');
  const query = 'INSERT INTO alerts SELECT device, seq, celsius FROM readings WHERE celsius > 90;';
  const pipeline = await api.post('/pipelines', { name: 'overheating', query, parallelism: 1 });
  print('Creating a pipeline                     POST /api/v1/pipelines');
  print(`  ${query}`);
  await api.untilRunning(pipeline.id, deadlineMs);
  print('It is running.\n');
}

const mark = (outcome: string): string => ({ ok: '✓', warning: '!', skipped: '-' })[outcome] ?? '✗';

async function proveAndExit(
  fleet: Fleet,
  penstock: PenstockProcess,
  print: (line: string) => void,
): Promise<number> {
  print(`Publishing ${readingsToExit} readings, with kill -9 of Penstock in the middle …`);
  for (let i = 0; i < readingsToExit; i++) {
    await fleet.publishOne();
    if (i === readingsToExit / 2) {
      const pid = await penstock.kill();
      print(`  kill -9 ${pid}; ${await penstock.restarted()}`);
    }
  }
  const deadline = Date.now() + deadlineMs;
  while (fleet.missing().length > 0 && Date.now() < deadline) await sleep(50);
  const lost = fleet.missing().length;
  print(`${fleet.tally()}, ${lost} lost`);
  return lost === 0 ? 0 : 1;
}

async function showUntilStopped(
  options: DemoOptions,
  fleet: Fleet,
  penstock: PenstockProcess,
): Promise<number> {
  const { print } = options;
  const { address } = penstock;
  print(`Swagger UI      ${address}/api/v1/swagger-ui`);
  print(`The pipeline    curl -s ${address}/api/v1/pipelines`);
  print(`Its job         curl -s ${address}/api/v1/jobs`);
  print(`Metrics         curl -s ${address}/metrics`);
  print(`Lose nothing    kill -9 ${penstock.pid}      (it is started again, and no alert is lost)`);
  print('End             Ctrl-C\n');
  let stopped = false;
  const stop = options.stop.then(() => {
    stopped = true;
  });
  while (!stopped) {
    for (let i = 0; i < 10 && !stopped; i++) {
      await fleet.publishOne();
      await Promise.race([sleep(100), stop]);
    }
    print(`${fleet.tally()}, ${fleet.missing().length} in transit${penstock.note()}`);
  }
  print('stopping …');
  return 0;
}

/** Fields of responses that the demo reads. */
interface Answer {
  id: string;
  error: boolean;
  message: string;
  steps: { name: string; outcome: string; durationMs: number; message: string }[];
  data: { state: string; failure_reason: { error: string } | null }[];
}

/** A client of Penstock's own HTTP API. */
export class Api {
  readonly #base: string;

  constructor(address: string) {
    this.#base = `${address}/api/v1`;
  }

  async post(path: string, body: object): Promise<Answer> {
    return this.#call(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    });
  }

  /** Waits until the pipeline's job runs; throws when it failed or the deadline passed. */
  async untilRunning(pipeline: string, deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const { data } = await this.#call(`/pipelines/${pipeline}/jobs`, {});
      const [job] = data;
      if (job?.state === 'Running') return;
      if (job?.state === 'Failed') throw new Error(`the job failed: ${job.failure_reason?.error}`);
      if (Date.now() > deadline) throw new Error(`the job is still ${job?.state}`);
      await sleep(50);
    }
  }

  async #call(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`${this.#base}${path}`, init);
    const answer = (await response.json()) as Answer;
    if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }
}
