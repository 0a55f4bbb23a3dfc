import { addExtension, Packr, Unpackr } from 'msgpackr/pack';
import type { FormatDefinition } from '../format.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { documentFormat } from '../values/document.ts';
import { formatTimestamp, timestampFromParts, timestampToParts } from '../values/timestamp.ts';
import { checkMsgpack } from './check.ts';

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
    types: {
      timestamp: (value, unit) =>
        value instanceof Time ? timestampFromParts(value.seconds, value.nanoseconds, unit) : undefined,
      decimal: () => undefined,
      json: jsonOf,
    },
    writers: { timestamp: writeTime, decimal: (text) => text },
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
