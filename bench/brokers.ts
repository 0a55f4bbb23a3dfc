import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from './child.ts';
import type { Rig } from './rig.ts';

const startMs = 5_000;

/** A mosquitto process that listens on a port of the loopback interface. */
export interface Broker {
  port: number;
  process: Child;
}

/** Path and version of mosquitto. Throws if it is not installed. */
export function findMosquitto(): { path: string; version: string } {
  for (const path of ['mosquitto', '/usr/sbin/mosquitto']) {
    const { stdout } = spawnSync(path, ['-h'], { encoding: 'utf8' });
    const version = /mosquitto version (\S+)/.exec(stdout ?? '')?.[1];
    if (version) return { path, version };
  }
  throw new Error('there is no mosquitto: install the package mosquitto');
}

/** Starts mosquitto on a free port; resolves when it accepts connections. `lines` are added to its configuration. */
export async function startBroker(rig: Rig, name: string, lines: string[] = []): Promise<Broker> {
  const port = await freePort();
  const file = join(rig.folder, `${name}.conf`);
  await writeFile(file, [...settings(port), ...lines, ''].join('\n'));
  const child = rig.run({ name: `mosquitto ${name}`, command: findMosquitto().path, args: ['-c', file] });
  await untilListening(port, rig.signal);
  return { port, process: child };
}

/** Unlimited queues: the generator keeps few messages in transit, so none grows. See README.md. */
function settings(port: number): string[] {
  return [
    // As root, mosquitto would switch to a user that cannot read a private temporary folder.
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence false',
    'log_type error',
    'log_type warning',
    'max_queued_messages 0',
    'max_inflight_messages 1000',
  ];
}

async function untilListening(port: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + startMs;
  while (!(await accepts(port))) {
    signal.throwIfAborted();
    if (performance.now() > deadline) throw new Error(`mosquitto did not listen within ${startMs} ms`);
    await sleep(20, undefined, { signal });
  }
}

function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).then((accepted) => {
    socket.destroy();
    return accepted as boolean;
  });
}

/** A port of the loopback interface that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('there is no free port');
  return address.port;
}
