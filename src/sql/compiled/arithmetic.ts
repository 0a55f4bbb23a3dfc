import type { Value } from '../../formats/format.ts';
import { orderOf } from './comparison.ts';
import {
  type EngineType,
  integerRanges,
  isBig,
  isFloating,
  isInteger,
  isSameEngineType,
} from './engine-type.ts';
import {
  type Build,
  type Compiled,
  constantValue,
  defer,
  type Evaluate,
  refuse,
  strict,
} from './evaluate.ts';
import { shift } from './times.ts';

const rangeOf = ({ id }: EngineType) => integerRanges[id] ?? refuse(`arithmetic on ${id}`);

/** Checks the range of a small integer: DuckDB reports an overflow. Integers have no minus zero. */
export function smallOf(type: EngineType): (value: number) => number {
  const [min, max] = rangeOf(type).map(Number) as [number, number];
  return (value) => (value >= min && value <= max ? value + 0 : defer());
}

/** Checks the range of a big integer or decimal. */
export function bigOf(type: EngineType): (value: bigint) => bigint {
  const limit = 10n ** BigInt(type.width);
  const [min, max] = type.id === 'DECIMAL' ? [1n - limit, limit - 1n] : rangeOf(type);
  return (value) => (value >= min && value <= max ? value : defer());
}

/** Checks that a float is finite: DuckDB's settings decide whether an overflow is an infinity or an error. */
export function floatOf({ id }: EngineType): (value: number) => number {
  const checked = (value: number): number => (Number.isFinite(value) ? value : defer());
  return id === 'FLOAT' ? (value) => checked(Math.fround(value)) : checked;
}

/** An operation on numbers of one type, for each representation of its values. */
interface Operation {
  small(a: number, b: number): number;
  big(a: bigint, b: bigint): bigint;
}

function ofNumbers(args: readonly Compiled[], type: EngineType, { small, big }: Operation): Evaluate {
  if (isFloating(type)) {
    const checked = floatOf(type);
    return strict(args, (a: number, b: number) => checked(small(a, b)));
  }
  if (isBig(type) || type.id === 'DECIMAL') {
    const checked = bigOf(type);
    return strict(args, (a: bigint, b: bigint) => checked(big(a, b)));
  }
  const checked = smallOf(type);
  return strict(args, (a: number, b: number) => checked(small(a, b)));
}

/** `+`, `-` or `*` of two numbers of one type. */
function binary(name: string, operation: Operation): Build {
  return (args, type) => {
    if (args.length !== 2) return refuse(`this ${name}`);
    if (type.id === 'DECIMAL') requireScale(args, type, name);
    else if (args.some((arg) => !isSameEngineType(arg.type, type))) {
      return refuse(args.map((arg) => arg.type.id).join(` ${name} `));
    }
    return ofNumbers(args, type, operation);
  };
}

function requireScale(args: readonly Compiled[], type: EngineType, name: string): void {
  if (args.some((arg) => arg.type.id !== 'DECIMAL')) refuse(`a decimal ${name} another type`);
  const scales = args.map((arg) => arg.type.scale);
  const fits =
    name === '*'
      ? scales.reduce((sum, scale) => sum + scale, 0) === type.scale
      : scales.every((scale) => scale === type.scale);
  if (!fits) refuse(`a decimal ${name} with several scales`);
}

const add = binary('+', { small: (a, b) => a + b, big: (a, b) => a + b });
const subtract = binary('-', { small: (a, b) => a - b, big: (a, b) => a - b });
const multiply = binary('*', { small: (a, b) => a * b, big: (a, b) => a * b });

/** `-` or `abs` of one number. */
function unary(name: string, { small, big }: Operation): Build {
  return (args, type) => {
    if (args.some((arg) => arg.type.id !== type.id)) return refuse(`${name} with another type as its result`);
    return isFloating(type) ? strict(args, small) : ofNumbers(args, type, { small, big });
  };
}

const negate = unary('minus', { small: (a) => -a, big: (a) => -a });
const absolute = unary('abs', { small: Math.abs, big: (a) => (a < 0n ? -a : a) });

/** `/` divides floats; DuckDB decides a division by zero. */
const divide: Build = (args, type) => {
  if (!isFloating(type) || args.some((arg) => arg.type.id !== type.id)) return refuse('this division');
  const checked = floatOf(type);
  return strict(args, (a: number, b: number) => (b === 0 ? defer() : checked(a / b)));
};

/** `//` of integers, rounded towards zero; NULL for a division by zero. */
const divideWhole: Build = (args, type) => {
  requireIntegers(args, type, '//');
  if (isBig(type)) {
    const checked = bigOf(type);
    return strict(args, (a: bigint, b: bigint) => (b === 0n ? null : checked(a / b)));
  }
  const checked = smallOf(type);
  return strict(args, (a: number, b: number) => (b === 0 ? null : checked(Math.trunc(a / b))));
};

