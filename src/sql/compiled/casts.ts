import type { Value } from '../../formats/format.ts';
import { formatDecimal, parseDecimal, unscaledDecimal } from '../../formats/values/decimal.ts';
import { bigOf, floatOf, rescale, roundHalfAway, smallOf } from './arithmetic.ts';
import {
  type EngineType,
  fromRow,
  isBig,
  isFloating,
  isInteger,
  isSameEngineType,
  isTimestamp,
  plainType,
  toRow,
} from './engine-type.ts';
import { type Compiled, defer, type Evaluate, refuse } from './evaluate.ts';
import { castTime } from './time-casts.ts';

/** Converts a value that is not null. Defers if it cannot be converted, or possibly not as DuckDB does. */
type Convert = (value: never) => Value;

/** Compiles `CAST(… AS type)`; with `trying` a text that is not a value of the type becomes NULL. */
export function cast(child: Compiled, type: EngineType, trying: boolean): Evaluate {
  const { evaluate } = child;
  if (child.type.id === 'NULL' || child.type.id === 'SQLNULL') {
    // Always NULL, but evaluating it may fail.
    return (row) => (evaluate(row) === null ? null : defer());
  }
  const convert = conversion(child.type, type) as ((value: Value) => Value) | undefined;
  if (!convert) return evaluate;
  const cannot = trying && child.type.id === 'VARCHAR' ? neverOf(type) : undefined;
  return (row) => {
    const value = evaluate(row);
    if (value === null || cannot?.test(value as string)) return null;
    return convert(value);
  };
}

/** Texts that are certainly not of the type, so that DuckDB need not be asked. */
function neverOf(type: EngineType): RegExp | undefined {
  if (isInteger(type) || type.id === 'DECIMAL') return /^[a-zA-Z /-]*$/;
  // Infinity and NaN have names.
  if (isFloating(type)) return /^(?:[a-hj-mo-zA-HJ-MO-Z][a-zA-Z /]*)?$/;
  return undefined;
}

/** How a type becomes another; undefined if the values stay the same. */
function conversion(from: EngineType, to: EngineType): Convert | undefined {
  if (isSameEngineType(from, to)) return undefined;
  if (from.id === 'VARCHAR' && to.id === 'VARCHAR' && !to.isJson) return undefined;
  if (from.isJson) return fromJson(to);
  if (from.item && to.item) return betweenLists(from.item, to.item);
  if (from.id === 'VARCHAR' && !to.isJson) return fromText(to);
  if (to.id === 'VARCHAR' && !to.isJson) return toText(from);
  if (from.id === 'BOOLEAN') return fromBoolean(to);
  if (isInteger(from)) return fromInteger(from, to);
  if (isFloating(from)) return fromFloat(from, to);
  if (from.id === 'DECIMAL') return fromDecimal(from, to);
  if (isTimestamp(from) || from.id === 'DATE') return castTime(from, to);
  return refuseCast(from, to);
}

/** Converts plain numbers, booleans and null. Defers for other JSON. */
function fromJson(to: EngineType): Convert | undefined {
  if (to.id === 'VARCHAR') return undefined;
  if (!isInteger(to) && to.id !== 'DOUBLE' && to.id !== 'BOOLEAN')
    return refuse(`a cast of JSON to ${to.id}`);
  const convert = fromText(to) as (text: string) => Value;
  const plain = to.id === 'BOOLEAN' ? /^(?:true|false)$/ : isInteger(to) ? plainInteger : plainDecimal;
  return (text: string) => {
    if (text === 'null') return null;
    return plain.test(text) ? convert(text) : defer();
  };
}

function betweenLists(from: EngineType, to: EngineType): Convert | undefined {
  const convert = conversion(from, to) as ((value: Value) => Value) | undefined;
  if (!convert) return undefined;
  const [read, write] = [fromRow(from), toRow(to)];
  return (values: Value[]) =>
    values.map((value) => {
      if (value === null) return null;
      const converted = convert(read ? read(value) : value);
      return write ? write(converted) : converted;
    });
}

function refuseCast(from: EngineType, to: EngineType): never {
  return refuse(`a cast of ${from.id} to ${to.isJson ? 'JSON' : to.id}`);
}

function integerOf(to: EngineType): (value: bigint) => Value {
  const checked = bigOf(to);
  return isBig(to) ? checked : (value) => Number(checked(value));
}

function fromBoolean(to: EngineType): Convert {
  if (isBig(to)) return (value: boolean) => (value ? 1n : 0n);
  if (isInteger(to) || isFloating(to)) return (value: boolean) => Number(value);
  return refuse(`a cast of BOOLEAN to ${to.id}`);
}

/** Integers up to here are exact in a double. */
const exact = 2n ** 53n;

