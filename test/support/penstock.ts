import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import supertest from 'supertest';
import { atEnd, tellIfFailed } from './at-end.ts';
import { freePort } from './free-port.ts';
import { migratedDatabases } from './shared-databases.ts';
import { watch } from './watch.ts';

type PenstockRole = 'all' | 'api' | 'worker';

const preloaded = (script: string): Record<string, string> => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}`,
});

/** Settings for a process whose own clock is wrong by this time. */
export const clockAt = (ms: number): Record<string, string> =>
  preloaded(`const Right = Date, now = () => Right.now() + ${ms};
    globalThis.Date = class extends Right {
      constructor(...given) { super(...(given.length > 0 ? given : [now()])); }
      static now() { return now(); }
    };`);

/** Settings for a process in which pauses of a random length, as before another try, take a fourth of their time. */
export const retryingSoon = (): Record<string, string> =>
  preloaded('const { random } = Math; Math.random = () => random() / 4;');

/** Settings for a process in which what takes ten seconds or more takes a fourth of its time, such as time-outs. */
export const hurried = (): Record<string, string> =>
  preloaded(`import http from 'node:http';
    import { Socket } from 'node:net';
    import { syncBuiltinESMExports } from 'node:module';
    const sooner = (ms) => (ms >= 10_000 ? ms / 4 : ms);
    const { setTimeout } = globalThis, { setTimeout: limit } = Socket.prototype, { createServer } = http;
    globalThis.setTimeout = (run, ms, ...more) => setTimeout(run, sooner(ms), ...more);
    Object.defineProperties(globalThis.setTimeout, Object.getOwnPropertyDescriptors(setTimeout));
    Socket.prototype.setTimeout = function (ms, ...more) { return limit.call(this, sooner(ms), ...more); };
    http.createServer = ({ requestTimeout, headersTimeout, ...others }, ...more) =>
      createServer({ ...others, requestTimeout: sooner(requestTimeout), headersTimeout: sooner(headersTimeout) }, ...more);
    syncBuiltinESMExports();`);

const built = process.env.PENSTOCK_TEST_BUILT === '1';
/** Path of Penstock. `npm run check` and `npm test` run what users run, built from the sources as they are. Vitest alone runs the sources. */
export const program = new URL(built ? '../../dist/main.js' : '../../src/main.ts', import.meta.url).pathname;

/**
 * A real Penstock process with a data folder of its own, to be killed and started again. It stops by itself: see
 * `atEnd`.
 */
export class Penstock {
  /** Its data folder. */
  readonly folder = mkdtempSync(join(tmpdir(), 'penstock-process-'));
  readonly #database = join(this.folder, 'penstock.db');
  readonly #settings: Record<string, string>;
  readonly #role: PenstockRole;
  readonly #port: number;
  #child: ChildProcess | undefined;
  #watcher: ChildProcess | undefined;
  #log = '';
  #stdout = '';

  private constructor(port: number, settings: Record<string, string>, role: PenstockRole) {
    this.#port = port;
    this.#settings = settings;
    this.#role = role;
  }

  static async start(settings: Record<string, string> = {}, role: PenstockRole = 'all'): Promise<Penstock> {
    const penstock = new Penstock(await freePort(), settings, role);
    atEnd(() => penstock.stop());
    tellIfFailed(() => penstock.#said());
    const template = migratedDatabases();
    if (template !== undefined) copyFileSync(template.sqlite, penstock.#database);
    await penstock.resume();
    return penstock;
  }

  get address(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get request(): ReturnType<typeof supertest> {
    return supertest(this.address);
  }

  /** Resident memory of the process in bytes, as the kernel counts it. */
  get residentBytes(): number {
    return Number(/VmRSS:\s+(\d+) kB/.exec(this.proc('status'))?.[1] ?? 0) * 1024;
  }

  /** Files and sockets that the process has open. */
  get openFiles(): number {
    return readdirSync(`/proc/${this.#child?.pid}/fd`).length;
  }

  /** A file of the process in /proc. */
  proc(file: 'status' | 'maps' | 'cmdline' | 'environ'): string {
    return readFileSync(`/proc/${this.#child?.pid}/${file}`, 'utf8');
  }

  get log(): string {
    return this.#log;
  }

  /** The last lines of its log that tell of problems. */
  #said(): string {
    const lines = this.#log.split('\n').filter((line) => line !== '' && !line.startsWith('{"level":30'));
    return `Penstock said:\n${lines.slice(-20).join('\n')}`;
  }

  /** Its standard output so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Starts it and waits until it is ready. */
  async resume(): Promise<void> {
    const child = spawn(process.execPath, [program, this.#role], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
        [this.#role === 'worker' ? 'PENSTOCK_WORKER_HTTP' : 'PENSTOCK_PORT']: String(this.#port),
        PENSTOCK_DATA_DIR: this.folder,
        PENSTOCK_DATABASE_URL: `file:${this.#database}`,
        ...this.#settings,
      },
    });
    this.#child = child;
    this.#watcher?.kill('SIGKILL');
    this.#watcher = watch(child.pid ?? 0, this.folder);
    child.stdout.on('data', (chunk) => {
      this.#stdout = (this.#stdout + String(chunk)).slice(-1_000_000);
    });
    child.stderr.on('data', (chunk) => {
      this.#log = (this.#log + String(chunk)).slice(-1_000_000);
    });
    const deadline = Date.now() + 90_000;
    while (!(await this.#ready())) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`Penstock did not start: ${this.#log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #ready(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.#port}/readyz`)).ok;
    } catch {
      // Not listening yet.
      return false;
    }
  }

  /** Suspends the process, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  /** Ends the process; returns its exit code, null when a signal ended it. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<number | null> {
    const child = this.#child;
    // Also if it has ended by itself: another process may have its id by now.
    this.#watcher?.kill('SIGKILL');
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }

  /** Ends it for good and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
