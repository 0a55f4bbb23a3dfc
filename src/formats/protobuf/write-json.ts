import protobuf from 'protobufjs';
import type { Row, Value } from '../format.ts';
import { numberText } from '../json/text.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { bytesOfBase64 } from '../values/base64.ts';
import { getterOf, setterOf } from '../values/own-property.ts';
import { parseTimestamp } from '../values/timestamp.ts';
import { checkOf, jsonOf, unscaledOf } from '../values/write.ts';
import { scalarTypes, wellKnownOf, wrappedOf } from './fields.ts';
import { isPlainMessage, memberOf, typeOfAny } from './read-json.ts';

/** Converts a value that is not null into what protobufjs writes; throws `bad_row`. */
export type Encode = (value: unknown) => unknown;

/** A reader would silently keep only the last of two. */
export function oneofCheck(type: protobuf.Type, path: string): ((row: object) => void) | undefined {
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

export function listOf(member: protobuf.Field, path: string, convert: Encode): Encode {
  const nullable = isValue(member);
  return (value) => {
    if (!Array.isArray(value)) throw badRow(path, 'is not a list');
    if (!nullable && value.some((item) => item === null || item === undefined))
      throw badRow(`${path}/*`, 'is null, which a repeated field cannot hold');
    return value.map(convert);
  };
}

/** google.protobuf.Value is the one type with a null of its own. */
export function isValue({ resolvedType }: protobuf.Field): boolean {
  return resolvedType instanceof protobuf.Type && wellKnownOf(resolvedType) === 'value';
}

export const parts = (seconds: bigint, nanoseconds: bigint) => ({
  seconds: longOf(seconds),
  nanos: Number(nanoseconds),
});

/** Both halves have the same sign. */
export const durationParts = (nanoseconds: bigint) =>
  parts(nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n);

export function scalarOf({ resolvedType, type }: protobuf.Field, path: string): Encode {
  if (resolvedType instanceof protobuf.Enum) return numberIn(resolvedType, path);
  const column = scalarTypes[type] ?? 'string';
  const check = checkOf(column, path) as (value: Value) => unknown;
  if (column !== 'int64' && column !== 'uint64') return check as Encode;
  return (value) => longOf(check(value as Value) as bigint);
}

const halves = new DataView(new ArrayBuffer(8));

/** A 64-bit integer as protobufjs accepts it, signed or not: two halves. */
function longOf(value: bigint): { low: number; high: number } {
  halves.setBigInt64(0, value);
  return { low: halves.getInt32(4), high: halves.getInt32(0) };
}

/** Takes a name, or the text of a number that has none. */
function numberIn({ values }: protobuf.Enum, path: string): Encode {
  return (value) => {
    const name = typeof value === 'string' ? value : '';
    const number = Object.hasOwn(values, name) ? values[name] : Number(/^-?\d{1,10}$/.exec(name)?.[0] ?? '!');
    if (number === undefined || number !== (number | 0))
      throw badRow(path, `is none of ${Object.keys(values).slice(0, 20).join(', ')}`);
    return number;
  };
}

export function jsonText(convert: Encode, path: string): Encode {
  const parse = jsonOf(path);
  return (value) => convert(parse(value as Value));
}

type KnownWriter = Map<protobuf.Type, Encode>;

/** Converts a JSON object: what a member cannot take is refused, and so are members that the message does not have. */
export function jsonMessage(type: protobuf.Type, path: string, known: KnownWriter): Encode {
  const before = known.get(type);
  if (before) return before;
  const members = new Map<string, { name: string; convert: Encode }>();
  const checkOneofs = oneofCheck(type, path);
  const convert: Encode = (value) => {
    const message: Row = {};
    for (const [name, found] of entriesOf(value, path)) {
      const member = members.get(name);
      if (!member) throw badRow(path, 'has a member that the message does not have');
      if (found !== null) setterOf(member.name)(message, member.convert(found) as Value);
    }
    checkOneofs?.(message);
    return message;
  };
  // A message may hold itself.
  known.set(type, convert);
  for (const member of type.fieldsArray) {
    const write = { name: member.name, convert: jsonMember(member, pathOf(path, member.name), known) };
    for (const name of [jsonNameOf(member), member.name]) members.set(name, write);
  }
  return convert;
}

/** The name in JSON, which a definition may set. */
function jsonNameOf({ name, options }: protobuf.Field): string {
  if (typeof options?.json_name === 'string') return options.json_name;
  return name.replaceAll(/_+([a-z0-9])?/g, (_, letter: string | undefined) => (letter ?? '').toUpperCase());
}

function entriesOf(value: unknown, path: string): [string, unknown][] {
  const object = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!object || numberText(value) !== undefined) throw badRow(path, 'is not an object');
  return Object.entries(value);
}

