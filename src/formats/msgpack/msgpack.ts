import { addExtension, Packr, Unpackr } from 'msgpackr/pack';
import type { FormatDefinition } from '../format.ts';
import { maxDepth, tooDeep } from '../json/text.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { documentFormat } from '../values/document.ts';
import { Walk } from '../values/text-check.ts';
import { formatTimestamp, timestampFromParts, timestampToParts } from '../values/timestamp.ts';
import { readMsgpack } from './read.ts';

/** A timestamp of MessagePack: extension -1. */
class Time {
  readonly seconds: bigint;
  readonly nanoseconds: bigint;

  constructor(seconds: bigint, nanoseconds: bigint) {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
  }
}

// `msgpackr/pack` lacks only the native addon, which npm installs on some machines only.
// msgpackr reads timestamps as Date, which loses digits. Its extensions are global to the process.
addExtension({ Class: Time, type: 0xff, pack: packTime, unpack: unpackTime });

const options = { useRecords: false, useToJSON: false, variableMapSize: true } as const;
const objects = new Unpackr({ ...options, mapsAsObjects: true });
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
    decodeUnusual: (payload) => readMsgpack(payload, unpackTime),
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
  if (!(value instanceof Time)) throw badData('', 'holds a value that JSON cannot express');
  const unit = value.nanoseconds === 0n ? 'second' : 'nanosecond';
  const time = timestampFromParts(value.seconds, value.nanoseconds, unit);
  const text = time === undefined ? undefined : formatTimestamp(time, unit);
  if (text === undefined) throw badData('', 'holds a time that JSON cannot write');
  return text;
}

/** Dates before this are written in 64 bits, faster than our class. */
const dateMs = 2n ** 34n * 1000n;

function writeTime(value: bigint, unit: TimestampUnit): Time | Date {
  if (unit === 'millisecond' && value >= 0n && value < dateMs) return new Date(Number(value));
  const { seconds, nanoseconds } = timestampToParts(value, unit);
  return new Time(seconds, nanoseconds);
}

/** Writes the shortest of the three forms that holds the time. */
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
  return new Time(seconds, nanoseconds);
}

const timestamp = 0xff;

/**
 * Throws `bad_data` unless the message is one well-formed value whose nesting is bounded. Returns whether it holds what
 * msgpackr would not read as it is meant: see `readMsgpack`. Heads are those of
 * github.com/msgpack/msgpack/blob/master/spec.md.
 */
function checkMsgpack(bytes: Buffer): boolean {
  const walk = new MsgpackWalk(bytes, 'MessagePack value');
  walk.value(0);
  return walk.end();
}

class MsgpackWalk extends Walk {
  value(depth: number): void {
    const head = this.bytes[this.take(1)] as number;
    if (head < 0x80 || head > 0xdf) return;
    if (head < 0x90) this.#nested(head - 0x80, depth, true);
    else if (head < 0xa0) this.#nested(head - 0x90, depth, false);
    else if (head < 0xc0) this.text(head - 0xa0);
    else this.#long(head, depth);
  }

  #long(head: number, depth: number): void {
    if (head === 0xc1) throw this.malformed();
    if (head < 0xc4) return; // nil and booleans
    if (head < 0xc7) this.take(this.#length(1 << (head - 0xc4)));
    else if (head < 0xca) this.#extension(this.#length(1 << (head - 0xc7)));
    else if (head < 0xcc)
      this.take(4 << (head - 0xca)); // floats
    else if (head < 0xd4)
      this.take(1 << (head & 3)); // integers
    else if (head < 0xd9) this.#extension(1 << (head - 0xd4));
    else if (head < 0xdc) this.text(this.#length(1 << (head - 0xd9)));
    else if (head < 0xde) this.#nested(this.#length(2 << (head - 0xdc)), depth, false);
    else this.#nested(this.#length(2 << (head - 0xde)), depth, true);
  }

  #length(size: number): number {
    return this.bytes.readUIntBE(this.take(size), size);
  }

  #nested(count: number, depth: number, isMap: boolean): void {
    if (depth >= maxDepth) throw badData('', tooDeep);
    if (count * (isMap ? 2 : 1) > this.bytes.length - this.at) throw this.malformed();
    for (let left = count; left > 0; left -= 1) {
      if (isMap) this.#key(depth + 1);
      this.value(depth + 1);
    }
  }

  /** msgpackr takes texts, numbers, booleans and nil. */
  #key(depth: number): void {
    const head = this.bytes[this.at] ?? 0;
    const nested = (head >= 0x80 && head < 0xa0) || head >= 0xdc;
    const isPlain = head < 0x80 || head >= 0xe0 || !nested;
    if (!isPlain || (head >= 0xc4 && head < 0xca) || (head >= 0xd4 && head < 0xd9)) this.unusual = true;
    this.value(depth);
  }

  /** Timestamps are known; among those that msgpackr knows besides are references and classes. */
  #extension(length: number): void {
    const known = this.bytes[this.take(1)] === timestamp && (length === 4 || length === 8 || length === 12);
    const from = this.take(length);
    if (!known || (length > 4 && this.bytes.readUInt32BE(from) >>> (length === 8 ? 2 : 0) > 999_999_999))
      this.unusual = true;
  }
}
