import { badData } from '../values/bad.ts';
import { textOf } from '../values/text-check.ts';

/** Maximum number of items beyond the number of bytes: nulls take none. */
const itemsWithoutBytes = 1024;

/**
 * Reads Avro's binary encoding (specification, "Binary Encoding"); throws `bad_data`. avsc's reader reads past the end
 * and trusts every count (docs/decisions/0007).
 */
export class AvroInput {
  readonly bytes: Buffer;
  at = 0;
  #end: number;
  #items: number;

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.bytes = bytes;
    this.at = from;
    this.#end = to;
    this.#items = to - from + itemsWithoutBytes;
  }

  /** Moves on by `size` bytes and returns where they begin. */
  take(size: number): number {
    const from = this.at;
    if (size < 0 || size > this.#end - from) throw malformed();
    this.at = from + size;
    return from;
  }

  boolean(): boolean {
    const byte = this.bytes[this.take(1)] as number;
    if (byte > 1) throw malformed();
    return byte === 1;
  }

  /** A length, count, index or int; `long` reads those beyond 2^27. */
  int(): number {
    const { bytes } = this;
    const first = bytes[this.at] as number;
    if (first < 0x80 && this.at < this.#end) {
      this.at += 1;
      return (first >>> 1) ^ -(first & 1);
    }
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[this.take(1)] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    this.at -= 4;
    const long = this.long();
    if (long < -(2n ** 31n) || long >= 2n ** 31n) throw malformed();
    return Number(long);
  }

  long(): bigint {
    const { bytes } = this;
    let low = 0;
    let high = 0;
    let byte = 0x80;
    let shift = 0;
    for (; byte > 0x7f && shift < 28; shift += 7) {
      byte = bytes[this.take(1)] as number;
      low |= (byte & 0x7f) << shift;
    }
    if (byte < 0x80) return BigInt((low >>> 1) ^ -(low & 1));
    for (; byte > 0x7f && shift < 56; shift += 7) {
      byte = bytes[this.take(1)] as number;
      high |= (byte & 0x7f) << (shift - 28);
    }
    // Up to 2^53 a double is exact, and much faster.
    if (byte < 0x80 && high < 2 ** 26) {
      const half = high * 2 ** 27 + (low >>> 1);
      return BigInt(low & 1 ? -half - 1 : half);
    }
    let value = (BigInt(high) << 28n) | BigInt(low);
    for (; byte > 0x7f; shift += 7) {
      byte = bytes[this.take(1)] as number;
      if (shift > 63 || (shift === 63 && byte > 1)) throw malformed();
      value |= BigInt(byte & 0x7f) << BigInt(shift);
    }
    return (value >> 1n) ^ -(value & 1n);
  }

  float(): number {
    return this.bytes.readFloatLE(this.take(4));
  }

  double(): number {
    return this.bytes.readDoubleLE(this.take(8));
  }

  view(size: number): Buffer {
    const from = this.take(size);
    return this.bytes.subarray(from, from + size);
  }

  string(path: string): string {
    const from = this.take(this.int());
    const text = textOf(this.bytes, from, this.at);
    if (text === undefined) throw badData(path, 'is not UTF-8 text');
    return text;
  }

  /** Reads the blocks of an array or map and calls `item` for each of their items. */
  blocks(item: () => void): void {
    for (;;) {
      let count = this.int();
      if (count === 0) return;
      if (count < 0) {
        count = -count;
        this.long();
      }
      this.#items -= count;
      if (this.#items < 0) throw malformed();
      for (let left = count; left > 0; left -= 1) item();
    }
  }

  end(): void {
    if (this.at !== this.#end) throw badData('', 'has bytes after its end');
  }
}

export const malformed = () => badData('', 'is not Avro data of its schema');

/** Reads an index, and returns the branch of a union or symbol of an enum. */
export function branchOf<T>(branches: readonly T[], input: AvroInput): T {
  const branch = branches[input.int()];
  if (branch === undefined) throw malformed();
  return branch;
}

/** Writes Avro's binary encoding. Reusable: `finish` returns a copy, `start` discards what has been written. */
export class AvroOutput {
  #bytes = Buffer.allocUnsafe(1024);
  #at = 0;

  finish(): Buffer {
    const copy = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(copy, 0, 0, this.#at);
    return copy;
  }

  start(): this {
    this.#at = 0;
    return this;
  }

  #room(size: number): number {
    const from = this.#at;
    this.#at += size;
    if (this.#at > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, from);
      this.#bytes = larger;
    }
    return from;
  }

  boolean(value: boolean): void {
    const at = this.#room(1);
    this.#bytes[at] = value ? 1 : 0;
  }

  int(value: number): void {
    let left = ((value << 1) ^ (value >> 31)) >>> 0;
    while (left > 0x7f) {
      const at = this.#room(1);
      this.#bytes[at] = (left & 0x7f) | 0x80;
      left >>>= 7;
    }
    const at = this.#room(1);
    this.#bytes[at] = left;
  }

  long(value: bigint): void {
    if (value >= -0x8000_0000n && value <= 0x7fff_ffffn) {
      this.int(Number(value));
      return;
    }
    const zigzag = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    let low = Number(zigzag & 0xfff_ffffn);
    let rest = Number((zigzag >> 28n) & 0xfff_ffffn);
    let top = Number(zigzag >> 56n);
    for (let byte = 0; byte < 10; byte += 1) {
      const part = low & 0x7f;
      low = (low >>> 7) | ((rest & 0x7f) << 21);
      rest = (rest >>> 7) | ((top & 0x7f) << 21);
      top >>>= 7;
      const more = low !== 0 || rest !== 0 || top !== 0;
      const at = this.#room(1);
      this.#bytes[at] = more ? part | 0x80 : part;
      if (!more) return;
    }
  }

  float(value: number): void {
    const at = this.#room(4);
    this.#bytes.writeFloatLE(value, at);
  }

  double(value: number): void {
    const at = this.#room(8);
    this.#bytes.writeDoubleLE(value, at);
  }

  fixed(value: Buffer): void {
    const at = this.#room(value.length);
    value.copy(this.#bytes, at);
  }

  buffer(value: Buffer): void {
    this.int(value.length);
    this.fixed(value);
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    this.int(length);
    const at = this.#room(length);
    this.#bytes.write(value, at, length, 'utf8');
  }
}
