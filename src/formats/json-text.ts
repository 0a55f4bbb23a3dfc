/**
 * JSON.parse reads every number as a double, which loses the last digits of large integers and of long decimals.
 * Where a text holds such numbers they are kept as written instead, as a `RawNumber`.
 */

/** A number as it is written in the text. JSON.stringify writes it back the same. */
export interface RawNumber {
  readonly rawJSON: string;
}

// The standard library of TypeScript 7 does not declare the two yet (TC39 "JSON.parse source text access").
const sourceAware = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
};

/** A double keeps 15 digits of any number, and its range ends at 1.8e308. */
const exactDigits = 15;
const mayLoseDigits = /[\d.]{16}|[eE][+-]?\d{3}/;

/** JSON.parse, but numbers that a double cannot hold as written become a `RawNumber`. Throws like JSON.parse. */
export function parseExactly(text: string): unknown {
  if (!mayLoseDigits.test(text)) return JSON.parse(text);
  return sourceAware.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && !isExact(value, source)
      ? sourceAware.rawJSON(source)
      : value,
  );
}

/** JSON.parse, but every number becomes a `RawNumber`, so that 20.0 is told from 20. Throws like JSON.parse. */
export function parseAsWritten(text: string): unknown {
  return sourceAware.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined ? sourceAware.rawJSON(source) : value,
  );
}

function isExact(value: number, source: string): boolean {
  return String(value) === source || (source.length <= exactDigits && Number.isFinite(value));
}

/** Whether a parsed value is a number kept as written. */
export function isRawNumber(value: unknown): value is RawNumber {
  return sourceAware.isRawJSON(value);
}

/** The text of a parsed number, undefined when the value is none. */
export function numberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return isRawNumber(value) ? value.rawJSON : undefined;
}

/** Whether arrays and objects are nested in each other at most `levels` deep. */
export function isNestedWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null || isRawNumber(value)) return true;
  if (levels === 0) return false;
  return Object.values(value).every((child) => isNestedWithin(child, levels - 1));
}
