import { maxDepth } from '../json/json-value.ts';
import { badData } from '../values/bad.ts';
import { isProto, isText } from '../values/text-check.ts';

/** Of each head from 0xc0 to 0xdf: what follows it. Specification: github.com/msgpack/msgpack/blob/master/spec.md */
const heads: readonly (readonly [
  kind: 'value' | 'bytes' | 'text' | 'extension' | 'list' | 'map',
  size: number,
])[] = [
  ['value', 0], // nil
  ['value', -1], // never used
  ['value', 0],
  ['value', 0],
  ['bytes', 1],
  ['bytes', 2],
  ['bytes', 4],
  ['extension', 1],
  ['extension', 2],
  ['extension', 4],
  ['value', 4], // float32
  ['value', 8],
  ['value', 1], // uint8
  ['value', 2],
  ['value', 4],
  ['value', 8],
  ['value', 1], // int8
  ['value', 2],
  ['value', 4],
  ['value', 8],
  ['extension', -1], // fixext: the length is in the head
  ['extension', -2],
  ['extension', -4],
  ['extension', -8],
  ['extension', -16],
  ['text', 1],
  ['text', 2],
  ['text', 4],
  ['list', 2],
  ['list', 4],
  ['map', 2],
  ['map', 4],
];

const timestamp = 0xff;

const malformed = () => badData('', 'is not one well-formed MessagePack value');

/**
 * Walks over the heads of a MessagePack message without reading any value. Throws `bad_data` unless the message is one
 * well-formed value, its text is UTF-8, nesting is bounded, and its only extensions are timestamps: among those that
 * msgpackr knows are references and classes. Answers whether one of its texts is `__proto__`.
 */
export function checkMsgpack(bytes: Buffer): boolean {
  const walk = new Walk(bytes);
  walk.value(0);
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

  value(depth: number): void {
    const head = this.bytes[this.at];
    if (head === undefined) throw malformed();
    this.at += 1;
    if (head < 0x80 || head > 0xdf) return;
    if (head < 0x90) this.#nested((head - 0x80) * 2, depth);
    else if (head < 0xa0) this.#nested(head - 0x90, depth);
    else if (head < 0xc0) this.#text(head - 0xa0);
    else this.#long(head, depth);
  }

  #take(size: number): number {
    const from = this.at;
    if (size > this.bytes.length - from) throw malformed();
    this.at = from + size;
    return from;
  }

  #text(length: number): void {
    const from = this.#take(length);
    if (!isText(this.bytes, from, this.at)) throw badData('', 'holds text that is not UTF-8');
    if (length === 9 && isProto(this.bytes, from)) this.hasProto = true;
  }

  #nested(count: number, depth: number): void {
    if (depth >= maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
    if (count > this.bytes.length - this.at) throw malformed();
    for (let left = count; left > 0; left -= 1) this.value(depth + 1);
  }

  #long(head: number, depth: number): void {
    const [kind, size] = heads[head - 0xc0] as (typeof heads)[number];
    if (kind === 'value') {
      if (size < 0) throw malformed();
      this.#take(size);
      return;
    }
    const length = size < 0 ? -size : this.bytes.readUIntBE(this.#take(size), size);
    if (kind === 'bytes') this.#take(length);
    else if (kind === 'text') this.#text(length);
    else if (kind !== 'extension') this.#nested(kind === 'map' ? length * 2 : length, depth);
    else {
      const known =
        this.bytes[this.#take(1)] === timestamp && (length === 4 || length === 8 || length === 12);
      if (!known) throw badData('', 'holds an extension that is not supported');
      this.#take(length);
    }
  }
}
