import { isUtf8 } from 'node:buffer';

/** Whether a part of a message is UTF-8. Most strings are short and ASCII: for them a loop beats the call of isUtf8. */
export function isText(bytes: Buffer, from: number, to: number): boolean {
  if (to - from > 48) return isUtf8(bytes.subarray(from, to));
  for (let at = from; at < to; at += 1) {
    if ((bytes[at] as number) > 127) return isUtf8(bytes.subarray(from, to));
  }
  return true;
}
