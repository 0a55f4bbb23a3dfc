import { addExtension, Decoder, Encoder, Tag } from 'cbor-x/encode';
import type { FormatDefinition } from '../format.ts';
import { exactNumber, maxDepth, tooDeep } from '../json/text.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { formatDecimal, unscaledDecimal } from '../values/decimal.ts';
import { documentFormat } from '../values/document.ts';
import { Walk } from '../values/text-check.ts';
import { formatTimestamp, parseTimestamp, timestampFromParts } from '../values/timestamp.ts';
import { longestBignum, notes, readCbor } from './read.ts';

/** Times, bignums and decimals. cbor-x knows more: classes, and references that grow a small message without end. */
const knownTags: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, ...notes]);

// The declared types require a class for writing, which the library does not need.
const readTag = addExtension as unknown as (extension: {
  tag: number;
  decode(value: unknown): unknown;
}) => void;

// `cbor-x/encode` lacks only the native addon, which npm installs on some machines only.
// cbor-x reads these as Date and number, which lose digits. Its tags are global to the process.
for (const tag of [0, 1, 4]) readTag({ tag, decode: (value) => new Tag(value, tag) });
for (const tag of notes) readTag({ tag, decode: (value) => value });

const options = { useRecords: false, variableMapSize: true, tagUint8Array: false, useTag259ForMaps: false };
const objects = new Decoder({ ...options, mapsAsObjects: true });
const encoder = new Encoder({ ...options, mapsAsObjects: true });

/**
 * A CBOR map (RFC 8949) with the fields by name, read and written by cbor-x. 64-bit integers are integers, timestamps
 * tag 0 (RFC 3339 text) or, in seconds, tag 1, decimals tag 4, bytes byte strings; all of it exact.
 */
export const cbor: FormatDefinition<'cbor'> = {
  type: 'cbor',
  ...documentFormat({
    check: checkCbor,
    decode: (payload) => objects.decode(payload),
    decodeUnusual: readCbor,
    encode: (document) => encoder.encode(document),
    timestampFrom: (value, unit) => (value instanceof Tag ? timeOf(value, unit) : undefined),
    decimalFrom: (value) => (value instanceof Tag ? decimalText(value) : undefined),
    jsonFrom: jsonOf,
    timestampOf: writeTimestamp,
    decimalOf: writeDecimal,
  }),
};

/** Reads any document: see `readCbor`. Throws `bad_data`. */
export function parseCbor(payload: Buffer): unknown {
  checkCbor(payload);
  return readCbor(payload);
}

export const encodeCbor = (document: unknown): Buffer => encoder.encode(document);

function timeOf({ tag, value }: Tag, unit: TimestampUnit): bigint | undefined {
  if (tag === 0) return typeof value === 'string' ? parseTimestamp(value, unit) : undefined;
  if (tag !== 1) return undefined;
  if (typeof value === 'bigint') return timestampFromParts(value, 0n, unit);
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  const whole = Math.floor(value);
  // A double of today's seconds is precise to microseconds.
  const microseconds = Math.round((value - whole) * 1e6);
  return timestampFromParts(BigInt(whole), BigInt(microseconds) * 1000n, unit);
}

/** Tag 4: `[exponent, mantissa]` (RFC 8949 section 3.4.4). */
export function decimalText({ tag, value }: Tag): string | undefined {
  if (tag !== 4 || !Array.isArray(value) || value.length !== 2) return undefined;
  const [exponent, mantissa] = value as unknown[];
  const whole = typeof mantissa === 'bigint' || Number.isSafeInteger(mantissa);
  if (!whole || !Number.isInteger(exponent) || Math.abs(exponent as number) > 400) return undefined;
  const scale = -(exponent as number);
  return scale >= 0 ? formatDecimal(BigInt(mantissa as number), scale) : `${mantissa}e${exponent}`;
}

