import {
  decodeFrame,
  type Frame,
  parseFrame,
  type RawFrame,
} from '../../../../node_modules/amqplib/lib/frame.js';

/** Reads frames of AMQP as amqplib does, but that no header of a message can end the connection. */

/** Type of a frame with the properties of a message. */
const headerType = 2;

/** The first frame in `bytes`, and the bytes after it. Undefined if there is no whole one. */
export function readFrame(bytes: Buffer, max: number): { frame: Frame; rest: Buffer } | undefined {
  const raw = parseFrame(bytes, max);
  if (raw === false) return undefined;
  try {
    return { frame: decodeFrame(raw), rest: raw.rest };
  } catch (error) {
    if (raw.type !== headerType) throw error;
    return { frame: withoutNested(raw), rest: raw.rest };
  }
}

/** The header of a message whose table is nested too deep for amqplib, or has types that it does not know. */
function withoutNested(raw: RawFrame): Frame {
  try {
    const payload = Buffer.from(raw.payload);
    const nested = hideNested(payload);
    const frame: Frame = decodeFrame({ ...raw, payload });
    const headers = frame.fields?.headers as Record<string, unknown>;
    for (const name of nested) headers[name] = null;
    return frame;
  } catch {
    // The message counts without its properties.
    const { payload, channel } = raw;
    return { id: payload.readUInt16BE(0), channel, size: Number(payload.readBigInt64BE(4)), fields: {} };
  }
}

/** Offset of the flags, behind class, weight and size. */
const flagsAt = 12;
/** Bytes of the values of field tables; those with a text of their own length are left out. */
const widths: Readonly<Record<string, number>> = {
  b: 1,
  B: 1,
  t: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  D: 5,
  T: 8,
  d: 8,
  l: 8,
  V: 0,
};

/** Makes nested tables and arrays of the headers bytes, which are written alike. Returns their names. */
function hideNested(payload: Buffer): string[] {
  const flags = payload.readUInt16BE(flagsAt);
  let at = flagsAt + 2;
  // Before the headers come content type and content encoding.
  for (const flag of [0x8000, 0x4000]) if (flags & flag) at += 1 + payload.readUInt8(at);
  const end = at + 4 + payload.readUInt32BE(at);
  at += 4;
  const nested: string[] = [];
  while (at < end) {
    const keyEnd = at + 1 + payload.readUInt8(at);
    const name = payload.toString('utf8', at + 1, keyEnd);
    const type = String.fromCharCode(payload.readUInt8(keyEnd));
    at = keyEnd + 1;
    if ('FA'.includes(type)) {
      payload.write('x', keyEnd);
      nested.push(name);
    }
    const width = widths[type];
    if (width === undefined && !'FASx'.includes(type)) throw new TypeError(`a field of type ${type}`);
    at += width ?? 4 + payload.readUInt32BE(at);
  }
  return nested;
}
