import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../format.ts';
import { numberText } from '../json/text.ts';
import { type Field, messageFields } from '../schema/schema.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { getterOf, setterOf } from '../values/own-property.ts';
import { rowFromObject } from '../values/row.ts';
import { parseTimestamp, timestampToParts } from '../values/timestamp.ts';
import { checkOf, jsonOf, orNull, structOf, unscaledOf } from '../values/write.ts';
import { scalarTypes, wellKnownOf, wrappedOf } from './fields.ts';

/** Converts a value that is not null into what protobufjs writes; throws `bad_row`. */
type Convert = (value: unknown) => unknown;

/** Compiles the writer of the rows of a table. A null is left out of the message. */
export function rowWriter(type: protobuf.Type, fields: readonly Field[]): (row: Row) => Buffer {
  return encoder(type, messageOf(type, messageFields(fields), ''));
}

/** Compiles the writer of a message from the text of a JSON object with its members. */
export function documentWriter(type: protobuf.Type, path: string): (text: Value) => Buffer {
  return encoder(type, jsonText(jsonMessage(type, path, new Map()), path));
}

function encoder(type: protobuf.Type, convert: Convert): (value: Value) => Buffer {
  return (value) => {
    const message = convert(value) as object;
    try {
      return type.encode(message).finish() as Buffer;
    } catch (error) {
      if (error instanceof PenstockError) throw error;
      throw badRow('', `is nested more than ${protobuf.util.recursionLimit} deep`);
    }
  };
}

function messageOf(type: protobuf.Type, fields: readonly Field[], path: string): Convert {
  const struct = structOf(path);
  const members = type.fieldsArray.flatMap((member) => {
    const field = fields.find(({ name }) => name === member.name);
    if (!field) return [];
    const at = pathOf(path, member.name);
    const write = orNull(columnOf(member, field, at), field.required, at);
    return [{ name: member.name, read: write as (value: unknown) => Value }];
  });
  const make = rowFromObject(members);
  const checkOneofs = oneofCheck(type, path);
  return (value) => {
    const row = struct(value as Value);
    checkOneofs?.(row);
    return make(row);
  };
}

/** A reader would silently keep only the last of two. */
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

function columnOf(member: protobuf.Field, field: Field, path: string): Convert {
  if (member.map) return jsonText(jsonMember(member, path, new Map()), path);
  if (!member.repeated) return itemOf(member, field.fields, field.type === 'json', path);
  const { items } = field;
  return listOf(member, path, itemOf(member, items?.fields, items?.type === 'json', `${path}/*`));
}

function listOf(member: protobuf.Field, path: string, convert: Convert): Convert {
  const nullable = isValue(member);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    if (!nullable && value.some((item) => item === null || item === undefined))
      throw badRow(`${path}/*`, 'is null, which a repeated field cannot hold');
    return value.map(convert);
  };
}

/** google.protobuf.Value is the one type with a null of its own. */
function isValue({ resolvedType }: protobuf.Field): boolean {
  return resolvedType instanceof protobuf.Type && wellKnownOf(resolvedType) === 'value';
}

function itemOf(
  member: protobuf.Field,
  fields: readonly Field[] | undefined,
  json: boolean,
  path: string,
): Convert {
  const { resolvedType } = member;
  if (!(resolvedType instanceof protobuf.Type)) return scalarOf(member, path);
  if (json) return jsonText(jsonValue(member, path, new Map()), path);
  switch (wellKnownOf(resolvedType)) {
    case 'timestamp': {
      const time = checkOf('timestamp', path);
      return (value) => {
        const { seconds, nanoseconds } = timestampToParts(time(value as Value), 'nanosecond');
        return parts(seconds, nanoseconds);
      };
    }
    case 'duration': {
      const digits = unscaledOf(9, path);
      return (value) => {
        const nanoseconds = digits(value as Value);
        // Both halves have the same sign.
        return parts(nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n);
      };
    }
    case 'wrapper': {
      const convert = itemOf(wrappedOf(resolvedType), undefined, false, path);
      return (value) => ({ value: convert(value) });
    }
    default:
      return messageOf(resolvedType, fields ?? [], path);
  }
}

const parts = (seconds: bigint, nanoseconds: bigint) => ({
  seconds: longOf(seconds),
  nanos: Number(nanoseconds),
});

function scalarOf({ resolvedType, type }: protobuf.Field, path: string): Convert {
  if (resolvedType instanceof protobuf.Enum) return numberIn(resolvedType, path);
  const column = scalarTypes[type] ?? 'string';
  const check = checkOf(column, path) as (value: Value) => unknown;
  if (column !== 'int64' && column !== 'uint64') return check as Convert;
  return (value) => longOf(check(value as Value) as bigint);
}

const halves = new DataView(new ArrayBuffer(8));

/** A 64-bit integer as protobufjs accepts it, signed or not: two halves. */
function longOf(value: bigint): { low: number; high: number } {
  halves.setBigInt64(0, value);
  return { low: halves.getInt32(4), high: halves.getInt32(0) };
}

