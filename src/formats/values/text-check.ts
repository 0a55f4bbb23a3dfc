import { isUtf8 } from 'node:buffer';

/** Most strings are short and ASCII: for them a loop beats the call of isUtf8. */
function isAscii(bytes: Buffer, from: number, to: number): boolean {
  if (to - from > 48) return false;
  for (let at = from; at < to; at += 1) {
    if ((bytes[at] as number) > 127) return false;
  }
  return true;
}

/** Whether a part of a message is UTF-8. */
export function isText(bytes: Buffer, from: number, to: number): boolean {
  return isAscii(bytes, from, to) || isUtf8(bytes.subarray(from, to));
}

/** The text of a part of a message; undefined when it is not UTF-8. */
export function textOf(bytes: Buffer, from: number, to: number): string | undefined {
  const text = bytes.toString('utf8', from, to);
  // What is not UTF-8 is read as this character, which may also be there. A text of ASCII answers without a search.
  return text.includes('\ufffd') && !isUtf8(bytes.subarray(from, to)) ? undefined : text;
}

const proto = Buffer.from('__proto__');

/** Whether the nine bytes from here on are `__proto__`. */
export function isProto(bytes: Buffer, from: number): boolean {
  return bytes[from] === 0x5f && bytes.compare(proto, 0, 9, from, from + 9) === 0;
}
