import { addExtension, Decoder, Encoder, Tag } from 'cbor-x/encode';
import type { FormatDefinition } from '../format.ts';
import { exactNumber, maxDepth, tooDeep } from '../json/text.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { formatDecimal, unscaledDecimal } from '../values/decimal.ts';
import { documentFormat } from '../values/document.ts';
import { isProto, isText } from '../values/text-check.ts';
import { formatTimestamp, parseTimestamp, timestampFromParts } from '../values/timestamp.ts';

/** Tags that only say what a string holds (RFC 8949 section 3.4). They are passed over. */
const notes = [21, 22, 23, 24, 32, 33, 34, 36, 37] as const;

/**
 * Times, bignums and decimals. All other tags are refused: among those that cbor-x knows are references, which let a
 * small message grow without end, and classes.
 */
const knownTags: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, ...notes]);

// The types ask for a class to write as well, which the library does not need.
const readTag = addExtension as unknown as (extension: {
  tag: number;
  decode(value: unknown): unknown;
}) => void;

// `cbor-x/encode` is all of it but the native addon, which npm installs on some machines only.
// cbor-x reads these as Date and number, which lose digits. Its list of tags is one for the whole process.
for (const tag of [0, 1, 4]) readTag({ tag, decode: (value) => new Tag(value, tag) });
for (const tag of notes) readTag({ tag, decode: (value) => value });

const options = { useRecords: false, variableMapSize: true, tagUint8Array: false, useTag259ForMaps: false };
const objects = new Decoder({ ...options, mapsAsObjects: true });
const maps = new Decoder({ ...options, mapsAsObjects: false });
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
    decodeMaps: (payload) => maps.decode(payload),
    encode: (document) => encoder.encode(document),
    timestampFrom: (value, unit) => (value instanceof Tag ? timeOf(value, unit) : undefined),
    decimalFrom: (value) => (value instanceof Tag ? decimalText(value) : undefined),
    jsonFrom: jsonOf,
    timestampOf: writeTimestamp,
    decimalOf: writeDecimal,
  }),
};

function timeOf({ tag, value }: Tag, unit: TimestampUnit): bigint | undefined {
  if (tag === 0) return typeof value === 'string' ? parseTimestamp(value, unit) : undefined;
  if (tag !== 1) return undefined;
  if (typeof value === 'bigint') return timestampFromParts(value, 0n, unit);
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  const whole = Math.floor(value);
  // A double of today's seconds has no more than microseconds in it.
  const microseconds = Math.round((value - whole) * 1e6);
  return timestampFromParts(BigInt(whole), BigInt(microseconds) * 1000n, unit);
}

/** Tag 4: `[exponent, mantissa]` (RFC 8949 section 3.4.4). */
function decimalText({ tag, value }: Tag): string | undefined {
  if (tag !== 4 || !Array.isArray(value) || value.length !== 2) return undefined;
  const [exponent, mantissa] = value as unknown[];
  const whole = typeof mantissa === 'bigint' || Number.isSafeInteger(mantissa);
  if (!whole || !Number.isInteger(exponent) || Math.abs(exponent as number) > 400) return undefined;
  const scale = -(exponent as number);
  return scale >= 0 ? formatDecimal(BigInt(mantissa as number), scale) : `${mantissa}e${exponent}`;
}

/** Times become RFC 3339 text, as in a json message. */
function jsonOf(value: object): unknown {
  if (!(value instanceof Tag)) throw badData('', 'holds a value that JSON does not have');
  const decimal = decimalText(value);
  if (decimal !== undefined) return exactNumber(decimal);
  const unit = Number.isInteger(value.value) ? 'second' : 'microsecond';
  const time = timeOf(value, unit);
  const text = time === undefined ? undefined : formatTimestamp(time, unit);
  if (text === undefined) throw badData('', 'holds a time or a decimal that is none');
  return value.tag === 0 ? value.value : text;
}

function writeTimestamp(value: bigint, unit: TimestampUnit): unknown {
  if (unit === 'second') return new Tag(value, 1);
  const text = formatTimestamp(value, unit);
  return text === undefined ? undefined : new Tag(text, 0);
}

function writeDecimal(text: string): unknown {
  const point = text.indexOf('.');
  return new Tag([point < 0 ? 0 : point + 1 - text.length, unscaledDecimal(text)], 4);
}

const longestBignum = 64;

const malformed = () => badData('', 'is not one well-formed CBOR item');

/**
 * Walks over the item heads of a CBOR message (RFC 8949 section 3) without reading any value. Throws `bad_data` unless
 * the message is one well-formed item, its text is UTF-8, and nesting, tags and bignums stay within bounds. Answers
 * whether one of its texts is `__proto__`.
 */
function checkCbor(bytes: Buffer): boolean {
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
        if (depth >= maxDepth) throw badData('', tooDeep);
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
    if (depth >= maxDepth) throw badData('', tooDeep);
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
