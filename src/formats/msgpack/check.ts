import { badData } from '../bad.ts';
import { maxDepth } from '../json-value.ts';
import { isText } from '../text-check.ts';

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

/**
 * Walks over the heads of a MessagePack message without reading any value. Throws `bad_data` unless the message is one
 * well-formed value, its text is UTF-8, nesting is bounded, and its only extensions are timestamps: among those that
 * msgpackr knows are references and classes.
 */
export function checkMsgpack(bytes: Buffer): void {
  // How many values are still missing at each level.
  const missing: number[] = [1];
  let at = 0;
  const malformed = () => badData('', 'is not one well-formed MessagePack value');

  const take = (size: number): number => {
    const from = at;
    if (size > bytes.length - at) throw malformed();
    at += size;
    return from;
  };
  const text = (length: number) => {
    const from = take(length);
    if (!isText(bytes, from, at)) throw badData('', 'holds text that is not UTF-8');
  };
  const nest = (count: number) => {
    if (missing.length > maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
    if (count > bytes.length - at) throw malformed();
    missing.push(count);
  };
  const long = (head: number) => {
    const [kind, size] = heads[head - 0xc0] as (typeof heads)[number];
    if (kind === 'value') {
      if (size < 0) throw malformed();
      take(size);
      return;
    }
    const length = size < 0 ? -size : bytes.readUIntBE(take(size), size);
    if (kind === 'bytes') take(length);
    else if (kind === 'text') text(length);
    else if (kind === 'extension') {
      const known = bytes[take(1)] === timestamp && (length === 4 || length === 8 || length === 12);
      if (!known) throw badData('', 'holds an extension that is not supported');
      take(length);
    } else nest(kind === 'map' ? length * 2 : length);
  };

  while (missing.length > 0) {
    const top = missing.length - 1;
    const left = missing[top] as number;
    if (left === 0) {
      missing.pop();
      continue;
    }
    missing[top] = left - 1;
    const head = bytes[take(1)] as number;
    if (head < 0x80 || head > 0xdf) continue;
    if (head < 0x90) nest((head - 0x80) * 2);
    else if (head < 0xa0) nest(head - 0x90);
    else if (head < 0xc0) text(head - 0xa0);
    else long(head);
  }
  if (at !== bytes.length) throw badData('', 'has bytes behind its end');
}
