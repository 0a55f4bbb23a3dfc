import protobuf from 'protobufjs';
import { badRow, pathOf } from '../bad.ts';
import type { Value } from '../format.ts';
import { isNestedWithin, numberText } from '../json-text.ts';
import { maxDepth } from '../json-value.ts';
import { getterOf } from '../own-property.ts';
import { columnsTo } from '../row-literal.ts';
import type { Field } from '../schema.ts';
import { parseTimestamp, timestampToParts } from '../timestamp.ts';
import {
  bigintOf,
  boolOf,
  bytesOf,
  floatOf,
  integerOf,
  jsonOf,
  stringOf,
  structOf,
  timestampOf,
  unscaledOf,
} from '../write-value.ts';
import { isImplicit, wellKnownOf, wrappedOf } from './fields.ts';
import { wireOf } from './wire.ts';

type Writer = protobuf.Writer;

/** Writes a message, or a value without its tag, that is not null; throws `bad_row`. */
type Write = (value: unknown, writer: Writer) => void;

/** Compiles the writer of the rows of a table. A null is left out of the message. */
export function rowWriter(type: protobuf.Type, fields: readonly Field[]): Write {
  const kept = fields.filter((field) => typeof field.metadata_key !== 'string');
  return messageWriter(type, kept, '');
}

/** Compiles the writer of a message from the text of a JSON object with its members. */
export function documentWriter(type: protobuf.Type, path: string): Write {
  return jsonTextWriter(jsonMessageWriter(type, path, new Map()), path);
}

function jsonTextWriter(write: Write, path: string): Write {
  const parse = jsonOf(path);
  return (value, writer) => {
    const document = parse(value as Value);
    if (!isNestedWithin(document, maxDepth)) throw badRow(path, `is nested more than ${maxDepth} deep`);
    write(document, writer);
  };
}

function messageWriter(type: protobuf.Type, fields: readonly Field[], path: string): Write {
  const struct = structOf(path);
  const steps = type.fieldsArray.flatMap((member) => {
    const field = fields.find(({ name }) => name === member.name);
    if (!field) return [];
    const at = pathOf(path, member.name);
    return [{ name: member.name, write: orAbsent(typedMember(member, field, at), field.required, at) }];
  });
  const writeColumns = columnsTo(steps);
  const checkOneofs = oneofCheck(type, path);
  return (value, writer) => {
    const row = struct(value as Value);
    checkOneofs?.(row);
    writeColumns(row, writer);
  };
}

/** What is null is left out. */
function orAbsent(write: Write, required: boolean | undefined, path: string): Write {
  return (value, writer) => {
    if (value !== null && value !== undefined) write(value, writer);
    else if (required) throw badRow(path, 'is required but null');
  };
}

/** A reader would keep the last of two, and nobody would know. */
function oneofCheck(type: protobuf.Type, path: string): ((row: object) => void) | undefined {
  const oneofs = type.oneofsArray
    .filter(({ oneof }) => oneof.length > 1)
    .map(({ name, oneof }) => ({ name, getters: oneof.map(getterOf) }));
  if (oneofs.length === 0) return undefined;
  return (row) => {
    for (const { name, getters } of oneofs) {
      const set = getters.filter((get) => (get(row) ?? null) !== null);
      if (set.length > 1) throw badRow(path, `has more than one value in the oneof ${name}`);
    }
  };
}

function typedMember(member: protobuf.Field, field: Field, path: string): Write {
  if (member.map) return jsonTextWriter(jsonMember(member, path, new Map()), path);
  const item = member.repeated ? field.items : field;
  const at = member.repeated ? `${path}/*` : path;
  return tagged(member, path, typedValue(member, item?.fields, item?.type === 'json', at));
}

/** The writer of one value of a field, without its tag. */
function typedValue(
  member: protobuf.Field,
  fields: readonly Field[] | undefined,
  json: boolean,
  path: string,
): Write {
  const { resolvedType } = member;
  if (!(resolvedType instanceof protobuf.Type)) return scalarWriter(member, path);
  if (json) return jsonTextWriter(jsonValue(member, path, new Map()), path);
  const known = wellKnownOf(resolvedType);
  if (known === 'timestamp') {
    const time = timestampOf(path);
    return (value, writer) => {
      const { seconds, nanoseconds } = timestampToParts(time(value as Value), 'nanosecond');
      writeParts(seconds, nanoseconds, writer);
    };
  }
  if (known === 'duration') return durationWriter(path);
  if (known === 'wrapper') {
    const inner = wrappedOf(resolvedType);
    return tagged(inner, path, typedValue(inner, undefined, false, path));
  }
  return messageWriter(resolvedType, fields ?? [], path);
}

function durationWriter(path: string): Write {
  const digits = unscaledOf(9, path);
  return (value, writer) => {
    const nanoseconds = digits(value as Value);
    // Both halves of a duration have the same sign.
    writeParts(nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n, writer);
  };
}

function writeParts(seconds: bigint, nanos: bigint, writer: Writer): void {
  if (seconds !== 0n) writer.uint32(8).int64(longOf(seconds) as never);
  if (nanos !== 0n) writer.uint32(16).int32(Number(nanos));
}

