import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../format.ts';
import { type Field, isMetadata, type ListItem } from '../schema/schema.ts';
import { sqlType, type TimestampUnit, unitOf } from '../schema/sql-type.ts';
import { badData, pathOf } from '../values/bad.ts';
import { formatDecimal } from '../values/decimal.ts';
import { rowFromObject } from '../values/row.ts';
import { textOf } from '../values/text-check.ts';
import { timestampFromParts } from '../values/timestamp.ts';
import { fieldsFromMessage, wellKnownOf, wrappedOf } from './fields.ts';
import { type Decode, JsonContext, jsonMember, jsonMessage, jsonValue, type Message } from './read-json.ts';

/** Compiles the reader of a message into the fields of a table; it throws `bad_data`. */
export function rowReader(type: protobuf.Type, fields: readonly Field[]): (payload: Buffer) => Row {
  const convert = rowOf(type, fields, '');
  return (payload) => convert(parse(type, payload));
}

/**
 * Compiles the same for fields that were not derived from the message. They are matched by name, and missing ones are null. Throws
 * `bad_data` if a field is of another type.
 */
export function fittingReader(type: protobuf.Type, fields: readonly Field[]): (payload: Buffer) => Row {
  const derived = new Map(fieldsFromMessage(type).map((field) => [field.name, field]));
  const missing: Field[] = [];
  const present = fields.filter((field) => {
    const found = isMetadata(field) ? undefined : derived.get(field.name);
    if (found) checkFit(field, found, pathOf('', field.name));
    else if (field.required && !isMetadata(field))
      throw badData(pathOf('', field.name), 'is required but missing in the schema it was written with');
    else missing.push(field);
    return found !== undefined;
  });
  const read = rowReader(type, present);
  return (payload) => {
    const row = read(payload);
    for (const { name } of missing) row[name] = null;
    return row;
  };
}

function checkFit(field: ListItem, found: ListItem, path: string): void {
  const isSame =
    field.type === found.type &&
    (field.type !== 'decimal128' || (field.precision === found.precision && field.scale === found.scale));
  if (!isSame)
    throw badData(path, `is ${sqlType(found)} in the schema it was written with, not ${sqlType(field)}`);
  if (field.items && found.items) checkFit(field.items, found.items, `${path}/*`);
  for (const member of field.fields ?? []) {
    const other = found.fields?.find(({ name }) => name === member.name);
    if (!other) throw badData(pathOf(path, member.name), 'is missing in the schema it was written with');
    checkFit(member, other, pathOf(path, member.name));
  }
}

/** Compiles the reader of any message into a JSON text. */
export function documentReader(type: protobuf.Type): (payload: Buffer) => string {
  const convert = jsonMessage(type, new JsonContext('/value', parse));
  return (payload) => JSON.stringify(convert(parse(type, payload)));
}

function parse(type: protobuf.Type, payload: Buffer): Message {
  try {
    return type.decode(new ExactReader(payload)) as unknown as Message;
  } catch (error) {
    if (error instanceof PenstockError) throw error;
    const nesting = protobuf.Reader.recursionLimit;
    throw badData('', `is not a Protobuf message of its type, or is nested more than ${nesting} deep`);
  }
}

/** Reads 64-bit integers as bigints, and refuses text that is not UTF-8. protobufjs checks lengths, nesting and wire types. */
class ExactReader extends protobuf.BufferReader {
  override string(): string {
    const end = this.uint32() + this.pos;
    if (end > this.len) throw new RangeError('The message is cut off within a text');
    const text = textOf(this.buf as Buffer, this.pos, end);
    if (text === undefined) throw badData('', 'holds text that is not UTF-8');
    this.pos = end;
    return text;
  }
  override stringVerify(): string {
    return this.string();
  }
  override int64(): never {
    return signed(super.int64()) as never;
  }
  override sint64(): never {
    return signed(super.sint64()) as never;
  }
  override sfixed64(): never {
    return signed(super.sfixed64()) as never;
  }
  override uint64(): never {
    return unsigned(super.uint64()) as never;
  }
  override fixed64(): never {
    return unsigned(super.fixed64()) as never;
  }
}

