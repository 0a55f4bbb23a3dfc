import type { DeadLetter } from '../api/client.ts';
import { placeOf, type Span } from '../parts/json-text.ts';

/** Finds the place of an error in the payload of a dead letter, as far as the error says it. */

type LetterError = DeadLetter['errors'][number];

export interface Place {
  /** Characters of the text; undefined if the payload is no text. */
  text: Span | undefined;
  /** Offset of a byte; undefined if only the text is known. */
  byte: number | undefined;
}

const encoder = new TextEncoder();
const byteOf = (text: string, index: number): number => encoder.encode(text.slice(0, index)).length;

/** Index of the character that begins at a byte, or holds it. */
function characterAt(text: string, byte: number): number {
  const { read } = encoder.encodeInto(text, new Uint8Array(byte));
  return read;
}

/** The line of a payload that has a row for each line. `row` counts the lines that are not empty. */
function lineOf(text: string, row: number): Span | undefined {
  let seen = -1;
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    if (text.slice(start, end).replace(/\r$/, '') !== '') seen++;
    if (seen === row) return { start, end };
    start = end + 1;
  }
  return undefined;
}

/** `message` is the first error of the letter, which says whether the payload is read by lines. */
export function placeOfError(error: LetterError, message: string, text: string | null): Place | undefined {
  if (error.stage !== 'decode') return undefined;
  const byte = Number(/\bbyte (\d+) (?:is|fits) /.exec(error.message)?.[1] ?? Number.NaN);
  if (text === null) return Number.isNaN(byte) ? undefined : { text: undefined, byte };
  const byLines = /^Line \d+: /.test(message);
  const part = byLines ? lineOf(text, error.row ?? 0) : { start: 0, end: text.length };
  if (part === undefined) return undefined;
  const inside = text.slice(part.start, part.end);
  if (byte > inside.length * 3) return undefined;
  const found = Number.isNaN(byte)
    ? placeInJson(inside, error.path)
    : oneCharacter(characterAt(inside, byte));
  if (found === undefined) return undefined;
  const span = { start: part.start + found.start, end: part.start + found.end };
  return { text: span, byte: byteOf(text, span.start) };
}

const oneCharacter = (start: number): Span => ({ start, end: start + 1 });

const placeInJson = (text: string, path: string): Span | undefined =>
  path === '' || !/^\s*[[{]/.test(text) ? undefined : placeOf(text, path);
