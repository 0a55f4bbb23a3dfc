import { Tag } from 'cbor-x/encode';
import type { Row } from '../format.ts';
import { setMember } from '../values/document.ts';
import { textOrProblem, Unreadable } from '../values/text-check.ts';

/**
 * Tags that only annotate a value; they are ignored: notes on a string (RFC 8949 section 3.4), a CBOR document, a date
 * (RFC 8943), a set.
 */
export const notes = [21, 22, 23, 24, 32, 33, 34, 36, 37, 258, 1004, 55799] as const;

export const longestBignum = 64;

/**
 * Reads a document that `checkCbor` has passed and called unusual: with tags and simple values that have no meaning
 * here, keys of any type, strings in chunks. Values are those that cbor-x makes of all others.
 */
export const readCbor = (bytes: Buffer): unknown => new CborReader(bytes).item();

class CborReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  item(): unknown {
    const head = this.#bytes[this.#at++] as number;
    const info = head & 31;
    switch (head >> 5) {
      case 0:
        return integer(this.#argument(info));
      case 1:
        return integer(-1n - this.#argument(info));
      case 2:
        return Buffer.concat(this.#chunks(info));
      case 3: {
        const text = Buffer.concat(this.#chunks(info));
        return textOrProblem(text, 0, text.length);
      }
      case 4:
        return this.#list(info);
      case 5:
        return this.#map(info);
      case 6:
        return tagged(Number(this.#argument(info)), this.item());
      default:
        return this.#simple(info);
    }
  }

  #argument(info: number): bigint {
    if (info < 24) return BigInt(info);
    const size = 1 << (info - 24);
    const from = this.#at;
    this.#at += size;
    if (size === 8) return this.#bytes.readBigUInt64BE(from);
    return BigInt(this.#bytes.readUIntBE(from, size));
  }

  #isEnd(): boolean {
    if (this.#bytes[this.#at] !== 0xff) return false;
    this.#at += 1;
    return true;
  }

  #chunks(info: number): Buffer[] {
    const chunks: Buffer[] = [];
    if (info !== 31) return [this.#view(Number(this.#argument(info)))];
    while (!this.#isEnd()) {
      const head = this.#bytes[this.#at++] as number;
      chunks.push(this.#view(Number(this.#argument(head & 31))));
    }
    return chunks;
  }

  #view(size: number): Buffer {
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  #list(info: number): unknown[] {
    const list: unknown[] = [];
    const count = info === 31 ? undefined : Number(this.#argument(info));
    while (count === undefined ? !this.#isEnd() : list.length < count) list.push(this.item());
    return list;
  }

  #map(info: number): Row {
    const map: Row = {};
    let left = info === 31 ? Number.POSITIVE_INFINITY : Number(this.#argument(info));
    for (; info === 31 ? !this.#isEnd() : left > 0; left -= 1) {
      const key = this.item();
      setMember(map, key, this.item());
    }
    return map;
  }

  #simple(info: number): unknown {
    const from = this.#at;
    if (info === 20 || info === 21) return info === 21;
    if (info === 22) return null;
    if (info === 23) return undefined;
    this.#at += 1 << Math.max(0, info - 24);
    if (info === 25) return half(this.#bytes.readUInt16BE(from));
    if (info === 26) return this.#bytes.readFloatBE(from);
    if (info === 27) return this.#bytes.readDoubleBE(from);
    if (info !== 24) this.#at = from;
    return new Unreadable(`holds the CBOR simple value ${info === 24 ? this.#bytes[from] : info}`);
  }
}

function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A float of 16 bits. */
function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function tagged(tag: number, value: unknown): unknown {
  if (tag === 0 || tag === 1 || tag === 4) return new Tag(value, tag);
  if ((notes as readonly number[]).includes(tag)) return value;
  if (tag !== 2 && tag !== 3) return new Unreadable(`holds the CBOR tag ${tag}, which is not supported`);
  if (!Buffer.isBuffer(value) || value.length > longestBignum)
    return new Unreadable(`holds a bignum of more than ${longestBignum} bytes`);
  const number = value.length === 0 ? 0n : BigInt(`0x${value.toString('hex')}`);
  return tag === 2 ? number : -1n - number;
}
