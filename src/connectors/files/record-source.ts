import { once } from 'node:events';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { Delivery, MetadataColumn, RunContext, Source, WatchContext } from '../connector.ts';
import { fileError } from './errors.ts';
import { type FileRecord, isSepLine, type Place, type RecordRules, RecordSplitter } from './records.ts';

/** Reads files one after the other, once, and keeps how far it has come. */

export type Compression = 'none' | 'gzip' | 'zstd';

/** A folder, prefix or single file. */
export interface ReadableFiles {
  /** Names in lexicographic order of their bytes, from `first` on. */
  list(first: string | undefined, signal: AbortSignal): AsyncIterable<string>;
  /** Opens a file at an offset; undefined if it is gone. */
  open(name: string, offset: number, signal: AbortSignal): Promise<Readable | undefined>;
  /** Translates an error of reading. */
  failed(error: unknown, name: string): Error;
  close(): void;
}

export const fileMetadata: MetadataColumn[] = [
  { name: 'path', type: 'string', description: 'Path of the file, relative to the path of the table' },
  { name: 'line', type: 'int64', description: 'Number of the line in its file, from 1' },
  { name: 'offset', type: 'int64', description: 'Where the line begins, in bytes of the unpacked file' },
];

interface FilePosition extends Place {
  file: string;
}

interface Read extends FileRecord {
  file: string;
}

const isPosition = (stored: unknown): stored is FilePosition =>
  typeof stored === 'object' && stored !== null && 'file' in stored && 'offset' in stored && 'line' in stored;

/** Reads all records from a position on. */
async function* recordsOf(
  files: ReadableFiles,
  rules: RecordRules,
  compression: Compression,
  from: FilePosition | undefined,
  signal: AbortSignal,
): AsyncGenerator<Read[]> {
  for await (const file of files.list(from?.file, signal)) {
    signal.throwIfAborted();
    const place = file === from?.file ? from : { offset: 0, line: 0 };
    for await (const records of recordsOfFile(files, file, rules, compression, place, signal))
      if (records.length > 0) yield records.map((record) => ({ ...record, file }));
  }
}

async function* recordsOfFile(
  files: ReadableFiles,
  file: string,
  rules: RecordRules,
  compression: Compression,
  place: Place,
  signal: AbortSignal,
): AsyncGenerator<FileRecord[]> {
  let header: Buffer | undefined;
  if (rules.header && place.offset > 0) {
    header = await headerOf(files, file, rules, compression, signal);
    if (header === undefined) return;
  }
  const splitter = new RecordSplitter(rules, file, place);
  let preface = Buffer.alloc(0);
  for await (const records of split(files, file, splitter, compression, place.offset, signal)) {
    while (rules.header && header === undefined && records.length > 0) {
      const { payload } = records.shift() as FileRecord;
      if (preface.length === 0 && isSepLine(payload)) preface = withLineEnd(payload);
      else header = Buffer.concat([preface, withLineEnd(payload)]);
    }
    yield header === undefined
      ? records
      : records.map((record) => ({ ...record, payload: Buffer.concat([header as Buffer, record.payload]) }));
  }
}

const withLineEnd = (line: Buffer): Buffer<ArrayBuffer> => Buffer.concat([line, Buffer.from('\n')]);

async function headerOf(
  files: ReadableFiles,
  file: string,
  rules: RecordRules,
  compression: Compression,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const found: Buffer[] = [];
  const splitter = new RecordSplitter(rules, file);
  for await (const records of split(files, file, splitter, compression, 0, signal)) {
    for (const { payload } of records) {
      found.push(withLineEnd(payload));
      if (!isSepLine(payload) || found.length > 1) return Buffer.concat(found);
    }
  }
  return undefined;
}

async function* split(
  files: ReadableFiles,
  file: string,
  splitter: RecordSplitter,
  compression: Compression,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<FileRecord[]> {
  for await (const chunk of bytesOf(files, file, compression, offset, signal)) yield splitter.push(chunk);
  yield splitter.finish();
}

/** The unpacked bytes from `offset` on. */
async function* bytesOf(
  files: ReadableFiles,
  file: string,
  compression: Compression,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const packed = await files.open(file, compression === 'none' ? offset : 0, signal);
  if (packed === undefined) return;
  let stream = packed;
  let skip = 0;
  if (compression !== 'none') {
    const unpack = compression === 'gzip' ? createGunzip() : createZstdDecompress();
    stream = pipeline(packed, unpack, () => {});
    skip = offset;
  }
  const abort = (): void => void packed.destroy(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const chunk of stream) {
      signal.throwIfAborted();
      const bytes = chunk as Buffer;
      if (bytes.length > skip) yield bytes.subarray(skip);
      skip = Math.max(0, skip - bytes.length);
    }
  } catch (error) {
    signal.throwIfAborted();
    const { code = '' } = error as NodeJS.ErrnoException;
    if (/^Z_|^ZSTD_|^ERR_(ZLIB|ZSTD)/.test(code))
      throw fileError('file_damaged', `${file} cannot be unpacked as ${compression} (${code})`, {
        hint: 'Correct compression_format, or remove the file from the folder.',
        cause: error,
      });
    throw files.failed(error, file);
  } finally {
    signal.removeEventListener('abort', abort);
    packed.destroy();
    stream.destroy();
  }
}

/** Bytes of records that are not acknowledged. */
const maxHeldBytes = 64 * 1024 * 1024;

interface SourceOptions {
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

/** Shows the first records of the files, from the beginning. */
export async function watchRecords(
  { signal, listening, deliver }: Omit<WatchContext<unknown, unknown>, 'profile' | 'targets' | 'table'>,
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
