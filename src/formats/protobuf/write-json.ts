import protobuf from 'protobufjs';
import type { Value } from '../format.ts';
import { isNestedWithin, numberText } from '../json/json-text.ts';
import { maxDepth } from '../json/json-value.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { getterOf } from '../values/own-property.ts';
import { parseTimestamp, timestampToParts } from '../values/timestamp.ts';
import { jsonOf } from '../values/write-value.ts';
import { wellKnownOf, wrappedOf } from './fields.ts';
import {
  durationWriter,
  isValue,
  oneofCheck,
  scalarWriter,
  tagged,
  type Write,
  withTag,
  writeParts,
} from './put.ts';
import { wireOf } from './wire.ts';

/** Compiles the writer of a message from the text of a JSON object with its members. */
export function documentWriter(type: protobuf.Type, path: string): Write {
  return jsonTextWriter(jsonMessageWriter(type, path, new Map()), path);
}

/** Compiles the writer of a JSON text from that of what it says. */
export function jsonTextWriter(write: Write, path: string): Write {
  const parse = jsonOf(path);
  return (value, writer) => {
    const document = parse(value as Value);
    if (!isNestedWithin(document, maxDepth)) throw badRow(path, `is nested more than ${maxDepth} deep`);
    write(document, writer);
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

export function jsonMember(member: protobuf.Field, path: string, known: KnownWriters): Write {
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

export function jsonValue(member: protobuf.Field, path: string, known: KnownWriters): Write {
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
