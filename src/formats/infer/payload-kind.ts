import { isUtf8 } from 'node:buffer';
import { gunzipSync } from 'node:zlib';
import { isShallow, parseAsWritten } from '../json/text.ts';

export const payloadKinds = ['json_object', 'json_other', 'text', 'bytes', 'empty', 'too_large'] as const;

/** What the bytes of a message are, judged by themselves. */
export type PayloadKind = (typeof payloadKinds)[number];

export interface Recognised {
  kind: PayloadKind;
  /** Whether it came compressed; `kind` is then that of what was in it. */
  gzip: boolean;
  /** Of json_object: the document, every number as it is written. */
  document?: object;
}

/** Larger messages, also once decompressed, are not looked into. */
const maxBytes = 1024 * 1024;

/** Tells JSON objects, other JSON, text and bytes apart. A document that is nested too deep to be read counts as text. */
export function recognise(payload: Buffer): Recognised {
  const gzip = payload[0] === 0x1f && payload[1] === 0x8b;
  const plain = gzip ? decompress(payload) : payload;
  if (plain === 'not gzip') return { kind: 'bytes', gzip: false };
  if (plain === 'too large' || plain.length > maxBytes) return { kind: 'too_large', gzip };
  if (plain.length === 0) return { kind: 'empty', gzip };
  if (!isUtf8(plain)) return { kind: 'bytes', gzip };
  return { ...recogniseText(plain.toString()), gzip };
}

function recogniseText(text: string): Omit<Recognised, 'gzip'> {
  try {
    if (!isShallow(JSON.parse(text))) return { kind: 'text' };
  } catch {
    return { kind: 'text' };
  }
  const document = parseAsWritten(text);
  const isObject = typeof document === 'object' && document !== null && text.trimStart().startsWith('{');
  return isObject ? { kind: 'json_object', document } : { kind: 'json_other' };
}

function decompress(payload: Buffer): Buffer | 'not gzip' | 'too large' {
  try {
    return gunzipSync(payload, { maxOutputLength: maxBytes });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too large' : 'not gzip';
  }
}