type Long = ReturnType<protobuf.Reader['int64']>;

/** Up to 2^53 through a double, which is much faster. */
function signed({ high, low }: Long): bigint {
  if (high > -0x20_0000 && high < 0x20_0000) return BigInt(high * 2 ** 32 + (low >>> 0));
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function unsigned({ high, low }: Long): bigint {
  if (high >>> 0 < 0x20_0000) return BigInt((high >>> 0) * 2 ** 32 + (low >>> 0));
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function rowOf(type: protobuf.Type, fields: readonly Field[], path: string): (message: object) => Row {
  const members = fields.map((field) => {
    if (isMetadata(field)) return { name: field.name, read: () => null };
    const at = pathOf(path, field.name);
    const member = Object.hasOwn(type.fields, field.name) ? type.fields[field.name] : undefined;
    if (member) return { name: field.name, read: columnOf(member, field, at) };
    const message = `The message of the definition has no field ${at}`;
    throw new PenstockError('invalid_schema', message, { errors: [{ path: '/fields', message }] });
  });
  return rowFromObject(members, 'inherited');
}

/** Undefined if the value needs no conversion. */
function columnOf(
  member: protobuf.Field,
  field: Field,
  path: string,
): ((found: unknown) => Value) | undefined {
  const convert = member.map
    ? asText(jsonMember(member, new JsonContext(path, parse)))
    : listOrItem(member, field, path);
  if (!field.required) return convert && ((found) => (found === null ? null : (convert(found) as Value)));
  return (found) => {
    if (found === null) throw badData(path, 'is required but missing');
    return (convert ? convert(found) : found) as Value;
  };
}

const asText =
  (convert: Decode): Decode =>
  (found) =>
    JSON.stringify(convert(found));

function listOrItem(member: protobuf.Field, field: Field, path: string): Decode | undefined {
  if (!member.repeated) return itemOf(member, field, path);
  const convert = itemOf(member, field.items, `${path}/*`);
  return convert && ((list) => (list as unknown[]).map(convert));
}

function itemOf(member: protobuf.Field, item: ListItem | undefined, path: string): Decode | undefined {
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Enum) return nameIn(resolvedType);
  if (!resolvedType) return undefined;
  if (item?.type === 'json') return asText(jsonValue(member, new JsonContext(path, parse)));
  switch (wellKnownOf(resolvedType)) {
    case 'timestamp':
      return (message) => timeOf(message as Message, item ? unitOf(item) : 'nanosecond', path);
    case 'duration':
      return (message) => durationOf(message as Message, path);
    case 'wrapper': {
      const convert = itemOf(wrappedOf(resolvedType), item, path) ?? ((value: unknown) => value);
      return (message) => convert((message as Message).value);
    }
    default:
      return rowOf(resolvedType, item?.fields ?? [], path) as Decode;
  }
}

/** A number that the definition does not name stays a number. */
function nameIn({ valuesById }: protobuf.Enum): Decode {
  return (number) => valuesById[number as number] ?? String(number);
}

function timeOf({ seconds, nanos }: Message, unit: TimestampUnit, path: string): bigint {
  const time = timestampFromParts(seconds as bigint, BigInt(nanos as number), unit);
  if (time === undefined) throw badData(path, `is a time that does not fit 64 bits of ${unit}s`);
  return time;
}

/** The seconds of 10,000 years, the range of a Duration. */
const maxSeconds = 10n ** 12n - 1n;

function durationOf({ seconds, nanos }: Message, path: string): string {
  const whole = seconds as bigint;
  if (whole > maxSeconds || whole < -maxSeconds) throw badData(path, 'is too long a duration');
  return formatDecimal(whole * 1_000_000_000n + BigInt(nanos as number), 9);
}
