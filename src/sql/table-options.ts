import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';
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

  takeOneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (text === undefined) return undefined;
    const known = values.find((candidate) => candidate === text);
    return known ?? this.#findings.stop(`The option ${name} must be one of ${values.join(', ')}`, value);
  }

  takeNumber(name: string): number | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (text === undefined) return undefined;
    if (/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?$/i.test(text)) return Number(text);
    return this.#findings.stop(`The option ${name} must be a number`, value);
  }

  /** Takes an option as a value of a JSON Schema: a list has commas between its items, a record is a JSON object. */
  takeAs(name: string, { type }: JsonSchema): unknown {
    if (type === 'boolean') return this.takeBoolean(name);
    if (type === 'integer') return this.takeInteger(name);
    if (type === 'number') return this.takeNumber(name);
    if (type === 'object') return this.#takeRecord(name);
    const text = this.take(name);
    return type === 'array' ? text?.split(',').map((part) => part.trim()) : text;
  }

  /**
   * Takes the options of an object by its JSON Schema. The option for `keepAliveSecs` is `keep_alive_secs`, and those of
   * an object within have dots: `tls.ca`. With `oneOf` the option gives the title of the alternative, in lower case, and
   * that comes before its options: `type = 'sink', sink.retain = true`. A boolean that is required is false when left
   * out. Everything else the schema has to check.
   */
  takeObject(schema: TSchema, prefix = ''): Record<string, unknown> {
    const { properties = {}, required = [] } = schema as JsonSchema;
    const entries = Object.entries(properties).map(([name, property]) => {
      const value = this.#takeProperty(`${prefix}${optionName(name)}`, property, prefix);
      return [name, value ?? (property.type === 'boolean' && required.includes(name) ? false : undefined)];
    });
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }

  #takeProperty(name: string, property: JsonSchema, prefix: string): unknown {
    if (property.oneOf) return this.#takeAlternative(name, property.oneOf, prefix);
    if (!property.properties) return this.takeAs(name, property);
    const inner = this.takeObject(property, `${name}.`);
    return Object.keys(inner).length > 0 ? inner : undefined;
  }

  #takeAlternative(name: string, alternatives: readonly JsonSchema[], prefix: string): unknown {
    const titles = alternatives.map(({ title = '' }) => title.toLowerCase());
    const title = this.takeOneOf(name, titles);
    if (title !== undefined)
      return this.takeObject(alternatives[titles.indexOf(title)] as JsonSchema, `${prefix}${title}.`);
    const message = `The option ${name} is missing: it must be one of ${titles.join(', ')}`;
    throw new PenstockError('invalid_config', message, { errors: [{ path: '', message }] });
  }

  #takeRecord(name: string): unknown {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    try {
      return text === undefined ? undefined : JSON.parse(text);
    } catch {
      return this.#findings.stop(`The option ${name} must be a JSON object, like {"name": "value"}`, value);
    }
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

  /** Reports every option that was not taken. */
  refuseRest(): void {
    for (const { name } of this.#values.values())
      this.#findings.add(`There is no option ${name.text} here${suggestion(name.text, this.#asked)}`, name);
  }
}

interface JsonSchema extends TSchema {
  type?: string;
  title?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  oneOf?: JsonSchema[];
}

/** The option for a property of a config: `tls.passphrase` for `tls/passphrase`. */
export const optionName = (path: string): string =>
  path.replaceAll('/', '.').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

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
