import type { Row, Value } from '../format.ts';
import { exactNumber, isShallow, maxDepth, parseExactly, tooDeep } from '../json/text.ts';
import { type Field, isMetadata, type ListItem } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData, pathOf } from '../values/bad.ts';
import { bigintOfBytes, formatDecimal } from '../values/decimal.ts';
import { setterOf } from '../values/own-property.ts';
import { bigintFrom, decimalFrom, floatFrom, integerFrom } from '../values/read.ts';
import { rowFromSequence } from '../values/row.ts';
import { convertTimestamp, formatTimestamp, parseTimestamp } from '../values/timestamp.ts';
import { AvroInput, branchOf, malformed } from './bytes.ts';
import { avroName, isJsonText, leafOf, timeUnitOf, withoutNull } from './fields.ts';
import type { AvroField, AvroType } from './schema.ts';

/** Compiles the reader of any value of any schema, as an object that JSON.stringify can write. */
export function jsonReader(type: AvroType, path: string): Read<unknown> {
  const read = treeReader(type, path, jsonLeaf, new Map());
  return (input) => read(input, 0);
}

function skipper(type: AvroType, { skippers }: Compiled): Read<void> {
  const skip = treeReader(type, '', skipLeaf, skippers);
  return (input) => void skip(input, 0);
}

type ReadTree = (input: AvroInput, depth: number) => unknown;
type Known = Map<AvroType, ReadTree>;
/** Readers of one schema, so that each type is compiled once for a field: records may be in unions within unions. */
class Compiled {
  readonly skippers: Known = new Map();
  readonly #readers = new Map<ListItem, Map<AvroType, Read<Value>>>();

  once(type: AvroType, field: ListItem, compile: () => Read<Value>): Read<Value> {
    const readers = this.#readers.get(field) ?? new Map<AvroType, Read<Value>>();
    this.#readers.set(field, readers);
    const read = readers.get(type) ?? compile();
    readers.set(type, read);
    return read;
  }
}

type LeafOf = (type: AvroType, path: string) => Read<unknown>;

function treeReader(type: AvroType, path: string, leaf: LeafOf, known: Known): ReadTree {
  const before = known.get(type);
  if (before) return before;
  // A record may contain itself, so its reader must exist before those of its fields.
  let compiled: ReadTree = () => undefined;
  const read: ReadTree = (input, depth) => {
    if (depth > maxDepth) throw badData(path, tooDeep);
    return compiled(input, depth);
  };
  known.set(type, read);
  compiled = nestedReader(type, path, leaf, known) ?? leaf(type, path);
  return read;
}

function nestedReader(type: AvroType, path: string, leaf: LeafOf, known: Known): ReadTree | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch, index): ReadTree => {
      const read = treeReader(branch, path, leaf, known);
      const name = type.names?.[index] ?? 'null';
      return name === 'null' ? read : (input, depth) => ({ [name]: read(input, depth) });
    });
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

const sizes: Readonly<Record<string, number>> = { boolean: 1, float: 4, double: 8 };

function skipLeaf(type: AvroType): Read<unknown> {
  const size = type.kind === 'fixed' ? type.size : sizes[type.kind];
  if (size !== undefined) return (input) => input.take(size);
  if (['int', 'long', 'enum'].includes(type.kind)) return (input) => input.long();
  if (['bytes', 'string'].includes(type.kind)) return (input) => input.take(input.int());
  return () => undefined;
}

/**
 * Compiles the reader of a record of the writer's schema into the fields of a table, matched by name, or by an alias of `own`,
 * the schema of the table if it has one. Other members are skipped. Missing fields have their default in `own`, or are null.
 * Throws `bad_data` for a schema that does not fit the fields.
 */
export function rowReader(
  type: AvroType,
  fields: readonly Field[],
  path = '',
  own?: AvroType,
  compiled = new Compiled(),
): Read<Row> {
  if (type.kind !== 'record') throw badData(path, 'is not a record in the schema it was written with');
  const ownFields = new Map(own?.kind === 'record' ? own.fields.map((field) => [field.name, field]) : []);
  const writers = new Set(type.fields.map(({ name }) => name));
  const wanted = new Map<string, Field>();
  const take = (field: Field, names: readonly string[]): boolean => {
    const found = names.find((name) => writers.has(name) && !wanted.has(name));
    if (found !== undefined) wanted.set(found, field);
    return found !== undefined;
  };
  // An alias is only for what no field has as its name.
  const missing = fields
    .filter((field) => isMetadata(field) || !take(field, [avroName(field.name)]))
    .filter((field) => isMetadata(field) || !take(field, ownFields.get(avroName(field.name))?.aliases ?? []));
  const steps = type.fields.map((member) => {
    const field = wanted.get(member.name);
    if (!field) return { read: skipper(member.type, compiled) };
    const at = pathOf(path, field.name);
    const ownType = ownFields.get(avroName(field.name))?.type;
    return { name: field.name, read: valueReader(member.type, field, at, ownType, compiled) };
  });
  const absent = missing.map((field) => ({
    name: field.name,
    read: isMetadata(field)
      ? () => null
      : missingReader(field, ownFields.get(avroName(field.name)), pathOf(path, field.name)),
  }));
  return rowFromSequence([...steps, ...absent]);
}

