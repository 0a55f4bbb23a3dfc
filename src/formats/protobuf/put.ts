import protobuf from 'protobufjs';
import type { Value } from '../format.ts';
import { badRow } from '../values/bad.ts';
import { getterOf } from '../values/own-property.ts';
import {
  bigintOf,
  boolOf,
  bytesOf,
  floatOf,
  integerOf,
  stringOf,
  unscaledOf,
} from '../values/write-value.ts';
import { isImplicit, wellKnownOf } from './fields.ts';
import { wireOf } from './wire.ts';

/** How values and their tags are put down, whatever they were before. */

type Writer = protobuf.Writer;

/** Writes a message, or a value without its tag, that is not null; throws `bad_row`. */
export type Write = (value: unknown, writer: Writer) => void;

/** A reader would keep the last of two, and nobody would know. */
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

export function durationWriter(path: string): Write {
  const digits = unscaledOf(9, path);
  return (value, writer) => {
    const nanoseconds = digits(value as Value);
    // Both halves of a duration have the same sign.
    writeParts(nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n, writer);
  };
}

export function writeParts(seconds: bigint, nanos: bigint, writer: Writer): void {
  if (seconds !== 0n) writer.uint32(8).int64(longOf(seconds) as never);
  if (nanos !== 0n) writer.uint32(16).int32(Number(nanos));
}

/** Puts the tag before the value, and the length around a message; a list is packed where its type says so. */
export function tagged(member: protobuf.Field, path: string, write: Write): Write {
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
export function isValue({ resolvedType }: protobuf.Field): boolean {
  return resolvedType instanceof protobuf.Type && wellKnownOf(resolvedType) === 'value';
}

export function withTag(id: number, wire: number, write: Write, message: boolean): Write {
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

export function scalarWriter({ resolvedType, type }: protobuf.Field, path: string): Write {
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
