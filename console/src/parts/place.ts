import { placeOf, type Span } from './json-text.ts';

/** Finds the place of an error in a payload, as far as the error says it. */

export interface PayloadError {
  /** JSON pointer; empty for the whole payload. */
  path: string;
  message: string;
  /** Index of the row in the message, if known. */
  row?: number | null;
}

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

/** Returns the first line for which `isIt` is true; it gets the line and its number, from 1. */
function lineOf(text: string, isIt: (line: string, number: number) => boolean): Span | undefined {
  for (let start = 0, number = 1; start < text.length; number++) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    if (isIt(text.slice(start, end), number)) return { start, end };
    start = end + 1;
  }
  return undefined;
}

/** The part of the payload that an error is about: a line of it, if the table reads it by lines. */
function partOf({ row = null }: PayloadError, first: string, text: string): Span | undefined {
  const named = /^Line (\d+): /.exec(first)?.[1];
  if (named === undefined) return { start: 0, end: text.length };
  if (row === null) return lineOf(text, (_, number) => number === Number(named));
  let seen = -1;
  return lineOf(text, (line) => {
    if (line.replace(/\r$/, '') !== '') seen++;
    return seen === row;
  });
}

/** `first` is the message of the first error, which says whether the payload is read by lines. */
export function placeOfError(error: PayloadError, first: string, text: string | null): Place | undefined {
  const byte = Number(/\bbyte (\d+) (?:is|fits) /.exec(error.message)?.[1] ?? Number.NaN);
  if (text === null) return Number.isNaN(byte) ? undefined : { text: undefined, byte };
  const part = partOf(error, first, text);
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
