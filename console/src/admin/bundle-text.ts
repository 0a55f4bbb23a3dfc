import { count } from '../parts/format.ts';
import { namesIn } from '../parts/json-text.ts';
import { visible } from '../parts/text.tsx';

/** The text of a bundle: its notation, its bounds, and where a path is in it. */

const kib = 1024;
const maxBytes = 1024 * kib;
const maxYamlBytes = 256 * kib;

/** JSON is also YAML, but JSON may be larger, and the API names the errors of either. */
export function notationOf(text: string): 'application/json' | 'application/yaml' {
  if (!/^\s*\{/.test(text)) return 'application/yaml';
  try {
    JSON.parse(text);
    return 'application/json';
  } catch {
    return 'application/yaml';
  }
}

/** Returns why the API would refuse a bundle of this size, if it would. */
export function tooLarge(bytes: number, notation: string): string | undefined {
  const [max, name] = notation === 'application/json' ? [maxBytes, 'JSON'] : [maxYamlBytes, 'YAML'];
  if (bytes <= max) return undefined;
  const size = count(Math.ceil(bytes / kib));
  const hint = name === 'YAML' ? 'Write it as JSON (up to 1,024 KiB), or split it' : 'Split it';
  return `A bundle in ${name} has at most ${count(max / kib)} KiB; this one has ${size} KiB. ${hint}.`;
}

export const bytesOf = (text: string): number => new Blob([text]).size;

export interface Place {
  line: number;
  /** That line and the one after it. */
  excerpt: string;
}

const maxExcerpt = 160;

/** Finds the places of JSON pointers such as `/pipelines/0/query`; of what is missing, the place where it should be. */
export async function placesOf(
  text: string,
  pointers: readonly string[],
): Promise<ReadonlyMap<string, Place>> {
  const places = new Map<string, Place>();
  if (bytesOf(text) > maxYamlBytes) return places;
  const { isNode, LineCounter, parseDocument } = await import('yaml');
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, uniqueKeys: false, prettyErrors: false });
  const lines = text.split('\n');
  for (const pointer of pointers) {
    const names = namesIn(pointer);
    for (let length = names.length; length > 0; length--) {
      const node = document.getIn(names.slice(0, length), true);
      if (!isNode(node) || !node.range) continue;
      const { line } = counter.linePos(node.range[0]);
      const excerpt = lines.slice(line - 1, line + 1).map((each) => visible(each.slice(0, maxExcerpt)));
      places.set(pointer, { line, excerpt: excerpt.join('\n') });
      break;
    }
  }
  return places;
}

/** The bundle with another label selector for what it deletes; comments stay. Throws if the text cannot be read. */
export async function withPrune(text: string, selector: string): Promise<string> {
  if (notationOf(text) === 'application/json') {
    const { prune: _prune, ...rest } = JSON.parse(text) as Record<string, unknown>;
    return JSON.stringify({ ...rest, ...(selector && { prune: { label_selector: selector } }) }, null, 2);
  }
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem) throw problem;
  if (selector) document.set('prune', { label_selector: selector });
  else document.delete('prune');
  return document.toString({ lineWidth: 0 });
}
