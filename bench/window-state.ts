import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { Api } from '../src/cli/demo/demo.ts';
import { startBroker } from './brokers.ts';
import type { Child } from './child.ts';
import { until, within } from './deadline.ts';
import { topic } from './message.ts';
import { MqttSocket } from './mqtt-socket.ts';
import { startPenstock } from './penstock.ts';
import { peakBytes, residentBytes } from './proc.ts';
import { median } from './report.ts';
import { Rig } from './rig.ts';
import { percentile } from './stretch.ts';
import { type Delay, Tap } from './tap.ts';
import { mqttTable } from './window-contestants.ts';

/** The cost of a job with many open keys: memory, what a snapshot delays, and the start after a kill. */

const rowsPerMessage = 500;
/** Bytes of chance in a key, which no compression takes away. */
const keyBytes = 90;
const fillOnTheWay = 32;
const probeEveryMs = 5;
const quietMs = 10_000;
const restarts = 3;
const afterMs = 3_000;
/** A snapshot follows some 400 commits. */
const snapshotMs = 300_000;
const readyMs = 120_000;
/** A snapshot is computed before its commit begins. */
const beforeCommitMs = 3_000;

interface Checkpoint {
  epoch: number;
  checkpoint_type: string;
  start_time: number;
  finish_time: number | null;
  bytes: number | null;
  state_bytes: number | null;
}

interface Task {
  state: string;
  connected: boolean;
  windows: { state_bytes: number; checkpoint_ms: number } | null;
}

/** A job on its brokers, and what is sent to it. */
class Job {
  readonly #rig: Rig;
  readonly #socket: MqttSocket;
  readonly tap: Tap;
  #child: Child | undefined;
  #address = '';
  #path = '';
  #published = 0;
  /** The same hour for all rows, so that no window closes. */
  readonly #time = Math.floor(Date.now() / 3_600_000) * 3_600_000;

  private constructor(rig: Rig, socket: MqttSocket, tap: Tap) {
    this.#rig = rig;
    this.#socket = socket;
    this.tap = tap;
    socket.readBytesTo(() => {});
  }

