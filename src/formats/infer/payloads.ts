import { isUtf8 } from 'node:buffer';
import { gunzipSync } from 'node:zlib';
import { codecFor } from '../codec.ts';
import type { Codec } from '../format.ts';
import { linesOfText } from '../framing.ts';
import { jsonFault } from '../json/fault.ts';
import { isJson, isShallow, parseAsWritten } from '../json/text.ts';

export const payloadKinds = ['json_object', 'json_other', 'text', 'bytes', 'empty', 'too_large'] as const;

export type PayloadKind = (typeof payloadKinds)[number];

/** Formats of bytes that a payload may have by its content. */
export type BinaryFormat = 'cbor' | 'msgpack' | 'sparkplug_b';

interface RecognisedPayload {
  kind: PayloadKind;
  /** True if it was compressed; `kind` describes the content. */
  gzip: boolean;
  /** The objects of a json_object, with every number as written: several if each line is one. */
  documents?: readonly object[];
  /** Whether each line is a document. */
  lines?: boolean;
  binary?: BinaryFormat;
  /** The reason why what looks like JSON is text. */
  oddity?: string;
  /** The message without compression. */
  plain?: Buffer;
}

/** Larger messages, also after decompression, are not inspected. */
const maxBytes = 1024 * 1024;

/**
 * Classifies a message; a document that is nested too deep to be read counts as text. A topic tells Sparkplug from other
 * bytes.
 */
export function recognise(payload: Buffer, topic: string | undefined): RecognisedPayload {
  const gzip = payload[0] === 0x1f && payload[1] === 0x8b;
  const plain = gzip ? decompress(payload) : payload;
  if (plain === 'not gzip') return { kind: 'bytes', gzip: false };
  if (plain === 'too large' || plain.length > maxBytes) return { kind: 'too_large', gzip };
  if (plain.length === 0) return { kind: 'empty', gzip };
  if (isSparkplug(plain, topic)) return { kind: 'bytes', gzip, binary: 'sparkplug_b', plain };
  if (!isUtf8(plain)) return { ...recogniseBytes(plain), gzip, plain };
  return { ...recogniseText(plain.toString()), gzip, plain };
}

type Found = Omit<RecognisedPayload, 'gzip' | 'plain'>;

function recogniseText(text: string): Found {
  try {
    if (!isShallow(JSON.parse(text))) return { kind: 'text' };
  } catch {
    return recogniseLines(text) ?? { kind: 'text', ...oddityOf(text) };
  }
  const document = parseAsWritten(text);
  const isObject = typeof document === 'object' && document !== null && text.trimStart().startsWith('{');
  return isObject ? { kind: 'json_object', documents: [document] } : { kind: 'json_other' };
}

/** A text of which each line is a JSON object. */
function recogniseLines(text: string): Found | undefined {
  if (!text.trimStart().startsWith('{') || !text.includes('\n')) return undefined;
  const documents: object[] = [];
  for (const line of linesOfText(text)) {
    if (line === '') continue;
    const found = line.trimStart().startsWith('{') && isJson(line) ? parseAsWritten(line) : undefined;
    if (typeof found !== 'object' || found === null || !isShallow(found)) return undefined;
    documents.push(found);
  }
  return { kind: 'json_object', documents, lines: true };
}

/** Reads the text of a JSON value that a program has wrapped, and how a query unwraps it. */
const wrappings = [
  { name: 'base64', pattern: /^[A-Za-z0-9+/]{8,}={0,2}$/, query: 'CAST(decode(from_base64(value)) AS JSON)' },
  { name: 'hex', pattern: /^(?:[0-9a-fA-F]{2}){4,}$/, query: 'CAST(decode(unhex(value)) AS JSON)' },
] as const;

