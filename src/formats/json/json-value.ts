import { badData } from '../values/bad.ts';
import type { RawNumber } from './json-text.ts';

// The standard library of TypeScript 7 does not declare it yet (TC39 "JSON.parse source text access").
const { rawJSON } = JSON as unknown as { rawJSON(text: string): RawNumber };

/** As deep as serde_json, and so Arroyo, reads a document. */
export const maxDepth = 128;

/** A number with all its digits, as a value of JSON. */
export const exactNumber = (digits: bigint | string): RawNumber => rawJSON(String(digits));

/**
 * The JSON text of a decoded document, which is changed on the way: 64-bit integers and decimals are numbers with all
 * their digits, bytes are base64, and what JSON has no number for (NaN, the infinities) is null. `special` gives the
 * value of what only the format knows. Throws `bad_data` when it is nested too deep.
 */
export function jsonText(document: unknown, path: string, special: (value: object) => unknown): string {
  const convert = (value: unknown, depth: number): unknown => {
    if (typeof value === 'bigint') return exactNumber(value);
    if (typeof value !== 'object' || value === null) return value ?? null;
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
    if (depth === maxDepth) throw badData(path, `is nested more than ${maxDepth} deep`);
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
