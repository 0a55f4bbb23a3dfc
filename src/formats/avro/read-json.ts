import type { Row, Value } from '../format.ts';
import { exactNumber, maxDepth, tooDeep } from '../json/text.ts';
import { type Field, isMetadata, type ListItem, messageFields } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData, pathOf } from '../values/bad.ts';
import { formatDecimal } from '../values/decimal.ts';
import { setterOf } from '../values/own-property.ts';
import { rowFromSequence } from '../values/row.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { type AvroInput, branchOf, malformed } from './bytes.ts';
import { avroName, isJsonText, leafOf, withoutNull } from './fields.ts';
import { jsonTextIn, leafReader, mismatch, type Read, unscaledOf } from './read-leaf.ts';
import type { AvroType } from './schema.ts';

/** Compiles the reader of any value of any schema, as an object that JSON.stringify can write. */
export function jsonReader(type: AvroType, path: string): Read<unknown> {
  const read = treeReader(type, path, jsonLeaf, new Map());
  return (input) => read(input, 0);
}

/** Compiles a reader that moves past a value which no column takes. */
function skipper(type: AvroType): Read<void> {
  const skip = treeReader(type, '', skipLeaf, new Map());
  return (input) => void skip(input, 0);
}

type ReadTree = (input: AvroInput, depth: number) => unknown;
type LeafOf = (type: AvroType, path: string) => Read<unknown>;

function treeReader(type: AvroType, path: string, leaf: LeafOf, known: Map<AvroType, ReadTree>): ReadTree {
  const before = known.get(type);
  if (before) return before;
  // A record may hold itself, so its reader has to be there before those of its fields.
  let compiled: ReadTree = () => undefined;
  const read: ReadTree = (input, depth) => {
    if (depth > maxDepth) throw badData(path, tooDeep);
    return compiled(input, depth);
  };
  known.set(type, read);
  compiled = nestedReader(type, path, leaf, known) ?? leaf(type, path);
  return read;
}

function nestedReader(
  type: AvroType,
  path: string,
  leaf: LeafOf,
  known: Map<AvroType, ReadTree>,
): ReadTree | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch) => treeReader(branch, path, leaf, known));
    return (input, depth) => branchOf(branches, input)(input, depth);
  }
  if (type.kind === 'record') {
    const steps = type.fields.map((member) => ({
      set: setterOf(member.name),
      read: treeReader(member.type, path, leaf, known),
    }));
    return (input, depth) => {
      const object: Row = {};
      for (const { set, read } of steps) set(object, read(input, depth + 1) as Value);
      return object;
    };
  }
  if (type.kind !== 'array' && type.kind !== 'map') return undefined;
  const read = treeReader(type.items, path, leaf, known);
  if (type.kind === 'array')
    return (input, depth) => {
      const list: unknown[] = [];
      input.blocks(() => list.push(read(input, depth + 1)));
      return list;
    };
  const readKey = leaf({ kind: 'string' }, path);
  return (input, depth) => {
    const object: Row = {};
    input.blocks(() => setterOf(String(readKey(input)))(object, read(input, depth + 1) as Value));
    return object;
  };
}

/** Values as in a json message: all digits of integers and decimals, bytes as base64, times as RFC 3339. */
function jsonLeaf(type: AvroType, path: string): Read<unknown> {
  if (type.kind === 'null') return () => null;
  if (isJsonText(type)) return (input) => jsonTextIn(input, path).value;
  const digits = unscaledOf(type, path);
  if (digits) return (input) => exactNumber(formatDecimal(digits.read(input), digits.scale));
  const field = leafOf(type);
  const read = leafReader(type, field, path);
  if (field.type === 'bytes') return (input) => (read(input) as Buffer).toString('base64');
  if (field.type === 'int64') return (input) => exactNumber(read(input) as bigint);
  if (field.type !== 'timestamp') return read;
  return (input) => {
    const text = formatTimestamp(read(input) as bigint, unitOf(field));
    if (text === undefined) throw badData(path, 'is a time outside the years 0000 to 9999');
    return text;
  };
}

