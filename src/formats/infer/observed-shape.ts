import { isRawNumber } from '../json/text.ts';
import { parseTimestamp } from '../values/timestamp.ts';

/** What was seen of one place in the sampled documents. It holds counts and names, no values. */

/**
 * The types that values are counted as. An `int64` that a double cannot hold is one of them all the same; `huge` is a
 * number that no 64-bit type can.
 */
export type SeenType =
  | 'bool'
  | 'int64'
  | 'uint64'
  | 'float64'
  | 'huge'
  | 'timestamp'
  | 'string'
  | 'struct'
  | 'list'
  | 'null';

/** How deep objects and lists are looked into, and how many properties one object may have: beyond that it is json. */
const maxLevels = 10;
const maxMembers = 200;

/** How many more properties the whole may have. */
export interface Budget {
  fields: number;
}

/** Whole numbers that are taken for milliseconds since 1970: September 2001 to 2100. */
const earliestMs = 1_000_000_000_000n;
const latestMs = 4_102_444_800_000n;

const least64 = -(2n ** 63n);
const most64 = 2n ** 63n - 1n;
const maxUnsigned64 = 2n ** 64n - 1n;
const safe = BigInt(Number.MAX_SAFE_INTEGER);

export class ObservedShape {
  /** How often a value was there, null included. */
  present = 0;
  readonly seen = new Map<SeenType, number>();
  /** Whether some whole number loses digits as a double. */
  wide = false;
  negative = false;
  /** Whether every whole number could be milliseconds since 1970. */
  millis = true;
  /** Of the times: most digits behind the second, and whether all of them fit 64 bits of nanoseconds. */
  fraction = 0;
  nanoseconds = true;
  /** Properties by name, in order of appearance; undefined when there were too many of them. */
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

  /** Takes in one value, parsed with every number as it is written. */
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
    if (whole >= least64 && whole <= most64) return 'int64';
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
