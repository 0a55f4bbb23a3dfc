import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Api } from '../src/cli/demo/demo.ts';
import { startBridge } from './bridge.ts';
import { within } from './deadline.ts';
import { topic } from './message.ts';
import { pipeline, rawString, startPenstock } from './penstock.ts';
import { closer } from './readings.ts';
import type { Start } from './route.ts';
import { startTelegrafWindows } from './telegraf.ts';

const runMs = 30_000;

/** A forwarder that is measured. `count` returns how many input messages one of its output messages stands for. */
export interface WindowContestant {
  start: Start;
  count(payload: Buffer): number;
  /** Whether it waits for later messages before it puts out what it has. */
  needsTime?: boolean;
}

const one = (payload: Buffer): number => (payload.includes(closer) ? 0 : 1);

const readings = {
  format: { type: 'json', timestamp_format: 'unix_millis' },
  fields: [
    { name: 'ts', type: 'timestamp', unit: 'millisecond', required: true },
    { name: 'device', type: 'string', required: true },
    { name: 'value', type: 'float64', required: true },
    { name: 'text', type: 'string', required: true },
  ],
};

/** A table of a query, on a broker of this machine. */
export const mqttTable = (name: string, columns: string, port: number, options: string): string =>
  `CREATE TABLE ${name} (${columns}) WITH (connector = 'mqtt', url = 'mqtt://127.0.0.1:${port}', topic = '${topic}', ` +
  `qos = 'AtLeastOnce', format = 'json', ${options});`;

const windows: Start = async ({ fromPort, toPort }, rig) => {
  const columns =
    "ts TIMESTAMP NOT NULL, device TEXT NOT NULL, value DOUBLE NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '100 milliseconds'";
  const query = `
    ${mqttTable('readings', columns, fromPort, "type = 'source', json.timestamp_format = 'unix_millis'")}
    ${mqttTable('averages', 'device TEXT, n BIGINT, mean DOUBLE, start TIMESTAMP', toPort, "type = 'sink'")}
    INSERT INTO averages SELECT device, n, mean, w.start FROM (
      SELECT device, count(*) AS n, avg(value) AS mean, tumble(INTERVAL '1 second') AS w FROM readings GROUP BY device, w
    );`;
  const { child, address } = await startPenstock(rig);
  const api = new Api(address);
  const { id } = await api.post('/pipelines', { name: 'bench', query, parallelism: 1 });
  await within(runMs, 'starting the pipeline', rig.signal, api.untilRunning(id, runMs));
  return child;
};

interface Average {
  device: string;
  n: number;
}

function averagedBy(payload: Buffer): number {
  const { device, n } = JSON.parse(payload.toString()) as Average;
  return device === closer ? 0 : n;
}

interface TelegrafMetric {
  fields: { value_count?: number };
  tags: { device: string };
}

function averagedByTelegraf(payload: Buffer): number {
  const { fields, tags } = JSON.parse(payload.toString()) as TelegrafMetric;
  return tags.device === closer ? 0 : (fields.value_count ?? 0);
}

export type WindowContestantName = 'bridge' | 'pass-through' | 'pass-through-json' | 'windows' | 'telegraf';

/** With Telegraf if there is a path of its binary. */
export function windowContestants(telegraf: string | undefined): Map<WindowContestantName, WindowContestant> {
  const copy = 'INSERT INTO sink SELECT * FROM source';
  const found = new Map<WindowContestantName, WindowContestant>([
    ['bridge', { start: startBridge, count: one }],
    ['pass-through', { start: pipeline(rawString, copy), count: one }],
    [
      'pass-through-json',
      {
        start: pipeline(readings, 'INSERT INTO sink SELECT ts, device, value, text FROM source'),
        count: one,
      },
    ],
    ['windows', { start: windows, count: averagedBy, needsTime: true }],
  ]);
  if (telegraf === undefined) return found;
  const program = resolve(telegraf);
  if (!existsSync(program)) throw new Error(`there is no ${program}`);
  const start: Start = ({ fromPort, toPort }, rig) => startTelegrafWindows(program, fromPort, toPort, rig);
  return found.set('telegraf', { start, count: averagedByTelegraf });
}