/** Puts the tag before the value, and the length around a message; a list is packed where its type says so. */
function tagged(member: protobuf.Field, path: string, write: Write): Write {
  const wire = wireOf(member);
  const single = withTag(member.id, wire, write, member.resolvedType instanceof protobuf.Type);
  if (!member.repeated) return isImplicit(member) ? unlessDefault(member, single) : single;
  const packed = member.packed && wire !== 2 && wire !== 3;
  const nullable = isValue(member);
  const tag = member.id * 8 + 2;
  return (value, writer) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    if (!nullable && value.some((item) => item === null || item === undefined)) {
      throw badRow(`${path}/*`, 'is null, which a repeated field cannot hold');
    }
    if (!packed) for (const item of value) single(item, writer);
    else if (value.length > 0) {
      writer.uint32(tag).fork();
      for (const item of value) write(item, writer);
      writer.ldelim();
    }
  };
}

/** google.protobuf.Value is the one type with a null of its own. */
function isValue({ resolvedType }: protobuf.Field): boolean {
  return resolvedType instanceof protobuf.Type && wellKnownOf(resolvedType) === 'value';
}

function withTag(id: number, wire: number, write: Write, message: boolean): Write {
  const tag = (id * 8 + wire) >>> 0;
  if (!message) {
    return (value, writer) => {
      writer.uint32(tag);
      write(value, writer);
    };
  }
  if (wire === 3) {
    return (value, writer) => {
      writer.uint32(tag);
      write(value, writer);
      writer.uint32(tag + 1);
    };
  }
  return (value, writer) => {
    writer.uint32(tag).fork();
    write(value, writer);
    writer.ldelim();
  };
}

/** Without presence, the default is written by leaving it out; -0 is not the default. */
function unlessDefault(member: protobuf.Field, write: Write): Write {
  const { resolvedType } = member;
  const zero = resolvedType instanceof protobuf.Enum ? (resolvedType.valuesById[0] ?? '0') : undefined;
  return (value, writer) => {
    const empty = Object.is(value, 0) || value === 0n || value === '' || value === false || value === zero;
    if (!empty && !(Buffer.isBuffer(value) && value.length === 0)) write(value, writer);
  };
}

function scalarWriter({ resolvedType, type }: protobuf.Field, path: string): Write {
  if (resolvedType instanceof protobuf.Enum) return enumWriter(resolvedType, path);
  const check = checkOf(type, path);
  switch (type) {
    case 'int64':
    case 'sint64':
    case 'sfixed64':
    case 'uint64':
    case 'fixed64':
      return (value, writer) => {
        writer[type](longOf(check(value as Value) as bigint) as never);
      };
    case 'string':
      return (value, writer) => {
        writer.string(check(value as Value) as string);
      };
    case 'double':
      return (value, writer) => {
        writer.double(check(value as Value) as number);
      };
    case 'int32':
      return (value, writer) => {
        writer.int32(check(value as Value) as number);
      };
    case 'bool':
      return (value, writer) => {
        writer.bool(check(value as Value) as boolean);
      };
    default: {
      const method = type as 'uint32';
      return (value, writer) => {
        writer[method](check(value as Value) as number);
      };
    }
  }
}

function checkOf(type: string, path: string): (value: Value) => unknown {
  switch (type) {
    case 'int64':
    case 'sint64':
    case 'sfixed64':
      return bigintOf('int64', path);
    case 'uint64':
    case 'fixed64':
      return bigintOf('uint64', path);
    case 'uint32':
    case 'fixed32':
      return integerOf('uint32', path);
    case 'float':
    case 'double':
      return floatOf(path);
    case 'bool':
      return boolOf(path);
    case 'string':
      return stringOf(path);
    case 'bytes':
      return bytesOf(path);
    default:
      return integerOf('int32', path);
  }
}

const halves = new DataView(new ArrayBuffer(8));

/** What protobufjs takes for 64 bits, signed or not: the two halves. */
function longOf(value: bigint): { low: number; high: number } {
  halves.setBigInt64(0, value);
  return { low: halves.getInt32(4), high: halves.getInt32(0) };
}

/** Takes a name, or the text of a number that has none. */
function enumWriter({ values }: protobuf.Enum, path: string): Write {
  return (value, writer) => {
    const name = typeof value === 'string' ? value : '';
    const number = Object.hasOwn(values, name) ? values[name] : Number(/^-?\d{1,10}$/.exec(name)?.[0] ?? '!');
    if (number === undefined || number !== (number | 0)) {
      throw badRow(path, `is none of ${Object.keys(values).slice(0, 20).join(', ')}`);
    }
    writer.int32(number);
  };
}

type KnownWriters = Map<protobuf.Type, Write>;

