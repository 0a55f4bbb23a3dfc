import { addExtension, Packr, Unpackr } from 'msgpackr/pack';
import type { FormatDefinition } from '../format.ts';
import { maxDepth, tooDeep } from '../json/text.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { documentFormat } from '../values/document.ts';
import { isProto, isText } from '../values/text-check.ts';
import { formatTimestamp, timestampFromParts, timestampToParts } from '../values/timestamp.ts';

/** A timestamp of MessagePack: extension -1, whole seconds and the nanoseconds behind them. */
class Time {
  readonly seconds: bigint;
  readonly nanoseconds: bigint;

  constructor(seconds: bigint, nanoseconds: bigint) {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
  }
}

// `msgpackr/pack` is all of it but the native addon, which npm installs on some machines only.
// msgpackr reads timestamps as Date, which loses digits. Its list of extensions is one for the whole process.
addExtension({ Class: Time, type: 0xff, pack: packTime, unpack: unpackTime });

const options = { useRecords: false, useToJSON: false, variableMapSize: true } as const;
const objects = new Unpackr({ ...options, mapsAsObjects: true });
const maps = new Unpackr({ ...options, mapsAsObjects: false });
const packr = new Packr({ ...options, mapsAsObjects: true });

/**
 * A MessagePack map with the fields by name, read and written by msgpackr. 64-bit integers are integers, timestamps
 * the extension -1, decimals strings, bytes bin; all of it exact.
 */
export const msgpack: FormatDefinition<'msgpack'> = {
  type: 'msgpack',
  ...documentFormat({
    check: checkMsgpack,
    decode: (payload) => objects.unpack(payload),
    decodeMaps: (payload) => maps.unpack(payload),
    encode: (document) => packr.pack(document),
    timestampFrom: (value, unit) =>
      value instanceof Time ? timestampFromParts(value.seconds, value.nanoseconds, unit) : undefined,
    decimalFrom: () => undefined,
    jsonFrom: jsonOf,
    timestampOf: writeTime,
    decimalOf: (text) => text,
  }),
};

/** Times become RFC 3339 text, as in a json message. */
function jsonOf(value: object): unknown {
  if (!(value instanceof Time)) throw badData('', 'holds a value that JSON does not have');
  const unit = value.nanoseconds === 0n ? 'second' : 'nanosecond';
  const time = timestampFromParts(value.seconds, value.nanoseconds, unit);
  const text = time === undefined ? undefined : formatTimestamp(time, unit);
  if (text === undefined) throw badData('', 'holds a time that JSON cannot write');
  return text;
}

/** What a Date is written as in 64 bits, which the library does faster than a class of ours. */
const dateMs = 2n ** 34n * 1000n;

function writeTime(value: bigint, unit: TimestampUnit): Time | Date {
  if (unit === 'millisecond' && value >= 0n && value < dateMs) return new Date(Number(value));
  const { seconds, nanoseconds } = timestampToParts(value, unit);
  return new Time(seconds, nanoseconds);
}

/** The shortest of its three forms that holds the time. */
function packTime({ seconds, nanoseconds }: Time): Buffer {
  const bytes = Buffer.alloc(12);
  if (seconds >= 0n && seconds < 2n ** 34n) {
    const whole = Number(seconds);
    bytes.writeUInt32BE(Number(nanoseconds) * 4 + Math.floor(whole / 2 ** 32));
    bytes.writeUInt32BE(whole >>> 0, 4);
    return nanoseconds === 0n && seconds < 2n ** 32n ? bytes.subarray(4, 8) : bytes.subarray(0, 8);
  }
  bytes.writeUInt32BE(Number(nanoseconds));
  bytes.writeBigInt64BE(seconds, 4);
  return bytes;
}

function unpackTime(data: Uint8Array): Time {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length === 4) return new Time(BigInt(bytes.readUInt32BE()), 0n);
  const first = bytes.length === 8 ? bytes.readBigUInt64BE() : BigInt(bytes.readUInt32BE());
  const [seconds, nanoseconds] =
    bytes.length === 8 ? [first & (2n ** 34n - 1n), first >> 34n] : [bytes.readBigInt64BE(4), first];
  if (nanoseconds > 999_999_999n) throw new Error('more than a second of nanoseconds');
  return new Time(seconds, nanoseconds);
}

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
function checkMsgpack(bytes: Buffer): boolean {
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
    if (depth >= maxDepth) throw badData('', tooDeep);
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
