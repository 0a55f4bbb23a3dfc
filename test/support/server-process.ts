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
  readonly #child: ChildProcess;
  readonly #watcher: ChildProcess;
  readonly #folder: string;
  #log = '';

  private constructor({ command, args, env, folder }: Started) {
    // A separate process group, to be killed as a whole.
    this.#child = spawn(command, args, {
      detached: true,
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#folder = folder;
    this.#watcher = watch(-(this.#child.pid ?? 0), folder);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk) => {
        this.#log = (this.#log + String(chunk)).slice(-100_000);
      });
    }
  }

  /** Starts it and waits until it accepts connections. It stops by itself: see `atEnd`. */
  static async start(started: Started): Promise<void> {
    const server = new ServerProcess(started);
    atEnd(() => server.stop());
    await until(`${started.command} listens`, () => server.#gone || accepts(started.port), 120_000);
    if (server.#gone) throw new Error(`${started.command} did not start: ${server.#log}`);
  }

  get #gone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    this.#watcher.kill('SIGKILL');
    if (!this.#gone) {
      const exited = once(this.#child, 'exit');
      process.kill(-(this.#child.pid ?? 0), 'SIGKILL');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
