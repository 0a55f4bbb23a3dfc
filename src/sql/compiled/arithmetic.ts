import type { Value } from '../../formats/format.ts';
import {
  type EngineType,
  integerRanges,
  isBig,
  isFloating,
  isInteger,
  isSameEngineType,
} from './engine-type.ts';
import { type Compiled, constantValue, defer, type Evaluate, refuse, strict } from './evaluate.ts';

/** What overflows is DuckDB's to report; minus zero does not exist in whole numbers. */
function smallOf(type: EngineType): (value: number) => number {
  const [least, greatest] = (integerRanges[type.id] ?? []).map(Number) as [number, number];
  return (value) => (value >= least && value <= greatest ? value + 0 : defer());
}

export function bigOf(type: EngineType): (value: bigint) => bigint {
  const [least, greatest] = rangeOf(type);
  return (value) => (value >= least && value <= greatest ? value : defer());
}

function rangeOf(type: EngineType): readonly [bigint, bigint] {
  if (type.id === 'DECIMAL') {
    const most = 10n ** BigInt(type.width) - 1n;
    return [-most, most];
  }
  return integerRanges[type.id] ?? refuse(`arithmetic on ${type.id}`);
}

/** An overflow of floating point becomes an infinity or an error: DuckDB's settings say which. */
function floatOf(type: EngineType): (value: number) => number {
  if (type.id === 'FLOAT') {
    return (value) => {
      const rounded = Math.fround(value);
      return Number.isFinite(rounded) ? rounded : defer();
    };
  }
  return (value) => (Number.isFinite(value) ? value : defer());
}

interface Operator {
  small(one: number, other: number): number;
  big(one: bigint, other: bigint): bigint;
}

/** `+`, `-` or `*` of two numbers of one type. */
function operator({ small, big }: Operator, name: string) {
  return (args: readonly Compiled[], type: EngineType): Evaluate => {
    const [left, right] = args;
    if (!left || !right) return refuse(`this ${name}`);
    if (type.id === 'DECIMAL') return decimals(args, type, big, name);
    if (!isSameEngineType(left.type, right.type) || !isSameEngineType(left.type, type)) {
      return refuse(`${left.type.id} ${name} ${right.type.id}`);
    }
    if (isFloating(type)) {
      const fitting = floatOf(type);
      return strict(args, (a: number, b: number) => fitting(small(a, b)));
    }
    if (isBig(type)) {
      const fitting = bigOf(type);
      return strict(args, (a: bigint, b: bigint) => fitting(big(a, b)));
    }
    const fitting = isInteger(type) ? smallOf(type) : refuse(`${type.id} ${name} ${type.id}`);
    return strict(args, (a: number, b: number) => fitting(small(a, b)));
  };
}

function decimals(args: readonly Compiled[], type: EngineType, big: Operator['big'], name: string): Evaluate {
  if (args.some((arg) => arg.type.id !== 'DECIMAL')) return refuse(`a decimal ${name} something else`);
  const scale = args.reduce((sum, arg) => (name === '*' ? sum + arg.type.scale : arg.type.scale), 0);
  const aligned = name === '*' || args.every((arg) => arg.type.scale === type.scale);
  if (!aligned || scale !== type.scale) return refuse(`a decimal ${name} of several scales`);
  const fitting = bigOf(type);
  return strict(args, (a: bigint, b: bigint) => fitting(big(a, b)));
}

export const add = operator({ small: (a, b) => a + b, big: (a, b) => a + b }, '+');
export const subtract = operator({ small: (a, b) => a - b, big: (a, b) => a - b }, '-');
export const multiply = operator({ small: (a, b) => a * b, big: (a, b) => a * b }, '*');

/** `/` is a division of floating point; by zero it is DuckDB's to answer. */
export function divide(args: readonly Compiled[], type: EngineType): Evaluate {
  if (!isFloating(type) || args.some((arg) => arg.type.id !== type.id)) return refuse('this division');
  const fitting = floatOf(type);
  return strict(args, (a: number, b: number) => (b === 0 ? defer() : fitting(a / b)));
}

/** `//` of whole numbers, rounded towards zero; NULL when divided by zero. */
export function divideWhole(args: readonly Compiled[], type: EngineType): Evaluate {
  requireIntegers(args, type, '//');
  if (isBig(type)) {
    const fitting = bigOf(type);
    return strict(args, (a: bigint, b: bigint) => (b === 0n ? null : fitting(a / b)));
  }
  const fitting = smallOf(type);
  return strict(args, (a: number, b: number) => (b === 0 ? null : fitting(Math.trunc(a / b))));
}

