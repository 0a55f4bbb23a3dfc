import type { Value } from '../../formats/format.ts';
import { type Build, type Compiled, constantValue, defer, refuse, strict } from './evaluate.ts';

/** `->` returns JSON, `->>` text. */
function extract(write: (found: string) => Value): Build {
  return ([json, at]) => {
    if (json?.type.id !== 'VARCHAR') return refuse('JSON of another type');
    const path = pathOf(at);
    const { isJson } = json.type;
    return strict([json], (text: string) => {
      // A column of type JSON holds valid JSON only.
      if (!isJson && !isValid(text)) return defer();
      const found = findJson(text, path);
      return found === undefined ? null : write(found);
    });
  };
}

function pathOf(at: Compiled | undefined): readonly JsonStep[] {
  const given = constantValue(at, 'a computed JSON path');
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

/** DuckDB rewrites the values it extracts; integers and short decimals come out unchanged. */
const plainNumber = /^(?:0|-?[1-9]\d{0,14}|-?(?:0|[1-9]\d{0,8})\.\d{0,5}[1-9])$/;
const literals = new Set(['true', 'false', 'null']);

function scalarText(found: string): string {
  return literals.has(found) || plainNumber.test(found) ? found : defer();
}

/** A string without escapes that needs none. */
const plainString = /^"[^"\\\p{Cc}]*"$/u;

function asJson(found: string): string {
  const first = found[0];
  if (first === '"') return plainString.test(found) ? found : defer();
  return first === '{' || first === '[' ? minified(found) : scalarText(found);
}

const pieces = /"[^"\\\p{Cc}]*"|[ \t\n\r]+|[{}[\],:]|[-+.0-9a-zA-Z]+/uy;

/** An object or array without white space. Defers for parts that DuckDB may write differently. */
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

/** A member's name, or a position in an array, from its end if negative. */
type JsonStep = string | number;

const space = /[ \t\n\r]*/y;
const string = /"(?:[^"\\]|\\.)*"/y;
const scalar = /[-+.0-9a-zA-Z]+/y;
/** Up to the next structural character. */
const unstructured = /[^"[\]{}]+/y;

/**
 * Finds the value at a path in a valid JSON text, without parsing the rest. Takes the first of several members with
 * the same name. Returns undefined if there is none.
 */
function findJson(text: string, path: readonly JsonStep[]): string | undefined {
  let at = skip(space, text, 0);
  for (const step of path) {
    const found = child(text, at, step);
    if (found === undefined) return undefined;
    at = found;
  }
  return text.slice(at, endOf(text, at));
}

function skip(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}

/** The start of a member's value or of an item; undefined if there is none. */
function child(text: string, container: number, step: JsonStep): number | undefined {
  const isMember = typeof step === 'string';
  if (text[container] !== (isMember ? '{' : '[')) return undefined;
  const starts: number[] = [];
  let at = skip(space, text, container + 1);
  while (at < text.length && text[at] !== '}' && text[at] !== ']') {
    let value = at;
    if (isMember) {
      const end = skip(string, text, at);
      // After the colon.
      value = skip(space, text, skip(space, text, end) + 1);
      const key = text.slice(at + 1, end - 1);
      if ((key.includes('\\') ? JSON.parse(`"${key}"`) : key) === step) return value;
    } else if (starts.push(at) === step + 1) return at;
    at = skip(space, text, endOf(text, value));
    if (text[at] === ',') at = skip(space, text, at + 1);
  }
  return isMember || step >= 0 ? undefined : starts.at(step);
}

/** The end of the value that starts at `from`. */
function endOf(text: string, from: number): number {
  const first = text[from];
  if (first === '"') return skip(string, text, from);
  if (first !== '{' && first !== '[') return skip(scalar, text, from);
  let [at, depth] = [from, 0];
  do {
    const character = text[at];
    if (character === '"') at = skip(string, text, at);
    else if (character === '{' || character === '[') [at, depth] = [at + 1, depth + 1];
    else if (character === '}' || character === ']') [at, depth] = [at + 1, depth - 1];
    else at = skip(unstructured, text, at);
  } while (depth > 0 && at < text.length);
  return at;
}

const memberStep = /\.(?:([A-Za-z_][A-Za-z0-9_]*)|"([^"\\*]+)")/y;
const itemStep = /\[(\d{1,9})\]/y;

/** Reads a path such as `$.a.b[0]`, or the plain name of a member; undefined for any other form. */
function readJsonPath(path: string): JsonStep[] | undefined {
  if (path === '' || path.startsWith('/')) return undefined;
  if (!path.startsWith('$')) return [path];
  const steps: JsonStep[] = [];
  for (let at = 1; at < path.length; ) {
    const pattern = path[at] === '.' ? memberStep : itemStep;
    pattern.lastIndex = at;
    const match = pattern.exec(path);
    if (!match) return undefined;
    steps.push(pattern === itemStep ? Number(match[1]) : (match[1] ?? match[2] ?? ''));
    at = pattern.lastIndex;
  }
  return steps;
}
