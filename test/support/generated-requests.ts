import fc from 'fast-check';
import type { Document, Json, operationsOf } from '../../scripts/docs/document.ts';

/** Requests made from an OpenAPI document: right, at the bounds, and wrong. */

type JsonObject = { [key: string]: Json };
type Operation = ReturnType<typeof operationsOf>[number];

export interface Caller {
  name: 'nobody' | 'viewer' | 'operator';
  key: string | undefined;
}

export interface Generated {
  operation: Operation;
  caller: Caller;
  url: string;
  headers: Record<string, string>;
  body: string | undefined;
}

const odd: Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  ' ',
  'x'.repeat(300),
  '\u0000',
  '\ud800',
  'name/../%2e',
  "'; --",
  '{{ PENSTOCK_ADMIN_KEY }}',
  [],
  [[]],
  [null],
  {},
  { unknown: 1 },
  { __proto__x: 1, constructor: 1 },
];
const anything = fc.oneof(fc.constantFrom(...odd), fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>);

/** Values that satisfy a schema, including its bounds. Rules that are only in descriptions are ignored. */
class Values {
  readonly #document: Document;

  constructor(document: Document) {
    this.#document = document;
  }

  of(given: Json, depth = 0): fc.Arbitrary<Json> {
    const schema = given as JsonObject;
    if (typeof schema.$ref === 'string') {
      const name = schema.$ref.split('/').at(-1) as string;
      return this.of(this.#document.components.schemas[name] as Json, depth + 1);
    }
    if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
    if ('const' in schema) return fc.constant(schema.const as Json);
    const choices = (schema.anyOf ?? schema.oneOf) as Json[] | undefined;
    if (choices) return fc.oneof(...choices.map((choice) => this.of(choice, depth)));
    if (Array.isArray(schema.type))
      return fc.oneof(...schema.type.map((type) => this.of({ ...schema, type }, depth)));
    return this.#typed(schema, depth);
  }

  #typed(schema: JsonObject, depth: number): fc.Arbitrary<Json> {
    switch (schema.type) {
      case 'string':
        return text(schema);
      case 'integer':
      case 'number':
        return numeric(schema);
      case 'boolean':
        return fc.boolean();
      case 'null':
        return fc.constant(null);
      case 'array': {
        const minLength = (schema.minItems as number | undefined) ?? 0;
        const maxLength = Math.max(minLength, depth > 4 ? 0 : 3);
        return fc.array(this.of(schema.items ?? {}, depth + 1), { minLength, maxLength });
      }
      case 'object':
        return this.#object(schema, depth);
      default:
        return anything;
    }
  }

  #object(schema: JsonObject, depth: number): fc.Arbitrary<Json> {
    const required = (schema.required ?? []) as string[];
    const properties = Object.entries((schema.properties ?? {}) as JsonObject).filter(
      ([name]) => depth < 6 || required.includes(name),
    );
    const known = fc.record(
      Object.fromEntries(properties.map(([name, property]) => [name, this.of(property, depth + 1)])),
      { requiredKeys: required.filter((name) => properties.some(([known]) => known === name)) },
    ) as fc.Arbitrary<JsonObject>;
    const others = schema.additionalProperties;
    if (others === false || depth > 4) return known;
    const free = fc.dictionary(
      fc.string({ maxLength: 12 }),
      others === true ? anything : this.of(others ?? {}, depth + 1),
      { maxKeys: 3 },
    );
    return fc.tuple(known, free).map(([one, two]) => ({ ...two, ...one }));
  }
}

function text({ minLength = 0, maxLength = 100_000, pattern }: JsonObject): fc.Arbitrary<Json> {
  const [least, most] = [minLength as number, maxLength as number];
  const fits = (value: string): boolean => value.length >= least && value.length <= most;
  if (typeof pattern === 'string') return fc.stringMatching(new RegExp(pattern)).filter(fits);
  const bounds = [least, Math.min(most, 5_000)].map((length) => 'a'.repeat(length));
  const free = fc.string({
    minLength: least,
    maxLength: Math.max(least, Math.min(most, 60)),
    unit: 'grapheme',
  });
  return fc.oneof(free.filter(fits), fc.constantFrom(...bounds));
}

function numeric({ type, minimum, maximum }: JsonObject): fc.Arbitrary<Json> {
  const min = (minimum as number | undefined) ?? -1_000_000;
  const max = (maximum as number | undefined) ?? Math.max(min, 1_000_000_000);
  const bounds = fc.constantFrom(min, max);
  return fc.oneof(
    bounds,
    type === 'integer' ? fc.integer({ min, max }) : fc.double({ min, max, noNaN: true }),
  );
}

/** The same with one mistake: another value, a missing or an additional one. */
function spoilt(value: Json): fc.Arbitrary<Json> {
  const here = [anything];
  if (Array.isArray(value) && value.length > 0) {
    const at = fc.nat(value.length - 1);
    here.push(at.chain((index) => spoilt(value[index] as Json).map((item) => value.with(index, item))));
  } else if (typeof value === 'object' && value !== null) {
    const object = value as JsonObject;
    const names = Object.keys(object);
    here.push(
      fc.tuple(fc.string({ maxLength: 8 }), anything).map(([name, more]) => ({ ...object, [name]: more })),
    );
    if (names.length > 0) {
      const name = fc.constantFrom(...names);
      here.push(
        name.map((gone) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== gone))),
      );
      const inside = name.chain((key) =>
        spoilt(object[key] as Json).map((item) => ({ ...object, [key]: item })),
      );
      here.push(inside, inside, inside);
    }
  }
  return fc.oneof(...here);
}

