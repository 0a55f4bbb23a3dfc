import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';
import type { Findings, Range } from './diagnostic.ts';
import { type Bounds, microsOf, readMicros } from './durations.ts';
import { suggestion } from './names.ts';
import type { WithOptions } from './plan.ts';
import type { Identifier, TokenReader } from './token-reader.ts';
import type { Token } from './tokens.ts';

/**
 * The `WITH (…)` of one table. Each option may be taken once; it remembers which names were asked for, so that a
 * mistyped option can be told what was meant.
 */
export class TableOptions implements WithOptions {
  readonly #values = new Map<string, { name: Identifier; value: OptionValue }>();
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
      const value = readOptionValue(tokens, `the option ${name.text}`);
      this.#values.set(name.text, { name, value });
      this.#places.set(name.text, { from: value.from, to: value.to });
    } while (tokens.takes(','));
    tokens.expect(')', 'after the last option');
  }

  /** Whether it was given and is not taken yet. */
  has(name: string): boolean {
    return this.#values.has(name);
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
    const count = value?.seconds === undefined ? text : this.#inUnit(name, value, value.seconds);
    if (/^[+-]?\d{1,15}$/.test(count)) return Number(count);
    return this.#findings.stop(`The option ${name} must be a whole number`, value);
  }

  takeOneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (text === undefined) return undefined;
    const known = values.find((candidate) => candidate === text);
    return known ?? this.#findings.stop(`The option ${name} must be one of ${values.join(', ')}`, value);
  }

  /** Takes a length of time in microseconds. `word` is a text that stands for 0. */
  takeMicros(name: string, bounds: Bounds, word?: string): number | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (value === undefined || text === undefined) return undefined;
    if (word !== undefined && text.toLowerCase() === word) return 0;
    return readMicros(`The option ${name}`, value, bounds, this.#findings);
  }

  takeNumber(name: string): number | undefined {
    const value = this.#values.get(name)?.value;
    const text = this.take(name);
    if (text === undefined) return undefined;
    if (/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?$/i.test(text)) return Number(text);
    return this.#findings.stop(`The option ${name} must be a number`, value);
  }

  /** Takes an option as a value of a JSON Schema: a list has commas between its items, a record is a JSON object. */
  takeAs(name: string, { type, enum: words = [] }: JsonSchema): unknown {
    if (type === 'boolean') return this.takeBoolean(name);
    if (type === 'integer') return this.takeInteger(name);
    if (type === 'number') return this.takeNumber(name);
    if (type === 'object') return this.#takeRecord(name);
    const items = this.#values.get(name)?.value.items;
    const text = this.take(name);
    if (type === 'array') return items ?? text?.split(',').map((part) => part.trim());
    // Arroyo writes some words of its JSON in lower case here.
    return words.find((word) => text !== undefined && word.toLowerCase() === text.toLowerCase()) ?? text;
  }

  /** An interval as a count of the unit that the option's name ends with. */
  #inUnit(name: string, value: OptionValue, seconds: number): string {
    const unit = Object.keys(perSecond).find((ending) => name.endsWith(ending));
    if (unit !== undefined) return String(seconds * (perSecond[unit] as number));
    return this.#findings.stop(`The option ${name} takes a number, not an INTERVAL`, value);
  }

  /**
   * Takes the options of an object by its JSON Schema. The option for `keepAliveSecs` is `keep_alive_secs`, and those of
   * an object within have dots: `tls.ca`. With `oneOf` the option gives the title of the alternative, in lower case, and
   * that comes before its options: `type = 'sink', sink.retain = true`. With the keyword `option` see `#takeAlternative`. A
   * boolean that is required is false when left out, and a choice with a default is that. Everything else the schema has to check.
   */
  takeObject(schema: TSchema, prefix = ''): Record<string, unknown> {
    const { properties = {}, required = [] } = schema as JsonSchema;
    const entries = Object.entries(properties).map(([name, property]) => {
      const option = `${prefix}${property.option ?? optionName(name)}`;
      const isRequired = required.includes(name);
      const value = this.#takeProperty(option, property, prefix, isRequired);
      return [name, value ?? (isRequired ? whenLeftOut(property) : undefined)];
    });
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }

  #takeProperty(name: string, property: JsonSchema, prefix: string, isRequired: boolean): unknown {
    if (property.oneOf && property.optionGroup !== undefined)
      return this.#takeGroup(`${prefix}${property.optionGroup}.`, property.oneOf, isRequired);
    if (property.oneOf) return this.#takeAlternative(name, property, prefix);
    if (!property.properties) return this.takeAs(name, property);
    const inner = this.takeObject(property, `${name}.`);
    return Object.keys(inner).length > 0 ? inner : undefined;
  }

  /**
   * The alternatives of a property with an `option` have options without a prefix, and the title as the value of `type` if they
   * have such a property. Without the option it is the alternative whose required options are given. An alternative may have an
   * `option` instead of its title. An empty `option` of the property asks for none: the alternative follows from the options that
   * are there.
   */
  #takeAlternative(name: string, { oneOf: alternatives = [], option }: JsonSchema, prefix: string): unknown {
    if (option === '') return this.#takeAny(alternatives, prefix);
    const titles = alternatives.map(alternativeName);
    const title = this.takeOneOf(name, titles);
    const all = alternatives.filter((_, index) => titles[index] === title);
    const named = all.length > 1 ? (this.#given(all, prefix) ?? all[0]) : all[0];
    const chosen = named ?? (option === undefined ? undefined : this.#given(alternatives, prefix));
    if (chosen && option !== undefined) {
      const inner = this.takeObject(chosen, prefix);
      return chosen.properties?.type ? { ...inner, type: alternativeName(chosen) } : inner;
    }
    if (chosen) return this.takeObject(chosen, `${prefix}${title}.`);
    const message = `The option ${name} is missing: it must be one of ${titles.join(', ')}`;
    throw new PenstockError('invalid_config', message, { errors: [{ path: '', message }] });
  }

  /**
   * Alternatives whose options have the name of a group: `auth.type = 'sasl', auth.username = 'plant'`. Without the type it is the
   * alternative whose required options are given, else the first, which is left out if it is empty and need not be there.
   */
  #takeGroup(group: string, alternatives: readonly JsonSchema[], isRequired: boolean): unknown {
    const titles = alternatives.map(({ title = '' }) => title.toLowerCase());
    const title = this.takeOneOf(`${group}type`, titles);
    const named = title === undefined ? this.#given(alternatives, group) : undefined;
    const chosen = named ?? alternatives[title === undefined ? 0 : titles.indexOf(title)];
    const taken = chosen && this.takeObject(chosen, group);
    const isEmpty = title === undefined && Object.keys(taken ?? {}).length === 0;
    return isEmpty && !isRequired ? undefined : taken;
  }

  #takeAny(alternatives: JsonSchema[], prefix: string): unknown {
    const found = Object.assign({}, ...alternatives.map((each) => this.takeObject(each, prefix)));
    return Object.keys(found).length > 0 ? found : undefined;
  }

  /** The one alternative with the most required options of which all are given. Undefined if two have as many. */
  #given(alternatives: readonly JsonSchema[], prefix: string): JsonSchema | undefined {
    const optionOf = ({ properties = {} }: JsonSchema, name: string): string =>
      `${prefix}${properties[name]?.option ?? optionName(name)}`;
    const [first, second] = alternatives
      .filter((each) => (each.required ?? []).every((name) => this.has(optionOf(each, name))))
      .toSorted((a, b) => (b.required?.length ?? 0) - (a.required?.length ?? 0));
    return first?.required?.length === second?.required?.length && second ? undefined : first;
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

