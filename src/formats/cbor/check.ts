import { maxDepth } from '../json/json-value.ts';
import { badData } from '../values/bad.ts';
import { isProto, isText } from '../values/text-check.ts';

/** Tags that only say what a string holds (RFC 8949 section 3.4). They are passed over. */
export const notes = [21, 22, 23, 24, 32, 33, 34, 36, 37] as const;

/**
 * Times, bignums and decimals. All other tags are refused: among those that cbor-x knows are references, which let a
 * small message grow without end, and classes.
 */
const knownTags: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, ...notes]);

const longestBignum = 64;

const malformed = () => badData('', 'is not one well-formed CBOR item');

/**
 * Walks over the item heads of a CBOR message (RFC 8949 section 3) without reading any value. Throws `bad_data` unless
 * the message is one well-formed item, its text is UTF-8, and nesting, tags and bignums stay within bounds. Answers
 * whether one of its texts is `__proto__`.
 */
export function checkCbor(bytes: Buffer): boolean {
  const walk = new Walk(bytes);
  walk.item(0);
  if (walk.at !== bytes.length) throw badData('', 'has bytes behind its end');
  return walk.hasProto;
}

class Walk {
  readonly bytes: Buffer;
  at = 0;
  hasProto = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  item(depth: number): void {
    if (this.at >= this.bytes.length) throw malformed();
    const head = this.bytes[this.at] as number;
    this.at += 1;
    const info = head & 31;
    switch (head >> 5) {
      case 0:
      case 1:
        this.#argument(info);
        break;
      case 2:
      case 3:
        this.#string(head >> 5 === 3, info);
        break;
      case 4:
      case 5:
        this.#nested(head >> 5 === 5 ? 2 : 1, info, depth);
        break;
      case 6:
        this.#tag(this.#argument(info));
        if (depth >= maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
        this.item(depth + 1);
        break;
      default:
        if (info < 20 || info === 24 || info > 27)
          throw badData('', 'holds a simple value that has no meaning');
        if (info > 24) this.#argument(info);
    }
  }

  #argument(info: number): number {
    if (info < 24) return info;
    const { bytes, at } = this;
    const size = 1 << (info - 24);
    if (info > 27 || at + size > bytes.length) throw malformed();
    this.at += size;
    if (size === 1) return bytes[at] as number;
    if (size < 8) return bytes.readUIntBE(at, size);
    return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  }

  #string(text: boolean, info: number): void {
    if (info === 31) throw badData('', 'holds a string in pieces, which is not supported');
    const length = this.#argument(info);
    const from = this.at;
    if (length > this.bytes.length - from) throw malformed();
    this.at += length;
    if (!text) return;
    if (!isText(this.bytes, from, this.at)) throw badData('', 'holds text that is not UTF-8');
    if (length === 9 && isProto(this.bytes, from)) this.hasProto = true;
  }

  #nested(items: 1 | 2, info: number, depth: number): void {
    if (depth >= maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
    if (info === 31) {
      while (this.bytes[this.at] !== 0xff) for (let item = 0; item < items; item += 1) this.item(depth + 1);
      this.at += 1;
      return;
    }
    const count = this.#argument(info) * items;
    if (count > this.bytes.length - this.at) throw malformed();
    for (let item = 0; item < count; item += 1) this.item(depth + 1);
  }

  #tag(tag: number): void {
    if (!knownTags.has(tag)) throw badData('', 'holds a tag that is not supported');
    if (tag !== 2 && tag !== 3) return;
    const head = this.bytes[this.at] ?? 0;
    const length = head === 0x58 ? (this.bytes[this.at + 1] ?? 0) : head - 0x40;
    if (head < 0x40 || head > 0x58 || length > longestBignum) {
      throw badData('', `holds a bignum that is not of ${longestBignum} bytes at most`);
    }
  }
}
