import type { Value } from '../format.ts';
import { numberText } from '../json/text.ts';
import { type Field, type ListItem, messageFields } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { bytesOfBigint, parseDecimal } from '../values/decimal.ts';
import { getterOf } from '../values/own-property.ts';
import { columnsTo } from '../values/row.ts';
import { convertTimestamp, parseTimestamp } from '../values/timestamp.ts';
import { checkOf, jsonOf, structOf, unscaledOf } from '../values/write.ts';
import type { AvroOutput } from './bytes.ts';
import { avroName, isJsonText, leafOf, timeUnitOf, withoutNull } from './fields.ts';
import type { AvroType } from './schema.ts';

/** Writes a value that is not null; throws `bad_row`. */
type Write = (value: Value, output: AvroOutput) => void;

/** Compiles the writer of the rows of a table. Its fields are those of the schema, so each has its place in it. */
export function rowWriter(type: AvroType, fields: readonly Field[], path = ''): Write {
  if (type.kind !== 'record') throw badRow(path, 'is not a record in the schema');
  const written = messageFields(fields);
  const struct = structOf(path);
  const steps = type.fields.map((member) => {
    const field = written.find(({ name }) => avroName(name) === member.name);
    if (!field) throw badRow(pathOf(path, member.name), 'is in the schema but not in the table');
    return { name: field.name, write: valueWriter(member.type, field, pathOf(path, field.name)) };
  });
  const writeColumns = columnsTo(steps);
  return (value, output) => writeColumns(struct(value), output);
}

function valueWriter(type: AvroType, field: ListItem, path: string): Write {
  if (type.kind === 'union') return unionWriter(type, field, path);
  const write = plainWriter(type, field, path);
  return (value, output) => {
    if (value !== null && value !== undefined) write(value, output);
    else if (type.kind !== 'null') throw badRow(path, 'is required but null');
  };
}

/** A union of one type and null; for any other the field is json. */
function unionWriter(type: AvroType & { kind: 'union' }, field: ListItem, path: string): Write {
  const nullAt = type.types.findIndex(({ kind }) => kind === 'null');
  const other = withoutNull(type).type;
  const otherAt = type.types.indexOf(other);
  const write = plainWriter(other, field, path);
  return (value, output) => {
    if (value !== null && value !== undefined) {
      if (otherAt >= 0) output.int(otherAt);
      write(value, output);
    } else if (nullAt < 0 || field.required) throw badRow(path, 'is required but null');
    else output.int(nullAt);
  };
}

function plainWriter(type: AvroType, field: ListItem, path: string): Write {
  switch (field.type) {
    case 'int32':
      return then(checkOf(field.type, path), (value, output) => output.int(value));
    case 'uint32':
      return then(checkOf(field.type, path), (value, output) => output.long(BigInt(value)));
    case 'int64':
      return then(checkOf(field.type, path), (value, output) => output.long(value));
    case 'uint64':
      return decimalWriter(type, checkOf(field.type, path), path);
    case 'float32':
      return then(checkOf(field.type, path), (value, output) => output.float(value));
    case 'float64':
      return then(checkOf(field.type, path), (value, output) => output.double(value));
    case 'decimal128':
      return decimalWriter(type, unscaledOf(field.scale ?? 0, path), path);
    case 'bool':
      return then(checkOf('bool', path), (value, output) => output.boolean(value));
    case 'string':
      return stringWriter(type, path);
    case 'bytes':
      return bytesWriter(type, path);
    case 'timestamp':
      return timestampWriter(type, field, path);
    case 'struct':
      return rowWriter(type, field.fields ?? [], path);
    case 'list':
      return listWriter(type, field, path);
    case 'json':
      return jsonTextWriter(type, path);
  }
}

function then<T>(check: (value: Value) => T, write: (value: T, output: AvroOutput) => void): Write {
  return (value, output) => write(check(value), output);
}

function decimalWriter(type: AvroType, digits: (value: Value) => bigint, path: string): Write {
  const size = type.kind === 'fixed' ? type.size : undefined;
  const precision = ('logical' in type && type.logical?.precision) || 38;
  const limit = 10n ** BigInt(precision);
  return (value, output) => {
    const unscaled = digits(value);
    const bytes = bytesOfBigint(unscaled, size);
    if (!bytes || unscaled >= limit || unscaled <= -limit) throw badRow(path, 'has too many digits');
    if (size === undefined) output.buffer(bytes);
    else output.fixed(bytes);
  };
}

function stringWriter(type: AvroType, path: string): Write {
  const text = checkOf('string', path);
  if (type.kind === 'enum') {
    const indexes = new Map(type.symbols.map((symbol, index) => [symbol, index]));
    return (value, output) => {
      const index = indexes.get(text(value));
      if (index === undefined) throw badRow(path, `is none of ${type.symbols.slice(0, 20).join(', ')}`);
      output.int(index);
    };
  }
  if (type.kind !== 'fixed') return then(text, (value, output) => output.string(value));
  return (value, output) => {
    const uuid = text(value);
    if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) throw badRow(path, 'is not a UUID');
    output.fixed(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
  };
}

function bytesWriter(type: AvroType, path: string): Write {
  const bytes = checkOf('bytes', path);
  if (type.kind !== 'fixed') return then(bytes, (value, output) => output.buffer(value));
  return (value, output) => {
    const fixed = bytes(value);
    if (fixed.length !== type.size) throw badRow(path, `is not of ${type.size} bytes`);
    output.fixed(fixed);
  };
}

