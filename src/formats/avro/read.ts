import type { Row, Value } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { badData, pathOf } from '../values/bad.ts';
import { bigintFrom, decimalFrom, floatFrom, integerFrom } from '../values/read-value.ts';
import { rowFromSequence } from '../values/row-literal.ts';
import { branchOf, malformed } from './bytes.ts';
import { avroName, withoutNull } from './fields.ts';
import { isJsonText, jsonTextIn, jsonTextReader } from './read-json.ts';
import {
  after,
  decimalTextOf,
  integerOf,
  mismatch,
  numberOf,
  type Read,
  stringReader,
  timestampReader,
} from './read-leaf.ts';
import type { AvroType } from './schema.ts';
import { skipper } from './skip.ts';

/**
 * Compiles the reader of a record as its writer's schema has it, into the fields of a table. They are matched by name;
 * what no field names is skipped, and what the writer did not have is null. Throws `bad_data` for a schema that cannot
 * bring the fields.
 */
export function rowReader(type: AvroType, fields: readonly Field[]): Read<Row> {
  return structReader(type, fields, '');
}

function structReader(type: AvroType, fields: readonly Field[], path: string): Read<Row> {
  if (type.kind !== 'record') throw badData(path, 'is not a record in the schema it was written with');
  const wanted = new Map(
    fields
      .filter(({ metadata_key }) => typeof metadata_key !== 'string')
      .map((field) => [avroName(field.name), field]),
  );
  const steps = type.fields.map((member) => {
    const field = wanted.get(member.name);
    return field ? fieldStep(member.type, field, path) : skipStep(member.type);
  });
  const missing = fields.filter((field) => !type.fields.some(({ name }) => wanted.get(name) === field));
  for (const field of missing) {
    if (!field.required || typeof field.metadata_key === 'string') continue;
    throw badData(pathOf(path, field.name), 'is required but missing in the schema it was written with');
  }
  return rowFromSequence([...steps, ...missing.map(({ name }) => ({ name, read: () => null }))]);
}

interface Step {
  name?: string;
  read: Read<unknown>;
}

function fieldStep(type: AvroType, field: Field, parent: string): Step {
  return { name: field.name, read: valueReader(type, field, pathOf(parent, field.name)) };
}

function skipStep(type: AvroType): Step {
  const skip = skipper(type);
  return { read: (input) => skip(input, 0) };
}

/** The reader of a value that may be null, where the field is optional. */
function valueReader(type: AvroType, field: ListItem, path: string): Read<Value> {
  if (field.type === 'json' && !isJsonText(withoutNull(type).type)) return jsonTextReader(type, field, path);
  if (type.kind === 'union') return unionReader(type.types, field, path);
  if (type.kind !== 'null') return plainReader(type, field, path);
  if (!field.required) return () => null;
  return () => {
    throw badData(path, 'is required but null');
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

function plainReader(type: AvroType, field: ListItem, path: string): Read<Value> {
  switch (field.type) {
    case 'int32':
    case 'uint32': {
      const check = integerFrom(field.type, path);
      if (type.kind === 'int' && field.type === 'int32') return (input) => input.int();
      return after(integerOf(type, field, path), check);
    }
    case 'int64':
    case 'uint64': {
      if (type.kind === 'long' && field.type === 'int64') return (input) => input.long();
      return after(integerOf(type, field, path), bigintFrom(field.type, path));
    }
    case 'float32':
    case 'float64':
      return after(numberOf(type, field, path), floatFrom(field.type, path));
    case 'decimal128':
      return after(decimalTextOf(type, field, path), decimalFrom(field, path));
    case 'bool':
      if (type.kind === 'boolean') return (input) => input.boolean();
      break;
    case 'string':
      return stringReader(type, field, path);
    case 'bytes':
      if (type.kind === 'bytes') return (input) => input.view(input.int());
      if (type.kind === 'fixed') return (input) => input.view(type.size);
      break;
    case 'timestamp':
      return timestampReader(type, field, path);
    case 'struct':
      return structReader(type, field.fields ?? [], path);
    case 'list':
      return listReader(type, field, path);
    case 'json':
      return (input) => jsonTextIn(input, path).text;
  }
  throw mismatch(field, path);
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
