import { addExtension, Decoder, Encoder, Tag } from 'cbor-x/encode';
import type { FormatDefinition } from '../format.ts';
import { exactNumber } from '../json/json-value.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { formatDecimal, unscaledDecimal } from '../values/decimal.ts';
import { documentFormat } from '../values/document.ts';
import { formatTimestamp, parseTimestamp, timestampFromParts } from '../values/timestamp.ts';
import { checkCbor, notes } from './check.ts';

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
    types: {
      timestamp: (value, unit) => (value instanceof Tag ? timeOf(value, unit) : undefined),
      decimal: (value) => (value instanceof Tag ? decimalText(value) : undefined),
      json: (value) => jsonOf(value),
    },
    writers: { timestamp: writeTimestamp, decimal: writeDecimal },
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