/** `%` has the sign of what is divided; NULL when divided by zero. */
export function remainder(args: readonly Compiled[], type: EngineType): Evaluate {
  if (isFloating(type) && args.every((arg) => arg.type.id === type.id)) {
    return strict(args, (a: number, b: number) => (b === 0 ? defer() : floatOf(type)(a % b)));
  }
  requireIntegers(args, type, '%');
  if (isBig(type)) return strict(args, (a: bigint, b: bigint) => (b === 0n ? null : bigRemainder(a, b)));
  return strict(args, (a: number, b: number) => (b === 0 ? null : b === -1 ? defer() : (a % b) + 0));
}

/** DuckDB may refuse the least number modulo -1. */
const bigRemainder = (a: bigint, b: bigint): bigint => (b === -1n ? defer() : a % b);

function requireIntegers(args: readonly Compiled[], type: EngineType, name: string): void {
  if (!isInteger(type) || args.length !== 2 || args.some((arg) => arg.type.id !== type.id)) {
    refuse(`this ${name}`);
  }
}

export function negate(args: readonly Compiled[], type: EngineType): Evaluate {
  if (args.some((arg) => arg.type.id !== type.id)) return refuse('this minus');
  if (isFloating(type)) return strict(args, (a: number) => -a);
  if (isBig(type) || type.id === 'DECIMAL') {
    const fitting = bigOf(type);
    return strict(args, (a: bigint) => fitting(-a));
  }
  const fitting = isInteger(type) ? smallOf(type) : refuse(`minus ${type.id}`);
  return strict(args, (a: number) => fitting(-a));
}

export function absolute(args: readonly Compiled[], type: EngineType): Evaluate {
  if (args.some((arg) => arg.type.id !== type.id)) return refuse('this abs');
  if (isFloating(type)) return strict(args, (a: number) => Math.abs(a));
  if (isBig(type) || type.id === 'DECIMAL') {
    const fitting = bigOf(type);
    return strict(args, (a: bigint) => fitting(a < 0n ? -a : a));
  }
  const fitting = isInteger(type) ? smallOf(type) : refuse(`abs of ${type.id}`);
  return strict(args, (a: number) => fitting(Math.abs(a)));
}

/** `floor`, `ceil`, `trunc` and `sqrt` of a double. */
export function ofDouble(work: (value: number) => number) {
  return (args: readonly Compiled[], type: EngineType): Evaluate => {
    if (type.id !== 'DOUBLE' || args.length !== 1 || args[0]?.type.id !== 'DOUBLE') {
      return refuse('a function of floating point of another type');
    }
    return strict(args, (a: number) => {
      const value = work(a);
      return Number.isFinite(value) ? value : defer();
    });
  };
}

/** Half away from zero, as C rounds. */
export function roundHalfAway(value: number): number {
  const whole = Math.trunc(value);
  return Math.abs(value - whole) >= 0.5 ? whole + Math.sign(value) : whole;
}

/** `round(x)` and `round(x, digits)` of a double or a decimal. */
export function round(args: readonly Compiled[], type: EngineType): Evaluate {
  const [number, digits] = args;
  if (!number || number.type.id !== type.id) return refuse('this round');
  if (type.id === 'DECIMAL') return roundDecimal(number, type);
  if (!digits) return ofDouble(roundHalfAway)(args, type);
  const places = constantValue(digits, 'round to a computed number of digits');
  if (type.id !== 'DOUBLE' || typeof places !== 'number' || places < 0 || places > 15) {
    return refuse('this round');
  }
  const modifier = 10 ** places;
  return strict([number], (value: number) => {
    const scaled = roundHalfAway(value * modifier) / modifier;
    return Number.isFinite(scaled) ? scaled : defer();
  });
}

function roundDecimal(number: Compiled, type: EngineType): Evaluate {
  if (type.scale > number.type.scale) return refuse('this round');
  const fitting = bigOf(type);
  return strict([number], (value: bigint) => fitting(rescale(value, number.type.scale, type.scale)));
}

/** Moves the point; digits that are lost are rounded half away from zero. */
export function rescale(unscaled: bigint, from: number, to: number): bigint {
  if (to >= from) return unscaled * 10n ** BigInt(to - from);
  const divisor = 10n ** BigInt(from - to);
  const half = divisor / 2n;
  return (unscaled < 0n ? unscaled - half : unscaled + half) / divisor;
}

/** `&` and `|` of whole numbers. */
export function bitwise(big: (a: bigint, b: bigint) => bigint) {
  return (args: readonly Compiled[], type: EngineType): Evaluate => {
    requireIntegers(args, type, 'operation on bits');
    if (isBig(type)) return strict(args, big as (a: bigint, b: bigint) => Value);
    return strict(args, (a: number, b: number) => Number(big(BigInt(a), BigInt(b))));
  };
}
