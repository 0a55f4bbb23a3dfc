import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';
import { PenstockProcess } from './penstock-process.ts';

/**
 * The demo: a broker and simulated devices in this process, Penstock in its own process, and everything a user would
 * do, over HTTP. Penstock can be killed at any time: it is started again, and no alert is lost.
 */

export interface DemoOptions {
  exit: boolean;
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
    const address = await penstock.start();
    const hasConsole = options.environment.PENSTOCK_CONSOLE !== 'off';
    print(hasConsole ? `Console         ${address}/\n` : `Penstock serves ${address}\n`);
    print(`A broker listens on ${broker.url}; five devices publish to plant/<device>/readings.\n`);
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
  if (options.environment.PENSTOCK_CONSOLE !== 'off') print(`Console         ${address}/`);
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

interface Answer {
  id: string;
  error: boolean;
  message: string;
  steps: { name: string; outcome: string; durationMs: number; message: string }[];
  data: { state: string; failure_reason: { error: string } | null }[];
}

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

/** The environment of the demo: a broker and a fleet of simulated devices, both in this process. */

export interface Broker {
  url: string;
  close(): Promise<void>;
}

/** An MQTT 3.1.1 broker in this process, on a free port of the loopback interface. It keeps sessions in memory. */
export async function startBroker(): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the broker has no port');
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      await new Promise<void>((resolve) => aedes.close(resolve));
    },
  };
}

const devices = ['pump-1', 'pump-2', 'press-1', 'oven-1', 'oven-2'];

const shown = 9;

/** Simulated devices, and a listener that counts which alerts must come, which came, and which came twice. */
export class Fleet {
  readonly #client: MqttClient;
  readonly #expected = new Set<string>();
  readonly #arrived = new Set<string>();
  readonly #show: (line: string) => void;
  #published = 0;
  #received = 0;

  private constructor(client: MqttClient, show: (line: string) => void) {
    this.#client = client;
    this.#show = show;
  }

  /** Calls `show` with a line for each of the first messages, in and out. */
  static async connect(url: string, show: (line: string) => void): Promise<Fleet> {
    const client = await connectAsync(url, { clientId: 'demo_fleet', clean: true });
    const fleet = new Fleet(client, show);
    client.on('message', (_topic, payload) => fleet.#arrive(payload));
    await client.subscribeAsync('plant/alerts', { qos: 1 });
    return fleet;
  }

  /** One device publishes one reading and waits for the broker to take it. Every third reading is too hot. */
  async publishOne(): Promise<void> {
    const seq = this.#published++;
    const device = devices[seq % devices.length] as string;
    const hot = seq % 3 === 0;
    const celsius = hot ? 91 + (seq % 7) : 60 + (seq % 25);
    if (hot) this.#expected.add(`${device}/${seq}`);
    const topic = `plant/${device}/readings`;
    const payload = JSON.stringify({ device, seq, celsius });
    if (seq < shown) this.#show(`  in   ${topic.padEnd(24)} ${payload}`);
    await this.#client.publishAsync(topic, payload, { qos: 1 });
  }

  #arrive(payload: Buffer): void {
    const { device, seq } = JSON.parse(payload.toString()) as { device: string; seq: number };
    if (this.#received++ < shown / 3) this.#show(`  out  ${'plant/alerts'.padEnd(24)} ${payload}`);
    this.#arrived.add(`${device}/${seq}`);
  }

  missing(): string[] {
    return [...this.#expected].filter((alert) => !this.#arrived.has(alert));
  }

  tally(): string {
    const twice = this.#received - this.#arrived.size;
    const repeated = twice > 0 ? ` (${twice} of them twice)` : '';
    return `${this.#published} in, ${this.#arrived.size} of ${this.#expected.size} alerts out${repeated}`;
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}
