/**
 * Changes between two OpenAPI documents that break a client: something was removed, is newly required, or is returned
 * differently. Additions do not break clients, which must ignore them: new operations, optional fields, further values
 * of an enum in a response, and further variants of a union with a discriminator.
 */

/** JSON Schema as Penstock writes it. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  discriminator?: { propertyName: string };
  [keyword: string]: unknown;
}
type Content = Record<string, { schema?: Schema }>;
interface Parameter {
  in: string;
  name: string;
  required?: boolean;
  schema?: Schema;
}
interface Operation {
  operationId?: string;
  security?: object[];
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Content };
  responses?: Record<string, { headers?: Record<string, unknown>; content?: Content }>;
}
export interface ApiDocument {
  /** Default of operations. */
  security?: object[];
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

/** One sentence for each break, with its place. Empty if `current` is compatible with `released`. */
export function breaksOf(released: ApiDocument, current: ApiDocument): string[] {
  return Object.entries(released.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, before]) => {
      const name = `${method.toUpperCase()} ${path}`;
      const after = current.paths[path]?.[method];
      if (!after) return [`${name} is gone`];
      const compare = new Comparison(released, current);
      const keys =
        needOfKey(after.security ?? current.security) - needOfKey(before.security ?? released.security);
      const found = breaksOfOperation(before, after, compare);
      if (keys > 0) found.push('asks for a key where it did not');
      return found.map((problem) => `${name}: ${problem}`);
    }),
  );
}

/** 0: a call never needs a key; 1: if a key exists; 2: always. */
function needOfKey(security: object[] = []): 0 | 1 | 2 {
  const schemes = security.map((one) => Object.keys(one).length);
  if (schemes.every((count) => count === 0)) return 0;
  return schemes.includes(0) ? 1 : 2;
}

function breaksOfOperation(before: Operation, after: Operation, compare: Comparison): string[] {
  const found: string[] = [];
  if (before.operationId !== after.operationId)
    found.push(`operationId was ${before.operationId} and is ${after.operationId}`);
  found.push(...breaksOfParameters(before.parameters ?? [], after.parameters ?? [], compare));
  const bodies = [before.requestBody, after.requestBody] as const;
  if (bodies[0] && !bodies[1]) found.push('takes no body any more');
  if (bodies[1]?.required && !bodies[0]?.required) found.push('needs a body now');
  if (bodies[0] && bodies[1])
    found.push(...breaksOfContent(bodies[0].content, bodies[1].content, 'request', 'body', compare));
  for (const [status, { headers = {}, content = {} }] of Object.entries(before.responses ?? {})) {
    const answer = after.responses?.[status];
    if (!answer) {
      found.push(`never answers ${status} any more`);
      continue;
    }
    for (const header of Object.keys(headers))
      if (!answer.headers?.[header]) found.push(`${status} has no header ${header} any more`);
    found.push(...breaksOfContent(content, answer.content ?? {}, 'response', status, compare));
  }
  return found;
}

function breaksOfParameters(before: Parameter[], after: Parameter[], compare: Comparison): string[] {
  const nameOf = (one: Parameter) => `${one.in} parameter ${one.name}`;
  const known = new Map(before.map((one) => [nameOf(one), one]));
  const left = new Map(after.map((one) => [nameOf(one), one]));
  const needed = after
    .filter((one) => one.required && !known.get(nameOf(one))?.required)
    .map((one) => `${nameOf(one)} is required now`);
  const others = before.flatMap((one) => {
    const now = left.get(nameOf(one));
    if (!now) return [`${nameOf(one)} is gone`];
    return compare.schemas(one.schema ?? {}, now.schema ?? {}, 'request', nameOf(one));
  });
  return [...needed, ...others];
}

function breaksOfContent(
  before: Content,
  after: Content,
  direction: Direction,
  where: string,
  compare: Comparison,
): string[] {
  return Object.entries(before).flatMap(([type, { schema = {} }]) => {
    const now = after[type];
    if (!now) return [`${where} is no ${type} any more`];
    return compare.schemas(schema, now.schema ?? {}, direction, where);
  });
}

type Direction = 'request' | 'response';

