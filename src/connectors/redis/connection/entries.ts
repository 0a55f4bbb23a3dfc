import { isUtf8 } from 'node:buffer';
import type { ConnectionSchema, FieldTypeName } from '../../../formats/schema/schema.ts';
import type { Delivery } from '../../connector.ts';
import type { EntryShape } from '../config/table.ts';

/** Entries of streams, as Redis sends them, and as messages. */

export interface Entry {
  id: string;
  /** Names and values alternately. Null if the entry was removed while it waited for its acknowledgement. */
  fields: Buffer[] | null;
}

/** Reads a list of entries, as XRANGE and XAUTOCLAIM reply with. In Redis 6.2 an entry that is gone may be null. */
export const readEntries = (reply: unknown): Entry[] =>
  ((reply ?? []) as ([Buffer, Buffer[] | null] | null)[]).flatMap((item) =>
    item === null ? [] : [{ id: String(item[0]), fields: item[1] }],
  );

/** Reads the reply of XREAD and XREADGROUP for one stream; no entries if nothing came in time. */
export const readStream = (reply: unknown): Entry[] => {
  const [stream] = (reply ?? []) as [Buffer, unknown][];
  return stream ? readEntries(stream[1]) : [];
};

export type MakePayload = (fields: readonly Buffer[]) => Buffer | undefined;

/** Returns how the payload of an entry is made: undefined if it lacks the field. */
export function payloadMaker(
  { payloadField }: EntryShape,
  schema: ConnectionSchema | undefined,
): MakePayload {
  if (payloadField === undefined) return objectMaker(schema);
  const wanted = Buffer.from(payloadField);
  return (fields) => {
    for (let at = 0; at + 1 < fields.length; at += 2) if (fields[at]?.equals(wanted)) return fields[at + 1];
    return undefined;
  };
}

/** Types whose values are no texts in JSON. */
const isBare = (type: FieldTypeName): boolean =>
  /^(u?int|float)/.test(type) || ['bool', 'json', 'struct', 'list', 'timestamp'].includes(type);

/** Makes a JSON object of all fields. Values of columns that are no texts stand without quotes. */
function objectMaker(schema: ConnectionSchema | undefined): MakePayload {
  const bare = new Set((schema?.fields ?? []).filter(({ type }) => isBare(type)).map(({ name }) => name));
  return (fields) => {
    const parts: Buffer[] = [];
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const [name, value] = [fields[at] as Buffer, fields[at + 1] as Buffer];
      parts.push(Buffer.from(at === 0 ? '{' : ','), quoted(name), Buffer.from(':'));
      parts.push(bare.has(String(name)) && isJson(value) ? value : quoted(value));
    }
    parts.push(Buffer.from(parts.length === 0 ? '{}' : '}'));
    return Buffer.concat(parts);
  };
}

/** Bytes that are no UTF-8 stay as they are, so that the format refuses them. */
const quoted = (text: Buffer): Buffer =>
  isUtf8(text)
    ? Buffer.from(JSON.stringify(String(text)))
    : Buffer.concat([Buffer.from('"'), text, Buffer.from('"')]);

function isJson(value: Buffer): boolean {
  if (!isUtf8(value)) return false;
  try {
    JSON.parse(String(value));
    return true;
  } catch {
    return false;
  }
}

/** Values of the metadata columns, computed on access. */
export class EntryMetadata {
  readonly #entry: Entry;
  readonly stream: string;
  readonly redelivered: boolean;

  constructor(entry: Entry, stream: string, redelivered: boolean) {
    this.#entry = entry;
    this.stream = stream;
    this.redelivered = redelivered;
  }

  get id(): string {
    return this.#entry.id;
  }

  get timestamp(): bigint | null {
    const [ms = ''] = this.#entry.id.split('-');
    const micros = BigInt(ms) * 1000n;
    // An ID may be any number that its writer chose.
    return micros < 2n ** 62n ? micros : null;
  }

  get fields(): string {
    const fields = this.#entry.fields ?? [];
    const pairs = Array.from({ length: Math.floor(fields.length / 2) }, (_, index) => [
      String(fields[2 * index]),
      String(fields[2 * index + 1]),
    ]);
    return JSON.stringify(Object.fromEntries(pairs));
  }
}

export const metadataOf = (entry: Entry, stream: string, redelivered: boolean): Delivery['metadata'] =>
  new EntryMetadata(entry, stream, redelivered) as unknown as Delivery['metadata'];

/** Compares two IDs: negative if `a` is older. */
export function compareIds(a: string, b: string): number {
  const [aMs = '0', aSeq = '0'] = a.split('-');
  const [bMs = '0', bSeq = '0'] = b.split('-');
  const [left, right] = BigInt(aMs) === BigInt(bMs) ? [aSeq, bSeq] : [aMs, bMs];
  return BigInt(left) < BigInt(right) ? -1 : BigInt(left) > BigInt(right) ? 1 : 0;
}

/** The ID just before another one. */
export function idBefore(id: string): string {
  const [ms = '0', seq = '0'] = id.split('-');
  if (BigInt(seq) > 0n) return `${ms}-${BigInt(seq) - 1n}`;
  return BigInt(ms) === 0n ? '0-0' : `${BigInt(ms) - 1n}-18446744073709551615`;
}
