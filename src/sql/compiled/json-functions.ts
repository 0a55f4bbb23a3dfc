import type { Value } from '../../formats/format.ts';
import { type Compiled, constantValue, defer, refuse, strict } from './evaluate.ts';
import { findJson, type JsonStep, readJsonPath } from './json-scan.ts';
import type { Build } from './strings.ts';

/** `->` answers JSON, `->>` text. */
function extract(write: (found: string) => Value): Build {
  return ([json, at]) => {
    if (json?.type.id !== 'VARCHAR') return refuse('JSON of another type');
    const path = pathOf(at);
    const { isJson } = json.type;
    return strict([json], (text: string) => {
      // A column of type JSON holds nothing else.
      if (!isJson && !isValid(text)) return defer();
      const found = findJson(text, path);
      return found === undefined ? null : write(found);
    });
  };
}

function pathOf(at: Compiled | undefined): readonly JsonStep[] {
  const given = constantValue(at, 'a JSON path that is computed');
  if (typeof given === 'bigint' && given > -1_000_000n && given < 1_000_000n) return [Number(given)];
  const path = typeof given === 'string' ? readJsonPath(given) : undefined;
  return path ?? refuse(`the JSON path ${String(given)}`);
}

function isValid(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** DuckDB writes out anew what it extracts: plain whole numbers and short decimals come out as they went in. */
const plainNumber = /^(?:0|-?[1-9]\d{0,14}|-?(?:0|[1-9]\d{0,8})\.\d{0,5}[1-9])$/;
const literals = new Set(['true', 'false', 'null']);

function scalarText(found: string): string {
  return literals.has(found) || plainNumber.test(found) ? found : defer();
}

/** A string that needs no escapes, and has none. */
const plainString = /^"[^"\\\p{Cc}]*"$/u;

function asJson(found: string): string {
  const first = found[0];
  if (first === '"') return plainString.test(found) ? found : defer();
  return first === '{' || first === '[' ? minified(found) : scalarText(found);
}

const pieces = /"[^"\\\p{Cc}]*"|[ \t\n\r]+|[{}[\],:]|[-+.0-9a-zA-Z]+/uy;

/** An object or array without the spaces between its parts; what DuckDB might write otherwise is left to it. */
function minified(found: string): string {
  let text = '';
  for (let at = 0; at < found.length; at = pieces.lastIndex) {
    pieces.lastIndex = at;
    const piece = pieces.exec(found)?.[0] ?? defer();
    const first = piece.charCodeAt(0);
    if (first <= 0x20) continue;
    const isPart = first === 0x22 || '{}[],:'.includes(piece);
    text += isPart ? piece : scalarText(piece);
  }
  return text;
}

function asText(found: string): Value {
  if (found === 'null') return null;
  if (found[0] !== '"') return asJson(found);
  if (!found.includes('\\')) return found.slice(1, -1);
  const text = JSON.parse(found) as string;
  return text.isWellFormed() ? text : defer();
}

const toJson = extract(asJson);
const toText = extract(asText);

export const jsonFunctions: Readonly<Record<string, Build>> = {
  json_extract: toJson,
  json_extract_path: toJson,
  '->>': toText,
  json_extract_string: toText,
  json_extract_path_text: toText,
};