  static async start(rig: Rig): Promise<Job> {
    const broker = await startBroker(rig, 'a');
    const tap = await Tap.open(broker.port, rig);
    const job = new Job(rig, await MqttSocket.open(broker.port, 'bench_rows', rig), tap);
    await job.#serve();
    const lines = "framing = 'newline', type = 'source', json.timestamp_format = 'unix_millis'";
    const query = `
      SET max_state_bytes = '4 GB';
      ${mqttTable('rows', 'ts TIMESTAMP NOT NULL, key TEXT NOT NULL, WATERMARK FOR ts', tap.port, lines)}
      CREATE TABLE counts (key TEXT, n BIGINT) WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:${broker.port}',
        topic = 'bench/counts', qos = 'AtLeastOnce', format = 'json', type = 'sink');
      INSERT INTO counts SELECT key, count(*) FROM rows GROUP BY key, tumble(INTERVAL '1 hour');`;
    const api = new Api(job.#address);
    const { id } = await api.post('/pipelines', { name: 'bench', query, parallelism: 1 });
    await api.untilRunning(id, readyMs);
    const { data } = (await job.#get(`/pipelines/${id}/jobs`)) as { data: { id: string }[] };
    job.#path = `/pipelines/${id}/jobs/${data[0]?.id}`;
    return job;
  }

  get pid(): number {
    return (this.#child as Child).pid;
  }

  async checkpoints(): Promise<Checkpoint[]> {
    const { data } = (await this.#get(`${this.#path}/checkpoints`)) as { data: Checkpoint[] };
    return data;
  }

  async task(): Promise<Task | undefined> {
    const { data } = (await this.#get(`${this.#path}/tasks`)) as { data: Task[] };
    return data[0];
  }

  /** Size of the rows of the state in the database, and of its file. */
  stored(): { rows: number; parts: number; file: number } {
    const path = join(this.#rig.folder, 'penstock.db');
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      const row = database
        .prepare('SELECT coalesce(sum(length(data)), 0) AS bytes, count(*) AS parts FROM StatePart')
        .get() as { bytes: number; parts: number };
      return { rows: row.bytes, parts: row.parts, file: statSync(path).size };
    } finally {
      database.close();
    }
  }

  /** Publishes a message with a row for each key. */
  publish(keys: readonly string[]): void {
    const rows = keys.map((key) => `{"ts":${this.#time},"key":"${key}"}`);
    this.#published += 1;
    const messageId = (this.#published % 65_535) + 1;
    const payload = rows.join('\n');
    this.#socket.write(
      generate({ cmd: 'publish', topic, payload, qos: 1, messageId, dup: false, retain: false }),
    );
  }

  async fill(keys: number): Promise<void> {
    const before = this.tap.acknowledged - this.#published;
    for (let rows = 0; rows < keys; rows += rowsPerMessage) {
      const count = Math.min(rowsPerMessage, keys - rows);
      this.publish(Array.from({ length: count }, () => randomBytes(keyBytes).toString('base64')));
      while (this.#published + before - this.tap.acknowledged >= fillOnTheWay)
        await sleep(2, undefined, { signal: this.#rig.signal });
    }
    await until(readyMs, 'taking the rows', this.#rig.signal, async () => {
      return this.tap.acknowledged >= this.#published + before;
    });
  }

  /** Publishes single rows until `work` is done, and returns the delays of their acknowledgements. */
  async probed(work: () => Promise<void>): Promise<Delay[]> {
    const delays: Delay[] = [];
    this.tap.delays = delays;
    const timer = setInterval(() => this.publish(['probe']), probeEveryMs);
    try {
      await work();
      return delays;
    } finally {
      clearInterval(timer);
      this.tap.delays = undefined;
    }
  }

  /** Kills the process, starts it again, and returns what it took until it acknowledged a message. */
  async restart(): Promise<number> {
    await (this.#child as Child).kill();
    const before = this.tap.acknowledged;
    const began = performance.now();
    const acknowledged = Promise.withResolvers<number>();
    this.tap.onAcknowledged = () => {
      if (this.tap.acknowledged > before) acknowledged.resolve(performance.now());
    };
    this.publish(['probe']);
    await this.#serve();
    return (await within(readyMs, 'starting again', this.#rig.signal, acknowledged.promise)) - began;
  }

  async #serve(): Promise<void> {
    const { child, address } = await startPenstock(this.#rig);
    this.#child = child;
    this.#address = address;
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`${this.#address}/api/v1${path}`, { signal: this.#rig.signal });
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}

/** Collects checkpoints, of which the API shows the latest. */
class Watch {
  readonly seen = new Map<number, Checkpoint>();
  readonly #timer: NodeJS.Timeout;

  constructor(job: Job, rig: Rig) {
    const look = async (): Promise<void> => {
      for (const checkpoint of await job.checkpoints()) this.seen.set(checkpoint.epoch, checkpoint);
    };
    this.#timer = setInterval(() => void look().catch(() => {}), 1_000);
    rig.defer(() => this.stop());
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Snapshots whose commit has ended. */
  snapshots(): (Checkpoint & { finish_time: number })[] {
    return [...this.seen.values()].flatMap(({ finish_time, ...rest }) =>
      rest.checkpoint_type === 'snapshot' && finish_time !== null ? [{ ...rest, finish_time }] : [],
    );
  }
}

/** Returns a Markdown table. */
export async function measureState(keys: number, interrupted: AbortSignal): Promise<string> {
  await using rig = await Rig.setUp(interrupted);
  try {
    return await measured(keys, rig);
  } catch (error) {
    throw rig.signal.aborted ? rig.signal.reason : error;
  }
}

async function measured(keys: number, rig: Rig): Promise<string> {
  const say = (text: string) => process.stderr.write(`${text}\n`);
  const job = await Job.start(rig);
  const empty = await restarted(job);
  say(`starts without state: ${empty.join(', ')} ms`);
  const idle = residentBytes(job.pid);
  const watch = new Watch(job, rig);
  const began = performance.now();
  await job.fill(keys);
  const filledMs = performance.now() - began;
  say(`filled in ${filledMs.toFixed(0)} ms`);
  const deltas = [...watch.seen.values()].filter(({ checkpoint_type: type }) => type === 'delta');

  const { quiet, during, snapshot } = await delaysOf(job, watch, rig);
  const held = residentBytes(job.pid);
  const peak = peakBytes(job.pid);
  const { windows } = (await job.task()) ?? { windows: null };
  const stored = job.stored();
  watch.stop();
  const full = await restarted(job);
  say(`starts with state: ${full.join(', ')} ms`);

  const [without = Number.NaN, with_ = Number.NaN] = [median(empty), median(full)];
  const rows: [string, string][] = [
    ['keys', `${keys}, in ${(filledMs / 1000).toFixed(1)} s`],
    ['memory before, with the keys, at most', [idle, held, peak].map(megabytes).join(', ')],
    [
      'state: by the task, in the database, file',
      [windows?.state_bytes ?? 0, stored.rows, stored.file].map(megabytes).join(', '),
    ],
    ['commit while it fills, median', `${milliseconds(median(deltas.map(durationOf)))}`],
    ['snapshot: size, commit', `${megabytes(snapshot.bytes ?? 0)}, ${milliseconds(durationOf(snapshot))}`],
    ['acknowledged after, without a snapshot: p50, p99, most', quantiles(quiet)],
    ['acknowledged after, during a snapshot: p50, p99, most', quantiles(during)],
    ['start after a kill, without state', milliseconds(without)],
    ['start after a kill, with the state', milliseconds(with_)],
    ['of it for the state', milliseconds(with_ - without)],
    ['memory after that start', megabytes(residentBytes(job.pid))],
  ];
  return ['| | |', '| --- | --: |', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
}

async function restarted(job: Job): Promise<number[]> {
  const all: number[] = [];
  for (let round = 0; round < restarts; round++) all.push(Math.round(await job.restart()));
  return all;
}

/** Delays of single messages until a snapshot was written, and apart those while it was. */
async function delaysOf(job: Job, watch: Watch, rig: Rig) {
  const earlier = new Set(watch.snapshots().map(({ epoch }) => epoch));
  const size = job.stored().rows;
  const found = () =>
    watch.snapshots().find(({ epoch, bytes }) => !earlier.has(epoch) && (bytes ?? 0) > size / 2);
  const delays = await job.probed(async () => {
    await sleep(quietMs, undefined, { signal: rig.signal });
    await until(snapshotMs, 'a snapshot', rig.signal, async () => found() !== undefined);
    await sleep(afterMs, undefined, { signal: rig.signal });
  });
  const snapshot = found();
  if (!snapshot) throw new Error('there was no snapshot');
  const [from, to] = [snapshot.start_time / 1000 - beforeCommitMs, snapshot.finish_time / 1000];
  const isDuring = ({ at, ms }: Delay) => at + ms >= from && at <= to;
  return {
    quiet: delays.filter((delay) => !isDuring(delay)).map(({ ms }) => ms),
    during: delays.filter(isDuring).map(({ ms }) => ms),
    snapshot,
  };
}

const durationOf = ({ start_time: start, finish_time: finish }: Checkpoint): number =>
  ((finish ?? start) - start) / 1000;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
const milliseconds = (ms: number | undefined): string => (ms === undefined ? '–' : `${ms.toFixed(0)} ms`);

function quantiles(delays: readonly number[]): string {
  const sorted = Float64Array.from(delays).sort();
  const values = [percentile(sorted, 0.5), percentile(sorted, 0.99), sorted.at(-1) ?? Number.NaN];
  return `${values.map((value) => value.toFixed(0)).join(', ')} ms`;
}
