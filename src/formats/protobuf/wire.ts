import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import { badData } from '../values/bad.ts';
import { textOf } from '../values/text-check.ts';

/**
 * How a message is taken apart, whatever is made of it: closures over protobufjs's Reader, since its own decoder makes
 * objects of its classes and Longs. While a message is read its fields are in slots of an array, which is faster than
 * to set one property after the other, and lets a field that comes again find what came before.
 */

export type Reader = protobuf.Reader;
export type Slots = unknown[];

/** Reads the fields of a message up to `end`, or of a group, whose end is infinity, up to the tag that ends it. */
export type Walk = (reader: Reader, end: number, depth: number, slots: Slots) => void;
/** Reads a field that has this wire type into its slot. */
export type Step = (reader: Reader, wire: number, depth: number, slots: Slots) => void;
/** Reads one value; a message begins with its length or is a group that ends with its own tag. */
export type ReadValue = (reader: Reader, depth: number) => unknown;

/** What reads a message and makes something of it. */
export interface MessageReader<T = unknown> {
  begin(): Slots;
  walk: Walk;
  finish(slots: Slots): T;
}

/** As deep as protobuf's own libraries read. */
const maxNesting = 100;

export const malformed = () => badData('', 'is not a Protobuf message of its type');

/** Reads a payload, whose end is that of the message. Throws `bad_data`. */
export function readPayload<T>({ begin, walk, finish }: MessageReader<T>, payload: Uint8Array): T {
  const reader = protobuf.Reader.create(payload);
  const slots = begin();
  try {
    walk(reader, payload.length, 0, slots);
  } catch (error) {
    // The errors of protobufjs say where in the bytes, which nobody can use.
    throw error instanceof PenstockError ? error : malformed();
  }
  return finish(slots);
}

/** Reads field after field by the steps for their numbers; those without one are passed over. */
export function walker(steps: ReadonlyMap<number, Step>): Walk {
  // Most numbers are small: an array beats the map.
  const near: (Step | undefined)[] = [];
  for (let number = 0; number < 256; number += 1) near.push(steps.get(number));
  const far = new Map([...steps].filter(([number]) => number >= near.length));
  return (reader, end, depth, slots) => {
    if (depth > maxNesting) throw badData('', `is nested more than ${maxNesting} deep`);
    const { buf } = reader;
    while (reader.pos < end) {
      let tag = buf[reader.pos] as number;
      // Behind the end there is no byte, which is not less than anything either.
      if (tag < 0x80) reader.pos += 1;
      else tag = reader.tag();
      const wire = tag & 7;
      if (wire === 4) {
        if (end !== Number.POSITIVE_INFINITY) throw malformed();
        return;
      }
      if (tag < 8) throw malformed();
      const number = tag >>> 3;
      const step = number < near.length ? near[number] : far.get(number);
      if (step) step(reader, wire, depth, slots);
      else reader.skipType(wire, depth, number);
    }
    if (reader.pos !== end) throw malformed();
  };
}

/** Where a field of a message goes, and the slots of the other members of its oneof, of which the last one counts. */
export interface Place {
  slot: number;
  /** What an absent field has in its slot. */
  absent: null | undefined;
  others: readonly number[];
}

/** Where the fields of a message go, in the order of `members`; those that are not among them go nowhere. */
export function placesOf(
  members: readonly (protobuf.Field | undefined)[],
  absent: null | undefined,
): (member: protobuf.Field) => Place {
  const slots = new Map(members.map((member, slot) => [member?.name, slot]));
  return (member) => {
    const oneof = member.partOf?.oneof ?? [];
    const others = oneof.flatMap((name) => (name === member.name ? [] : (slots.get(name) ?? [])));
    return { slot: slots.get(member.name) as number, absent, others };
  };
}

/** What the slots of a message hold at first: lists and maps are made anew for each. */
export function slotsOf(
  members: readonly (protobuf.Field | undefined)[],
  defaultOf: (member: protobuf.Field) => unknown,
): () => Slots {
  const defaults = members.map((member) => (member ? defaultOf(member) : null));
  const made = members.flatMap((member, slot) =>
    member && (member.repeated || member.map) ? [{ slot, isMap: member.map }] : [],
  );
  return () => {
    const slots = defaults.slice();
    for (const { slot, isMap } of made) slots[slot] = isMap ? {} : [];
    return slots;
  };
}

/** Puts a value into its slot, or onto the list there. Numbers of a list come one by one or packed. */
export function valueStep(member: protobuf.Field, { slot, absent, others }: Place, read: ReadValue): Step {
  const wire = wireOf(member);
  if (member.repeated) return listStep(member, slot, read);
  if (others.length === 0) {
    return (reader, found, depth, slots) => {
      if (found === wire) slots[slot] = read(reader, depth);
      else reader.skipType(found, depth, member.id);
    };
  }
  return (reader, found, depth, slots) => {
    if (found !== wire) {
      reader.skipType(found, depth, member.id);
      return;
    }
    for (const other of others) slots[other] = absent;
    slots[slot] = read(reader, depth);
  };
}

