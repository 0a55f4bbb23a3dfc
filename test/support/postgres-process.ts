import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd } from './at-end.ts';
import { execute } from './databases.ts';
import { freePort } from './free-port.ts';
import { findBinaries, notRoot } from './postgres.ts';
import { until } from './until.ts';
import { watch } from './watch.ts';

/** A real PostgreSQL of a test's own that is killed and started again, and loses no committed row. */
export class PostgresProcess {
  readonly url: string;
  readonly #folder: string;
  readonly #port: number;
  #child: ChildProcess | undefined;
  #watcher: ChildProcess | undefined;

  private constructor(port: number, folder: string) {
    this.#port = port;
    this.#folder = folder;
    this.url = `postgresql://penstock@127.0.0.1:${port}/postgres`;
  }

  /** It stops by itself: see `atEnd`. */
  static async start(): Promise<PostgresProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'penstock-postgres-'));
    const user = notRoot();
    if (user) chownSync(folder, user.uid, user.gid);
    const options = ['--username=penstock', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
    execFileSync(join(findBinaries(), 'initdb'), ['-D', join(folder, 'data'), ...options], {
      ...user,
      cwd: folder,
      stdio: 'ignore',
    });
    const server = new PostgresProcess(await freePort(), folder);
    atEnd(() => server.stop());
    await server.resume();
    return server;
  }

  /** Starts it and waits until it responds. The processes of a killed server may hold its memory for a moment. */
  async resume(): Promise<void> {
    await until('PostgreSQL to answer', () => this.#answers(), 60_000);
  }

  async #answers(): Promise<boolean> {
    if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null)
      this.#spawn();
    return execute(this.url, 'SELECT 1').then(
      () => true,
      () => false,
    );
  }

  #spawn(): void {
    // Without fsync a process that is killed still loses nothing: the operating system has what was written.
    const settings = ['fsync=off', 'listen_addresses=127.0.0.1', `unix_socket_directories=${this.#folder}`];
    this.#child = spawn(
      join(findBinaries(), 'postgres'),
      ['-D', join(this.#folder, 'data'), '-p', String(this.#port), ...settings.flatMap((one) => ['-c', one])],
      { ...notRoot(), cwd: this.#folder, stdio: 'ignore' },
    );
    this.#watcher?.kill('SIGKILL');
    this.#watcher = watch(this.#child.pid ?? 0, this.#folder);
  }

  /** Suspends all its processes, or lets them go on. Statements that come meanwhile are executed late. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = this.#child?.pid as number;
    // The first accepts no connection meanwhile, so no further process begins.
    process.kill(pid, signal);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    for (const child of children.filter(Boolean))
      try {
        process.kill(Number(child), signal);
      } catch (error) {
        // It has ended meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    this.#watcher?.kill('SIGKILL');
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Stops it for good and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    this.#watcher?.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