/** Writes a message from a JSON object: what a member cannot take is refused, and so are members it does not have. */
function jsonMessageWriter(type: protobuf.Type, path: string, known: KnownWriters): Write {
  const before = known.get(type);
  if (before) return before;
  // A message may hold itself, so its writer has to be there before those of its fields.
  let compiled: Write = () => {};
  known.set(type, (value, writer) => compiled(value, writer));
  const members = type.fieldsArray.map((member) => ({
    get: getterOf(member.name),
    write: jsonMember(member, pathOf(path, member.name), known),
  }));
  const names = new Set(type.fieldsArray.map(({ name }) => name));
  const checkOneofs = oneofCheck(type, path);
  compiled = (value, writer) => {
    if (!entriesOf(value, path).every(([name]) => names.has(name))) {
      throw badRow(path, 'has a member that the message does not have');
    }
    checkOneofs?.(value as object);
    for (const { get, write } of members) {
      const found = get(value as object) ?? null;
      if (found !== null) write(found, writer);
    }
  };
  return compiled;
}

function entriesOf(value: unknown, path: string): [string, unknown][] {
  const object = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!object || numberText(value) !== undefined) throw badRow(path, 'is not an object');
  return Object.entries(value);
}

function jsonMember(member: protobuf.Field, path: string, known: KnownWriters): Write {
  if (!member.map) return tagged(member, path, jsonValue(member, path, known));
  const key = new protobuf.Field('key', 1, (member as unknown as protobuf.MapField).keyType);
  const value = new protobuf.Field('value', 2, member.type);
  value.resolvedType = member.resolvedType;
  const writeKey = withTag(1, wireOf(key), jsonValue(key, path, known), false);
  const isMessage = value.resolvedType instanceof protobuf.Type;
  const writeValue = withTag(2, wireOf(value), jsonValue(value, path, known), isMessage);
  const nullable = isValue(value);
  const tag = member.id * 8 + 2;
  return (object, writer) => {
    for (const [name, found] of entriesOf(object, path)) {
      if (found === null && !nullable) throw badRow(path, 'holds a null, which a map cannot');
      writer.uint32(tag).fork();
      writeKey(name, writer);
      writeValue(found, writer);
      writer.ldelim();
    }
  };
}

function jsonValue(member: protobuf.Field, path: string, known: KnownWriters): Write {
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Type) {
    return wellKnownJson(resolvedType, path, known) ?? jsonMessageWriter(resolvedType, path, known);
  }
  const write = scalarWriter(member, path);
  if (resolvedType instanceof protobuf.Enum)
    return (value, writer) => write(numberText(value) ?? value, writer);
  const read = columnOf(member.type, path);
  return (value, writer) => write(read(value), writer);
}

/** The JSON value of a scalar as the value of its column. Keys of maps are texts, whatever their type. */
function columnOf(type: string, path: string): (value: unknown) => unknown {
  if (type.endsWith('64')) {
    return (value) => {
      const text = typeof value === 'string' ? value : (numberText(value) ?? '');
      if (!/^-?\d{1,20}$/.test(text)) throw badRow(path, 'is not a whole number');
      return BigInt(text);
    };
  }
  if (type === 'string') return (value) => value;
  if (type === 'bytes') return (value) => (typeof value === 'string' ? Buffer.from(value, 'base64') : value);
  if (type === 'bool') return (value) => (value === 'true' ? true : value === 'false' ? false : value);
  return (value) => {
    const text = typeof value === 'string' && value !== '' ? value : numberText(value);
    return text === undefined ? value : Number(text);
  };
}

/** The opposite of how these are read: as the JSON mapping of Protobuf has them. */
function wellKnownJson(type: protobuf.Type, path: string, known: KnownWriters): Write | undefined {
  switch (wellKnownOf(type)) {
    case 'timestamp':
      return (value, writer) => {
        const time = parseTimestamp(String(value), 'nanosecond');
        if (time === undefined) throw badRow(path, 'is not an RFC 3339 time');
        const { seconds, nanoseconds } = timestampToParts(time, 'nanosecond');
        writeParts(seconds, nanoseconds, writer);
      };
    case 'duration': {
      const write = durationWriter(path);
      return (value, writer) => write(String(value).replace(/s$/, ''), writer);
    }
    case 'wrapper': {
      const inner = wrappedOf(type);
      return tagged(inner, path, jsonValue(inner, path, known));
    }
    case 'struct':
      return wrapping(type, path, known, (value) => ({ fields: value }));
    case 'list':
      return wrapping(type, path, known, (value) => ({ values: value }));
    case 'value':
      return wrapping(type, path, known, (value) => ({ [memberFor(type, value)]: value ?? 'NULL_VALUE' }));
    default:
      return undefined;
  }
}

function wrapping(
  type: protobuf.Type,
  path: string,
  known: KnownWriters,
  wrap: (value: unknown) => object,
): Write {
  const write = jsonMessageWriter(type, path, known);
  return (value, writer) => write(wrap(value), writer);
}

/** The member of google.protobuf.Value for a JSON value: found by its number, as the names depend on who parsed them. */
function memberFor(type: protobuf.Type, value: unknown): string {
  return type.fieldsById[memberNumber(value)]?.name ?? '';
}

function memberNumber(value: unknown): number {
  if (value === null) return 1;
  if (numberText(value) !== undefined) return 2;
  if (typeof value === 'string') return 3;
  if (typeof value === 'boolean') return 4;
  return Array.isArray(value) ? 6 : 5;
}