const upper = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'];
const lower = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'];
const same = ['pattern', 'format', 'multipleOf', 'uniqueItems'];

/** Compares schemas of two documents. Requests may become wider, responses narrower. */
class Comparison {
  readonly #released: ApiDocument;
  readonly #current: ApiDocument;
  /** Pairs that are being compared, because schemas may be recursive. */
  readonly #open = new Set<string>();

  constructor(released: ApiDocument, current: ApiDocument) {
    this.#released = released;
    this.#current = current;
  }

  schemas(before: Schema, after: Schema, direction: Direction, where: string): string[] {
    const pair = before.$ref && after.$ref && `${direction} ${before.$ref} ${after.$ref}`;
    if (pair && this.#open.has(pair)) return [];
    if (pair) this.#open.add(pair);
    const found = this.#resolved(flat(before, this.#released), flat(after, this.#current), direction, where);
    if (pair) this.#open.delete(pair);
    return found;
  }

  #resolved(before: Schema, after: Schema, direction: Direction, where: string): string[] {
    const tag = before.discriminator?.propertyName;
    const old = variantsOf(before, this.#released);
    const now = variantsOf(after, this.#current);
    if (tag && tag === after.discriminator?.propertyName)
      return this.#tagged(tag, old, now, direction, where);
    if (old.length === 1 && now.length === 1)
      return this.#plain(old[0] as Schema, now[0] as Schema, direction, where);
    // Each request variant must fit an accepted one, and each response variant a known one.
    const [inner, outer] = direction === 'request' ? [old, now] : [now, old];
    return inner.flatMap((one) => {
      const attempts = outer.map((other) =>
        direction === 'request'
          ? this.#resolved(one, other, direction, where)
          : this.#resolved(other, one, direction, where),
      );
      return attempts.sort((a, b) => a.length - b.length)[0] ?? [];
    });
  }

  #tagged(tag: string, old: Schema[], now: Schema[], direction: Direction, where: string): string[] {
    const tagOf = (one: Schema): unknown => one.properties?.[tag]?.const ?? one.properties?.[tag]?.enum?.[0];
    return old.flatMap((one) => {
      const name = `${where}(${tagOf(one)})`;
      const match = now.find((other) => tagOf(other) === tagOf(one));
      if (match) return this.#plain(one, match, direction, name);
      return direction === 'request' ? [`${name} is not taken any more`] : [];
    });
  }

  #plain(before: Schema, after: Schema, direction: Direction, where: string): string[] {
    return [
      ...breaksOfType(before, after, direction, where),
      ...(direction === 'request' ? breaksOfBounds(before, after, where) : []),
      ...this.#fields(before, after, direction, where),
    ];
  }

  #fields(before: Schema, after: Schema, direction: Direction, where: string): string[] {
    const found: string[] = [];
    const [needed, given] = [after.required ?? [], before.required ?? []];
    if (direction === 'request')
      found.push(...without(needed, given).map((name) => `${where}/${name} is required now`));
    else found.push(...without(given, needed).map((name) => `${where}/${name} may be missing now`));
    for (const [name, schema] of Object.entries(before.properties ?? {})) {
      const now = after.properties?.[name];
      if (now) found.push(...this.schemas(schema, now, direction, `${where}/${name}`));
      else found.push(`${where}/${name} is gone`);
    }
    for (const [pattern, schema] of Object.entries(before.patternProperties ?? {})) {
      const now = after.patternProperties?.[pattern];
      if (now) found.push(...this.schemas(schema, now, direction, `${where}/*`));
      else found.push(`${where} has no fields ${pattern} any more`);
    }
    if (before.items) found.push(...this.schemas(before.items, after.items ?? {}, direction, `${where}/[]`));
    else if (after.items && direction === 'request')
      found.push(...this.schemas({}, after.items, direction, `${where}/[]`));
    return [...found, ...this.#otherFields(before, after, direction, where)];
  }