interface Parameter {
  in: string;
  name: string;
  required?: boolean;
  schema: Json;
}

const asText = (value: Json): string =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).toWellFormed();

/** Only values that a client can send in a header. */
const printable = fc.oneof(
  fc.constantFrom('*', '""', 'W/"a"', '"1"', 'a', '*, "b"'),
  fc.string({ maxLength: 40 }).map((value) => value.replaceAll(/[^\x21-\x7e]/g, '')),
);

/**
 * Requests to any operation by any caller. `known` returns ids and names of existing objects; `mended` may change a body,
 * so that it does not connect to other hosts.
 */
export function requestsOf(
  document: Document,
  operations: Operation[],
  callers: Caller[],
  known: { ids(path: string): string[]; names: string[] },
  mended: (body: Json) => Json,
): fc.Arbitrary<Generated> {
  const values = new Values(document);
  return fc.constantFrom(...operations).chain((operation) => {
    const parameters = (operation.operation.parameters ?? []) as unknown as Parameter[];
    const url = fc
      .record(Object.fromEntries(parameters.map((one) => [`${one.in} ${one.name}`, parameter(one)])))
      .map((chosen) => urlOf(operation.path, parameters, chosen as Record<string, string | undefined>));
    const headers = fc.record(
      Object.fromEntries(
        parameters
          .filter((one) => one.in === 'header')
          .map(({ name }) => [name, fc.option(printable, { freq: 2 })]),
      ),
    );
    return fc
      .record({
        operation: fc.constant(operation),
        caller: fc.constantFrom(...callers),
        url,
        headers: fc.tuple(headers, type()).map(([some, content]) => ({ ...given(some), ...content })),
        body: bodyOf(operation),
      })
      .map((request) => (request.operation.operation.requestBody ? request : withoutType(request)));
  });

  function parameter({ in: place, name, schema }: Parameter): fc.Arbitrary<string | undefined> {
    if (place === 'header') return fc.constant(undefined);
    const there = place === 'path' ? known.names : [];
    const right = values.of(schema).map(asText);
    const wrong = anything.map(asText);
    if (place === 'query')
      return fc.oneof(fc.constant(undefined), fc.constant(undefined), right, right, wrong) as fc.Arbitrary<
        string | undefined
      >;
    const some = name === 'name' ? there : ['{id}'];
    return fc
      .oneof(fc.constantFrom(...some), fc.constantFrom(...some), right, wrong)
      .map((value) => value || 'x');
  }

  function urlOf(path: string, parameters: Parameter[], chosen: Record<string, string | undefined>): string {
    let url = path;
    const query = new URLSearchParams();
    for (const { in: place, name } of parameters) {
      const value = chosen[`${place} ${name}`];
      if (value === undefined) continue;
      if (place === 'query') query.append(name, value);
      else {
        // `.` and `..` change the path, whatever their encoding.
        const safe = /^\.{1,2}$/.test(value) ? 'dots' : value.slice(0, 130);
        const ids = known.ids(path);
        const real = safe === '{id}' ? (ids[Math.floor(ids.length / 2)] ?? 'none') : safe;
        url = url.replace(`{${name}}`, () => encodeURIComponent(real));
      }
    }
    return query.size > 0 ? `${url}?${query}` : url;
  }

  function bodyOf({ operation, example }: Operation): fc.Arbitrary<string | undefined> {
    const media = operation.requestBody?.content['application/json'];
    if (!media) return fc.constant(undefined);
    const schema = (media.schema ?? {}) as unknown as Json;
    const right = fc.oneof(fc.constant(example as Json), values.of(schema));
    const sent = fc.oneof(right, right.chain(spoilt), fc.constant(example as Json).chain(spoilt));
    const written = sent.map((value) => JSON.stringify(mended(value)));
    const broken = fc.constantFrom(
      '',
      '{',
      'null',
      '[]',
      '"a"',
      '{"a":1,}',
      '\u0000',
      '{"__proto__":{"a":1}}',
    );
    return fc.oneof({ weight: 19, arbitrary: written }, { weight: 1, arbitrary: broken });
  }
}

const type = (): fc.Arbitrary<Record<string, string>> =>
  fc.oneof(
    { weight: 18, arbitrary: fc.constant({ 'content-type': 'application/json' }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Record<string, string>>(
        { 'content-type': 'application/merge-patch+json' },
        { 'content-type': 'text/plain' },
        { 'content-type': 'application/x-www-form-urlencoded' },
        { 'content-type': 'x' },
      ),
    },
  );

const given = (some: Record<string, string | null>): Record<string, string> =>
  Object.fromEntries(Object.entries(some).filter((entry): entry is [string, string] => entry[1] !== null));

function withoutType(request: Generated): Generated {
  const { 'content-type': _none, ...headers } = request.headers;
  return { ...request, headers };
}
