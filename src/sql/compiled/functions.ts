import {
  absolute,
  add,
  bitwise,
  divide,
  divideWhole,
  multiply,
  negate,
  ofDouble,
  remainder,
  round,
  subtract,
} from './arithmetic.ts';
import { orderOf } from './comparison.ts';
import { isFloating, isSameEngineType } from './engine-type.ts';
import { refuse, strict } from './evaluate.ts';
import { jsonFunctions } from './json-functions.ts';
import { nestedFunctions } from './nested.ts';
import { type Build, textFunctions } from './strings.ts';
import { datePart, dateTrunc, epoch, epochMs, epochSeconds, interval, namedPart, shift } from './times.ts';

/** `greatest` and `least` leave NULLs out. */
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
    args.every((arg) => isFloating(arg.type)) ? strict(args, test) : refuse('a test of floating point');

const plus: Build = (args, type) => {
  const [only, second] = args;
  if (only && !second) return isSameEngineType(only.type, type) ? only.evaluate : refuse('this plus');
  return shift(1n, args, type) ?? add(args, type);
};
const minus: Build = (args, type) =>
  args.length === 1 ? negate(args, type) : (shift(-1n, args, type) ?? subtract(args, type));

const numberFunctions: Readonly<Record<string, Build>> = {
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

const timeFunctions: Readonly<Record<string, Build>> = {
  epoch: epochSeconds,
  epoch_ms: epochMs,
  epoch_us: epoch(1n),
  date_trunc: dateTrunc,
  datetrunc: dateTrunc,
  date_part: datePart,
  datepart: datePart,
};

const partFunctions = [
  ...['year', 'month', 'day', 'dayofmonth', 'hour', 'minute', 'second', 'millisecond', 'microsecond'],
  ...['quarter', 'dayofweek', 'weekday', 'isodow', 'dayofyear'],
];
const intervalFunctions = [
  ...['to_microseconds', 'to_milliseconds', 'to_seconds', 'to_minutes', 'to_hours', 'to_days', 'to_weeks'],
];

/** Every function that is compiled, by the name DuckDB's plans give it. */
export const functions: ReadonlyMap<string, Build> = new Map([
  ...Object.entries(numberFunctions),
  ...Object.entries(textFunctions),
  ...Object.entries(jsonFunctions),
  ...Object.entries(nestedFunctions),
  ...Object.entries(timeFunctions),
  ...partFunctions.map((name) => [name, namedPart(name)] as const),
  ...intervalFunctions.map((name) => [name, interval(name)] as const),
]);
