import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Child } from './child.ts';
import { topic } from './message.ts';
import type { Rig } from './rig.ts';
import type { Route } from './route.ts';

/** Not a dependency of the project: it has 280 packages, and only this benchmark uses it. */
const version = '5.0.7';
const installMs = 5 * 60_000;
const home = join(import.meta.dirname, '..', 'node_modules', '.cache', `penstock-node-red-${version}`);
const program = join(home, 'node_modules', 'node-red', 'red.js');

/** Installs Node-RED if it is missing. Throws if npm fails, for example without a network. */
export function installNodeRed(): void {
  if (existsSync(program)) return;
  process.stderr.write(`installing Node-RED ${version} into ${home} (once)\n`);
  const unfinished = `${home}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const args = ['install', '--prefix', unfinished, '--no-audit', '--no-fund', '--loglevel=error'];
  // Without scripts and optional packages nothing is compiled. Passwords are then checked in JavaScript; none are used.
  args.push('--ignore-scripts', '--omit=optional', '--fetch-retries=1', `node-red@${version}`);
  const { status, stderr, error } = spawnSync('npm', args, {
    cwd: unfinished,
    encoding: 'utf8',
    timeout: installMs,
  });
  if (status === 0) renameSync(unfinished, home);
  else rmSync(unfinished, { recursive: true, force: true });
  if (status !== 0) throw new Error(`npm could not install it (${error?.message ?? firstLine(stderr)})`);
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

/** Node-RED with `mqtt in` wired to `mqtt out`, without editor, admin API and usage data. */
export async function startNodeRed({ fromPort, toPort, qos }: Route, rig: Rig): Promise<Child> {
  const settings = join(rig.folder, 'settings.cjs');
  const flow = join(rig.folder, 'flows.json');
  await writeFile(settings, `module.exports = ${JSON.stringify(settingsIn(rig.folder))};\n`);
  await writeFile(flow, JSON.stringify(flowOf(fromPort, toPort, qos)));
  return rig.run({
    name: 'Node-RED',
    command: process.execPath,
    args: [program, '--settings', settings, '--userDir', rig.folder, '--no-telemetry', flow],
    options: { cwd: rig.folder },
  });
}

const settingsIn = (userDir: string) => ({
  userDir,
  uiHost: '127.0.0.1',
  uiPort: 0,
  httpAdminRoot: false,
  httpNodeRoot: false,
  diagnostics: { enabled: false, ui: false },
  telemetry: { enabled: false, updateNotification: false },
  externalModules: { autoInstall: false, palette: { allowInstall: false } },
  logging: { console: { level: 'warn', metrics: false, audit: false } },
});

/** The flow that a user would draw, with payloads left as bytes, which is the least work. */
function flowOf(fromPort: number, toPort: number, qos: number): object[] {
  return [
    { id: 'flow', type: 'tab', label: 'bench' },
    broker('from', fromPort),
    broker('to', toPort),
    {
      id: 'in',
      type: 'mqtt in',
      z: 'flow',
      topic,
      qos: String(qos),
      datatype: 'buffer',
      broker: 'from',
      inputs: 0,
      wires: [['out']],
    },
    { id: 'out', type: 'mqtt out', z: 'flow', topic, qos: String(qos), broker: 'to', wires: [] },
  ];
}

const broker = (id: string, port: number) => ({
  id,
  type: 'mqtt-broker',
  broker: '127.0.0.1',
  port: String(port),
  clientid: `bench_${id}`,
  autoConnect: true,
  usetls: false,
  protocolVersion: '4',
  keepalive: '60',
  cleansession: true,
});