/** Takes a name, or the text of a number that has none. */
function numberIn({ values }: protobuf.Enum, path: string): Convert {
  return (value) => {
    const name = typeof value === 'string' ? value : '';
    const number = Object.hasOwn(values, name) ? values[name] : Number(/^-?\d{1,10}$/.exec(name)?.[0] ?? '!');
    if (number === undefined || number !== (number | 0))
      throw badRow(path, `is none of ${Object.keys(values).slice(0, 20).join(', ')}`);
    return number;
  };
}

function jsonText(convert: Convert, path: string): Convert {
  const parse = jsonOf(path);
  return (value) => convert(parse(value as Value));
}

type Known = Map<protobuf.Type, Convert>;

/** Converts a JSON object: what a member cannot take is refused, and so are members that the message does not have. */
function jsonMessage(type: protobuf.Type, path: string, known: Known): Convert {
  const before = known.get(type);
  if (before) return before;
  const members = new Map<string, Convert>();
  const checkOneofs = oneofCheck(type, path);
  const convert: Convert = (value) => {
    const message: Row = {};
    for (const [name, found] of entriesOf(value, path)) {
      const convert = members.get(name);
      if (!convert) throw badRow(path, 'has a member that the message does not have');
      if (found !== null) setterOf(name)(message, convert(found) as Value);
    }
    checkOneofs?.(value as object);
    return message;
  };
  // A message may hold itself.
  known.set(type, convert);
  for (const member of type.fieldsArray)
    members.set(member.name, jsonMember(member, pathOf(path, member.name), known));
  return convert;
}

function entriesOf(value: unknown, path: string): [string, unknown][] {
  const object = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!object || numberText(value) !== undefined) throw badRow(path, 'is not an object');
  return Object.entries(value);
}

function jsonMember(member: protobuf.Field, path: string, known: Known): Convert {
  const convert = jsonValue(member, path, known);
  if (member.repeated) return listOf(member, path, convert);
  if (!member.map) return convert;
  const key = new protobuf.Field('key', 1, (member as unknown as protobuf.MapField).keyType);
  const checkKey = jsonValue(key, path, known);
  const nullable = isValue(member);
  return (object) => {
    const map: Row = {};
    for (const [name, found] of entriesOf(object, path)) {
      if (found === null && !nullable) throw badRow(path, 'holds a null, which a map cannot');
      checkKey(name);
      setterOf(name)(map, convert(found) as Value);
    }
    return map;
  };
}

/** Messages of google.protobuf are taken as the JSON mapping of Protobuf has them. */
function jsonValue(member: protobuf.Field, path: string, known: Known): Convert {
  const { resolvedType } = member;
  const kind = resolvedType instanceof protobuf.Type ? wellKnownOf(resolvedType) : 'scalar';
  if (kind === 'scalar' || kind === 'timestamp' || kind === 'duration') {
    const convert = itemOf(member, undefined, false, path);
    const read = resolvedType ? textOf(kind, path) : jsonScalar(member.type, path);
    return (value) => convert(read(value));
  }
  const type = resolvedType as protobuf.Type;
  if (kind === 'wrapper') {
    const convert = jsonValue(wrappedOf(type), path, known);
    return (value) => ({ value: convert(value) });
  }
  const convert = jsonMessage(type, path, known);
  if (kind === undefined) return convert;
  return (value) => {
    // Found by its number: the names depend on who parsed the definition.
    const name = type.fieldsById[kind === 'value' ? memberNumber(value) : 1]?.name ?? '';
    return convert({ [name]: value ?? 'NULL_VALUE' });
  };
}

/** The JSON value of an enum, a time or a duration as the value of its column. */
function textOf(kind: 'scalar' | 'timestamp' | 'duration', path: string): Convert {
  if (kind === 'scalar') return (value) => numberText(value) ?? value;
  if (kind === 'duration') return (value) => String(value).replace(/s$/, '');
  return (value) => {
    const time = parseTimestamp(String(value), 'nanosecond');
    if (time === undefined) throw badRow(path, 'is not an RFC 3339 time');
    return time;
  };
}

/** The JSON value of a scalar as the value of its column. Keys of maps are texts, whatever their type. */
function jsonScalar(type: string, path: string): Convert {
  if (type.endsWith('64'))
    return (value) => {
      const text = typeof value === 'string' ? value : (numberText(value) ?? '');
      if (!/^-?\d{1,20}$/.test(text)) throw badRow(path, 'is not a whole number');
      return BigInt(text);
    };
  if (type === 'string') return (value) => value;
  if (type === 'bytes') return (value) => (typeof value === 'string' ? Buffer.from(value, 'base64') : value);
  if (type === 'bool') return (value) => (value === 'true' ? true : value === 'false' ? false : value);
  return (value) => {
    const text = typeof value === 'string' && value !== '' ? value : numberText(value);
    return text === undefined ? value : Number(text);
  };
}

/** The number of the member of google.protobuf.Value for a JSON value. */
function memberNumber(value: unknown): number {
  if (value === null) return 1;
  if (numberText(value) !== undefined) return 2;
  if (typeof value === 'string') return 3;
  if (typeof value === 'boolean') return 4;
  return Array.isArray(value) ? 6 : 5;
}
