import { PenstockError } from '../../errors.ts';
import type { FormatOf } from '../format.ts';
import { type Field, type ListItem, messageFields } from '../schema/schema.ts';

/**
 * | JSON Schema | field |
 * | --- | --- |
 * | integer (format int32, uint32, uint64) | int64 (the one named) |
 * | number (format float) | float64 (float32) |
 * | boolean | bool |
 * | string | string |
 * | string, format date-time | timestamp in nanoseconds, as in Arroyo |
 * | object with properties | struct |
 * | array with items | list |
 * | anything without one fixed shape | json, as in Arroyo |
 *
 * A property is required if its object lists it in `required` and it cannot be null. `$ref` is followed inside the
 * document. Keywords that only narrow a value (minimum, pattern, enum, …) are not checked.
 */

type SchemaObject = Readonly<Record<string, unknown>>;

interface Place {
  root: SchemaObject;
  /** For errors: path of the document in the request, and place in the document. */
  base: string;
  at: string;
  followed: readonly string[];
  /** Remaining number of fields: references can multiply a small document without end. */
  budget: { fields: number };
}

const maxFields = 2000;

const integerFormats = new Map([
  ['int32', 'int32'],
  ['uint32', 'uint32'],
  ['uint64', 'uint64'],
] as const) as ReadonlyMap<unknown, 'int32' | 'uint32' | 'uint64'>;

/** Derives fields from the text of a JSON Schema, which is at `path` of the request. Throws `invalid_schema`. */
export function fieldsFromJsonSchema(text: string, path: string): Field[] {
  const root = parseSchema(text, path);
  const place: Place = { root, base: path, at: '#', followed: [], budget: { fields: maxFields } };
  const [schema, resolved] = resolve(root, place);
  if (!isObject(schema.properties) || Object.keys(schema.properties).length === 0)
    refuse(resolved, 'must describe an object with properties, which become the columns');
  return membersOf(schema, resolved);
}

function parseSchema(text: string, path: string): SchemaObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `The definition is not a JSON document: ${reason}`;
    throw new PenstockError('invalid_schema', message, { errors: [{ path, message }], cause: error });
  }
  if (isObject(parsed)) return parsed;
  const message = 'The definition must be a JSON Schema that describes an object';
  throw new PenstockError('invalid_schema', message, { errors: [{ path, message }] });
}

function membersOf(schema: SchemaObject, place: Place): Field[] {
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  return Object.entries(schema.properties as SchemaObject).map(([name, property]) => {
    const inner = { ...place, at: `${place.at}/properties/${name}` };
    if (name === '') refuse(inner, 'has no name');
    place.budget.fields -= 1;
    if (place.budget.fields < 0) refuse(inner, `exceeds the maximum of ${maxFields} fields`);
    const { nullable, ...type } = typeOf(property, inner);
    return { name, ...type, required: required.has(name) && !nullable };
  });
}

function typeOf(schema: unknown, place: Place): ListItem & { nullable: boolean } {
  if (schema === true) return { type: 'json', nullable: true };
  if (!isObject(schema)) refuse(place, 'is not a schema');
  const other = otherThanNull(schema);
  if (other) return { ...typeOf(other, place), nullable: true };
  const [target, at] = resolve(schema, place);
  const [types, nullable] = typeNames(target, at);
  const [only] = types;
  if (types.length !== 1) return { type: 'json', nullable: nullable || types.length === 0 };
  return { ...namedType(String(only), target, at), nullable };
}

/** The schema beside null in an alternative of the two, as Confluent's serializers for Java write optional properties. */
function otherThanNull({ type, oneOf, anyOf }: SchemaObject): unknown {
  const branches = type === undefined ? (oneOf ?? anyOf) : undefined;
  if (!Array.isArray(branches) || branches.length !== 2) return undefined;
  const others = branches.filter((branch) => !isObject(branch) || branch.type !== 'null');
  return others.length === 1 ? others[0] : undefined;
}

/** The types other than null that `type` allows, and whether it allows null. */
function typeNames(schema: SchemaObject, place: Place): [names: unknown[], nullable: boolean] {
  if (schema.type === undefined) return [isObject(schema.properties) ? ['object'] : [], false];
  const names = Array.isArray(schema.type) ? schema.type : [schema.type];
  if (names.length === 0) refuse(place, 'has an empty list of types');
  return [names.filter((name) => name !== 'null'), names.includes('null')];
}

function namedType(name: string, schema: SchemaObject, place: Place): ListItem {
  switch (name) {
    case 'string':
      return schema.format === 'date-time' ? { type: 'timestamp', unit: 'nanosecond' } : { type: 'string' };
    case 'integer':
      return { type: integerFormats.get(schema.format) ?? 'int64' };
    case 'number':
      return { type: schema.format === 'float' ? 'float32' : 'float64' };
    case 'boolean':
      return { type: 'bool' };
    case 'object':
      return structType(schema, place);
    case 'array':
      return listType(schema, place);
    default:
      return refuse(place, `has the type ${JSON.stringify(name)}, which JSON Schema does not know`);
  }
}

