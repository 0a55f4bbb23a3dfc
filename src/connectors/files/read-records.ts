import { pipeline, type Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { fileError } from './errors.ts';
import { type FileRecord, isSepLine, type Place, type RecordRules, RecordSplitter } from './records.ts';

/** Reads the records of files, one file after the other. */

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

export interface FilePosition extends Place {
  file: string;
}

export interface Read extends FileRecord {
  file: string;
}

/** Reads all records from a position on. */
export async function* recordsOf(
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
