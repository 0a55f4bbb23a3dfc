import type { Value } from '../../formats/format.ts';
import { type Build, constantValue, defer, refuse, strict } from './evaluate.ts';

const notAscii = /[^\0-\x7f]/;
/** Positions in a text with astral characters differ from those in its UTF-16. */
const hasAstral = /[\ud800-\udfff]/;

/** A function of texts, and of integers at the positions `counts`. */
function ofTexts(work: (a: never, b: never, c: never) => Value, counts: readonly number[] = []): Build {
  return (args) => {
    for (const [index, { type }] of args.entries()) {
      const wanted = counts.includes(index) ? 'BIGINT' : 'VARCHAR';
      if (type.id !== wanted || type.isJson) return refuse(`a function of ${wanted} over ${type.id}`);
    }
    return strict(args, work);
  };
}

/** The case of letters beyond ASCII differs between versions of Unicode. */
const lower = ofTexts((text: string) => (notAscii.test(text) ? defer() : text.toLowerCase()));
const upper = ofTexts((text: string) => (notAscii.test(text) ? defer() : text.toUpperCase()));

export const textLength = ofTexts((text: string) =>
  BigInt(hasAstral.test(text) ? Array.from(text).length : text.length),
);
const byteLength = ofTexts((text: string) => BigInt(Buffer.byteLength(text)));

/** Defers for texts beyond ASCII: other alphabets have their own spaces. */
const trimmer = (start: boolean, end: boolean): Build =>
  ofTexts((text: string, characters = ' ') => {
    if (notAscii.test(text) || notAscii.test(characters)) return defer();
    let [from, to] = [0, text.length];
    while (start && from < to && characters.includes(text.charAt(from))) from += 1;
    while (end && to > from && characters.includes(text.charAt(to - 1))) to -= 1;
    return text.slice(from, to);
  });

/** Counts from 1; defers for positions before the text. */
const substring = ofTexts(
  (text: string, from: bigint, length: bigint | undefined) => {
    if (from < 1n || (length !== undefined && length < 0n) || hasAstral.test(text)) return defer();
    const start = Number(from) - 1;
    return text.slice(start, length === undefined ? undefined : start + Number(length));
  },
  [1, 2],
);

/** `left` and `right`: a part of a text, by its length and the number of characters. */
const part = (bounds: (length: number, count: number) => [from: number, to: number]): Build =>
  ofTexts(
    (text: string, count: bigint) =>
      count < 0n || hasAstral.test(text) ? defer() : text.slice(...bounds(text.length, Number(count))),
    [1],
  );

/** `concat` skips NULLs; `||` does not. */
const concat: Build = (args) => {
  if (args.some(({ type }) => type.id !== 'VARCHAR')) return refuse('concat of other types than text');
  const parts = args.map(({ evaluate }) => evaluate);
  return (row) => {
    let text = '';
    for (const part of parts) text += (part(row) ?? '') as string;
    return text;
  };
};
const join: Build = (args, type) => {
  if (type.id !== 'VARCHAR' || type.isJson || args.length !== 2) return refuse('|| of other types than text');
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
  // DuckDB decides what an empty separator or an empty text gives.
  separator === '' || text === '' ? defer() : text.split(separator),
);
/** A separator of NULL separates nothing. */
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
    const given = constantValue(pattern, 'a computed pattern');
    if (!text || given === null) return refuse('a pattern of NULL');
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
  left: part((_, count) => [0, count]),
  right: part((length, count) => [Math.max(length - count, 0), length]),
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
 * Matches a pattern of LIKE: `%` stands for any text, `_` for one character. Matching never starts over, so no pattern
 * is slow.
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

/** Goes back only to the last `%`, which then takes one more character. */
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
