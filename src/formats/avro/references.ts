import { PenstockError } from '../../errors.ts';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type JsonObject = { [name: string]: Json };

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Puts schemas that a schema refers to into it, each at its first use, so that one text says all. Throws `invalid_schema` if a
 * text is not JSON; whether it is an Avro schema shows when it is parsed.
 */
export function withReferences(text: string, references: readonly string[]): string {
  if (references.length === 0) return text;
  const known = new Map<string, JsonObject>();
  for (const reference of references) {
    const parsed = parse(reference);
    if (isObject(parsed)) known.set(fullName(parsed, ''), parsed);
  }
  const walk = (schema: Json, namespace: string): Json => {
    if (Array.isArray(schema)) return schema.map((branch) => walk(branch, namespace));
    if (typeof schema === 'string') {
      const names = schema.includes('.') || namespace === '' ? [schema] : [`${namespace}.${schema}`, schema];
      const name = names.find((one) => known.has(one));
      const found = name === undefined ? undefined : known.get(name);
      if (name === undefined || !found) return schema;
      known.delete(name);
      // Without a namespace of its own it would get that of the record around it.
      return walk(found.namespace === undefined ? { ...found, namespace: '' } : found, namespace);
    }
    if (!isObject(schema)) return schema;
    const name = fullName(schema, namespace);
    const inner = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : '';
    const within = schema.name === undefined ? namespace : inner;
    const copy: JsonObject = { ...schema };
    for (const part of ['items', 'values'])
      if (copy[part] !== undefined) copy[part] = walk(copy[part], within);
    if (Array.isArray(copy.fields))
      copy.fields = copy.fields.map((field) =>
        isObject(field) && field.type !== undefined ? { ...field, type: walk(field.type, within) } : field,
      );
    else if (copy.type !== undefined) copy.type = walk(copy.type, within);
    return copy;
  };
  return JSON.stringify(walk(parse(text), ''));
}

function fullName({ name, namespace }: JsonObject, around: string): string {
  const own = String(name ?? '');
  if (own.includes('.')) return own;
  const space = typeof namespace === 'string' ? namespace : around;
  return space === '' ? own : `${space}.${own}`;
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const message = 'The Avro schema is not a JSON document';
    throw new PenstockError('invalid_schema', message, {
      errors: [{ path: '/definition/schema', message }],
      cause: error,
    });
  }
}
