import type { Value } from '../format.ts';
import { isShallow, parseExactly, tooDeep } from '../json/text.ts';
import type { ListItem } from '../schema/schema.ts';
import { unitOf } from '../schema/sql-type.ts';
import { badData } from '../values/bad.ts';
import { bigintOfBytes, formatDecimal } from '../values/decimal.ts';
import { bigintFrom, decimalFrom, floatFrom, integerFrom } from '../values/read.ts';
import { convertTimestamp, parseTimestamp } from '../values/timestamp.ts';
import { type AvroInput, branchOf } from './bytes.ts';
import { timeUnitOf } from './fields.ts';
import type { AvroType } from './schema.ts';

export type Read<T> = (input: AvroInput) => T;

function after<A, B>(read: Read<A>, then: (value: A) => B): Read<B> {
  return (input) => then(read(input));
}

export const mismatch = (field: ListItem, path: string) =>
  badData(path, `has a type, in the schema it was written with, that is no ${field.type}`);

/** Compiles the reader of a value that holds no other, as a column of some type. */
export function leafReader(type: AvroType, field: ListItem, path: string): Read<Value> {
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
    case 'json':
      return (input) => jsonTextIn(input, path).text;
  }
  throw mismatch(field, path);
}

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
export function unscaledOf(type: AvroType, path: string): { read: Read<bigint>; scale: number } | undefined {
  if (type.kind !== 'bytes' && type.kind !== 'fixed') return undefined;
  if (type.logical?.name !== 'decimal') return undefined;
  const read: Read<bigint> = (input) => {
    const value = bigintOfBytes(input.view(type.kind === 'fixed' ? type.size : input.int()));
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

export function jsonTextIn(input: AvroInput, path: string): { text: string; value: unknown } {
  const text = input.string(path);
  try {
    const value = parseExactly(text);
    if (isShallow(value)) return { text, value };
  } catch {
    throw badData(path, 'is not a JSON text');
  }
  throw badData(path, tooDeep);
}