/** `%` has the sign of the dividend; NULL for a division by zero. DuckDB may refuse the lowest number modulo -1. */
const remainder: Build = (args, type) => {
  if (isFloating(type) && args.every((arg) => arg.type.id === type.id)) {
    const checked = floatOf(type);
    return strict(args, (a: number, b: number) => (b === 0 ? defer() : checked(a % b)));
  }
  requireIntegers(args, type, '%');
  if (isBig(type))
    return strict(args, (a: bigint, b: bigint) => (b === 0n ? null : b === -1n ? defer() : a % b));
  return strict(args, (a: number, b: number) => (b === 0 ? null : b === -1 ? defer() : (a % b) + 0));
};

function requireIntegers(args: readonly Compiled[], type: EngineType, name: string): void {
  if (!isInteger(type) || args.length !== 2 || args.some((arg) => arg.type.id !== type.id))
    refuse(`this ${name}`);
}

/** `floor`, `ceil`, `trunc` and `sqrt` of a double. */
function ofDouble(work: (value: number) => number): Build {
  return (args, type) => {
    if (type.id !== 'DOUBLE' || args.length !== 1 || args[0]?.type.id !== 'DOUBLE')
      return refuse('a floating-point function of another type');
    const checked = floatOf(type);
    return strict(args, (a: number) => checked(work(a)));
  };
}

export function roundHalfAway(value: number): number {
  const whole = Math.trunc(value);
  return Math.abs(value - whole) >= 0.5 ? whole + Math.sign(value) : whole;
}

/** `round(x)` and `round(x, digits)` of a double or a decimal. */
const round: Build = (args, type) => {
  const [number, digits] = args;
  if (!number || number.type.id !== type.id) return refuse('this round');
  if (type.id === 'DECIMAL') {
    const { scale } = number.type;
    if (type.scale > scale) return refuse('this round');
    const checked = bigOf(type);
    return strict([number], (value: bigint) => checked(rescale(value, scale, type.scale)));
  }
  if (!digits) return ofDouble(roundHalfAway)(args, type);
  const places = constantValue(digits, 'round to a computed number of digits');
  if (typeof places !== 'number' || places < 0 || places > 15) return refuse('this round');
  const factor = 10 ** places;
  return ofDouble((value) => roundHalfAway(value * factor) / factor)([number], type);
};

/** Changes the scale of a decimal; lost digits are rounded half away from zero. */
export function rescale(unscaled: bigint, from: number, to: number): bigint {
  if (to >= from) return unscaled * 10n ** BigInt(to - from);
  const divisor = 10n ** BigInt(from - to);
  const half = divisor / 2n;
  return (unscaled < 0n ? unscaled - half : unscaled + half) / divisor;
}

function bitwise(big: (a: bigint, b: bigint) => bigint): Build {
  return (args, type) => {
    requireIntegers(args, type, 'operation on bits');
    if (isBig(type)) return strict(args, big as (a: bigint, b: bigint) => Value);
    return strict(args, (a: number, b: number) => Number(big(BigInt(a), BigInt(b))));
  };
}

/** `greatest` and `least` skip NULLs. */
function extreme(sign: 1 | -1): Build {
  return (args, type) => {
    if (args.some((arg) => !isSameEngineType(arg.type, type)))
      return refuse('greatest or least of several types');
    const order = orderOf(type);
    return (row) => {
      let best = null;
      for (const { evaluate } of args) {
        const value = evaluate(row);
        if (value === null) continue;
        if (best === null || order(value as never, best as never) * sign > 0) best = value;
      }
      return best;
    };
  };
}

const ofFloats =
  (test: (value: number) => boolean): Build =>
  (args) =>
    args.every((arg) => isFloating(arg.type))
      ? strict(args, test)
      : refuse('a floating-point test of another type');

const plus: Build = (args, type) => {
  const [only, second] = args;
  if (only && !second) return isSameEngineType(only.type, type) ? only.evaluate : refuse('this plus');
  return shift(1n, args, type) ?? add(args, type);
};
const minus: Build = (args, type) =>
  args.length === 1 ? negate(args, type) : (shift(-1n, args, type) ?? subtract(args, type));

export const numberFunctions: Readonly<Record<string, Build>> = {
  '+': plus,
  add: plus,
  '-': minus,
  subtract: minus,
  '*': multiply,
  multiply,
  '/': divide,
  '//': divideWhole,
  divide: divideWhole,
  '%': remainder,
  mod: remainder,
  abs: absolute,
  '@': absolute,
  round,
  floor: ofDouble(Math.floor),
  ceil: ofDouble(Math.ceil),
  ceiling: ofDouble(Math.ceil),
  trunc: ofDouble(Math.trunc),
  sqrt: ofDouble(Math.sqrt),
  isnan: ofFloats(Number.isNaN),
  isinf: ofFloats((value) => !Number.isNaN(value) && !Number.isFinite(value)),
  isfinite: ofFloats(Number.isFinite),
  '&': bitwise((a, b) => a & b),
  '|': bitwise((a, b) => a | b),
  greatest: extreme(1),
  least: extreme(-1),
};
