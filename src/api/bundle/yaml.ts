import { PenstockError } from '../../errors.ts';
import { maxBytes } from './wire.ts';

/** YAML 1.2 as a notation for JSON. Everything else, such as tags and dates, is refused. */

/** Maximum number of aliases, nested ones included. */
const maxAliases = 100;
/** Maximum nesting of lists and mappings. */
const maxDepth = 100;

/**
 * Reads one document. Throws `invalid_request` with the line of a syntax error, and for aliases that expand to more than
 * a megabyte.
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
          if (name === '__proto__') throw unreadable('__proto__ is not allowed as a key');
          if (seen.has(name))
            throw unreadable(`the key ${JSON.stringify(name.slice(0, 100))} is a duplicate`);
          seen.add(name);
        }
      },
    }),
  );
  const value: unknown = attempt(() => document.toJS({ maxAliasCount: maxAliases }));
  measure(value, { left: maxBytes }, maxDepth);
  return value;
}

/** Writes JSON as YAML, with block scalars and without aliases. */
export async function writeYaml(value: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, { schema: 'core', lineWidth: 0, aliasDuplicateObjects: false });
}

/** Runs a part of the parser, which may overflow the stack on deeply nested text. */
function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof PenstockError) throw error;
    if (error instanceof RangeError) throw unreadable('it is nested too deeply');
    if (error instanceof ReferenceError) throw unreadable(firstLine(error.message));
    throw error;
  }
}

/** Measures the value as JSON would write it, so that aliases and cycles cannot multiply it. */
function measure(value: unknown, budget: { left: number }, levels: number): void {
  budget.left -= typeof value === 'string' ? value.length + 2 : 2;
  if (budget.left < 0) throw unreadable('it is larger than 1 MiB once its aliases are resolved');
  if (typeof value === 'number' && !Number.isFinite(value)) throw unreadable(`${value} is not a JSON number`);
  if (typeof value !== 'object' || value === null) return;
  if (levels === 0) throw unreadable(`it is nested more than ${maxDepth} levels deep`);
  for (const [name, inner] of Object.entries(value)) {
    budget.left -= name.length;
    measure(inner, budget, levels - 1);
  }
}

const firstLine = (text: string): string => (text.split('\n')[0] as string).replace(/:$/, '');

const unreadable = (why: string): PenstockError =>
  new PenstockError('invalid_request', `The YAML body cannot be read: ${why}`, {
    hint: 'Send one YAML 1.2 document without tags, or JSON as application/json.',
  });
