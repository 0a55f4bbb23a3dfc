import { badData, pathOf } from '../bad.ts';
import { formatDecimal } from '../decimal.ts';
import type { Row, Value } from '../format.ts';
import { isNestedWithin, parseExactly } from '../json-text.ts';
import { exactNumber, maxDepth } from '../json-value.ts';
import { setterOf } from '../own-property.ts';
import { bigintFrom, decimalFrom, floatFrom, integerFrom } from '../read-value.ts';
import { rowFromSequence } from '../row-literal.ts';
import type { Field, ListItem } from '../schema.ts';
import { type TimestampUnit, unitOf } from '../sql-type.ts';
import { convertTimestamp, formatTimestamp, parseTimestamp } from '../timestamp.ts';
import type { AvroInput } from './bytes.ts';
import { bigintFromBytes } from './decimal-bytes.ts';
import { avroName, timeUnitOf, withoutNull } from './fields.ts';
import type { AvroType } from './schema.ts';

type Read<T> = (input: AvroInput) => T;

const nothing = () => {};

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
    throw notAvro();
  };
}

const notAvro = () => badData('', 'is not Avro data of its schema');

function branchOf<T>(branches: readonly T[], input: AvroInput): T {
  const branch = branches[input.int()];
  if (branch === undefined) throw notAvro();
  return branch;
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

function after<A, B>(read: Read<A>, then: (value: A) => B): Read<B> {
  return (input) => then(read(input));
}

const mismatch = (field: ListItem, path: string) =>
  badData(path, `has a type, in the schema it was written with, that is no ${field.type}`);

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
    const value = bigintFromBytes(input.view(type.kind === 'fixed' ? type.size : input.int()));
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

function listReader(type: AvroType, field: ListItem, path: string): Read<Value[]> {
  if (type.kind !== 'array') throw mismatch(field, path);
  const read = valueReader(type.items, field.items ?? { type: 'string' }, `${path}/*`);
  return (input) => {
    const list: Value[] = [];
    input.blocks(() => list.push(read(input)));
    return list;
  };
}

function jsonTextReader(type: AvroType, field: ListItem, path: string): Read<Value> {
  const read = jsonReader(type, path, new Map());
  return (input) => {
    const value = read(input, 0);
    if (value === null && field.required) throw badData(path, 'is required but null');
    return value === null ? null : JSON.stringify(value);
  };
}

/** The text of a JSON document: any value of any schema. */
export function documentReader(type: AvroType): Read<string> {
  const read = jsonReader(type, '', new Map());
  return (input) => JSON.stringify(read(input, 0));
}

type ReadJson = (input: AvroInput, depth: number) => unknown;

/** Values as in a json message: all digits of integers and decimals, bytes as base64, times as RFC 3339. */
function jsonReader(type: AvroType, path: string, known: Map<AvroType, ReadJson>): ReadJson {
  const before = known.get(type);
  if (before) return before;
  // A record may hold itself, so its reader has to be there before those of its fields.
  let compiled: ReadJson = nothing;
  known.set(type, (input, depth) => {
    if (depth > maxDepth) throw badData(path, `is nested more than ${maxDepth} deep`);
    return compiled(input, depth);
  });
  compiled = nestedJsonReader(type, path, known) ?? leafJsonReader(type, path);
  return known.get(type) as ReadJson;
}

function nestedJsonReader(
  type: AvroType,
  path: string,
  known: Map<AvroType, ReadJson>,
): ReadJson | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch) => jsonReader(branch, path, known));
    return (input, depth) => branchOf(branches, input)(input, depth);
  }
  if (type.kind === 'record') {
    const steps = type.fields.map(({ name, type: member }) => ({
      set: setterOf(name),
      read: jsonReader(member, path, known),
    }));
    return (input, depth) => {
      const object: Row = {};
      for (const { set, read } of steps) set(object, read(input, depth + 1) as Value);
      return object;
    };
  }
  if (type.kind !== 'array' && type.kind !== 'map') return undefined;
  const read = jsonReader(type.items, path, known);
  if (type.kind === 'array') {
    return (input, depth) => {
      const list: unknown[] = [];
      input.blocks(() => list.push(read(input, depth + 1)));
      return list;
    };
  }
  return (input, depth) => {
    const object: Row = {};
    input.blocks(() => setterOf(input.string(path))(object, read(input, depth + 1) as Value));
    return object;
  };
}