export interface JsonSchema extends TSchema {
  type?: string;
  title?: string;
  /** The name of the option, if it does not follow from that of the property. */
  option?: string;
  /** With `oneOf`: the beginning of the names of all its options. The first alternative is the default. */
  optionGroup?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  oneOf?: JsonSchema[];
  enum?: string[];
  default?: unknown;
}

const whenLeftOut = ({ type, enum: words, default: usual }: JsonSchema): unknown =>
  type === 'boolean' ? false : words ? usual : undefined;

/** The value of an option that chooses an alternative. */
export const alternativeName = ({ title = '', option }: JsonSchema): string => option ?? title.toLowerCase();

/** The option for a property of a config: `tls.passphrase` for `tls/passphrase`. */
export const optionName = (path: string): string =>
  path.replaceAll('/', '.').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The options for a property of a config by its schema: several if alternatives have it. */
export function optionsFor(schema: TSchema, path: string, prefix = ''): string[] {
  const [name = '', ...rest] = path.split('/');
  const property = (schema as JsonSchema).properties?.[name];
  const own = `${prefix}${property?.option ?? optionName(name)}`;
  const inner = rest.join('/');
  if (inner === '') return [own];
  if (!property?.oneOf) return optionsFor(property ?? {}, inner, `${own}.`);
  const having = property.oneOf.filter(({ properties = {} }) => Object.hasOwn(properties, rest[0] ?? ''));
  const { option, optionGroup } = property;
  const found = having.flatMap((each) => {
    if (optionGroup !== undefined) return optionsFor(each, inner, `${prefix}${optionGroup}.`);
    return optionsFor(each, inner, option === undefined ? `${prefix}${each.title?.toLowerCase()}.` : prefix);
  });
  return [...new Set(found)];
}

