import protobuf from 'protobufjs';
import api from 'protobufjs/google/protobuf/api.json' with { type: 'json' };
import descriptor from 'protobufjs/google/protobuf/descriptor.json' with { type: 'json' };
import sourceContext from 'protobufjs/google/protobuf/source_context.json' with { type: 'json' };
import typeFile from 'protobufjs/google/protobuf/type.json' with { type: 'json' };
import { PenstockError } from '../../errors.ts';
import type { WrittenSchema } from '../registered.ts';
import type { SchemaDefinition } from '../schema/schema.ts';

/** A definition on the wire: the text of a .proto file, and of its imports by name. */
export type ProtobufSchema = Extract<SchemaDefinition, { type: 'protobuf_schema' }>;

const path = '/definition/schema';

function refuse(message: string, cause?: unknown, at = path): PenstockError {
  return new PenstockError('invalid_schema', message, { errors: [{ path: at, message }], cause });
}

/**
 * Parses a definition with protobufjs. Returns the function that finds the type of its messages by name. Imports are the
 * dependencies and the google/protobuf files in protobufjs; nothing is read from disk or network. An import that is not there may
 * be missing if it brings only options. Both throw `invalid_schema`.
 */
export function typesOf(definition: ProtobufSchema): (name: string | null | undefined) => protobuf.Type {
  const root = new protobuf.Root();
  const imports = parseFile(definition.schema, 'the definition', root, path);
  const offered = messagesIn(root).map((type) => type.fullName.slice(1));
  const missing = addImports(imports, root, definition.dependencies ?? {});
  // Some writers extend the options without importing them.
  if (/\bextend\s+\.?google\.protobuf\.\w+Options\b/.test(definition.schema)) addBundled(optionsFile, root);
  for (const found of objectsIn(root)) relax(found);
  try {
    root.resolveAll();
  } catch (error) {
    throw unresolved(error, missing, definition.dependencies ?? {});
  }
  for (const type of messagesIn(root)) setAbsent(type);
  return (name) => find(root, name, offered);
}

/** The type of the messages of a definition. Throws `invalid_schema`. */
export const messageTypeOf = (definition: ProtobufSchema, name: string | null | undefined): protobuf.Type =>
  typesOf(definition)(name);

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function parseFile(text: string, name: string, root: protobuf.Root, at: string): string[] {
  try {
    const { imports = [], weakImports = [] } = protobuf.parse(text, root, { keepCase: true });
    return [...imports, ...weakImports];
  } catch (error) {
    throw refuse(`The Protobuf of ${name} cannot be read: ${reasonOf(error)}`, error, at);
  }
}

const maxImported = 100;

/**
 * The dependencies that a file imports, with theirs, each of which is parsed once. Throws `invalid_schema` if they import each other,
 * or are too many.
 */
export function importedBy(text: string, dependencies: Readonly<Record<string, string>>): WrittenSchema[] {
  /** Undefined for a file around the one that is read. */
  const files = new Map<string, WrittenSchema | undefined>();
  const fileOf = (name: string, schema: string): WrittenSchema => {
    const before = files.get(name);
    if (before) return before;
    if (files.has(name)) throw refuse(`The file ${name} imports itself`);
    if (files.size === maxImported) throw refuse(`The definition imports more than ${maxImported} files`);
    files.set(name, undefined);
    const file = { name, schema, references: importsOf(schema) };
    files.set(name, file);
    return file;
  };
  const importsOf = (file: string): WrittenSchema[] =>
    parseFile(file, 'the definition', new protobuf.Root(), path).flatMap((name) => {
      const schema = Object.hasOwn(dependencies, name) ? dependencies[name] : undefined;
      return schema === undefined ? [] : [fileOf(name, schema)];
    });
  return importsOf(text);
}

interface Import {
  name: string;
  at: string;
}

/** Parses the imported files, with those that they import. Returns those that are not there. */
function addImports(
  names: readonly string[],
  root: protobuf.Root,
  dependencies: Readonly<Record<string, string>>,
): Import[] {
  const added = new Set<string>();
  const missing: Import[] = [];
  const left: Import[] = names.map((name) => ({ name, at: path }));
  for (const found of left) {
    const { name } = found;
    if (added.has(name)) continue;
    added.add(name);
    if (!Object.hasOwn(dependencies, name)) {
      if (!addBundled(name, root)) missing.push(found);
      continue;
    }
    const at = `/definition/dependencies/${name.replaceAll('/', '~1')}`;
    for (const inner of parseFile(dependencies[name] ?? '', name, root, at)) left.push({ name: inner, at });
  }
  return missing;
}

function unresolved(
  error: unknown,
  [missing, ...more]: readonly Import[],
  dependencies: Readonly<Record<string, string>>,
): PenstockError {
  if (!missing) return refuse(`The definition has an unresolved reference: ${reasonOf(error)}`, error);
  const known = Object.keys(dependencies).slice(0, 20).join(', ') || 'none';
  const names = [missing, ...more].slice(0, 20).map(({ name }) => name);
  const which = more.length > 0 ? 'which are' : 'which is';
  const message = `It imports ${names.join(', ')}, ${which} not among its dependencies: there are ${known}`;
  return refuse(`${message} (${reasonOf(error)})`, error, missing.at);
}

const optionsFile = 'google/protobuf/descriptor.proto';

/** Files of google/protobuf that protobufjs brings beside the well-known types. */
const bundledFiles: Readonly<Record<string, protobuf.INamespace>> = {
  'google/protobuf/api.proto': api,
  [optionsFile]: descriptor as protobuf.INamespace,
  'google/protobuf/source_context.proto': sourceContext,
  'google/protobuf/type.proto': typeFile as protobuf.INamespace,
};

function addBundled(name: string, root: protobuf.Root): boolean {
  if (!name.startsWith('google/protobuf/')) return false;
  const bundled = Object.hasOwn(bundledFiles, name) ? bundledFiles[name] : protobuf.common.get(name);
  if (!bundled) return false;
  addNested(bundled, root);
  return true;
}

/** Adds what is not there yet: protobufjs's copies of some files hold parts of others. */
function addNested({ nested = {} }: protobuf.INamespace, into: protobuf.NamespaceBase): void {
  for (const [name, object] of Object.entries(nested)) {
    const before = into.get(name);
    if (!before) into.addJSON({ [name]: object });
    else if (before instanceof protobuf.Namespace && !(before instanceof protobuf.Type))
      addNested(object as protobuf.INamespace, before);
  }
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
