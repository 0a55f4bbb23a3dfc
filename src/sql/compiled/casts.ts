import type { Value } from '../../formats/format.ts';
import { formatDecimal, parseDecimal, unscaledDecimal } from '../../formats/values/decimal.ts';
import { bigOf, rescale, roundHalfAway } from './arithmetic.ts';
import {
  type EngineType,
  fromRow,
  integerRanges,
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

/** Converts a value that is not null; defers where it cannot be converted, or not surely as DuckDB does. */
export type Convert = (value: never) => Value;

/** Compiles `CAST(… AS type)`; with `trying` a text that is no value of the type is NULL. */
export function cast(child: Compiled, type: EngineType, trying: boolean): Evaluate {
  const { evaluate } = child;
  if (child.type.id === 'NULL' || child.type.id === 'SQLNULL') {
    // Always NULL, but what it is made of may fail.
    return (row) => (evaluate(row) === null ? null : defer());
  }
  const convert = conversion(child.type, type) as ((value: Value) => Value) | undefined;
  if (!convert) return evaluate;
  const cannot = trying && child.type.id === 'VARCHAR' ? hopeless(type) : undefined;
  return (row) => {
    const value = evaluate(row);
    if (value === null || cannot?.test(value as string)) return null;
    return convert(value);
  };
}

/** Texts that cannot be of the type whatever the rest is: no need to ask DuckDB. */
function hopeless(type: EngineType): RegExp | undefined {
  if (isInteger(type) || type.id === 'DECIMAL') return /^[a-zA-Z /-]*$/;
  // Infinity and NaN have names.
  if (isFloating(type)) return /^(?:[a-hj-mo-zA-HJ-MO-Z][a-zA-Z /]*)?$/;
  return undefined;
}

/** How a type becomes another; undefined when the values are the same. */
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

/** Of JSON, plain numbers and truth values; null is NULL. What else may be meant is DuckDB's to say. */
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

/** A whole number in the form its type is held in. */
function whole(to: EngineType): (value: bigint) => Value {
  const fitting = bigOf(to);
  return isBig(to) ? fitting : (value) => Number(fitting(value));
}

function fromBoolean(to: EngineType): Convert {
  if (isInteger(to)) {
    return isBig(to) ? (value: boolean) => (value ? 1n : 0n) : (value: boolean) => Number(value);
  }
  return isFloating(to) ? (value: boolean) => Number(value) : refuse(`a cast of BOOLEAN to ${to.id}`);
}

/** Whole numbers up to here are the same in a double. */
const exact = 2n ** 53n;

function fromInteger(from: EngineType, to: EngineType): Convert {
  if (to.id === 'BOOLEAN') return (value: number | bigint) => Number(value) !== 0;
  if (isInteger(to)) {
    const make = whole(to);
    const [least, greatest] = (integerRanges[to.id] ?? []).map(Number) as [number, number];
    if (isBig(from) || isBig(to)) return (value: number | bigint) => make(BigInt(value));
    return (value: number) => (value >= least && value <= greatest ? value : defer());
  }
  if (to.id === 'DECIMAL') {
    const fitting = bigOf(to);
    const factor = 10n ** BigInt(to.scale);
    return (value: number | bigint) => fitting(BigInt(value) * factor);
  }
  if (!isFloating(to)) return refuseCast(from, to);
  const round = to.id === 'FLOAT' ? Math.fround : (value: number) => value;
  if (!isBig(from)) return (value: number) => round(value);
  return (value: bigint) => (value > exact || value < -exact ? defer() : round(Number(value)));
}

function fromFloat(from: EngineType, to: EngineType): Convert {
  if (to.id === 'DOUBLE') return (value: number) => value;
  if (to.id === 'FLOAT') {
    return (value: number) => {
      const rounded = Math.fround(value);
      return Number.isFinite(rounded) ? rounded : defer();
    };
  }
  if (to.id === 'BOOLEAN') return (value: number) => (Number.isNaN(value) ? defer() : value !== 0);
  if (isInteger(to)) {
    const make = whole(to);
    // What is out of range before it is rounded fails.
    const least = to.id.startsWith('U') ? 0 : -(2 ** 53);
    return (value: number) =>
      value >= least && value < 2 ** 53 ? make(BigInt(roundHalfEven(value))) : defer();
  }
  if (to.id === 'DECIMAL' && to.scale <= 22) {
    const factor = 10 ** to.scale;
    const fitting = bigOf(to);
    return (value: number) => {
      const rounded = roundHalfAway(value * factor);
      return Math.abs(rounded) < 2 ** 53 ? fitting(BigInt(rounded)) : defer();
    };
  }
  return refuseCast(from, to);
}

/** The nearest whole number, and the even one of two that are equally near. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (above !== 0.5) return above < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

function fromDecimal(from: EngineType, to: EngineType): Convert {
  if (to.id === 'DECIMAL') {
    const fitting = bigOf(to);
    return (value: bigint) => fitting(rescale(value, from.scale, to.scale));
  }
  if (isInteger(to)) {
    const make = whole(to);
    return (value: bigint) => make(rescale(value, from.scale, 0));
  }
  if (to.id === 'DOUBLE') {
    const divisor = 10 ** from.scale;
    // A quotient of two exact doubles is the nearest double there is.
    if (from.scale > 22) return refuseCast(from, to);
    return (value: bigint) => (value > exact || value < -exact ? defer() : Number(value) / divisor);
  }
  if (to.id === 'FLOAT' && from.scale <= 10) {
    // Both are exact in 24 bits, so that rounding the quotient twice rounds it once.
    const divisor = 10 ** from.scale;
    return (value: bigint) =>
      value > 2n ** 24n || value < -(2n ** 24n) ? defer() : Math.fround(Number(value) / divisor);
  }
  return refuseCast(from, to);
}

function toText(from: EngineType): Convert {
  if (isInteger(from)) return (value: number | bigint) => String(value);
  if (from.id === 'BOOLEAN') return (value: boolean) => String(value);
  if (from.id === 'DECIMAL') {
    // DuckDB writes no 0 before the point of a type that has no digits there.
    if (from.width === from.scale) return refuseCast(from, { ...from, id: 'VARCHAR' });
    return (value: bigint) => formatDecimal(value, from.scale);
  }
  if (from.id === 'DOUBLE') return doubleText;
  if (isTimestamp(from) || from.id === 'DATE') {
    return castTime(from, plainType('VARCHAR'));
  }
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
    const make = whole(to);
    const [least, greatest] = (integerRanges[to.id] ?? []).map(Number) as [number, number];
    if (isBig(to)) return (text: string) => (plainInteger.test(text) ? make(BigInt(text)) : defer());
    return (text: string) => {
      const value = plainInteger.test(text) ? Number(text) + 0 : Number.NaN;
      return value >= least && value <= greatest ? value : defer();
    };
  }
  if (to.id === 'DOUBLE') return textToDouble;
  if (to.id === 'DECIMAL') {
    return (text: string) => {
      if (!plainDecimal.test(text)) return defer();
      const value = parseDecimal(text, to.width, to.scale);
      return value === undefined ? defer() : unscaledDecimal(value);
    };
  }
  if (to.id === 'BOOLEAN') {
    return (text: string) => truth.get(text) ?? defer();
  }
  if (isTimestamp(to) || to.id === 'DATE') {
    return castTime(plainType('VARCHAR'), to);
  }
  return refuse(`a cast of VARCHAR to ${to.id}`);
}

/** DuckDB's parser writes `true` as `CAST('t' AS BOOLEAN)`. */
const truth = new Map([
  ...['true', 't'].map((text) => [text, true] as const),
  ...['false', 'f'].map((text) => [text, false] as const),
]);
const plainInteger = /^-?\d{1,15}$/;
/** Few enough digits that DuckDB rounds once, as we do. */
const plainDecimal = /^-?\d{1,15}(?:\.\d{1,15})?$/;
const plainDouble = /^-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?$/;

function textToDouble(text: string): number {
  if (!plainDouble.test(text)) return defer();
  const value = Number(text);
  return Number.isFinite(value) ? value : defer();
}
