import { badData } from '../bad.ts';
import { maxDepth } from '../json-value.ts';
import { isText } from '../text-check.ts';

/** Tags that only say what a string holds (RFC 8949 section 3.4). They are passed over. */
export const notes = [21, 22, 23, 24, 32, 33, 34, 36, 37] as const;

/**
 * Times, bignums and decimals. All other tags are refused: among those that cbor-x knows are references, which let a
 * small message grow without end, and classes.
 */
const knownTags: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, ...notes]);

const longestBignum = 64;

/**
 * Walks over the item heads of a CBOR message (RFC 8949 section 3) without reading any value. Throws `bad_data` unless
 * the message is one well-formed item, its text is UTF-8, and nesting, tags and bignums stay within bounds.
 */
export function checkCbor(bytes: Buffer): void {
  // How many items are still missing at each level; -1 until a break.
  const missing: number[] = [1];
  let at = 0;
  const malformed = () => badData('', 'is not one well-formed CBOR item');

  const argument = (info: number): number => {
    if (info < 24) return info;
    const size = 1 << (info - 24);
    if (info > 27 || at + size > bytes.length) throw malformed();
    const from = at;
    at += size;
    if (size === 8) return bytes.readUInt32BE(from) * 2 ** 32 + bytes.readUInt32BE(from + 4);
    return bytes.readUIntBE(from, size);
  };

  while (missing.length > 0) {
    const top = missing.length - 1;
    const left = missing[top] as number;
    if (left === 0) {
      missing.pop();
      continue;
    }
    if (at >= bytes.length) throw malformed();
    const head = bytes[at] as number;
    at += 1;
    if (head === 0xff) {
      if (left !== -1) throw malformed();
      missing.pop();
      continue;
    }
    if (left > 0) missing[top] = left - 1;
    const kind = head >> 5;
    const info = head & 31;
    if (kind < 2) argument(info);
    else if (kind < 4) {
      if (info === 31) throw badData('', 'holds a string in pieces, which is not supported');
      const length = argument(info);
      if (length > bytes.length - at) throw malformed();
      if (kind === 3 && !isText(bytes, at, at + length)) throw badData('', 'holds text that is not UTF-8');
      at += length;
    } else if (kind < 6) {
      if (missing.length > maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
      const count = info === 31 ? -1 : argument(info);
      if (count > bytes.length - at) throw malformed();
      missing.push(kind === 5 && count > 0 ? count * 2 : count);
    } else if (kind === 6) {
      checkTag(argument(info), bytes, at);
      // The tag and its item are one, and tags nest too.
      if (missing.length > 2 * maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
      missing.push(1);
    } else if (info < 20 || info === 24 || info > 27) {
      throw badData('', 'holds a simple value that has no meaning');
    } else if (info > 24) argument(info);
  }
  if (at !== bytes.length) throw badData('', 'has bytes behind its end');
}

function checkTag(tag: number, bytes: Buffer, at: number): void {
  if (!knownTags.has(tag)) throw badData('', 'holds a tag that is not supported');
  if (tag !== 2 && tag !== 3) return;
  const head = bytes[at] ?? 0;
  const length = head === 0x58 ? (bytes[at + 1] ?? 0) : head - 0x40;
  if (head < 0x40 || head > 0x58 || length > longestBignum) {
    throw badData('', `holds a bignum that is not of ${longestBignum} bytes at most`);
  }
}
