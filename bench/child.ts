import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Time for a process to end before it is killed. */
const stopMs = 5_000;
const keptLines = 5;

/** The command to start. `failed` is called if the process ends without being stopped. */
export interface Command {
  name: string;
  command: string;
  args: string[];
  options?: SpawnOptions;
  onLine?(line: string): void;
  failed(error: Error): void;
}

/** A process of the benchmark. Its stderr is kept for the error message. */
export class Child {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #lastLines: string[] = [];
  #stopping = false;

  constructor({ name, command, args, options, onLine, failed }: Command) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    this.#ended = promise;
    child.once('error', (cause) => {
      failed(new Error(`${name} could not be started`, { cause }));
      resolve();
    });
    child.once('close', (code, signal) => {
      if (!this.#stopping) failed(new Error(`${name} ended with ${signal ?? code}: ${this.#said()}`));
      resolve();
    });
    if (child.stderr)
      createInterface({ input: child.stderr }).on('line', (line) => this.#heard(line, onLine));
  }

  /** The process id. Throws when the process could not be started. */
  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error('the process could not be started');
    return pid;
  }

  /** Asks the process to end, kills it at the deadline, and resolves when it is gone. */
  async stop(deadlineMs = stopMs): Promise<void> {
    this.#stopping = true;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), deadlineMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Kills the process, and resolves when it is gone. */
  async kill(): Promise<void> {
    this.#stopping = true;
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  #heard(line: string, onLine: ((line: string) => void) | undefined): void {
    this.#lastLines.push(line);
    if (this.#lastLines.length > keptLines) this.#lastLines.shift();
    onLine?.(line);
  }

  #said(): string {
    return this.#lastLines.join(' | ') || 'it said nothing';
  }
}
