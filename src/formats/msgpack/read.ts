import type { Row } from '../format.ts';
import { setMember } from '../values/document.ts';
import { textOrProblem, Unreadable } from '../values/text-check.ts';

/**
 * Reads a document that `checkMsgpack` has passed and called unusual: with extensions that have no meaning here, keys of
 * any type, text that is not UTF-8. Values are those that msgpackr makes of all others.
 */
export const readMsgpack = (bytes: Buffer, timeFrom: (data: Buffer) => unknown): unknown =>
  new MsgpackReader(bytes, timeFrom).value();

class MsgpackReader {
  readonly #bytes: Buffer;
  readonly #timeFrom: (data: Buffer) => unknown;
  #at = 0;

  constructor(bytes: Buffer, timeFrom: (data: Buffer) => unknown) {
    this.#bytes = bytes;
    this.#timeFrom = timeFrom;
  }

  value(): unknown {
    const head = this.#bytes.readUInt8(this.#take(1));
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.#map(head - 0x80);
    if (head < 0xa0) return this.#list(head - 0x90);
    if (head < 0xc0) return this.#text(head - 0xa0);
    if (head < 0xc4) return head === 0xc0 ? null : head === 0xc3;
    if (head < 0xc7) return this.#view(this.#length(1 << (head - 0xc4)));
    if (head < 0xca) return this.#extension(this.#length(1 << (head - 0xc7)));
    if (head < 0xd4) return this.#number(head);
    if (head < 0xd9) return this.#extension(1 << (head - 0xd4));
    if (head < 0xdc) return this.#text(this.#length(1 << (head - 0xd9)));
    if (head < 0xde) return this.#list(this.#length(2 << (head - 0xdc)));
    return this.#map(this.#length(2 << (head - 0xde)));
  }

  #take(size: number): number {
    this.#at += size;
    return this.#at - size;
  }

  #view(size: number): Buffer {
    const from = this.#take(size);
    return this.#bytes.subarray(from, from + size);
  }

  #length(size: number): number {
    return this.#bytes.readUIntBE(this.#take(size), size);
  }

  #text(length: number): string | Unreadable {
    const from = this.#take(length);
    return textOrProblem(this.#bytes, from, from + length);
  }

  #number(head: number): number | bigint {
    if (head === 0xca) return this.#bytes.readFloatBE(this.#take(4));
    if (head === 0xcb) return this.#bytes.readDoubleBE(this.#take(8));
    const size = 1 << (head & 3);
    const from = this.#take(size);
    const unsigned = head < 0xd0;
    if (size < 8) return unsigned ? this.#bytes.readUIntBE(from, size) : this.#bytes.readIntBE(from, size);
    const long = unsigned ? this.#bytes.readBigUInt64BE(from) : this.#bytes.readBigInt64BE(from);
    return Number.isSafeInteger(Number(long)) ? Number(long) : long;
  }

  #extension(length: number): unknown {
    const type = this.#bytes.readInt8(this.#take(1));
    const data = this.#view(length);
    const isTime = type === -1 && (length === 4 || length === 8 || length === 12);
    if (!isTime) return new Unreadable(`holds the MessagePack extension ${type}, which is not supported`);
    const overflows = length > 4 && data.readUInt32BE() >>> (length === 8 ? 2 : 0) > 999_999_999;
    return overflows
      ? new Unreadable('holds a time with more than a second of nanoseconds')
      : this.#timeFrom(data);
  }

  #list(count: number): unknown[] {
    const list: unknown[] = [];
    while (list.length < count) list.push(this.value());
    return list;
  }

  #map(count: number): Row {
    const map: Row = {};
    for (let left = count; left > 0; left -= 1) {
      const key = this.value();
      setMember(map, key, this.value());
    }
    return map;
  }
}