/** Times become RFC 3339 text, as in a json message. */
function jsonOf(value: object): unknown {
  if (!(value instanceof Tag)) throw badData('', 'holds a value that JSON cannot express');
  const decimal = decimalText(value);
  if (decimal !== undefined) return exactNumber(decimal);
  const unit = Number.isInteger(value.value) ? 'second' : 'microsecond';
  const time = timeOf(value, unit);
  const text = time === undefined ? undefined : formatTimestamp(time, unit);
  if (text === undefined) throw badData('', 'holds an invalid time or decimal');
  return value.tag === 0 ? value.value : text;
}

function writeTimestamp(value: bigint, unit: TimestampUnit): unknown {
  if (unit === 'second') return new Tag(value, 1);
  const text = formatTimestamp(value, unit);
  return text === undefined ? undefined : new Tag(text, 0);
}

export function writeDecimal(text: string): unknown {
  const point = text.indexOf('.');
  return new Tag([point < 0 ? 0 : point + 1 - text.length, unscaledDecimal(text)], 4);
}

/**
 * Throws `bad_data` unless the message is one well-formed item (RFC 8949 section 3) whose nesting is bounded. Returns
 * whether it holds what cbor-x would not read as it is meant: see `readCbor`.
 */
function checkCbor(bytes: Buffer): boolean {
  const walk = new CborWalk(bytes, 'CBOR item');
  walk.item(0);
  return walk.end();
}

class CborWalk extends Walk {
  item(depth: number): void {
    const head = this.bytes[this.take(1)] as number;
    const info = head & 31;
    switch (head >> 5) {
      case 0:
      case 1:
        this.#argument(info);
        break;
      case 2:
      case 3:
        this.#string(head >> 5 === 3, head, info);
        break;
      case 4:
      case 5:
        this.#nested(head >> 5 === 5 ? 2 : 1, info, depth);
        break;
      case 6:
        this.#tag(this.#argument(info));
        if (depth >= maxDepth) throw badData('', tooDeep);
        this.item(depth + 1);
        break;
      default:
        if (info > 27 || (this.#argument(info) < 32 && info === 24)) throw this.malformed();
        if (info < 20 || info === 24) this.unusual = true;
    }
  }

  #argument(info: number): number {
    if (info < 24) return info;
    if (info > 27) throw this.malformed();
    const { bytes } = this;
    const size = 1 << (info - 24);
    const at = this.take(size);
    if (size === 1) return bytes[at] as number;
    if (size < 8) return bytes.readUIntBE(at, size);
    return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  }

  #string(text: boolean, head: number, info: number): void {
    if (info === 31) {
      this.unusual = true;
      const kind = head & 0xe0;
      for (let chunk = 0; chunk !== 0xff; ) {
        chunk = this.bytes[this.take(1)] as number;
        if (chunk === 0xff) return;
        if ((chunk & 0xe0) !== kind) throw this.malformed();
        this.take(this.#argument(chunk & 31));
      }
    }
    const length = this.#argument(info);
    if (text) this.text(length);
    else this.take(length);
  }

  #nested(items: 1 | 2, info: number, depth: number): void {
    if (depth >= maxDepth) throw badData('', tooDeep);
    if (info === 31) {
      while (this.bytes[this.at] !== 0xff) this.#member(items, depth + 1);
      this.at += 1;
      return;
    }
    const count = this.#argument(info);
    if (count * items > this.bytes.length - this.at) throw this.malformed();
    for (let left = count; left > 0; left -= 1) this.#member(items, depth + 1);
  }

  /** An item of an array, or a key and its value. */
  #member(items: 1 | 2, depth: number): void {
    if (items === 2) {
      const kind = (this.bytes[this.at] ?? 0) >> 5;
      if (kind === 2 || (kind > 3 && kind < 7)) this.unusual = true;
      this.item(depth);
    }
    this.item(depth);
  }

  #tag(tag: number): void {
    if (!knownTags.has(tag)) this.unusual = true;
    if (tag !== 2 && tag !== 3) return;
    const head = this.bytes[this.at] ?? 0;
    const length = head === 0x58 ? (this.bytes[this.at + 1] ?? 0) : head - 0x40;
    if (head < 0x40 || head > 0x58 || length > longestBignum) this.unusual = true;
  }
}
