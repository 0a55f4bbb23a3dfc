import type { Findings, Range } from './diagnostic.ts';
import { suggestion } from './names.ts';
import type { WithOptions } from './plan.ts';
import type { Identifier, TokenReader } from './token-reader.ts';
import type { Token } from './tokens.ts';

/**
 * The `WITH (…)` of one table. Each option may be taken once; it remembers which names were asked for, so that a
 * mistyped option can be told what was meant.
 */
export class TableOptions implements WithOptions {
  readonly #values = new Map<string, { name: Identifier; value: Token }>();
  readonly #asked = new Set<string>();
  readonly #places = new Map<string, Range>();
  readonly #findings: Findings;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Reads `(name = 'value', …)`; names may have dots. */
  read(tokens: TokenReader): void {
    tokens.expect('(', 'after WITH');
    do {
      const name = readOptionName(tokens);
      tokens.expect('=', `after the option ${name.text}`);
      if (this.#values.has(name.text)) tokens.refuse(`The option ${name.text} is given twice`, name);
      const value = readOptionValue(tokens, name.text);
      this.#values.set(name.text, { name, value });
      this.#places.set(name.text, { from: value.from, to: value.to });
    } while (tokens.takes(','));
    tokens.expect(')', 'after the last option');
  }

  take(name: string): string | undefined {
    this.#asked.add(name);
    const option = this.#values.get(name);
    this.#values.delete(name);
    return option?.value.text;
  }

  takeBoolean(name: string): boolean | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name)?.toLowerCase();
    if (text === undefined || text === 'true' || text === 'false')
      return text === undefined ? text : text === 'true';
    return this.#findings.stop(`The option ${name} must be 'true' or 'false'`, value);
  }

  takeInteger(name: string): number | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (text === undefined) return undefined;
    if (/^[+-]?\d{1,15}$/.test(text)) return Number(text);
    return this.#findings.stop(`The option ${name} must be a whole number`, value);
  }

  /** Takes an option that must have one of these values. */
  takeOneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (text === undefined) return undefined;
    const known = values.find((candidate) => candidate === text);
    return known ?? this.#findings.stop(`The option ${name} must be one of ${values.join(', ')}`, value);
  }

  /** The value a connector means by the path of a field, e.g. `/will/qos` or `/type/maxSilenceSecs`. */
  placeOf(path: string): Range | undefined {
    const wanted = path.slice(1).split('/').map(plain);
    const last = wanted.at(-1) ?? '';
    const names = [...this.#places.keys()];
    const named =
      names.find((name) => name.split('.').map(plain).join('.') === wanted.join('.')) ??
      names.find((name) => plain(name) === last) ??
      names.find((name) => plain(name.split('.').at(-1) ?? '') === last);
    return named === undefined ? undefined : this.#places.get(named);
  }

  /** Reports every option that nobody took. */
  refuseRest(): void {
    for (const { name } of this.#values.values()) {
      this.#findings.add(`There is no option ${name.text} here${suggestion(name.text, this.#asked)}`, name);
    }
  }
}

/** `max_silence_secs` and `maxSilenceSecs` are the same. */
const plain = (name: string): string => name.replaceAll('_', '').toLowerCase();

function readOptionName(tokens: TokenReader): Identifier {
  const quoted = tokens.peek()?.kind === 'string' ? tokens.next() : undefined;
  const first = quoted ? { ...quoted, exact: true } : tokens.identifier('The name of an option');
  let name = { ...first };
  while (!quoted && tokens.takes('.')) {
    const part = tokens.identifier('The rest of the name of an option');
    name = { ...name, text: `${name.text}.${part.text}`, to: part.to };
  }
  return name;
}

function readOptionValue(tokens: TokenReader, name: string): Token {
  const token = tokens.peek();
  const plain = token?.kind === 'number' || (token?.kind === 'word' && /^(true|false)$/i.test(token.text));
  if (token && plain) {
    tokens.next();
    return token;
  }
  return tokens.string(`The value of the option ${name}`);
}