export function jsonMember(member: protobuf.Field, path: string, known: KnownWriter): Encode {
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
export function jsonValue(member: protobuf.Field, path: string, known: KnownWriter): Encode {
  const { resolvedType } = member;
  if (!(resolvedType instanceof protobuf.Type)) {
    const convert = scalarOf(member, path);
    const read = resolvedType
      ? (value: unknown) => numberText(value) ?? value
      : jsonScalar(member.type, path);
    return (value) => convert(read(value));
  }
  switch (wellKnownOf(resolvedType)) {
    case 'timestamp':
      return (value) => timeParts(value, path);
    case 'duration': {
      const digits = unscaledOf(9, path);
      return (value) => durationParts(digits(String(value).replace(/s$/, '')));
    }
    case 'mask':
      return (value) => ({ [resolvedType.fieldsById[1]?.name ?? '']: maskPaths(value, path) });
    case 'any':
      return (value) => anyMessage(resolvedType, value, path);
    case 'wrapper': {
      const convert = jsonValue(wrappedOf(resolvedType), path, known);
      return (value) => ({ value: convert(value) });
    }
    case undefined:
      return jsonMessage(resolvedType, path, known);
    case 'value':
      return onlyMember(resolvedType, jsonMessage(resolvedType, path, known), memberNumber);
    default:
      return onlyMember(resolvedType, jsonMessage(resolvedType, path, known), () => 1);
  }
}

/** Found by its number: the names depend on who parsed the definition. */
function onlyMember(type: protobuf.Type, convert: Encode, numberOf: (value: unknown) => number): Encode {
  return (value) => convert({ [type.fieldsById[numberOf(value)]?.name ?? '']: value ?? 'NULL_VALUE' });
}

/** Any year of RFC 3339. */
function timeParts(value: unknown, path: string): object {
  const text = String(value);
  const seconds = parseTimestamp(text, 'second');
  if (seconds === undefined) throw badRow(path, 'is not an RFC 3339 time');
  const [, fraction = ''] = /\.(\d+)/.exec(text) ?? [];
  return parts(seconds, BigInt(fraction.slice(0, 9).padEnd(9, '0')));
}

function maskPaths(value: unknown, path: string): string[] {
  if (typeof value !== 'string') throw badRow(path, 'is not the text of a FieldMask');
  if (value === '') return [];
  return value.split(',').map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

function anyMessage(any: protobuf.Type, value: unknown, path: string): object {
  const { '@type': url, ...members } = Object.fromEntries(entriesOf(value, path));
  if (url === undefined && Object.keys(members).length === 0) return {};
  if (typeof url !== 'string') throw badRow(path, 'is a google.protobuf.Any without @type');
  const type = typeOfAny(any, url);
  const inner = type && !isPlainMessage(type) ? members.value : members;
  const bytes = type
    ? type.encode(jsonValue(memberOf(type), path, new Map())(inner) as object).finish()
    : base64(members.value, path);
  const [urlName = '', bytesName = ''] = [1, 2].map((number) => any.fieldsById[number]?.name);
  return { [urlName]: url, [bytesName]: bytes };
}

function base64(value: unknown, path: string): Buffer {
  const bytes = typeof value === 'string' ? bytesOfBase64(value) : undefined;
  if (!bytes) throw badRow(path, 'is not a base64 string');
  return bytes;
}

/** The JSON value of a scalar as the value of its column. Keys of maps are texts, whatever their type. */
function jsonScalar(type: string, path: string): Encode {
  if (type.endsWith('64'))
    return (value) => {
      const text = typeof value === 'string' ? value : (numberText(value) ?? '');
      if (!/^-?\d{1,20}$/.test(text)) throw badRow(path, 'is not a whole number');
      return BigInt(text);
    };
  if (type === 'string') return (value) => value;
  if (type === 'bytes') return (value) => base64(value, path);
  if (type === 'bool') return (value) => (value === 'true' ? true : value === 'false' ? false : value);
  return (value) => {
    // As a text, -0 would lose its sign.
    if (typeof value === 'number') return value;
    const text = typeof value === 'string' ? value : numberText(value);
    if (text === undefined || !/^(?:NaN|-?Infinity|-?\d[\d.eE+-]*)$/.test(text))
      throw badRow(path, 'is not a number');
    return Number(text);
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
