import { isUtf8 } from 'node:buffer';
import { badData } from './bad.ts';

/** Most strings are short and ASCII: for them a loop beats the call of isUtf8. */
function isAscii(bytes: Buffer, from: number, to: number): boolean {
  if (to - from > 48) return false;
  for (let at = from; at < to; at += 1) {
    if ((bytes[at] as number) > 127) return false;
  }
  return true;
}

/** The text of a part of a message; undefined when it is not UTF-8. */
export function textOf(bytes: Buffer, from: number, to: number): string | undefined {
  const text = bytes.toString('utf8', from, to);
  // Invalid UTF-8 is read as this character, which may also be in the text.
  return text.includes('\ufffd') && !isUtf8(bytes.subarray(from, to)) ? undefined : text;
}

const proto = Buffer.from('__proto__');

/** A value that no column can take, inside a message that can be read otherwise. */
export class Unreadable {
  readonly problem: string;

  constructor(problem: string) {
    this.problem = problem;
  }
}

/** Returns the text in the bytes from `from` to `to`, or why there is none. */
export const textOrProblem = (bytes: Buffer, from: number, to: number): string | Unreadable =>
  textOf(bytes, from, to) ?? new Unreadable('holds text that is not UTF-8');

/** Walks over the bytes of a document without reading any value; throws `bad_data`. */
export class Walk {
  readonly bytes: Buffer;
  at = 0;
  /** Whether the document holds something that its library refuses or reads with another meaning. */
  unusual = false;
  readonly #kind: string;

  constructor(bytes: Buffer, kind: string) {
    this.bytes = bytes;
    this.#kind = kind;
  }

  malformed() {
    return badData('', `is not one well-formed ${this.#kind}`);
  }

  /** Moves on by `size` bytes and returns where they begin. */
  take(size: number): number {
    const from = this.at;
    if (size > this.bytes.length - from) throw this.malformed();
    this.at = from + size;
    return from;
  }

  text(length: number): void {
    const { bytes } = this;
    const from = this.take(length);
    if (!isAscii(bytes, from, this.at) && !isUtf8(bytes.subarray(from, this.at))) this.unusual = true;
    // Both libraries rename this key, as a protection that is not needed here.
    if (length === 9 && bytes[from] === 0x5f && bytes.compare(proto, 0, 9, from, from + 9) === 0)
      this.unusual = true;
  }

  /** Ends the walk, and returns whether the document is unusual. */
  end(): boolean {
    if (this.at !== this.bytes.length) throw badData('', 'has bytes after its end');
    return this.unusual;
  }
}