function timestampWriter(type: AvroType, field: ListItem, path: string): Write {
  const time = checkOf('timestamp', path);
  const from = unitOf(field);
  if (type.kind === 'int')
    return (value, output) => {
      const seconds = time(value);
      if (seconds % 86_400n !== 0n) throw badRow(path, 'is not midnight, as a date has to be');
      const days = Number(seconds / 86_400n);
      if (!Number.isSafeInteger(days) || days !== (days | 0))
        throw badRow(path, 'is out of the range of a date');
      output.int(days);
    };
  const to = timeUnitOf(type) ?? from;
  return (value, output) => {
    const converted = convertTimestamp(time(value), from, to);
    if (converted === undefined) throw badRow(path, 'is out of the range of its Avro type');
    output.long(converted);
  };
}

function listWriter(type: AvroType, field: ListItem, path: string): Write {
  if (type.kind !== 'array') throw badRow(path, 'is not an array in the schema');
  const write = valueWriter(type.items, field.items ?? { type: 'string' }, `${path}/*`);
  return (value, output) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    if (value.length > 0) output.int(value.length);
    for (const item of value) write(item, output);
    output.int(0);
  };
}

/** Writes the text of a json column: unchanged if the schema is ours, otherwise as the value of the schema's type. */
export function jsonTextWriter(type: AvroType, path: string): Write {
  const parse = jsonOf(path);
  const text = checkOf('string', path);
  if (isJsonText(type))
    return (value, output) => {
      parse(value);
      output.string(text(value));
    };
  return (value, output) => writeJson(type, parse(value), path, output);
}

function writeJson(type: AvroType, value: unknown, path: string, output: AvroOutput): void {
  if (!takesJson(type, value)) throw badRow(path, 'does not fit the Avro schema');
  switch (type.kind) {
    case 'null':
      break;
    case 'union': {
      const [index, inside] = branchFor(type, value);
      output.int(index);
      writeJson(type.types[index] as AvroType, inside, path, output);
      break;
    }
    case 'record':
      for (const { name, type: member } of type.fields) {
        const found = getterOf(name)(value as object) ?? null;
        writeJson(member, found, pathOf(path, name), output);
      }
      break;
    case 'map':
    case 'array':
      writeJsonItems(type, Object.entries(value as object), path, output);
      break;
    default: {
      const [field, column] = columnOf(type, value, path);
      plainWriter(type, field, path)(column, output);
    }
  }
}

/** The index of the branch that a value takes, -1 if none, and the value without the name of its branch. */
function branchFor({ types, names }: AvroType & { kind: 'union' }, value: unknown): [number, unknown] {
  if (!names || value === null) return [types.findIndex((branch) => takesJson(branch, value)), value];
  const members = typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
  const [name, inside] = members[0] ?? [];
  const index = members.length === 1 ? names.indexOf(name as string) : -1;
  return index >= 0 && takesJson(types[index] as AvroType, inside) ? [index, inside] : [-1, value];
}

function writeJsonItems(
  type: AvroType & { kind: 'map' | 'array' },
  members: [key: string, value: unknown][],
  path: string,
  output: AvroOutput,
): void {
  if (members.length > 0) output.int(members.length);
  for (const [key, member] of members) {
    if (type.kind === 'map') output.string(key.toWellFormed());
    writeJson(type.items, member, `${path}/*`, output);
  }
  output.int(0);
}

/** Whether a JSON value is of the kind that a type takes: what chooses the branch of a union. */
function takesJson(type: AvroType, value: unknown): boolean {
  const number = numberText(value);
  const logical = 'logical' in type ? type.logical?.name : undefined;
  if (timeUnitOf(type)) return typeof value === 'string';
  if (logical === 'decimal') return number !== undefined;
  if (logical === 'json') return true;
  switch (type.kind) {
    case 'null':
      return value === null;
    case 'boolean':
      return typeof value === 'boolean';
    case 'int':
    case 'long':
      return number !== undefined && inRange(number, type.kind === 'int' ? 32 : 64);
    case 'float':
    case 'double':
      return number !== undefined;
    case 'bytes':
    case 'fixed':
    case 'string':
      return typeof value === 'string';
    case 'enum':
      return type.symbols.includes(value as string);
    case 'union':
      return branchFor(type, value)[0] >= 0;
    case 'array':
      return Array.isArray(value);
    default:
      return typeof value === 'object' && value !== null && !Array.isArray(value) && number === undefined;
  }
}

function inRange(text: string, bits: number): boolean {
  return /^-?\d{1,20}$/.test(text) && BigInt.asIntN(bits, BigInt(text)) === BigInt(text);
}

/** The JSON value of a type without members, as a column of the field that the schema would give it. */
function columnOf(type: AvroType, value: unknown, path: string): [ListItem, Value] {
  const text = typeof value === 'string' ? value : (numberText(value) ?? '');
  const field = leafOf(type);
  const { unit = 'millisecond', precision = 38, scale = 0 } = field;
  switch (field.type) {
    case 'timestamp': {
      const time = parseTimestamp(text, unit);
      if (time === undefined) throw badRow(path, 'is not an RFC 3339 time');
      return [field, time];
    }
    case 'decimal128': {
      const decimal = parseDecimal(text, precision, scale);
      if (decimal === undefined) throw badRow(path, 'does not fit the decimal of the Avro schema');
      return [field, decimal];
    }
    case 'json':
      return [{ type: 'string' }, JSON.stringify(value)];
    case 'bool':
      return [field, value as boolean];
    case 'int64':
      return [field, BigInt(text)];
    case 'bytes':
      return [field, Buffer.from(text, 'base64')];
    default:
      return [field, field.type === 'string' ? text : Number(text)];
  }
}
