import type { Value } from '../../formats/format.ts';
import type { EngineType } from './engine-type.ts';
import { type Compiled, constantValue, defer, type Evaluate, refuse, strict } from './evaluate.ts';

/** What a function of the registry is given: its arguments, and the type DuckDB says it answers. */
export type Build = (args: readonly Compiled[], type: EngineType) => Evaluate;

const notAscii = /[^\0-\x7f]/;
/** Positions in a text with astral characters are not those of its UTF-16. */
const hasAstral = /[\ud800-\udfff]/;

/** A function of texts, and of whole numbers where `counts` says so. */
function ofTexts(work: (a: never, b: never, c: never) => Value, counts: readonly number[] = []): Build {
  return (args) => {
    for (const [index, { type }] of args.entries()) {
      const wanted = counts.includes(index) ? 'BIGINT' : 'VARCHAR';
      if (type.id !== wanted || type.isJson) return refuse(`a function of ${wanted} over ${type.id}`);
    }
    return strict(args, work);
  };
}

/** The mapping of other letters differs between Unicode tables. */
const lower = ofTexts((text: string) => (notAscii.test(text) ? defer() : text.toLowerCase()));
const upper = ofTexts((text: string) => (notAscii.test(text) ? defer() : text.toUpperCase()));

const characters = (text: string): number => {
  let count = text.length;
  if (hasAstral.test(text)) count = Array.from(text).length;
  return count;
};
export const textLength = ofTexts((text: string) => BigInt(characters(text)));
const byteLength = ofTexts((text: string) => BigInt(Buffer.byteLength(text)));

function trimmer(start: boolean, end: boolean): Build {
  const trimAll = ofTexts((text: string) => {
    // Other alphabets have spaces of their own.
    if (notAscii.test(text)) return defer();
    return trimmed(text, ' ', start, end);
  });
  const trimThese = ofTexts((text: string, these: string) =>
    notAscii.test(text) || notAscii.test(these) ? defer() : trimmed(text, these, start, end),
  );
  return (args, type) => (args.length === 1 ? trimAll : trimThese)(args, type);
}

