import { badData } from '../values/bad.ts';

/**
 * JSON.parse reads every number as a double, which loses the last digits of large integers and long decimals. These are
 * kept as written instead, as a `RawNumber`.
 */

/** A number as written in the text; JSON.stringify writes it back unchanged. */
interface RawNumber {
  readonly rawJSON: string;
}

// TypeScript 7 does not declare these yet (TC39 "JSON.parse source text access").
const sourceAware = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
};

/** A double keeps 15 digits of any number between this one and the largest. */
const exactDigits = 15;
const leastExact = 2.3e-308;
const farExponent = /[eE][+-]?\d{3}/;
const mayLoseDigits = /[\d.]{16}|[eE][+-]?\d{3}/;

/** JSON.parse, but numbers that a double cannot hold become a `RawNumber`. Throws like JSON.parse. */
export function parseExactly(text: string): unknown {
  if (!mayLoseDigits.test(text)) return JSON.parse(text);
  const marked = hasMark(text) ? undefined : withMarks(text);
  if (marked !== undefined) return marked === text ? JSON.parse(text) : unmarked(JSON.parse(marked));
  return sourceAware.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && !isExact(value, source)
      ? sourceAware.rawJSON(source)
      : value,
  );
}

/*
 * A reviver costs several times as much as reading the text. So these numbers become strings that begin with a mark
 * before the text is parsed, and numbers again afterwards. The reviver is left with texts that hold the mark themselves.
 */
const mark = '\u0080';
const hasMark = (text: string): boolean => text.includes(mark) || text.includes('\\u0080');

const quote = 0x22;
const colon = 0x3a;
const backslash = 0x5c;
const minus = 0x2d;
/** RFC 8259, section 6. */
const aNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const endOfName = /[\t\n\r ]*:/y;

/** An invalid text stays invalid: only complete numbers are marked, and none in the place of a name. */
function withMarks(text: string): string | undefined {
  let marked = '';
  let copied = 0;
  for (let at = 0; at < text.length; ) {
    const character = text.charCodeAt(at);
    if (character === quote) {
      at = endOfString(text, at + 1);
    } else if (character === minus || isDigit(character)) {
      const from = at;
      at = endOfNumber(text, at + 1);
      const source = text.slice(from, at);
      if (source.length < 5 || !aNumber.test(source) || isExact(Number(source), source)) continue;
      endOfName.lastIndex = at;
      if (endOfName.test(text)) return undefined;
      marked += `${text.slice(copied, from)}"${mark}${source}"`;
      copied = at;
    } else at += 1;
  }
  return copied === 0 ? text : marked + text.slice(copied);
}

const isDigit = (character: number): boolean => character >= 0x30 && character <= 0x39;

function endOfNumber(text: string, from: number): number {
  let at = from;
  while (at < text.length && (isDigit(text.charCodeAt(at)) || '.eE+-'.includes(text[at] as string))) at += 1;
  return at;
}

/** Returns the end of a string; a quote after an odd number of backslashes does not end it. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let before = at;
    while (text.charCodeAt(before - 1) === backslash) before -= 1;
    if ((at - before) % 2 === 0) return at + 1;
  }
  return text.length;
}

/** Replaces marked strings by numbers, in place. */
function unmarked(value: unknown): unknown {
  if (typeof value === 'string') return value.startsWith(mark) ? sourceAware.rawJSON(value.slice(1)) : value;
  if (typeof value !== 'object' || value === null) return value;
  const members = value as Record<string, unknown>;
  for (const key in members) {
    const member = members[key];
    const number = unmarked(member);
    if (number !== member) members[key] = number;
  }
  return value;
}

/** JSON.parse, but every number becomes a `RawNumber`: 20.0 differs from 20. Throws like JSON.parse. */
export function parseAsWritten(text: string): unknown {
  return sourceAware.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined ? sourceAware.rawJSON(source) : value,
  );
}

function isExact(value: number, source: string): boolean {
  const near = !farExponent.test(source) || (Number.isFinite(value) && Math.abs(value) >= leastExact);
  return (source.length <= exactDigits && near) || String(value) === source;
}

export const isRawNumber = (value: unknown): value is RawNumber => sourceAware.isRawJSON(value);

/** A number with all its digits, as a value of JSON. */
export const exactNumber = (digits: bigint | string): RawNumber => sourceAware.rawJSON(String(digits));

export function numberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return isRawNumber(value) ? value.rawJSON : undefined;
}

/** Maximum nesting of a document, as in serde_json and thus Arroyo. */
export const maxDepth = 128;
export const tooDeep = `is nested more than ${maxDepth} deep`;

export function isShallow(value: unknown, levels = maxDepth): boolean {
  if (typeof value !== 'object' || value === null || isRawNumber(value)) return true;
  if (levels === 0) return false;
  return Object.values(value).every((child) => isShallow(child, levels - 1));
}

/** Whether an object in the text has two members with one name, of which `document`, its parsed value, has the last. */
export function repeatsName(text: string, document: unknown): boolean {
  const members = countMembers(document);
  let colons = 0;
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) colons += 1;
  // A colon may also stand in a string: only then is it worth a closer look.
  return colons > members && colonsOutsideStrings(text) > members;
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) for (const item of value) count += countMembers(item);
  else for (const member of Object.values(value)) count += 1 + countMembers(member);
  return count;
}

function colonsOutsideStrings(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; ) {
    const character = text.charCodeAt(at);
    if (character === colon) count += 1;
    at = character === quote ? endOfString(text, at + 1) : at + 1;
  }
  return count;
}

/**
 * Returns the JSON text of a decoded document, which is modified. 64-bit integers keep all digits, bytes become base64,
 * NaN and the infinities null. `special` converts objects of the format. Throws `bad_data` if nested too deep.
 */
export function jsonText(document: unknown, path: string, special: (value: object) => unknown): string {
  const convert = (value: unknown, depth: number): unknown => {
    if (typeof value === 'bigint') return exactNumber(value);
    if (typeof value !== 'object' || value === null) return value ?? null;
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
    if (depth === maxDepth) throw badData(path, tooDeep);
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index += 1) value[index] = convert(value[index], depth + 1);
      return value;
    }
    if (Object.getPrototypeOf(value) !== Object.prototype) return special(value);
    const object = value as Record<string, unknown>;
    for (const key of Object.keys(object)) object[key] = convert(object[key], depth + 1);
    return object;
  };
  return JSON.stringify(convert(document, 0));
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
