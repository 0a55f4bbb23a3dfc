import protobuf from 'protobufjs';
import type { Row, Value } from '../format.ts';
import { float32Text } from '../json/encode.ts';
import { exactNumber } from '../json/text.ts';
import { badData } from '../values/bad.ts';
import { setterOf } from '../values/own-property.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { wellKnownOf, wrappedOf } from './fields.ts';

/**
 * The JSON mapping of Protobuf (protobuf.dev/programming-guides/json). Different from it are the names, which are those
 * of the definition, 64-bit integers, which are exact numbers, and fields without presence, which are always there.
 */

/** A decoded message: `definition.ts` gives it a value for every field, null for one that is absent. */
export type Message = Readonly<Record<string, unknown>>;
export type Decode = (found: unknown) => unknown;

type Parse = (type: protobuf.Type, payload: Buffer) => Message;

/** Maximum number of google.protobuf.Any inside each other. */
const maxAny = 32;

/** Shared by the converters of one column. */
export class JsonContext {
  readonly path: string;
  readonly parse: Parse;
  /** A message may contain itself. */
  readonly known = new Map<protobuf.Type, Decode>();
  depth = 0;

  constructor(path: string, parse: Parse) {
    this.path = path;
    this.parse = parse;
  }
}

/** Converts a message into an object that JSON.stringify can write; absent fields are left out. */
export function jsonMessage(type: protobuf.Type, context: JsonContext): Decode {
  const before = context.known.get(type);
  if (before) return before;
  const members: { name: string; set: ReturnType<typeof setterOf>; convert: Decode }[] = [];
  const convert: Decode = (message) => {
    const object: Row = {};
    for (const { name, set, convert } of members) {
      const found = (message as Message)[name];
      if (found !== null) set(object, convert(found) as Value);
    }
    return object;
  };
  context.known.set(type, convert);
  for (const member of type.fieldsArray)
    members.push({ name: member.name, set: setterOf(member.name), convert: jsonMember(member, context) });
  return convert;
}

export function jsonMember(member: protobuf.Field, context: JsonContext): Decode {
  const convert = jsonValue(member, context);
  if (member.repeated) return (list) => (list as unknown[]).map(convert);
  if (!member.map) return convert;
  return (map) => {
    const object: Row = {};
    for (const [key, value] of Object.entries(map as object)) setterOf(key)(object, convert(value) as Value);
    return object;
  };
}

export function jsonValue(member: protobuf.Field, context: JsonContext): Decode {
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Enum) return enumValue(resolvedType);
  if (!resolvedType) return scalarValue(member.type);
  switch (wellKnownOf(resolvedType)) {
    case 'timestamp':
      return (message) => timeText(message as Message, context.path);
    case 'duration':
      return (message) => durationText(message as Message, context.path);
    case 'mask':
      return (message) => ((message as Message).paths as string[]).map(camelPath).join(',');
    case 'any':
      return (message) => anyValue(resolvedType, message as Message, context);
    case 'wrapper': {
      const convert = jsonValue(wrappedOf(resolvedType), context);
      return (message) => convert((message as Message).value);
    }
    case undefined:
      return jsonMessage(resolvedType, context);
    default:
      return onlyMember(jsonMessage(resolvedType, context));
  }
}

/** Struct and ListValue have one member, and Value at most one; `null_value` says that there is none. */
function onlyMember(message: Decode): Decode {
  return (found) => {
    const [[name, value] = ['null', null]] = Object.entries(message(found) as object);
    return name.startsWith('null') ? null : value;
  };
}

/** A number that the definition does not name stays a number. */
function enumValue({ valuesById, fullName }: protobuf.Enum): Decode {
  if (fullName === '.google.protobuf.NullValue') return () => null;
  return (number) => valuesById[number as number] ?? number;
}

function scalarValue(type: string): Decode {
  // A map entry without a value has protobufjs's zero, which is not a bigint.
  if (type.endsWith('64')) return (value) => exactNumber(typeof value === 'bigint' ? value : 0n);
  if (type === 'bytes') return (value) => Buffer.from(value as Uint8Array).toString('base64');
  if (type === 'double') return (value) => numberOrName(value as number, value as number);
  if (type !== 'float') return (value) => value;
  return (value) => numberOrName(value as number, Number(float32Text(value as number)));
}

function numberOrName(value: number, shortest: number): unknown {
  if (!Number.isFinite(value)) return String(value);
  return Object.is(value, -0) ? exactNumber('-0.0') : shortest;
}

const perSecond = 1_000_000_000n;

function timeText({ seconds, nanos }: Message, path: string): string {
  const part = nanos as number;
  const time = (seconds as bigint) * perSecond + BigInt(part);
  const text = part < 0 || part > 999_999_999 ? undefined : formatTimestamp(time, 'nanosecond');
  if (text === undefined) throw badData(path, 'holds a time outside the years 0000 to 9999');
  return `${shortest(text.slice(0, -1))}Z`;
}

/** More than the 10,000 years of a Duration, and what a column of it holds. */
const maxSeconds = 10n ** 12n - 1n;

function durationText({ seconds, nanos }: Message, path: string): string {
  const whole = seconds as bigint;
  const time = whole * perSecond + BigInt(nanos as number);
  if (whole > maxSeconds || whole < -maxSeconds) throw badData(path, 'holds too long a duration');
  const size = time < 0n ? -time : time;
  const fraction = String(size % perSecond).padStart(9, '0');
  return `${time < 0n ? '-' : ''}${shortest(`${size / perSecond}.${fraction}`)}s`;
}

/** Keeps 0, 3, 6 or 9 digits of the fraction. */
function shortest(text: string): string {
  const point = text.length - 10;
  for (const digits of [0, 3, 6]) {
    if (!/[1-9]/.test(text.slice(point + 1 + digits)))
      return text.slice(0, digits === 0 ? point : point + 1 + digits);
  }
  return text;
}

const camelPath = (path: string): string =>
  path.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The message inside, beside its type; base64 if the definition does not have its type. */
function anyValue(any: protobuf.Type, message: Message, context: JsonContext): unknown {
  const url = message[any.fieldsById[1]?.name ?? ''] as string;
  const bytes = Buffer.from(message[any.fieldsById[2]?.name ?? ''] as Uint8Array);
  if (url === '') return {};
  const type = typeOfAny(any, url);
  if (!type) return { '@type': url, value: bytes.toString('base64') };
  if (context.depth === maxAny)
    throw badData(context.path, `holds more than ${maxAny} google.protobuf.Any inside each other`);
  context.depth += 1;
  try {
    const inner = jsonValue(memberOf(type), context)(context.parse(type, bytes));
    return isPlainMessage(type) ? { '@type': url, ...(inner as object) } : { '@type': url, value: inner };
  } finally {
    context.depth -= 1;
  }
}

/** The type that the address of an Any names, among those of the definition. */
export function typeOfAny(any: protobuf.Type, url: string): protobuf.Type | undefined {
  const found = any.root.lookup(`.${url.slice(url.lastIndexOf('/') + 1)}`, protobuf.Type);
  return found instanceof protobuf.Type ? found : undefined;
}

/** Whether the JSON of a message is an object of its members. */
export const isPlainMessage = (type: protobuf.Type): boolean => wellKnownOf(type) === undefined;

/** A field that holds the message. */
export function memberOf(type: protobuf.Type): protobuf.Field {
  const member = new protobuf.Field('value', 1, type.fullName);
  member.resolvedType = type;
  return member;
}
