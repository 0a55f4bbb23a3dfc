import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type Command } from './child.ts';

/**
 * The processes, connections and temporary folder of one measurement. Disposing of it ends them all, the newest first.
 * Failures are reported to `fail`, which aborts `signal`, so every wait ends at once with the first failure.
 */
export class Rig implements AsyncDisposable {
  /** A temporary folder, removed at the end. */
  readonly folder: string;
  /** Aborts after a failure or an interrupt. */
  readonly signal: AbortSignal;
  readonly #failed = new AbortController();
  readonly #closing = new AsyncDisposableStack();

  private constructor(folder: string, interrupted: AbortSignal) {
    this.folder = folder;
    this.signal = AbortSignal.any([interrupted, this.#failed.signal]);
    this.defer(() => rm(folder, { recursive: true, force: true }));
  }

  /** `interrupted` aborts at an interrupt. */
  static async setUp(interrupted: AbortSignal): Promise<Rig> {
    interrupted.throwIfAborted();
    return new Rig(await mkdtemp(join(tmpdir(), 'penstock-bench-')), interrupted);
  }

  /** Starts a process that is stopped at the end. If it ends earlier, that is a failure. */
  run(command: Omit<Command, 'failed'>): Child {
    const child = new Child({ ...command, failed: (error) => this.fail(error) });
    this.defer(() => child.stop());
    return child;
  }

  /** Calls `close` at the end. */
  defer(close: () => void | Promise<void>): void {
    this.#closing.defer(close);
  }

  /** Reports a failure. Only the first one counts. */
  fail(error: Error): void {
    this.#failed.abort(error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing.disposeAsync();
  }
}