function structType(schema: SchemaObject, place: Place): ListItem {
  if (!isObject(schema.properties) || Object.keys(schema.properties).length === 0) return { type: 'json' };
  return { type: 'struct', fields: membersOf(schema, place) };
}

function listType(schema: SchemaObject, place: Place): ListItem {
  if (!isObject(schema.items)) return { type: 'json' };
  const { nullable, ...type } = typeOf(schema.items, { ...place, at: `${place.at}/items` });
  return { type: 'list', items: { name: 'item', ...type, required: !nullable } };
}

function resolve(schema: SchemaObject, place: Place): [SchemaObject, Place] {
  const reference = schema.$ref;
  if (reference === undefined) return [schema, place];
  if (typeof reference !== 'string' || !reference.startsWith('#'))
    refuse(place, 'refers to another document; put the definition into this one');
  if (place.followed.includes(reference)) refuse(place, 'refers to itself, but columns cannot be recursive');
  const target = lookUp(place.root, reference);
  if (!isObject(target)) refuse(place, `refers to ${reference}, which is not in the document`);
  return resolve(target, { ...place, followed: [...place.followed, reference] });
}

/**
 * Puts documents that a schema refers to by name into its `$defs`, so that one text says all. Throws `invalid_schema` if one is
 * not JSON.
 */
export function withDocuments(text: string, documents: Readonly<Record<string, string>>): string {
  const names = Object.keys(documents);
  if (names.length === 0) return text;
  const moved = (value: unknown, own: string): unknown => {
    if (Array.isArray(value)) return value.map((each) => moved(each, own));
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) =>
        name === '$ref' && typeof inner === 'string' ? [name, place(inner, own)] : [name, moved(inner, own)],
      ),
    );
  };
  const place = (reference: string, own: string): string => {
    const [document = '', fragment = ''] = reference.split('#');
    if (document === '') return `#${own}${fragment}`;
    const name = names.find((one) => one === document || document.endsWith(`/${one}`));
    return name === undefined ? reference : `#${placeOf(name)}${fragment}`;
  };
  const placeOf = (name: string) => `/$defs/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const path = '/definition/schema';
  const root = moved(parseSchema(text, path), '') as SchemaObject;
  const defs = names.map((name) => [
    name,
    moved(parseSchema(documents[name] as string, path), placeOf(name)),
  ]);
  return JSON.stringify({ ...root, $defs: { ...(root.$defs as object), ...Object.fromEntries(defs) } });
}

/** Derives the schema of the objects that a sink writes with these fields. */
export function jsonSchemaOf(fields: readonly Field[], format: FormatOf<'json'>): object {
  const own = messageFields(fields);
  return {
    type: 'object',
    properties: Object.fromEntries(own.map((field) => [field.name, optional(field, format)])),
    required: own.filter(({ required }) => required).map(({ name }) => name),
  };
}

function optional(field: ListItem, format: FormatOf<'json'>): object {
  const schema = schemaOf(field, format);
  if (field.required || schema.type === undefined) return schema;
  return { ...schema, type: [schema.type, 'null'] };
}

function schemaOf(field: ListItem, format: FormatOf<'json'>): SchemaObject {
  switch (field.type) {
    case 'int64':
      return { type: 'integer' };
    case 'int32':
    case 'uint32':
    case 'uint64':
      return { type: 'integer', format: field.type };
    case 'float32':
      return { type: 'number', format: 'float' };
    case 'float64':
      return { type: 'number' };
    case 'decimal128': {
      const { decimal_encoding: encoding = 'number' } = format;
      if (encoding === 'number') return { type: 'number' };
      return { type: 'string', ...(encoding === 'bytes' && { contentEncoding: 'base64' }) };
    }
    case 'bool':
      return { type: 'boolean' };
    case 'string':
      return { type: 'string' };
    case 'bytes':
      return { type: 'string', contentEncoding: 'base64' };
    case 'timestamp': {
      const { timestamp_format: written = 'rfc3339' } = format;
      if (written === 'rfc3339') return { type: 'string', format: 'date-time' };
      if (written === 'without_zone') return { type: 'string' };
      return { type: written === 'unix_seconds' ? 'number' : 'integer' };
    }
    case 'json':
      return {};
    case 'struct':
      return jsonSchemaOf(field.fields ?? [], format) as SchemaObject;
    case 'list':
      return { type: 'array', items: optional(field.items ?? { type: 'string' }, format) };
  }
}

function lookUp(root: SchemaObject, reference: string): unknown {
  let target: unknown = root;
  for (const part of reference.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (!isObject(target) || !Object.hasOwn(target, key)) return undefined;
    target = target[key];
  }
  return target;
}

function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(place: Place, reason: string): never {
  const message = `The definition at ${place.at} ${reason}`;
  throw new PenstockError('invalid_schema', message, { errors: [{ path: place.base, message }] });
}
