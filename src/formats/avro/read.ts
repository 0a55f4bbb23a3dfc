import type { Row, Value } from '../format.ts';
import { type Field, isMetadata, type ListItem, messageFields } from '../schema/schema.ts';
import { badData, pathOf } from '../values/bad.ts';
import { rowFromSequence } from '../values/row.ts';
import { branchOf, malformed } from './bytes.ts';
import { avroName, isJsonText, withoutNull } from './fields.ts';
import { jsonReader, skipper } from './read-json.ts';
import { leafReader, mismatch, type Read } from './read-leaf.ts';
import type { AvroType } from './schema.ts';

/**
 * Compiles the reader of a record of the writer's schema into the fields of a table, matched by name. Other members are
 * skipped, and missing fields are null. Throws `bad_data` for a schema that does not fit the fields.
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

/** The reader of a value that may be null, if the field is optional. */
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

/** A branch that does not fit the field is only refused when a message uses it. */
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