function trimmed(text: string, these: string, start: boolean, end: boolean): string {
  let [from, to] = [0, text.length];
  while (start && from < to && these.includes(text.charAt(from))) from += 1;
  while (end && to > from && these.includes(text.charAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

/** Counts from 1; positions before the text are DuckDB's. */
const substring = ofTexts(
  (text: string, from: bigint, length: bigint | undefined) => {
    if (from < 1n || (length !== undefined && length < 0n) || hasAstral.test(text)) return defer();
    if (from > BigInt(text.length)) return '';
    const start = Number(from) - 1;
    return length === undefined || length > BigInt(text.length)
      ? text.slice(start)
      : text.slice(start, start + Number(length));
  },
  [1, 2],
);

const left = ofTexts(
  (text: string, count: bigint) =>
    count < 0n || hasAstral.test(text) ? defer() : text.slice(0, clamp(count, text)),
  [1],
);
const right = ofTexts(
  (text: string, count: bigint) =>
    count < 0n || hasAstral.test(text) ? defer() : text.slice(text.length - clamp(count, text)),
  [1],
);

const clamp = (count: bigint, text: string): number =>
  count > BigInt(text.length) ? text.length : Number(count);

/** `concat` leaves NULLs out, `||` does not. */
const concat: Build = (args) => {
  if (args.some(({ type }) => type.id !== 'VARCHAR')) return refuse('concat of something but texts');
  const parts = args.map(({ evaluate }) => evaluate);
  return (row) => {
    let text = '';
    for (const part of parts) text += (part(row) ?? '') as string;
    return text;
  };
};
const join: Build = (args, type) => {
  if (type.id !== 'VARCHAR' || type.isJson || args.length !== 2)
    return refuse('|| of something but two texts');
  return ofTexts((one: string, other: string) => one + other)(args, type);
};

const replace = ofTexts((text: string, from: string, to: string) =>
  from === '' ? text : text.replaceAll(from, () => to),
);
const startsWith = ofTexts((text: string, start: string) => text.startsWith(start));
const endsWith = ofTexts((text: string, end: string) => text.endsWith(end));
export const textContains = ofTexts((text: string, part: string) => text.includes(part));
const position = ofTexts((text: string, part: string) =>
  hasAstral.test(text) ? defer() : BigInt(text.indexOf(part) + 1),
);

const pieces = ofTexts((text: string, separator: string) =>
  // An empty separator is DuckDB's, and what is left of an empty text.
  separator === '' || text === '' ? defer() : text.split(separator),
);
/** A separator that is NULL separates nothing. */
const split: Build = (args, type) => {
  const [text, separator] = args;
  const pieced = pieces(args, type);
  return (row) => {
    const whole = separator?.evaluate(row) === null ? text?.evaluate(row) : null;
    return typeof whole === 'string' ? [whole] : pieced(row);
  };
};

function like(negated: boolean, folded: boolean): Build {
  return ([text, pattern], type) => {
    const given = constantValue(pattern, 'a pattern that is computed');
    if (!text || given === null) return refuse('a pattern that is NULL');
    const wanted = String(given);
    if (folded && notAscii.test(wanted)) return refuse('ILIKE with letters beyond ASCII');
    const matches = likeMatcher(folded ? wanted.toLowerCase() : wanted);
    const test = (value: string): Value => {
      if (folded && notAscii.test(value)) return defer();
      return matches(folded ? value.toLowerCase() : value) !== negated;
    };
    return ofTexts(test)([text], type);
  };
}

/** The functions of texts, by the names DuckDB's plans give them. */
export const textFunctions: Readonly<Record<string, Build>> = {
  lower,
  lcase: lower,
  upper,
  ucase: upper,
  strlen: byteLength,
  char_length: textLength,
  character_length: textLength,
  trim: trimmer(true, true),
  ltrim: trimmer(true, false),
  rtrim: trimmer(false, true),
  substr: substring,
  substring,
  left,
  right,
  concat,
  '||': join,
  replace,
  starts_with: startsWith,
  '^@': startsWith,
  prefix: startsWith,
  ends_with: endsWith,
  suffix: endsWith,
  strpos: position,
  instr: position,
  position,
  string_split: split,
  str_split: split,
  split,
  string_to_array: split,
  '~~': like(false, false),
  '!~~': like(true, false),
  '~~*': like(false, true),
  '!~~*': like(true, true),
};

/**
 * The patterns of LIKE: `%` stands for any text, `_` for one character. Matching goes forward without ever starting
 * over, so that no pattern is slow.
 */
function likeMatcher(pattern: string): (text: string) => boolean {
  if (pattern.includes('_')) return characterMatcher(Array.from(pattern));
  const [head = '', ...rest] = pattern.split('%');
  const tail = rest.pop();
  if (tail === undefined) return (text) => text === head;
  const middle = rest.filter((part) => part !== '');
  return (text) => {
    if (!text.startsWith(head) || !text.endsWith(tail)) return false;
    let at = head.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= text.length - tail.length;
  };
}

/** With one step back only: to the last `%`, which takes one more character. */
function characterMatcher(pattern: readonly string[]): (text: string) => boolean {
  return (text) => {
    const characters = Array.from(text);
    let [at, to, star, from] = [0, 0, -1, 0];
    while (at < characters.length) {
      if (to < pattern.length && pattern[to] === '%') {
        [star, from] = [to, at];
        to += 1;
      } else if (to < pattern.length && (pattern[to] === '_' || pattern[to] === characters[at])) {
        at += 1;
        to += 1;
      } else if (star >= 0) {
        from += 1;
        [at, to] = [from, star + 1];
      } else {
        return false;
      }
    }
    while (pattern[to] === '%') to += 1;
    return to === pattern.length;
  };
}
