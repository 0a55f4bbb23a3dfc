import { type FieldError, PenstockError } from '../../errors.ts';
import type { Row } from '../../formats/format.ts';
import { type GetProperty, getterOf } from '../../formats/values/own-property.ts';

/**
 * Text templates with columns: `alerts/{{ device }}`. Numbers are written in decimal, booleans as true and false.
 * A literal `{{` cannot be written; no topic or subject needs one.
 */

const placeholder = /\{\{(.*?)\}\}/gs;

export const columnsIn = (text: string): string[] =>
  [...text.matchAll(placeholder)].map(([, name = '']) => name.trim());

export const constantParts = (text: string): string => text.replaceAll(placeholder, '');

/** Returns what is wrong with the placeholders of a text as a predicate, or null. */
export function checkTemplate(text: string): string | null {
  if (/\{\{|\}\}/.test(constantParts(text))) return 'has unbalanced {{ or }}';
  if (columnsIn(text).some((name) => name === '' || name.includes('{')))
    return 'must have a column name between {{ and }}';
  return null;
}

export class Template {
  readonly path: string;
  readonly #parts: string[];
  readonly #columns: { name: string; get: GetProperty }[];

  constructor(text: string, path: string) {
    this.path = path;
    // split() with a capturing group returns texts and names alternately.
    const pieces = text.split(new RegExp(placeholder.source, 's'));
    this.#parts = pieces.filter((_, index) => index % 2 === 0);
    this.#columns = pieces
      .filter((_, index) => index % 2 === 1)
      .map((name) => ({ name: name.trim(), get: getterOf(name.trim()) }));
  }

  get constant(): boolean {
    return this.#columns.length === 0;
  }

  /** The raw value if the whole text is one column; otherwise undefined. */
  bare(row: Row): unknown {
    const [only] = this.#columns;
    return this.#columns.length === 1 && this.#parts.every((part) => part === '')
      ? only?.get(row)
      : undefined;
  }

  /**
   * The text for a row; undefined if a column is null. `refuse` returns what is wrong with a column's text.
   * Throws `bad_row` then.
   */
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

/** Undefined for null and for values without a plain text. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

export const badRow = (path: string, message: string): PenstockError =>
  new PenstockError('bad_row', message, { errors: [{ path, message }] satisfies FieldError[] });
