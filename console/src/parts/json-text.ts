/** JSON as text, without parsing all of it: numbers keep their digits, and depth costs nothing. */

export interface Span {
  start: number;
  end: number;
}

interface Child extends Span {
  /** Name of a member, or index of an item. */
  key: string;
}

const space = /\s*/y;
const structural = /["{}[\],]/g;

function skipSpace(json: string, at: number): number {
  space.lastIndex = at;
  space.exec(json);
  return space.lastIndex;
}

/** Returns the position after the string that begins at `at`. */
function endOfString(json: string, at: number): number {
  for (let quote = json.indexOf('"', at + 1); quote !== -1; quote = json.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (json[quote - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return quote + 1;
  }
  return json.length;
}

/** Returns the position after the value that begins at `at`, white space behind it included. */
function endOfValue(json: string, at: number): number {
  let depth = 0;
  for (let from = at; ; ) {
    structural.lastIndex = from;
    const found = structural.exec(json);
    if (found === null) return json.length;
    const { 0: character, index } = found;
    from = index + 1;
    if (character === '"') from = endOfString(json, index);
    else if (character === '{' || character === '[') depth++;
    else if (depth === 0) return index;
    else if (character !== ',') depth--;
    if (depth === 0 && character !== ',') return from;
  }
}

/** Members of an object, or items of a list, that begins at `at`. Ends at the first thing that is not JSON. */
export function* children(json: string, at = 0): Generator<Child> {
  let next = skipSpace(json, at);
  const isObject = json[next] === '{';
  if (!isObject && json[next] !== '[') return;
  next = skipSpace(json, next + 1);
  for (let index = 0; next < json.length && json[next] !== '}' && json[next] !== ']'; index++) {
    let key = `${index}`;
    if (isObject) {
      if (json[next] !== '"') return;
      const end = endOfString(json, next);
      key = unquoted(json.slice(next, end));
      next = skipSpace(json, end);
      if (json[next] !== ':') return;
      next = skipSpace(json, next + 1);
    }
    const start = next;
    const end = endOfValue(json, start);
    yield { key, start, end: start + json.slice(start, end).trimEnd().length };
    next = skipSpace(json, end);
    if (json[next] !== ',') return;
    next = skipSpace(json, next + 1);
  }
}

/** Text of a JSON string; any other JSON as it is. */
export function unquoted(json: string): string {
  if (json[0] !== '"') return json;
  try {
    return JSON.parse(json) as string;
  } catch {
    return json;
  }
}

/** Members of an object, each as JSON. */
export const members = (json: string): [name: string, json: string][] =>
  Array.from(children(json), ({ key, start, end }) => [key, json.slice(start, end)]);

/** Names of members, and indexes of items, in a JSON pointer. */
export const namesIn = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));

/**
 * Finds the value that a JSON pointer names. If it is missing, or its pointer names no single item, returns the first
 * character of the innermost value around it.
 */
export function placeOf(json: string, pointer: string): Span {
  const start = skipSpace(json, 0);
  let place: Span = { start, end: json.trimEnd().length };
  for (const name of namesIn(pointer)) {
    let found: Span | undefined;
    for (const child of children(json, place.start)) if (child.key === name) found = child;
    if (found === undefined) return { start: place.start, end: place.start + 1 };
    place = found;
  }
  return place;
}
