import { isUtf8 } from 'node:buffer';
import { gunzipSync } from 'node:zlib';
import { isRawNumber, isShallow, parseAsWritten } from '../json/text.ts';
import { bigintRanges } from '../values/read.ts';
import { parseTimestamp } from '../values/timestamp.ts';

export const payloadKinds = ['json_object', 'json_other', 'text', 'bytes', 'empty', 'too_large'] as const;

export type PayloadKind = (typeof payloadKinds)[number];

interface RecognisedPayload {
  kind: PayloadKind;
  /** True if it was compressed; `kind` describes the content. */
  gzip: boolean;
  /** The document of a json_object, with every number as written. */
  document?: object;
}

/** Larger messages, also after decompression, are not inspected. */
const maxBytes = 1024 * 1024;

/** Classifies a message. A document that is nested too deep to be read counts as text. */
export function recognise(payload: Buffer): RecognisedPayload {
  const gzip = payload[0] === 0x1f && payload[1] === 0x8b;
  const plain = gzip ? decompress(payload) : payload;
  if (plain === 'not gzip') return { kind: 'bytes', gzip: false };
  if (plain === 'too large' || plain.length > maxBytes) return { kind: 'too_large', gzip };
  if (plain.length === 0) return { kind: 'empty', gzip };
  if (!isUtf8(plain)) return { kind: 'bytes', gzip };
  return { ...recogniseText(plain.toString()), gzip };
}

function recogniseText(text: string): Omit<RecognisedPayload, 'gzip'> {
  try {
    if (!isShallow(JSON.parse(text))) return { kind: 'text' };
  } catch {
    return { kind: 'text' };
  }
  const document = parseAsWritten(text);
  const isObject = typeof document === 'object' && document !== null && text.trimStart().startsWith('{');
  return isObject ? { kind: 'json_object', document } : { kind: 'json_other' };
}

function decompress(payload: Buffer): Buffer | 'not gzip' | 'too large' {
  try {
    return gunzipSync(payload, { maxOutputLength: maxBytes });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too large' : 'not gzip';
  }
}

const numberTypes = ['int64', 'uint64', 'float64', 'huge'] as const;

/** Types that values are counted as; `huge` is a number that no 64-bit type can hold. */
export type SeenType =
  | (typeof numberTypes)[number]
  | 'bool'
  | 'timestamp'
  | 'string'
  | 'struct'
  | 'list'
  | 'null';

export const isNumberType = (type: SeenType): boolean => (numberTypes as readonly SeenType[]).includes(type);

/** Deeper objects and lists, and objects with more properties, are json. */
const maxLevels = 10;
const maxMembers = 200;

interface Budget {
  fields: number;
}

/** Range of whole numbers that may be milliseconds since 1970: September 2001 to 2100. */
const earliestMs = 1_000_000_000_000n;
const latestMs = 4_102_444_800_000n;

const [min64, max64] = bigintRanges.int64;
const [, maxUnsigned64] = bigintRanges.uint64;
const safe = BigInt(Number.MAX_SAFE_INTEGER);

/** Counts and names of one place in the sampled documents; no values. */
export class ObservedShape {
  present = 0;
  readonly seen = new Map<SeenType, number>();
  /** Whether some whole number loses digits as a double. */
  wide = false;
  negative = false;
  /** Whether every whole number could be milliseconds since 1970. */
  millis = true;
  /** Maximum number of fractional digits of the times, and whether all fit 64 bits of nanoseconds. */
  fraction = 0;
  nanoseconds = true;
  /** Properties in order of appearance; undefined if there were too many. */
  members: Map<string, ObservedShape> | undefined = new Map();
  items: ObservedShape | undefined;
  readonly #levels: number;
  readonly #budget: Budget;

  constructor(budget: Budget, levels = maxLevels) {
    this.#budget = budget;
    this.#levels = levels;
  }

  count(type: SeenType): number {
    return this.seen.get(type) ?? 0;
  }

  observe(value: unknown): void {
    this.present += 1;
    const type = this.#look(value);
    this.seen.set(type, this.count(type) + 1);
  }

  #look(value: unknown): SeenType {
    if (value === null) return 'null';
    if (typeof value === 'boolean') return 'bool';
    if (typeof value === 'string') return this.#lookAtText(value);
    if (isRawNumber(value)) return this.#lookAtNumber(value.rawJSON);
    if (Array.isArray(value)) {
      this.#lookInto(value);
      return 'list';
    }
    this.#lookAtMembers(value as object);
    return 'struct';
  }

  #lookAtText(text: string): SeenType {
    if (text.length > 100 || parseTimestamp(text, 'millisecond') === undefined) return 'string';
    this.fraction = Math.max(this.fraction, /\.(\d+)/.exec(text)?.[1]?.length ?? 0);
    this.nanoseconds &&= parseTimestamp(text, 'nanosecond') !== undefined;
    return 'timestamp';
  }

  #lookAtNumber(text: string): SeenType {
    if (!/^-?\d+$/.test(text)) return Number.isFinite(Number(text)) ? 'float64' : 'huge';
    if (text.length > 40) return 'huge';
    const whole = BigInt(text);
    this.millis &&= whole >= earliestMs && whole <= latestMs;
    this.negative ||= whole < 0n;
    this.wide ||= whole > safe || whole < -safe;
    if (whole >= min64 && whole <= max64) return 'int64';
    return whole > 0n && whole <= maxUnsigned64 ? 'uint64' : 'huge';
  }

  #lookInto(list: readonly unknown[]): void {
    if (this.#levels === 0 || list.length === 0) return;
    this.items ??= new ObservedShape(this.#budget, this.#levels - 1);
    for (const item of list) this.items.observe(item);
  }

  #lookAtMembers(object: object): void {
    for (const [name, value] of Object.entries(object)) {
      const member = this.#member(name);
      if (member === undefined) return;
      member.observe(value);
    }
  }

  #member(name: string): ObservedShape | undefined {
    const known = this.members?.get(name);
    if (known !== undefined || this.members === undefined) return known;
    if (this.#levels === 0 || this.members.size >= maxMembers || this.#budget.fields === 0) {
      this.members = undefined;
      return undefined;
    }
    this.#budget.fields -= 1;
    const member = new ObservedShape(this.#budget, this.#levels - 1);
    this.members.set(name, member);
    return member;
  }
}
