import { readFileSync, write as writeFile } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import Type from 'typebox';
import { type DescribedError, errorMaker } from '../../errors.ts';
import {
  defineConnector,
  noProfile,
  type Outgoing,
  type Refusal,
  type RunContext,
  type Sink,
} from '../connector.ts';

const stdoutErrors = {
  stdout_unwritable: {
    title: 'Standard output cannot be written to',
    passing: true,
    means: 'The program that reads the standard output of Penstock has ended, or the disk is full.',
    todo: 'Restart Penstock with a standard output that a program reads, or use another sink.',
  },
} as const satisfies Record<string, DescribedError>;

const stdoutError = errorMaker(stdoutErrors);

/** Maximum size of an atomic write to a pipe. Lines of several tasks do not mix. */
const maxWriteBytes = 4096;
const newline = Buffer.from('\n');
/** Delay before a write to a full, non-blocking pipe is tried again. */
const retryMs = 10;

const write = promisify(writeFile);

/**
 * Writes to the file descriptor itself. The `stdout` of a worker thread goes through the main thread, which a slow reader
 * would stop and a closed pipe would crash.
 */
export class StdoutSink implements Sink {
  readonly #context: Pick<RunContext<unknown, unknown>, 'signal' | 'lost'>;
  readonly #fd: number;
  readonly #gone = Promise.withResolvers<never>();
  #failure: { error: unknown } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(context: Pick<RunContext<unknown, unknown>, 'signal' | 'lost'>, fd = 1) {
    context.signal.throwIfAborted();
    this.#context = context;
    this.#fd = fd;
    this.#gone.promise.catch(() => {});
    context.signal.addEventListener('abort', this.#aborted, { once: true });
  }

  /** Resolves when the operating system has accepted all lines. */
  write(messages: Outgoing[]): Promise<Refusal[]> {
    const written = this.#last.then(() => this.#writeLines(messages));
    this.#last = written.catch(() => {});
    return Promise.race([this.#gone.promise, written]);
  }

  async close(): Promise<void> {
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#fail(stdoutError('connection_lost', 'The sink is closed'));
  }

  readonly #aborted = (): void => this.#fail(this.#context.signal.reason);

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#gone.reject(this.#failure.error);
  }

  async #writeLines(messages: Outgoing[]): Promise<Refusal[]> {
    for (const lines of linesOf(messages)) {
      for (let rest = lines; rest.length > 0; ) {
        if (this.#failure) throw this.#failure.error;
        rest = rest.subarray(await this.#put(rest));
      }
    }
    return [];
  }

  async #put(bytes: Buffer): Promise<number> {
    try {
      return (await write(this.#fd, bytes)).bytesWritten;
    } catch (cause) {
      const { code = '' } = cause as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return await pause(retryMs, 0);
      const error = stdoutError('stdout_unwritable', `Standard output cannot be written to (${code})`, {
        hint: 'Restart Penstock with a standard output that a program reads, or use another sink.',
        cause,
      });
      if (!this.#failure) this.#context.lost?.(error);
      this.#fail(error);
      throw error;
    }
  }
}

function* linesOf(messages: readonly Outgoing[]): Generator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for (const { payload } of messages) {
    if (size > 0 && size + payload.length >= maxWriteBytes) {
      yield Buffer.concat(parts);
      [parts, size] = [[], 0];
    }
    parts.push(payload, newline);
    size += payload.length + 1;
  }
  if (size > 0) yield Buffer.concat(parts);
}

/** A sink that writes each message as a line to the standard output of the process. */
export const stdout = defineConnector({
  id: 'stdout',
  name: 'StdOut',
  description: 'Write each message as a line to standard output',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: Type.Object({}, { title: 'StdoutTable', additionalProperties: false }),
  errors: stdoutErrors,
  metadata: [],
  describe: () => 'Standard output',
  direction: () => 'sink',
  openSink: async (context) => new StdoutSink(context),
});