function leafJsonReader(type: AvroType, path: string): ReadJson {
  const field: ListItem = { type: 'string' };
  const unit = timeUnitOf(type);
  if (unit) return timeJsonReader(type, unit, path);
  const digits = unscaledOf(type, path);
  if (digits) return (input) => exactNumber(formatDecimal(digits.read(input), digits.scale));
  switch (type.kind) {
    case 'null':
      return () => null;
    case 'boolean':
      return (input) => input.boolean();
    case 'float':
    case 'double':
      return numberOf(type, field, path);
    case 'int':
      return (input) => input.int();
    case 'long':
      return (input) => exactNumber(input.long());
    case 'string':
      if (isJsonText(type)) return (input) => jsonTextIn(input, path).value;
      return (input) => input.string(path);
    case 'bytes':
      return (input) => input.view(input.int()).toString('base64');
    case 'fixed':
      if (type.logical?.name !== 'uuid') return (input) => input.view(type.size).toString('base64');
      return stringReader(type, field, path);
    default:
      return stringReader(type, field, path);
  }
}

function timeJsonReader(type: AvroType, unit: TimestampUnit, path: string): ReadJson {
  const read = timestampReader(type, { type: 'timestamp', unit }, path);
  return (input) => {
    const text = formatTimestamp(read(input), unit);
    if (text === undefined) throw badData(path, 'is a time outside the years 0000 to 9999');
    return text;
  };
}

/** Whether the type is the one of ours that holds a JSON text. */
function isJsonText(type: AvroType): boolean {
  return type.kind === 'string' && type.logical?.name === 'json';
}

function jsonTextIn(input: AvroInput, path: string): { text: string; value: unknown } {
  const text = input.string(path);
  try {
    const value = parseExactly(text);
    if (isNestedWithin(value, maxDepth)) return { text, value };
  } catch {
    throw badData(path, 'is not a JSON text');
  }
  throw badData(path, `is nested more than ${maxDepth} deep`);
}

type Skip = (input: AvroInput, depth: number) => void;

/** Compiles what moves past a value that nobody wants. */
function skipper(type: AvroType, known: Map<AvroType, Skip> = new Map()): Skip {
  const before = known.get(type);
  if (before) return before;
  let compiled: Skip = nothing;
  known.set(type, (input, depth) => {
    if (depth > maxDepth) throw badData('', `is nested more than ${maxDepth} deep`);
    compiled(input, depth + 1);
  });
  compiled = nestedSkipper(type, known) ?? leafSkipper(type);
  return known.get(type) as Skip;
}

function nestedSkipper(type: AvroType, known: Map<AvroType, Skip>): Skip | undefined {
  if (type.kind === 'union') {
    const branches = type.types.map((branch) => skipper(branch, known));
    return (input, depth) => branchOf(branches, input)(input, depth);
  }
  if (type.kind === 'record') {
    const members = type.fields.map((member) => skipper(member.type, known));
    return (input, depth) => {
      for (const skip of members) skip(input, depth);
    };
  }
  if (type.kind !== 'array' && type.kind !== 'map') return undefined;
  const skip = skipper(type.items, known);
  const keyed = type.kind === 'map';
  return (input, depth) =>
    input.blocks(() => {
      if (keyed) input.take(input.int());
      skip(input, depth);
    });
}

function leafSkipper(type: AvroType): Skip {
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
      return nothing;
  }
}
