import type { Parser } from 'yaml';
import { PenstockError } from '../../errors.ts';
import { maxBytes } from './wire.ts';

/** Maximum number of aliases, nested ones included. */
const maxAliases = 100;
const maxDepth = 100;

/**
 * Reads one document. Throws `invalid_request` with the line of a syntax error, and for aliases that expand to more than
 * a megabyte.
 */
export async function readYaml(text: string): Promise<unknown> {
  const { parseDocument, visit, isScalar, isAlias, Lexer, LineCounter, Parser } = await import('yaml');
  refuseDeep(new Parser(), new Lexer().lex(text));
  const lines = new LineCounter();
  // Comparing each key with all others takes time quadratic in their number, and so does describing each error.
  const options = {
    schema: 'core',
    resolveKnownTags: false,
    uniqueKeys: false,
    prettyErrors: false,
  } as const;
  const document = attempt(() =>
    withoutTraces(() => parseDocument(text, { ...options, lineCounter: lines })),
  );
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) {
    const { line, col } = lines.linePos(problem.pos[0]);
    throw unreadable(`${firstLine(problem.message)} at line ${line}, column ${col}`);
  }
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

/** Runs a part of the parser that may make a hundred thousand errors: the stack traces are most of their cost. */
function withoutTraces<T>(run: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return run();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** The parser keeps a stack of its own, but what composes its tokens is recursive. */
function refuseDeep(parser: Parser, lexemes: Iterable<string>): void {
  for (const lexeme of lexemes) {
    // The tokens themselves are of no interest.
    for (const _token of parser.next(lexeme));
    // The document and the innermost value have places of their own.
    if (parser.stack.length > maxDepth + 2) throw tooDeep();
  }
}

const tooDeep = (): PenstockError => unreadable(`it is nested more than ${maxDepth} levels deep`);

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
    if (error instanceof RangeError) throw tooDeep();
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
  if (levels === 0) throw tooDeep();
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
