import { type FieldError, PenstockError } from '../../../errors.ts';
import type { Row } from '../../../formats/format.ts';
import { type GetProperty, getterOf } from '../../../formats/values/own-property.ts';

/**
 * Texts with columns in them: `alerts/{{ device }}`. A column is written as its text: numbers in decimal, booleans as
 * true and false. There is no way to write `{{` itself, which no topic needs.
 */

/** What a column of a row gives to a text: undefined for null. */
type Column = { name: string; get: GetProperty };

const placeholder = /\{\{(.*?)\}\}/gs;

/** The names of the columns in a text, in order. */
export const columnsIn = (text: string): string[] =>
  [...text.matchAll(placeholder)].map(([, name = '']) => name.trim());

/** The text without its columns. */
export const constantParts = (text: string): string => text.replaceAll(placeholder, '');

/** Says what is wrong with the placeholders of a text, or null. */
export function checkTemplate(text: string): string | null {
  if (/\{\{|\}\}/.test(constantParts(text))) return 'has {{ or }} without its counterpart';
  if (columnsIn(text).some((name) => name === '' || name.includes('{'))) {
    return 'has {{ }} without the name of a column in it';
  }
  return null;
}

export class Template {
  /** `path` is where the text comes from, for errors. */
  readonly path: string;
  readonly #parts: string[];
  readonly #columns: Column[];

  constructor(text: string, path: string) {
    this.path = path;
    // split() with a capturing group answers texts and names in turn.
    const pieces = text.split(new RegExp(placeholder.source, 's'));
    this.#parts = pieces.filter((_, index) => index % 2 === 0);
    this.#columns = pieces
      .filter((_, index) => index % 2 === 1)
      .map((name) => ({ name: name.trim(), get: getterOf(name.trim()) }));
  }

  get constant(): boolean {
    return this.#columns.length === 0;
  }

  /** The value of the column that is the whole text; undefined when there is more to it. */
  bare(row: Row): unknown {
    const [only] = this.#columns;
    return this.#columns.length === 1 && this.#parts.every((part) => part === '')
      ? only?.get(row)
      : undefined;
  }

  /** The text for a row; undefined when a column in it is null. `refuse` says what is wrong with a column's text. */
  text(row: Row, refuse?: (text: string) => string | null): string | undefined {
    let text = this.#parts[0] as string;
    for (const [index, { name, get }] of this.#columns.entries()) {
      const value = textOf(get(row));
      if (value === undefined) return undefined;
      const wrong = refuse?.(value) ?? null;
      if (wrong !== null) throw badRow(this.path, `The column ${name} ${wrong}`);
      text += value + this.#parts[index + 1];
    }
    return text;
  }
}

/** Null, and what has no plain text, is undefined. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

export const badRow = (path: string, message: string): PenstockError =>
  new PenstockError('bad_row', message, { errors: [{ path, message }] satisfies FieldError[] });
