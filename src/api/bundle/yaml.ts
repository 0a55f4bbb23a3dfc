import { PenstockError } from '../../errors.ts';
import { maxBytes } from './wire.ts';

/** YAML 1.2 as another way to write JSON: what it has beyond that, such as tags and dates, is refused. */

/** How often the anchors of a document may be referred to, each counted with what it refers to itself. */
const maxAliases = 100;
/** How deep lists and mappings may be nested in each other. */
const maxDepth = 100;

/**
 * Reads one document. Throws `invalid_request` with the line where it cannot be read, and for aliases that would make
 * more than a megabyte of it.
 */
export async function readYaml(text: string): Promise<unknown> {
  const { parseDocument, visit, isScalar, isAlias } = await import('yaml');
  // Comparing each key with all others takes time quadratic in their number.
  const document = attempt(() =>
    parseDocument(text, { schema: 'core', resolveKnownTags: false, uniqueKeys: false, prettyErrors: true }),
  );
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) throw unreadable(firstLine(problem.message));
  let aliases = 0;
  attempt(() =>
    visit(document, {
      Alias() {
        aliases += 1;
        if (aliases > maxAliases) throw unreadable(`it has more than ${maxAliases} aliases`);
      },
      Map(_key, { items }) {
        const seen = new Set<string>();
        for (const { key } of items) {
          if (isAlias(key) || !isScalar(key)) throw unreadable('the keys of a mapping must be plain text');
          const name = String(key.value);
          if (name === '__proto__') throw unreadable('__proto__ is no key');
          if (seen.has(name))
            throw unreadable(`the key ${JSON.stringify(name.slice(0, 100))} is there twice`);
          seen.add(name);
        }
      },
    }),
  );
  const value: unknown = attempt(() => document.toJS({ maxAliasCount: maxAliases }));
  measure(value, { left: maxBytes }, maxDepth);
  return value;
}

/** Writes JSON as YAML: texts of several lines as such, and nothing by reference. */
export async function writeYaml(value: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, { schema: 'core', lineWidth: 0, aliasDuplicateObjects: false });
}

/** Runs a part of the parser, which recurses as deep as the text is nested. */
function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof PenstockError) throw error;
    if (error instanceof RangeError) throw unreadable('it is nested too deep');
    if (error instanceof ReferenceError) throw unreadable(firstLine(error.message));
    throw error;
  }
}

/** Walks what came of it as often as JSON would write it, so that neither aliases nor cycles multiply it. */
function measure(value: unknown, budget: { left: number }, levels: number): void {
  budget.left -= typeof value === 'string' ? value.length + 2 : 2;
  if (budget.left < 0) throw unreadable('with its aliases resolved it is larger than 1 MiB');
  if (typeof value === 'number' && !Number.isFinite(value)) throw unreadable(`${value} is no number of JSON`);
  if (typeof value !== 'object' || value === null) return;
  if (levels === 0) throw unreadable(`it is nested more than ${maxDepth} levels deep`);
  for (const [name, inner] of Object.entries(value)) {
    budget.left -= name.length;
    measure(inner, budget, levels - 1);
  }
}

const firstLine = (text: string): string => (text.split('\n')[0] as string).replace(/:$/, '');

const unreadable = (why: string): PenstockError =>
  new PenstockError('invalid_request', `The body is not YAML that can be read: ${why}`, {
    hint: 'Write YAML 1.2 without tags, in one document. JSON does as well, as application/json.',
  });