/** `max_silence_secs` and `maxSilenceSecs` are the same. */
const plain = (name: string): string => name.replaceAll('_', '').toLowerCase();

const perSecond: Readonly<Record<string, number>> = { _secs: 1, _seconds: 1, _ms: 1000, _micros: 1e6 };

/** A value as written. `items` are those of a list, `seconds` the length of an interval. */
interface OptionValue extends Token {
  items?: string[];
  seconds?: number;
}

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

/** A string, a number, TRUE or FALSE, a plain word, an INTERVAL, or a list of those in square brackets. */
export function readOptionValue(tokens: TokenReader, subject: string): OptionValue {
  if (tokens.sees('interval') && tokens.peek(1)?.kind === 'string') return readInterval(tokens, subject);
  if (!tokens.sees('[')) return readScalar(tokens, subject);
  const { from } = tokens.here;
  const items: string[] = [];
  tokens.next();
  if (!tokens.sees(']'))
    do items.push(readScalar(tokens, subject).text);
    while (tokens.takes(','));
  const { to } = tokens.here;
  tokens.expect(']', 'after the last item of the list');
  return { kind: 'string', text: items.join(','), from, to, items };
}

const capital = (text: string): string => `${text[0]?.toUpperCase()}${text.slice(1)}`;

function readScalar(tokens: TokenReader, subject: string): Token {
  const token = tokens.peek();
  const [next] = [tokens.peek(1)];
  if (token?.kind === 'symbol' && /^[+-]$/.test(token.text) && next?.kind === 'number') {
    tokens.next();
    tokens.next();
    return { ...next, text: `${token.text === '-' ? '-' : ''}${next.text}`, from: token.from };
  }
  if (token?.kind === 'word' && token.text.toLowerCase() === 'null')
    return tokens.refuse(`${capital(subject)} cannot be NULL; leave it out`);
  if (token && token.kind !== 'symbol') {
    tokens.next();
    return token;
  }
  return tokens.refuse(`The value of ${subject} must be a string, a number, TRUE, FALSE or a word`);
}

/** `INTERVAL '10 seconds'` or `INTERVAL '10' SECOND`. */
function readInterval(tokens: TokenReader, subject: string): OptionValue {
  const { from } = tokens.here;
  tokens.next();
  const value = tokens.string('The length of an INTERVAL');
  const unit = tokens.peek()?.kind === 'word' ? tokens.next() : undefined;
  const text = `${value.text.trim()}${unit ? ` ${unit.text}` : ''}`;
  const range = { from, to: (unit ?? value).to };
  const micros = microsOf(text);
  if (micros === undefined)
    return tokens.refuse(`The INTERVAL of ${subject} must have numbers and units, as in '10 seconds'`, range);
  return { kind: 'string', text, ...range, seconds: micros / 1e6 };
}
