/** One step of a path: the name of a member, or a position in an array. */
export type JsonStep = string | number;

const space = /[ \t\n\r]*/y;
const string = /"(?:[^"\\]|\\.)*"/y;
const scalar = /[-+.0-9a-zA-Z]+/y;
/** Up to the next character that means something outside strings. */
const unstructured = /[^"[\]{}]+/y;

/**
 * Finds the value at a path in a valid JSON text: names of members, and positions in arrays, from the end when
 * negative. Of members with the same name it takes the first. Answers undefined when there is none.
 */
export function findJson(text: string, path: readonly JsonStep[]): string | undefined {
  let at = skip(space, text, 0);
  for (const step of path) {
    const found: number | undefined =
      typeof step === 'string' ? member(text, at, step) : item(text, at, step);
    if (found === undefined) return undefined;
    at = found;
  }
  return text.slice(at, endOf(text, at));
}

function skip(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}

function member(text: string, object: number, name: string): number | undefined {
  if (text[object] !== '{') return undefined;
  let at = skip(space, text, object + 1);
  while (text[at] === '"') {
    const end = skip(string, text, at);
    const key = text.slice(at + 1, end - 1);
    const same = key.includes('\\') ? JSON.parse(`"${key}"`) === name : key === name;
    // Behind the colon.
    const value = skip(space, text, skip(space, text, end) + 1);
    if (same) return value;
    at = skip(space, text, skip(space, text, endOf(text, value)) + 1);
  }
  return undefined;
}

function item(text: string, array: number, index: number): number | undefined {
  if (text[array] !== '[') return undefined;
  const starts: number[] = [];
  let at = skip(space, text, array + 1);
  while (at < text.length && text[at] !== ']') {
    if (index >= 0 && starts.length === index) return at;
    starts.push(at);
    at = skip(space, text, endOf(text, at));
    if (text[at] === ',') at = skip(space, text, at + 1);
  }
  return index < 0 ? starts.at(index) : undefined;
}

/** Where the value that starts at `from` ends. */
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

/** Reads a path such as `$.a.b[0]`, or the plain name of a member; undefined for what is written otherwise. */
export function readJsonPath(path: string): JsonStep[] | undefined {
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
