import { isRawNumber } from '../json/text.ts';
import type { Format } from '../schema/schema.ts';
import { bigintRanges } from '../values/read.ts';
import { CountedTimes, ObservedTexts } from './times.ts';

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

const [min64, max64] = bigintRanges.int64;
const [, maxUnsigned64] = bigintRanges.uint64;
const safe = BigInt(Number.MAX_SAFE_INTEGER);

/** Longer numbers are not taken apart. */
const maxDigits = 400;

/** Counts and names of one place in the sampled documents; no values. */
export class ObservedShape {
  present = 0;
  readonly seen = new Map<SeenType, number>();
  /** Whether some whole number loses digits as a double. */
  wide = false;
  negative = false;
  /** Whether some number with a point has digits that a double does not hold. */
  lossy = false;
  /** Maximum number of digits before and after the point. */
  readonly digits = { whole: 0, fraction: 0 };
  readonly times = new CountedTimes();
  readonly texts = new ObservedTexts();
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
    return this.texts.observe(text) ? 'timestamp' : 'string';
  }

  #lookAtNumber(text: string): SeenType {
    if (text.length > maxDigits) {
      this.lossy = true;
      this.digits.whole = maxDigits;
      return /^-?\d+$/.test(text) || !Number.isFinite(Number(text)) ? 'huge' : 'float64';
    }
    this.times.observe(text);
    const written = significant(text);
    this.digits.whole = Math.max(this.digits.whole, written.whole);
    this.digits.fraction = Math.max(this.digits.fraction, written.fraction);
    if (!/^-?\d+$/.test(text)) {
      if (!Number.isFinite(Number(text))) return 'huge';
      this.lossy ||= written.digits !== significant(String(Number(text))).digits;
      return 'float64';
    }
    if (text.length > 40) return 'huge';
    const whole = BigInt(text);
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

/** The part of the messages that the columns of a format are in, and its path. */
export function unwrapped(whole: ObservedShape, format: Format): { shape: ObservedShape; path: string } {
  if (format.type !== 'json') return { shape: whole, path: '' };
  const names = [...(format.include_schema ? ['payload'] : []), ...(format.debezium ? ['after'] : [])];
  const shape = names.reduce(
    (outer, name) => outer.members?.get(name) ?? new ObservedShape({ fields: 0 }),
    whole,
  );
  return { shape, path: names.map((name) => `/${name}`).join('') };
}

/** The request that unwraps the messages of Kafka Connect or Debezium; undefined for others. */
export function envelopeNote(whole: ObservedShape): string | undefined {
  const isConnect = hasAll(whole, ['schema', 'payload']) && whole.members?.size === 2;
  const inner = isConnect ? whole.members?.get('payload') : whole;
  const isDebezium = inner !== undefined && hasAll(inner, ['before', 'after', 'op', 'source']);
  if (!isConnect && !isDebezium) return undefined;
  const options = `${isConnect ? ', "include_schema": true' : ''}${isDebezium ? ', "debezium": true' : ''}`;
  const names = isDebezium ? 'the state after a change' : 'payload';
  return `The messages look like those of ${isDebezium ? 'Debezium' : 'Kafka Connect'}; send the format {"type": "json"${options}} to get the columns of ${names}`;
}

/** Whether all objects of a place had all of the properties. */
const hasAll = ({ members, present }: ObservedShape, names: readonly string[]): boolean =>
  present > 0 && names.every((name) => members?.get(name)?.present === present);

/** The digits of a number without zeros around them, and how many stand before and after the point. */
function significant(text: string): { digits: string; whole: number; fraction: number } {
  const [, whole = '', fraction = '', exponent = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '').replace(/0+$/, '');
  if (digits === '') return { digits: '0', whole: 0, fraction: 0 };
  const leading = (whole + fraction).search(/[1-9]/);
  const point = whole.length + Number(exponent) - leading;
  return {
    digits: `${digits}e${point}`,
    whole: Math.max(0, point),
    fraction: Math.max(0, digits.length - point),
  };
}
