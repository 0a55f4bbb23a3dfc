import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { atEnd } from './at-end.ts';
import { accepts } from './mosquitto.ts';
import { until } from './until.ts';
import { watch } from './watch.ts';

interface Started {
  command: string;
  args: string[];
  env?: Record<string, string>;
  /** The address at which it listens when ready. */
  port: number;
  /** Its own folder; removed with it. */
  folder: string;
}

/** The path of a program, undefined when it is not installed. */
export function whereIs(name: string): string | undefined {
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return places.map((place) => join(place, name)).find((path) => existsSync(path));
}

/** A server that belongs to a test, with all the processes it starts, which end with it. */
export class ServerProcess {
  readonly #started: Started;
  #child: ChildProcess | undefined;
  #watcher: ChildProcess | undefined;
  #log = '';

  private constructor(started: Started) {
    this.#started = started;
  }

  /** Starts it and waits until it accepts connections. It stops by itself: see `atEnd`. */
  static async start(started: Started): Promise<ServerProcess> {
    const server = new ServerProcess(started);
    atEnd(() => server.stop());
    await server.resume();
    return server;
  }

  /** Starts it again after `kill`, with its folder as it was. */
  async resume(): Promise<void> {
    const { command, args, env, folder, port } = this.#started;
    // A separate process group, to be killed as a whole.
    const child = spawn(command, args, {
      detached: true,
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#watcher = watch(-(child.pid ?? 0), folder);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        this.#log = (this.#log + String(chunk)).slice(-100_000);
      });
    }
    await until(`${command} listens`, () => this.#gone || accepts(port), 120_000);
    if (this.#gone) throw new Error(`${command} did not start: ${this.#log}`);
  }

  get #gone(): boolean {
    return !this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Ends it and keeps its folder. SIGTERM lets it save its state. */
  async kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGUSR2'): Promise<void> {
    this.#watcher?.kill('SIGKILL');
    if (!this.#child || this.#gone) return;
    const exited = once(this.#child, 'exit');
    process.kill(-(this.#child.pid ?? 0), signal);
    await exited;
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    await this.kill('SIGKILL');
    rmSync(this.#started.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