function missingReader(field: Field, own: AvroField | undefined, path: string): Read<Value> {
  const encoded = own?.default;
  if (own && encoded) {
    const read = valueReader(own.type, field, path, undefined, new Compiled());
    // A row may be changed, so each gets a value of its own.
    return () => read(new AvroInput(encoded));
  }
  if (field.required) throw badData(path, 'is required but missing in the schema it was written with');
  return () => null;
}

function valueReader(
  type: AvroType,
  field: ListItem,
  path: string,
  own: AvroType | undefined,
  compiled: Compiled,
): Read<Value> {
  return compiled.once(type, field, () => compileValue(type, field, path, own, compiled));
}

function compileValue(
  type: AvroType,
  field: ListItem,
  path: string,
  own: AvroType | undefined,
  compiled: Compiled,
): Read<Value> {
  if (field.type === 'json' && !isJsonText(withoutNull(type).type)) return jsonTextReader(type, field, path);
  if (type.kind === 'union') return unionReader(type.types, field, path, own, compiled);
  if (type.kind === 'null') return nullReader(field, path);
  const ownType = own && withoutNull(own).type;
  if (field.type === 'struct') return rowReader(type, field.fields ?? [], path, ownType, compiled);
  if (field.type !== 'list') return leafReader(type, field, path);
  return listReader(type, field, path, ownType?.kind === 'array' ? ownType.items : undefined, compiled);
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
function unionReader(
  branches: readonly AvroType[],
  field: ListItem,
  path: string,
  own: AvroType | undefined,
  compiled: Compiled,
): Read<Value> {
  const readers = branches.map((branch): Read<Value> => {
    try {
      return valueReader(branch, field, path, own, compiled);
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

function listReader(
  type: AvroType,
  field: ListItem,
  path: string,
  own: AvroType | undefined,
  compiled: Compiled,
): Read<Value[]> {
  if (type.kind !== 'array') throw mismatch(field, path);
  const read = valueReader(type.items, field.items ?? { type: 'string' }, `${path}/*`, own, compiled);
  return (input) => {
    const list: Value[] = [];
    input.blocks(() => list.push(read(input)));
    return list;
  };
}

type Read<T> = (input: AvroInput) => T;

function after<A, B>(read: Read<A>, then: (value: A) => B): Read<B> {
  return (input) => then(read(input));
}

const mismatch = (field: ListItem, path: string) =>
  badData(path, `has a type, in the schema it was written with, that is no ${field.type}`);

function leafReader(type: AvroType, field: ListItem, path: string): Read<Value> {
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
    case 'json':
      return (input) => jsonTextIn(input, path).text;
  }
  throw mismatch(field, path);
}

function integerOf(type: AvroType, field: ListItem, path: string): Read<number | bigint> {
  if (type.kind === 'int') return (input) => input.int();
  if (type.kind === 'long') return (input) => input.long();
  const digits = unscaledOf(type, path);
  if (digits?.scale !== 0) throw mismatch(field, path);
  return digits.read;
}

function numberOf(type: AvroType, field: ListItem, path: string): Read<number | bigint> {
  if (type.kind === 'float') return (input) => input.float();
  if (type.kind === 'double') return (input) => input.double();
  return integerOf(type, field, path);
}

/** The digits of a decimal without the point; undefined when the type is none. */
function unscaledOf(type: AvroType, path: string): { read: Read<bigint>; scale: number } | undefined {
  if (type.kind !== 'bytes' && type.kind !== 'fixed') return undefined;
  if (type.logical?.name !== 'decimal') return undefined;
  const read: Read<bigint> = (input) => {
    const value = bigintOfBytes(input.view(type.kind === 'fixed' ? type.size : input.int()));
    if (value === undefined) throw badData(path, 'has more digits than a decimal can');
    return value;
  };
  return { read, scale: type.logical.scale ?? 0 };
}

function decimalTextOf(type: AvroType, field: ListItem, path: string): Read<string> {
  const digits = unscaledOf(type, path);
  if (digits) return (input) => formatDecimal(digits.read(input), digits.scale);
  if (type.kind === 'string') return (input) => input.string(path);
  return after(numberOf(type, field, path), String);
}

function stringReader(type: AvroType, field: ListItem, path: string): Read<string> {
  if (type.kind === 'string') return (input) => input.string(path);
  if (type.kind === 'enum') return (input) => branchOf(type.symbols, input);
  if (type.kind !== 'fixed' || type.logical?.name !== 'uuid') throw mismatch(field, path);
  return (input) =>
    input
      .view(16)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

const secondsOfDay = 86_400n;

function timestampReader(type: AvroType, field: ListItem, path: string): Read<bigint> {
  const unit = unitOf(field);
  const check = (time: bigint | undefined) => {
    if (time === undefined) throw badData(path, 'is out of the range of its timestamp');
    return time;
  };
  if (type.kind === 'string') return (input) => check(parseTimestamp(input.string(path), unit));
  if (type.kind === 'int') {
    if (!type.logical) throw mismatch(field, path);
    return (input) => check(convertTimestamp(BigInt(input.int()) * secondsOfDay, 'second', unit));
  }
  if (type.kind !== 'long') throw mismatch(field, path);
  const from = timeUnitOf(type) ?? unit;
  if (from === unit) return (input) => input.long();
  return (input) => check(convertTimestamp(input.long(), from, unit));
}

function jsonTextIn(input: AvroInput, path: string): { text: string; value: unknown } {
  const text = input.string(path);
  try {
    const value = parseExactly(text);
    if (isShallow(value)) return { text, value };
  } catch {
    throw badData(path, 'is not a JSON text');
  }
  throw badData(path, tooDeep);
}