function fromInteger(from: EngineType, to: EngineType): Convert {
  if (to.id === 'BOOLEAN') return (value: number | bigint) => Number(value) !== 0;
  if (isInteger(to)) {
    if (!isBig(from) && !isBig(to)) return smallOf(to);
    const make = integerOf(to);
    return (value: number | bigint) => make(BigInt(value));
  }
  if (to.id === 'DECIMAL') {
    const checked = bigOf(to);
    const factor = 10n ** BigInt(to.scale);
    return (value: number | bigint) => checked(BigInt(value) * factor);
  }
  if (!isFloating(to)) return refuseCast(from, to);
  const round = to.id === 'FLOAT' ? Math.fround : (value: number) => value;
  if (!isBig(from)) return round;
  return (value: bigint) => (value > exact || value < -exact ? defer() : round(Number(value)));
}

function fromFloat(from: EngineType, to: EngineType): Convert {
  if (to.id === 'DOUBLE') return (value: number) => value;
  if (to.id === 'FLOAT') return floatOf(to);
  if (to.id === 'BOOLEAN') return (value: number) => (Number.isNaN(value) ? defer() : value !== 0);
  if (isInteger(to)) {
    const make = integerOf(to);
    // DuckDB checks the range before it rounds.
    const min = to.id.startsWith('U') ? 0 : -(2 ** 53);
    return (value: number) =>
      value >= min && value < 2 ** 53 ? make(BigInt(roundHalfEven(value))) : defer();
  }
  if (to.id === 'DECIMAL' && to.scale <= 22) {
    const factor = 10 ** to.scale;
    const checked = bigOf(to);
    return (value: number) => {
      const rounded = roundHalfAway(value * factor);
      return Math.abs(rounded) < 2 ** 53 ? checked(BigInt(rounded)) : defer();
    };
  }
  return refuseCast(from, to);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (above !== 0.5) return above < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

function fromDecimal(from: EngineType, to: EngineType): Convert {
  if (to.id === 'DECIMAL') {
    const checked = bigOf(to);
    return (value: bigint) => checked(rescale(value, from.scale, to.scale));
  }
  if (isInteger(to)) {
    const make = integerOf(to);
    return (value: bigint) => make(rescale(value, from.scale, 0));
  }
  const divisor = 10 ** from.scale;
  // The quotient of two exact doubles is the nearest double.
  if (to.id === 'DOUBLE' && from.scale <= 22)
    return (value: bigint) => (value > exact || value < -exact ? defer() : Number(value) / divisor);
  // Both are exact in 24 bits, so rounding the quotient twice equals rounding it once.
  if (to.id === 'FLOAT' && from.scale <= 10) {
    return (value: bigint) =>
      value > 2n ** 24n || value < -(2n ** 24n) ? defer() : Math.fround(Number(value) / divisor);
  }
  return refuseCast(from, to);
}

function toText(from: EngineType): Convert {
  if (isInteger(from) || from.id === 'BOOLEAN') return String;
  // DuckDB writes no 0 before the point of a type without digits there.
  if (from.id === 'DECIMAL' && from.width > from.scale)
    return (value: bigint) => formatDecimal(value, from.scale);
  if (from.id === 'DOUBLE') return doubleText;
  if (isTimestamp(from) || from.id === 'DATE') return castTime(from, plainType('VARCHAR'));
  return refuse(`a cast of ${from.id} to VARCHAR`);
}

/** The shortest digits that mean this double. */
function doubleText(value: number): string {
  const size = Math.abs(value);
  if (value === 0 || !(size >= 1e-4 && size < 1e15)) return Object.is(value, 0) ? '0.0' : defer();
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function fromText(to: EngineType): Convert {
  if (isInteger(to)) {
    const [big, small] = [bigOf(to), smallOf(to)];
    if (isBig(to)) return (text: string) => (plainInteger.test(text) ? big(BigInt(text)) : defer());
    return (text: string) => (plainInteger.test(text) ? small(Number(text)) : defer());
  }
  if (to.id === 'DOUBLE') {
    const checked = floatOf(to);
    return (text: string) => (plainDouble.test(text) ? checked(Number(text)) : defer());
  }
  if (to.id === 'DECIMAL')
    return (text: string) => {
      const value = plainDecimal.test(text) ? parseDecimal(text, to.width, to.scale) : undefined;
      return value === undefined ? defer() : unscaledDecimal(value);
    };
  if (to.id === 'BOOLEAN') return (text: string) => booleans.get(text) ?? defer();
  if (isTimestamp(to) || to.id === 'DATE') return castTime(plainType('VARCHAR'), to);
  return refuse(`a cast of VARCHAR to ${to.id}`);
}

/** DuckDB's parser writes `true` as `CAST('t' AS BOOLEAN)`. */
const booleans: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['t', true],
  ['false', false],
  ['f', false],
]);
const plainInteger = /^-?\d{1,15}$/;
/** Few enough digits that DuckDB rounds once, as we do. */
const plainDecimal = /^-?\d{1,15}(?:\.\d{1,15})?$/;
const plainDouble = /^-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?$/;