/** Texts that no format reads, and what a user can do. */
const families = [
  {
    name: 'XML',
    pattern: /^\ufeff?\s*<[?!A-Za-z]/,
    reading: 'no format reads it, so set the device to JSON',
  },
  {
    name: 'the line protocol of InfluxDB',
    pattern:
      /^[^\s,={[<]+(?:,[^\s,=]+=[^\s,=]+)* [^\s,=]+=[^\s,]+(?:,[^\s,=]+=[^\s,]+)*(?: \d{10,19})?\r?\n?$/,
    reading: 'no format reads it, so set the sender to JSON',
  },
  {
    name: 'the fields of an HTML form',
    pattern: /^[\w.-]+=[^&\s]*(?:&[\w.-]+=[^&\s]*)+$/,
    reading: "raw_string and regexp_extract(value, 'NAME=([^&]*)', 1) read one field",
  },
  {
    name: 'sentences of NMEA 0183',
    pattern: /^[$!][A-Z]{2}[A-Z]{3},[\x20-\x7e]*\*[0-9A-F]{2}\s*$/,
    reading: "raw_string and split_part(value, ',', N) read one value",
  },
] as const;

function oddityOf(text: string): { oddity?: string } {
  for (const { name, pattern, query } of wrappings) {
    if (!pattern.test(text) || !isJson(Buffer.from(text, name).toString())) continue;
    return { oddity: `are JSON in ${name}; raw_string and ${query} read them` };
  }
  const family = families.find(({ pattern }) => pattern.test(text));
  if (family) return { oddity: `look like ${family.name}; ${family.reading}` };
  if (!/^[\s\0\ufeff]*[{[]/.test(text)) return {};
  const fault = jsonFault(text);
  if (!fault) return {};
  const mend = text.includes('\0')
    ? "CAST(replace(value, chr(0), '') AS JSON)"
    : text.startsWith('\ufeff')
      ? 'CAST(ltrim(value, chr(65279)) AS JSON)'
      : /\bNaN|Infinity|trailing comma/.test(fault.kind)
        ? 'CAST(value AS JSON)'
        : undefined;
  const reading = mend === undefined ? '' : `; raw_string and ${mend} read them`;
  return { oddity: `are almost JSON: byte ${fault.byte} is ${fault.kind}${reading}` };
}

const schemas = {
  cbor: { format: { type: 'cbor', into_unstructured_json: true }, fields: [{ name: 'value', type: 'json' }] },
  msgpack: {
    format: { type: 'msgpack', into_unstructured_json: true },
    fields: [{ name: 'value', type: 'json' }],
  },
  sparkplug_b: { format: { type: 'sparkplug_b' }, fields: [{ name: 'value', type: 'json' }] },
} as const;

const codecs = new Map<BinaryFormat, Codec>();

function codecOf(format: BinaryFormat): Codec {
  const known = codecs.get(format) ?? codecFor(structuredClone(schemas[format]) as never);
  codecs.set(format, known);
  return known;
}

function isSparkplug(payload: Buffer, topic: string | undefined): boolean {
  if (!/^spBv1\.0\/[^/]+\/[ND](?:BIRTH|DEATH|DATA|CMD)\//.test(topic ?? '')) return false;
  try {
    codecOf('sparkplug_b').decodeAll?.(payload, () => {});
    return true;
  } catch {
    return false;
  }
}

/** The first byte of a map; the tag 55799 means CBOR. */
function mapFormat([first = 0, second, third]: Buffer): 'cbor' | 'msgpack' | undefined {
  if ((first >= 0xa0 && first <= 0xbf) || (first === 0xd9 && second === 0xd9 && third === 0xf7))
    return 'cbor';
  return (first >= 0x80 && first <= 0x8f) || first === 0xde || first === 0xdf ? 'msgpack' : undefined;
}

/** Bytes are a map of CBOR or MessagePack if all of them are. */
function recogniseBytes(payload: Buffer): Found {
  const binary = mapFormat(payload);
  if (binary === undefined) return { kind: 'bytes', ...packedOddity(payload) };
  try {
    const document = parseAsWritten(String(codecOf(binary).decode(payload).value));
    return { kind: 'bytes', binary, documents: [document as object] };
  } catch {
    return { kind: 'bytes' };
  }
}

function packedOddity(payload: Buffer): { oddity?: string } {
  const [first = 0, second = 0] = payload;
  if (first === 0x78 && (first * 256 + second) % 31 === 0)
    return { oddity: 'begin as zlib does, which is not supported; gzip is' };
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    return { oddity: 'begin as UTF-16 does; Penstock reads UTF-8' };
  if (payload.every((byte) => byte >= 0x20 || byte === 9 || byte === 10 || byte === 13) && first < 0x80)
    return { oddity: 'look like text that is not UTF-8, such as Latin-1; Penstock reads UTF-8' };
  return {};
}

function decompress(payload: Buffer): Buffer | 'not gzip' | 'too large' {
  try {
    return gunzipSync(payload, { maxOutputLength: maxBytes });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too large' : 'not gzip';
  }
}
