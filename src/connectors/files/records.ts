import type { FieldError, PenstockError } from '../../errors.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { fileError } from './errors.ts';

/** Divides the bytes of a file into records: lines, or CSV records, whose quoted values may have line ends. */

export interface FileRecord {
  /** Without its line end; for CSV with a header, behind the header. */
  payload: Buffer;
  /** Number of its first line, from 1, and of its last one. */
  line: number;
  lastLine: number;
  /** Where it begins and where the next one does, in bytes of the unpacked file. */
  offset: number;
  end: number;
}

export interface RecordRules {
  /** The quote and the delimiter of CSV. */
  csv?: { quote: number; delimiter: number };
  /** Whether the first record of a file names the columns. */
  header: boolean;
  /** Whether an empty line is a record: it may be an empty value. */
  keepEmpty: boolean;
  maxBytes: number;
}

const defaultMaxBytes = 1024 * 1024;

export function recordRules({ format, framing }: ConnectionSchema): RecordRules {
  const csv =
    format?.type === 'csv'
      ? {
          quote: (format.quote ?? '"').charCodeAt(0),
          delimiter: (format.delimiter ?? ',').charCodeAt(0),
        }
      : undefined;
  return {
    ...(csv ? { csv } : {}),
    header: format?.type === 'csv' && format.header === true,
    keepEmpty: format?.type === 'raw_string' || format?.type === 'raw_bytes',
    maxBytes: framing?.max_line_length ?? defaultMaxBytes,
  };
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

export interface Place {
  offset: number;
  line: number;
}

export class RecordSplitter {
  readonly #rules: RecordRules;
  readonly #file: string;
  #rest: Buffer = Buffer.alloc(0);
  /** Offset of the first byte of `#rest`, and the number of lines before it. */
  #offset: number;
  #line: number;
  /** How far `#rest` was searched, the state there, and the line ends within quotes. */
  #searched = 0;
  #quoted = false;
  #closed = false;
  #innerLines = 0;

  constructor(rules: RecordRules, file: string, { offset, line }: Place = { offset: 0, line: 0 }) {
    this.#rules = rules;
    this.#file = file;
    this.#offset = offset;
    this.#line = line;
  }

  /** Returns the records that `chunk` completes. Throws `file_line_too_long`. */
  push(chunk: Buffer): FileRecord[] {
    const all = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const records: FileRecord[] = [];
    let from = 0;
    for (let end = this.#endIn(all, from); end !== -1; end = this.#endIn(all, from)) {
      this.#add(records, all.subarray(from, end), end + 1 - from);
      from = end + 1;
      this.#searched = from;
    }
    this.#rest = all.subarray(from);
    this.#searched -= from;
    if (this.#rest.length > this.#rules.maxBytes + 1) throw this.#tooLong();
    return records;
  }

  /** Returns the last record, if the file does not end with a line end. */
  finish(): FileRecord[] {
    const records: FileRecord[] = [];
    if (this.#rest.length > 0) this.#add(records, this.#rest, this.#rest.length);
    return records;
  }

  #add(records: FileRecord[], raw: Buffer, size: number): void {
    const offset = this.#offset;
    const line = this.#line + 1;
    this.#offset += size;
    this.#line += 1 + this.#innerLines;
    this.#innerLines = 0;
    this.#quoted = false;
    this.#closed = false;
    let payload = raw.at(-1) === carriageReturn ? raw.subarray(0, -1) : raw;
    if (offset === 0 && payload.subarray(0, 3).equals(byteOrderMark)) payload = payload.subarray(3);
    if (payload.length > this.#rules.maxBytes) throw this.#tooLong(line);
    if (payload.length > 0 || this.#rules.keepEmpty)
      records.push({ payload, line, lastLine: this.#line, offset, end: this.#offset });
  }

  /** Returns the index of the next line end that ends a record, or -1. */
  #endIn(all: Buffer, from: number): number {
    const { csv } = this.#rules;
    if (!csv) {
      const found = all.indexOf(lineFeed, this.#searched);
      this.#searched = found === -1 ? all.length : found;
      return found;
    }
    for (let at = this.#searched; at < all.length; at += 1) {
      const byte = all[at];
      if (byte === csv.quote) {
        // A quote within an unquoted value is a character like others. Two in quotes mean one.
        const opens = this.#closed || this.#isStart(all, from, at) || all[at - 1] === csv.delimiter;
        this.#closed = this.#quoted;
        this.#quoted = !this.#quoted && opens;
        continue;
      }
      this.#closed = false;
      if (byte === lineFeed) {
        if (!this.#quoted) {
          this.#searched = at;
          return at;
        }
        this.#innerLines += 1;
      }
    }
    this.#searched = all.length;
    return -1;
  }

  #isStart(all: Buffer, from: number, at: number): boolean {
    const isMarked = this.#offset === 0 && all.subarray(from, from + 3).equals(byteOrderMark);
    return at === from || (at === from + 3 && isMarked);
  }

  #tooLong(line = this.#line + 1): PenstockError {
    return fileError(
      'file_line_too_long',
      `Line ${line} of ${this.#file} is longer than ${this.#rules.maxBytes} bytes`,
      {
        hint: 'Raise max_line_length of the framing, or correct the file.',
        facts: { file: this.#file, line },
      },
    );
  }
}

/** Whether the first record is a line that names the delimiter, as programs for spreadsheets write it. */
export const isSepLine = (payload: Buffer): boolean => /^sep=.$/i.test(payload.toString('latin1'));

const lineFormats = ['json', 'csv', 'raw_string'];

/** Returns the errors of a schema whose messages are to be lines of a file. */
export function lineErrors({ format }: ConnectionSchema): FieldError[] {
  if (!format) return [];
  if (!lineFormats.includes(format.type))
    return [
      {
        path: '/format/type',
        message: `${format.type} has no lines, which files are divided into; use one of ${lineFormats.join(', ')}`,
      },
    ];
  return 'compression' in format && format.compression === 'gzip'
    ? [
        {
          path: '/format/compression',
          message: 'compresses each message, but lines of a file are not compressed',
        },
      ]
    : [];
}
