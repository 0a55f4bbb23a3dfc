import { once } from 'node:events';
import type { Delivery, MetadataColumn, RunContext, Source, WatchContext } from '../connector.ts';
import { fileError } from './errors.ts';
import {
  type Compression,
  type FilePosition,
  type Read,
  type ReadableFiles,
  recordsOf,
} from './read-records.ts';
import type { RecordRules } from './records.ts';

/** Hands out the records of files as messages, once, and keeps how far it has come. */

export const fileMetadata: MetadataColumn[] = [
  { name: 'path', type: 'string', description: 'Path of the file, relative to the path of the table' },
  { name: 'line', type: 'int64', description: 'Number of the line in its file, from 1' },
  { name: 'offset', type: 'int64', description: 'Where the line begins, in bytes of the unpacked file' },
];

const isPosition = (stored: unknown): stored is FilePosition =>
  typeof stored === 'object' && stored !== null && 'file' in stored && 'offset' in stored && 'line' in stored;

/** Bytes of records that are not acknowledged. */
const maxHeldBytes = 64 * 1024 * 1024;

export interface SourceOptions {
  files: ReadableFiles;
  rules: RecordRules;
  compression: Compression;
}

export class RecordSource implements Source {
  readonly #context: Pick<RunContext<unknown, unknown>, 'signal' | 'window' | 'position'>;
  readonly #options: SourceOptions;
  readonly #cancel = new AbortController();
  readonly #signal: AbortSignal;
  /** In order of receipt; the first `#settled` are acknowledged. */
  readonly #held: { position: FilePosition; bytes: number; acked: boolean }[] = [];
  #settled = 0;
  #heldBytes = 0;
  #ended = false;
  #closed = false;
  #wake = (): void => {};

  constructor(
    context: Pick<RunContext<unknown, unknown>, 'signal' | 'window' | 'position'>,
    options: SourceOptions,
  ) {
    context.signal.throwIfAborted();
    this.#context = context;
    this.#options = options;
    this.#signal = this.#cancel.signal;
    context.signal.addEventListener('abort', this.#aborted, { once: true });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
    const { files, rules, compression } = this.#options;
    const stored = this.#context.position?.stored;
    const from = isPosition(stored) ? stored : undefined;
    try {
      for await (const records of recordsOf(files, rules, compression, from, this.#signal)) {
        for (let next = 0; next < records.length && !this.#ended; ) {
          const room = await this.#room();
          if (this.#ended) break;
          const some = fitting(records, next, room, maxHeldBytes - this.#heldBytes);
          next += some.length;
          yield some.map((record) => this.#deliver(record));
        }
        if (this.#ended) break;
      }
    } catch (error) {
      this.#context.signal.throwIfAborted();
      if (!this.#ended) throw error;
    }
    this.#context.signal.throwIfAborted();
  }

  async drain(): Promise<void> {
    this.#end();
  }

  async close(): Promise<void> {
    this.#end();
    this.#closed = true;
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#options.files.close();
  }

  #end(): void {
    this.#ended = true;
    this.#cancel.abort(new Error('the source was drained'));
    this.#wake();
  }

  readonly #aborted = (): void => {
    this.#cancel.abort(this.#context.signal.reason);
    this.#wake();
  };

  /** Waits until another record may be handed out, and returns the number. */
  async #room(): Promise<number> {
    for (;;) {
      this.#context.signal.throwIfAborted();
      const room = this.#context.window - (this.#held.length - this.#settled);
      if (this.#ended || (room > 0 && this.#heldBytes < maxHeldBytes)) return room;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  #deliver({ file, payload, line, lastLine, offset, end }: Read): Delivery {
    const bytes = payload.length;
    const one = { position: { file, offset: end, line: lastLine }, bytes, acked: false };
    this.#held.push(one);
    this.#heldBytes += bytes;
    return {
      payload,
      metadata: { path: file, line: BigInt(line), offset: BigInt(offset) },
      receivedAt: performance.timeOrigin + performance.now(),
      ack: () => {
        one.acked = true;
        this.#settle();
      },
    };
  }

  /** Commits the position behind the last record of the acknowledged prefix. */
  #settle(): void {
    if (this.#closed) return;
    const before = this.#settled;
    for (let one = this.#held[this.#settled]; one?.acked; one = this.#held[this.#settled]) {
      this.#heldBytes -= one.bytes;
      this.#settled += 1;
    }
    const last = this.#held[this.#settled - 1];
    if (last === undefined || this.#settled === before) return;
    this.#context.position?.commit(last.position);
    if (this.#settled > 1000) {
      this.#held.splice(0, this.#settled);
      this.#settled = 0;
    }
    this.#wake();
  }
}

/** At least one record, then as many as there is room for. */
function fitting(records: readonly Read[], from: number, room: number, bytes: number): Read[] {
  let left = bytes;
  let to = from;
  while (to < records.length && to - from < room && (to === from || left > 0)) {
    left -= (records[to] as Read).payload.length;
    to += 1;
  }
  return records.slice(from, to);
}

/** Maximum number of records that a look at a source reads. */
const maxWatched = 10_000;

/** Shows the first records of the files, from the beginning. Throws `file_not_found` if there are none. */
export async function watchRecords(
  {
    signal,
    listening,
    deliver,
    ended,
  }: Omit<WatchContext<unknown, unknown>, 'profile' | 'targets' | 'table'>,
  { files, rules, compression }: SourceOptions,
): Promise<never> {
  try {
    listening();
    let shown = 0;
    for await (const records of recordsOf(files, rules, compression, undefined, signal)) {
      for (const { payload, file, line, offset } of records) {
        const metadata = { path: file, line: BigInt(line), offset: BigInt(offset) };
        deliver({ payload, metadata, receivedAt: performance.timeOrigin + performance.now() });
      }
      shown += records.length;
      if (shown >= maxWatched) break;
    }
    if (shown === 0)
      throw fileError('file_not_found', 'No file with a record matches', {
        hint: 'Check the path and the pattern of the table.',
      });
    ended?.();
    if (!signal.aborted) await once(signal, 'abort');
    throw signal.reason;
  } finally {
    files.close();
  }
}

/** Returns the first records, to try whether they can be read. */
export async function firstRecords(
  count: number,
  { files, rules, compression }: SourceOptions,
  signal: AbortSignal,
): Promise<Read[]> {
  const found: Read[] = [];
  for await (const records of recordsOf(files, rules, compression, undefined, signal)) {
    found.push(...records);
    if (found.length >= count) break;
  }
  return found.slice(0, count);
}