  /** Additional properties: their values and names. */
  #otherFields(before: Schema, after: Schema, direction: Direction, where: string): string[] {
    const named =
      direction === 'request' && after.propertyNames
        ? this.schemas(before.propertyNames ?? {}, after.propertyNames, direction, `${where}/{name}`)
        : [];
    const [more, stillMore] = [before.additionalProperties ?? true, after.additionalProperties ?? true];
    if (direction === 'request' && more !== false && stillMore === false)
      return [...named, `${where} takes no other fields any more`];
    if (more === false || stillMore === false || more === stillMore) return named;
    const [values, nowValues] = [more, stillMore].map((one) => (one === true ? {} : one)) as [Schema, Schema];
    return [...named, ...this.schemas(values, nowValues, direction, `${where}/*`)];
  }
}

function breaksOfType(before: Schema, after: Schema, direction: Direction, where: string): string[] {
  const [inner, outer] = direction === 'request' ? [before, after] : [after, before];
  const verb = direction === 'request' ? 'is narrower' : 'is wider';
  const said = ({ type, enum: values }: Schema) => JSON.stringify(values ?? type ?? 'anything');
  if (outer.type !== undefined && !isWithin(typesOf(inner), typesOf(outer)))
    return [`${where} ${verb}: it was ${said(before)} and is ${said(after)}`];
  if (!outer.enum) return [];
  // A response may have new values of an enum, such as an error code.
  const fits = inner.enum && (direction === 'response' || without(inner.enum, outer.enum).length === 0);
  return fits ? [] : [`${where} ${verb}: it was ${said(before)} and is ${said(after)}`];
}

function breaksOfBounds(before: Schema, after: Schema, where: string): string[] {
  const fits = (keyword: string, holds: (old: never, now: never) => boolean): boolean =>
    after[keyword] === undefined ||
    (before[keyword] !== undefined && holds(before[keyword] as never, after[keyword] as never));
  return [
    ...upper.filter((keyword) => !fits(keyword, (old: number, now: number) => now >= old)),
    ...lower.filter(
      (keyword) => !trivial(keyword, after) && !fits(keyword, (old: number, now: number) => now <= old),
    ),
    ...same.filter((keyword) => !fits(keyword, (old: unknown, now: unknown) => old === now)),
  ].map(
    (keyword) => `${where} is narrower: ${keyword} was ${before[keyword] ?? 'none'} and is ${after[keyword]}`,
  );
}

/** A minimum length of 0 excludes nothing. */
const trivial = (keyword: string, schema: Schema): boolean =>
  schema[keyword] === 0 && keyword !== 'minimum' && keyword !== 'exclusiveMinimum';

const without = <T>(all: readonly T[], some: readonly T[]): T[] => all.filter((one) => !some.includes(one));

const anyType = ['null', 'boolean', 'number', 'string', 'array', 'object'];
const typesOf = ({ type }: Schema): string[] => (type === undefined ? anyType : [type].flat());
const isWithin = (inner: string[], outer: string[]): boolean =>
  inner.every((type) => outer.includes(type) || (type === 'integer' && outer.includes('number')));

/** A schema without references and `allOf` at its top, and `const` as an enum of one. */
function flat(schema: Schema, document: ApiDocument): Schema {
  const { $ref, allOf, ...own } = schema;
  const parts = [...(allOf ?? []), ...($ref ? [componentOf($ref, document)] : [])];
  const result: Schema = { ...own };
  for (const part of parts.map((one) => flat(one, document))) {
    const { properties, required } = result;
    Object.assign(result, { ...part, ...result });
    if (properties || part.properties) result.properties = { ...part.properties, ...properties };
    if (required || part.required) result.required = [...(part.required ?? []), ...(required ?? [])];
  }
  return 'const' in result ? { ...result, enum: [result.const] } : result;
}

function componentOf(ref: string, { components }: ApiDocument): Schema {
  const schema = components?.schemas?.[ref.split('/').at(-1) as string];
  if (!schema) throw new Error(`There is no ${ref} in the document`);
  return schema;
}

/** The alternatives of a schema, each with one type. */
function variantsOf(schema: Schema, document: ApiDocument): Schema[] {
  const { anyOf, oneOf, discriminator: _, ...rest } = schema;
  const union = anyOf ?? oneOf;
  if (union) return union.flatMap((one) => variantsOf(flat({ ...rest, allOf: [one] }, document), document));
  if (!Array.isArray(schema.type)) return [schema];
  return schema.type.map((type) => ({ ...schema, type }));
}
