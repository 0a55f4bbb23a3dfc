import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type Command } from './child.ts';

/**
 * What one measurement runs on: its processes, its connections and its temporary folder. Disposing of it ends them
 * all, last opened first. Anything that breaks on the way is told to `fail`, which aborts `signal`, so that every wait
 * ends at once with the first thing that went wrong.
 */
export class Rig implements AsyncDisposable {
  /** A temporary folder, removed at the end. */
  readonly folder: string;
  /** Aborts when something has failed or the person wants to end. */
  readonly signal: AbortSignal;
  readonly #failed = new AbortController();
  readonly #closing = new AsyncDisposableStack();

  private constructor(folder: string, interrupted: AbortSignal) {
    this.folder = folder;
    this.signal = AbortSignal.any([interrupted, this.#failed.signal]);
    this.defer(() => rm(folder, { recursive: true, force: true }));
  }

  /** `interrupted` aborts when the person wants to end. */
  static async setUp(interrupted: AbortSignal): Promise<Rig> {
    interrupted.throwIfAborted();
    return new Rig(await mkdtemp(join(tmpdir(), 'penstock-bench-')), interrupted);
  }

  /** Starts a process that is stopped at the end. That it ends earlier is a failure. */
  run(command: Omit<Command, 'failed'>): Child {
    const child = new Child({ ...command, failed: (error) => this.fail(error) });
    this.defer(() => child.stop());
    return child;
  }

  /** Calls `close` at the end. */
  defer(close: () => void | Promise<void>): void {
    this.#closing.defer(close);
  }

  /** Reports what broke. Only the first report counts. */
  fail(error: Error): void {
    this.#failed.abort(error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing.disposeAsync();
  }
}
