import type { Row, Value } from '../../formats/format.ts';
import { isJson } from '../../formats/json/text.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';
import { numberFunctions } from './arithmetic.ts';
import { orderOf } from './comparison.ts';
import { type EngineType, fromRow, isSameEngineType, toRow } from './engine-type.ts';
import {
  type Build,
  type Compiled,
  constantValue,
  defer,
  type Evaluate,
  refuse,
  strict,
} from './evaluate.ts';
import { textContains, textFunctions, textLength } from './strings.ts';
import { timeFunctions } from './times.ts';

/** Types that rows can hold inside a list or a struct. */
const holdable = new Set([
  ...['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT'],
  ...['FLOAT', 'DOUBLE', 'DECIMAL', 'BOOLEAN', 'VARCHAR', 'BLOB'],
  ...['TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'LIST', 'STRUCT'],
]);

function inside(type: EngineType | undefined): EngineType {
  return type && holdable.has(type.id) ? type : refuse(`${type?.id ?? 'nothing'} inside a list or struct`);
}

function structMember(struct: Compiled | undefined, index: number): Evaluate {
  const member = struct?.type.members?.[index];
  if (!struct || !member) return refuse('this member of a struct');
  const get = getterOf(member.name);
  const convert = fromRow(inside(member.type));
  return strict([struct], (row: Row) => {
    const value = (get(row) ?? null) as Value;
    return convert ? convert(value) : value;
  });
}

const structExtract: Build = ([struct, key]) => {
  const name = String(constantValue(key, 'a computed member')).toLowerCase();
  const index = struct?.type.members?.findIndex((member) => member.name.toLowerCase() === name) ?? -1;
  return structMember(struct, index);
};

const structAt: Build = ([struct, position]) =>
  structMember(struct, Number(constantValue(position, 'a computed member')) - 1);

const structPack: Build = (args, { members = [] }) => {
  if (members.length !== args.length) return refuse('this struct');
  const steps = members.map(({ name, type }, index) => ({
    set: setterOf(name),
    evaluate: args[index]?.evaluate ?? refuse('this struct'),
    convert: toRow(inside(type)),
  }));
  return (row) => {
    const struct: Row = {};
    for (const { set, evaluate, convert } of steps) {
      const value = evaluate(row);
      set(struct, convert ? convert(value) : value);
    }
    return struct;
  };
};

const listValue: Build = (args, { item }) => {
  const convert = toRow(inside(item));
  if (!item || args.some(({ type }) => !isSameEngineType(type, item))) return refuse('this list');
  const items = args.map(({ evaluate }) => evaluate);
  return (row) => items.map((evaluate) => (convert ? convert(evaluate(row)) : evaluate(row)));
};

/** Counts from 1, and from the end if negative; NULL outside the list. */
const listExtract: Build = (args) => {
  const [list, index] = args;
  const item = inside(list?.type.item);
  if (index?.type.id !== 'BIGINT') return refuse('this position in a list');
  const convert = fromRow(item);
  return strict(args, (values: Value[], position: bigint) => {
    const at = Number(position);
    const value = (at === 0 ? undefined : values.at(at > 0 ? at - 1 : at)) ?? null;
    return convert ? convert(value) : value;
  });
};

const length: Build = (args, type) =>
  args[0]?.type.id === 'LIST'
    ? strict(args, (values: Value[]) => BigInt(values.length))
    : textLength(args, type);

const contains: Build = (args, type) => {
  const [list, needle] = args;
  if (list?.type.id !== 'LIST') return textContains(args, type);
  const item = inside(list.type.item);
  if (!needle || !isSameEngineType(needle.type, item)) return refuse('this search of a list');
  const order = orderOf(item);
  const convert = fromRow(item) ?? ((value: Value) => value);
  return strict(args, (values: Value[], wanted: Value) =>
    values.some((value) => value !== null && order(convert(value) as never, wanted as never) === 0),
  );
};

const nestedFunctions: Readonly<Record<string, Build>> = {
  struct_extract: structExtract,
  struct_extract_at: structAt,
  struct_pack: structPack,
  list_value: listValue,
  list_extract: listExtract,
  list_element: listExtract,
  array_extract: (args, type) =>
    args[0]?.type.id === 'STRUCT' ? structExtract(args, type) : listExtract(args, type),
  len: length,
  length,
  array_length: length,
  contains,
  list_contains: contains,
  list_has: contains,
  array_contains: contains,
  array_has: contains,
};

/** `->` returns JSON, `->>` text. */
function extract(write: (found: string) => Value): Build {
  return ([json, at]) => {
    if (json?.type.id !== 'VARCHAR') return refuse('JSON of another type');
    const path = pathOf(at);
    const alreadyJson = json.type.isJson;
    return strict([json], (text: string) => {
      // A column of type JSON holds valid JSON only.
      if (!alreadyJson && !isJson(text)) return defer();
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

const jsonFunctions: Readonly<Record<string, Build>> = {
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

function child(text: string, container: number, step: JsonStep): number | undefined {
  const isMember = typeof step === 'string';
  if (text[container] !== (isMember ? '{' : '[')) return undefined;
  const starts: number[] = [];
  let at = skip(space, text, container + 1);
  while (at < text.length && text[at] !== '}' && text[at] !== ']') {
    let value = at;
    if (isMember) {
      const end = skip(string, text, at);
      value = skip(space, text, skip(space, text, end) + 1);
      const key = text.slice(at + 1, end - 1);
      if ((key.includes('\\') ? JSON.parse(`"${key}"`) : key) === step) return value;
    } else if (starts.push(at) === step + 1) return at;
    at = skip(space, text, endOf(text, value));
    if (text[at] === ',') at = skip(space, text, at + 1);
  }
  return isMember || step >= 0 ? undefined : starts.at(step);
}

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

export const functions: ReadonlyMap<string, Build> = new Map([
  ...Object.entries(numberFunctions),
  ...Object.entries(textFunctions),
  ...Object.entries(jsonFunctions),
  ...Object.entries(nestedFunctions),
  ...Object.entries(timeFunctions),
]);