function skipLeaf(type: AvroType): Read<unknown> {
  switch (type.kind) {
    case 'boolean':
      return (input) => input.take(1);
    case 'int':
    case 'long':
    case 'enum':
      return (input) => input.long();
    case 'float':
      return (input) => input.take(4);
    case 'double':
      return (input) => input.take(8);
    case 'fixed':
      return (input) => input.take(type.size);
    case 'bytes':
    case 'string':
      return (input) => input.take(input.int());
    default:
      return () => undefined;
  }
}

/**
 * Compiles the reader of a record as its writer's schema has it, into the fields of a table. They are matched by name;
 * what no field names is skipped, and what the writer did not have is null. Throws `bad_data` for a schema that cannot
 * bring the fields.
 */
export function rowReader(type: AvroType, fields: readonly Field[], path = ''): Read<Row> {
  if (type.kind !== 'record') throw badData(path, 'is not a record in the schema it was written with');
  const wanted = new Map(messageFields(fields).map((field) => [avroName(field.name), field]));
  const steps = type.fields.map((member) => {
    const field = wanted.get(member.name);
    if (!field) return { read: skipper(member.type) };
    return { name: field.name, read: valueReader(member.type, field, pathOf(path, field.name)) };
  });
  const missing = fields.filter((field) => !type.fields.some(({ name }) => wanted.get(name) === field));
  for (const field of missing) {
    if (!field.required || isMetadata(field)) continue;
    throw badData(pathOf(path, field.name), 'is required but missing in the schema it was written with');
  }
  return rowFromSequence([...steps, ...missing.map(({ name }) => ({ name, read: () => null }))]);
}

/** The reader of a value that may be null, where the field is optional. */
function valueReader(type: AvroType, field: ListItem, path: string): Read<Value> {
  if (field.type === 'json' && !isJsonText(withoutNull(type).type)) return jsonTextReader(type, field, path);
  if (type.kind === 'union') return unionReader(type.types, field, path);
  if (type.kind === 'null') return nullReader(field, path);
  if (field.type === 'struct') return rowReader(type, field.fields ?? [], path);
  return field.type === 'list' ? listReader(type, field, path) : leafReader(type, field, path);
}

function nullReader(field: ListItem, path: string): Read<null> {
  if (!field.required) return () => null;
  return () => {
    throw badData(path, 'is required but null');
  };
}

function jsonTextReader(type: AvroType, field: ListItem, path: string): Read<Value> {
  const read = jsonReader(type, path);
  return (input) => {
    const value = read(input);
    if (value === null && field.required) throw badData(path, 'is required but null');
    return value === null ? null : JSON.stringify(value);
  };
}

/** Branches that the field cannot take are found out when one is met. */
function unionReader(branches: readonly AvroType[], field: ListItem, path: string): Read<Value> {
  const readers = branches.map((branch): Read<Value> => {
    try {
      return valueReader(branch, field, path);
    } catch (error) {
      return () => {
        throw error;
      };
    }
  });
  const [first, second] = readers;
  if (!first || !second || readers.length > 2) return (input) => branchOf(readers, input)(input);
  // Nearly every union is one of null and another type: two calls that V8 knows beat one that it looks up.
  return (input) => {
    const branch = input.int();
    if (branch === 1) return second(input);
    if (branch === 0) return first(input);
    throw malformed();
  };
}

function listReader(type: AvroType, field: ListItem, path: string): Read<Value[]> {
  if (type.kind !== 'array') throw mismatch(field, path);
  const read = valueReader(type.items, field.items ?? { type: 'string' }, `${path}/*`);
  return (input) => {
    const list: Value[] = [];
    input.blocks(() => list.push(read(input)));
    return list;
  };
}
