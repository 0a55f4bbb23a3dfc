import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import type { SchemaDefinition } from '../schema/schema.ts';

/** A definition on the wire: the text of a .proto file, and of its imports by name. */
export type ProtobufSchema = Extract<SchemaDefinition, { type: 'protobuf_schema' }>;

const path = '/definition/schema';

function refuse(message: string, cause?: unknown, at = path): PenstockError {
  return new PenstockError('invalid_schema', message, { errors: [{ path: at, message }], cause });
}

/**
 * Parses a definition with protobufjs and returns the type of its messages. Imports are the dependencies and the
 * google/protobuf files in protobufjs; nothing is read from disk or network. Throws `invalid_schema`.
 */
export function messageTypeOf(definition: ProtobufSchema, name: string | null | undefined): protobuf.Type {
  const root = new protobuf.Root();
  const imports = parseFile(definition.schema, 'the definition', root, path);
  const offered = messagesIn(root).map((type) => type.fullName.slice(1));
  addImports(imports, path, root, definition.dependencies ?? {}, new Set());
  for (const found of objectsIn(root)) relax(found);
  try {
    root.resolveAll();
  } catch (error) {
    throw refuse(`The definition has an unresolved reference: ${reasonOf(error)}`, error);
  }
  for (const type of messagesIn(root)) setAbsent(type);
  return find(root, name, offered);
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function parseFile(text: string, name: string, root: protobuf.Root, at: string): string[] {
  try {
    const { imports = [], weakImports = [] } = protobuf.parse(text, root, { keepCase: true });
    return [...imports, ...weakImports];
  } catch (error) {
    throw refuse(`The Protobuf of ${name} cannot be read: ${reasonOf(error)}`, error, at);
  }
}

function addImports(
  names: readonly string[],
  at: string,
  root: protobuf.Root,
  dependencies: Readonly<Record<string, string>>,
  added: Set<string>,
): void {
  for (const name of names) {
    if (added.has(name)) continue;
    added.add(name);
    if (Object.hasOwn(dependencies, name)) {
      const inner = `/definition/dependencies/${name.replaceAll('/', '~1')}`;
      addImports(parseFile(dependencies[name] ?? '', name, root, inner), inner, root, dependencies, added);
    } else if (!addBundled(name, root)) {
      const known = Object.keys(dependencies).slice(0, 20).join(', ') || 'none';
      const message = `It imports ${name}, which is not among its dependencies: there are ${known}`;
      throw refuse(message, undefined, at);
    }
  }
}

/** Well-known types are part of protobufjs; descriptor.proto is not needed to read a message. */
function addBundled(name: string, root: protobuf.Root): boolean {
  if (name === 'google/protobuf/descriptor.proto') return true;
  const bundled = name.startsWith('google/protobuf/') ? protobuf.common.get(name) : null;
  if (!bundled) return false;
  if (bundled.nested) root.addJSON(bundled.nested);
  return true;
}

function objectsIn(namespace: protobuf.NamespaceBase): protobuf.ReflectionObject[] {
  return namespace.nestedArray.flatMap((nested) =>
    nested instanceof protobuf.Namespace || nested instanceof protobuf.Type
      ? [nested, ...objectsIn(nested)]
      : [nested],
  );
}

const messagesIn = (root: protobuf.Root): protobuf.Type[] =>
  objectsIn(root).filter((found) => found instanceof protobuf.Type);

const requiredFields = new WeakSet<protobuf.Field>();

export const isRequired = (field: protobuf.Field): boolean => requiredFields.has(field);

/**
 * Keeps protobufjs from dropping an enum's number that has no name, and from refusing a message that lacks a required
 * field: what is required of a table is checked where its column is read.
 */
function relax(found: protobuf.ReflectionObject): void {
  const withFeature = (options: protobuf.ReflectionObject['options'], feature: object) => ({
    ...options,
    features: { ...options?.features, ...feature },
  });
  if (found instanceof protobuf.Enum) found.options = withFeature(found.options, { enum_type: 'OPEN' });
  if (!(found instanceof protobuf.Type)) return;
  for (const field of found.fieldsArray as (protobuf.Field & { rule?: string })[]) {
    if (field.rule !== 'required' && field.options?.features?.field_presence !== 'LEGACY_REQUIRED') continue;
    requiredFields.add(field);
    field.rule = '';
    field.options = withFeature(field.options, { field_presence: 'EXPLICIT' });
  }
}

/** Messages inherit the values of fields that they do not have: ours instead of those of protobufjs. */
function setAbsent(type: protobuf.Type): void {
  for (const field of type.fieldsArray) {
    if (!field.repeated && !field.map) type.ctor.prototype[field.name] = absentOf(field);
  }
}

/** The default of a field without presence; null when absence means that there is no value. */
function absentOf({ resolvedType, hasPresence, type }: protobuf.Field): unknown {
  if (hasPresence || resolvedType instanceof protobuf.Type) return null;
  if (type === 'string') return '';
  if (type === 'bytes') return Buffer.alloc(0);
  if (type === 'bool') return false;
  return type.endsWith('64') ? 0n : 0;
}

function find(
  root: protobuf.Root,
  name: string | null | undefined,
  offered: readonly string[],
): protobuf.Type {
  const list = offered.slice(0, 20).join(', ') || 'none';
  const [only] = offered;
  const wanted = name || (offered.length === 1 ? only : undefined);
  if (wanted === undefined) {
    const message = `The definition has several messages: set message_name to one of ${list}`;
    throw refuse(message, undefined, '/format/message_name');
  }
  const found = root.lookup(wanted.replace(/^\.?/, '.'));
  if (found instanceof protobuf.Type) return found;
  const message = `The definition has no message called ${wanted}: there are ${list}`;
  throw refuse(message, undefined, '/format/message_name');
}