function listStep(member: protobuf.Field, slot: number, read: ReadValue): Step {
  const wire = wireOf(member);
  return (reader, found, depth, slots) => {
    const list = slots[slot] as unknown[];
    if (found === wire) list.push(read(reader, depth));
    else if (found === 2 && wire !== 3) {
      const end = lengthEnd(reader);
      while (reader.pos < end) list.push(read(reader, depth));
      if (reader.pos !== end) throw malformed();
    } else reader.skipType(found, depth, member.id);
  };
}

/**
 * Reads a message into slots of its own, which `finish` has to turn into its value. One that comes twice is one whose
 * second half adds to the first, as the specification has it.
 */
export function messageStep(
  member: protobuf.Field,
  { slot, absent, others }: Place,
  message: MessageReader,
): Step {
  const wire = wireOf(member);
  return (reader, found, depth, slots) => {
    if (found !== wire) {
      reader.skipType(found, depth, member.id);
      return;
    }
    for (const other of others) slots[other] = absent;
    slots[slot] ??= message.begin();
    const end = wire === 3 ? Number.POSITIVE_INFINITY : lengthEnd(reader);
    message.walk(reader, end, depth + 1, slots[slot] as Slots);
  };
}

/** Reads a message that is a value by itself: an item of a list, or one that stands for a value. */
export function messageValue<T>(
  member: protobuf.Field,
  message: MessageReader<T>,
): (reader: Reader, depth: number) => T {
  const { delimited } = member;
  return (reader, depth) => {
    const slots = message.begin();
    message.walk(reader, delimited ? Number.POSITIVE_INFINITY : lengthEnd(reader), depth + 1, slots);
    return message.finish(slots);
  };
}

const wires: Readonly<Record<string, number>> = {
  fixed64: 1,
  sfixed64: 1,
  double: 1,
  string: 2,
  bytes: 2,
  fixed32: 5,
  sfixed32: 5,
  float: 5,
};

/** The wire type that a single value of the field has. */
export function wireOf({ resolvedType, delimited, type }: protobuf.Field): number {
  if (resolvedType instanceof protobuf.Type) return delimited ? 3 : 2;
  return resolvedType ? 0 : (wires[type] ?? 0);
}

function lengthEnd(reader: Reader): number {
  let length = reader.buf[reader.pos] as number;
  if (length < 0x80) reader.pos += 1;
  else length = reader.uint32();
  if (length > reader.len - reader.pos) throw malformed();
  return reader.pos + length;
}

/** Reads a value of a type that is neither message nor enum, as the column of that type has it. */
export function scalarReader(type: string, path: string): ReadValue {
  switch (type) {
    case 'string':
      return (reader) => {
        const end = lengthEnd(reader);
        const text = textOf(reader.buf as Buffer, reader.pos, end);
        if (text === undefined) throw badData(path, 'is not UTF-8 text');
        reader.pos = end;
        return text;
      };
    case 'bytes':
      return (reader) => reader.bytes();
    case 'int64':
    case 'sint64':
    case 'sfixed64':
      return (reader) => signed(reader[type]());
    case 'uint64':
    case 'fixed64':
      return (reader) => unsigned(reader[type]());
    default:
      return smallReader(type);
  }
}

/** One closure for each, so that V8 can put the method of the library into it. */
function smallReader(type: string): ReadValue {
  switch (type) {
    case 'int32':
      return (reader) => reader.int32();
    case 'uint32':
      return (reader) => reader.uint32();
    case 'double':
      return (reader) => reader.double();
    case 'float':
      return (reader) => reader.float();
    case 'bool':
      return (reader) => reader.bool();
    default: {
      const method = type as 'sint32' | 'fixed32' | 'sfixed32';
      return (reader) => reader[method]();
    }
  }
}

type Long = ReturnType<Reader['int64']>;

/** Up to 2^53 through a double, which is much faster. */
export function signed({ high, low }: Long): bigint {
  if (high > -0x20_0000 && high < 0x20_0000) return BigInt(high * 2 ** 32 + (low >>> 0));
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function unsigned({ high, low }: Long): bigint {
  if (high >>> 0 < 0x20_0000) return BigInt((high >>> 0) * 2 ** 32 + (low >>> 0));
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** A number that the definition does not name stays a number. */
export function enumReader({ valuesById }: protobuf.Enum): ReadValue {
  return (reader) => {
    const number = reader.int32();
    return Object.hasOwn(valuesById, number) ? valuesById[number] : String(number);
  };
}
