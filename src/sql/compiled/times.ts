import { floorDivide } from '../../formats/values/timestamp.ts';
import type { EngineType } from './engine-type.ts';
import {
  type Build,
  type Compiled,
  constantValue,
  defer,
  type Evaluate,
  refuse,
  strict,
} from './evaluate.ts';
import { dayMicros, dayStart, ordinary } from './time-casts.ts';

/** Microseconds since 1970 of a timestamp or a date. Defers for infinities. */
function microsOf(type: EngineType): (value: never) => bigint {
  if (type.id === 'TIMESTAMP') return ordinary;
  if (type.id === 'DATE') return dayStart;
  return refuse(`the time of ${type.id}`);
}

/** `epoch_ms(timestamp)` and `epoch_us(timestamp)`; rounded towards zero. */
const epoch =
  (divisor: bigint): Build =>
  (args, type) => {
    const [time] = args;
    if (!time || type.id !== 'BIGINT') return refuse('this epoch');
    const micros = microsOf(time.type);
    return strict(args, (value: never) => micros(value) / divisor);
  };

/** `epoch_ms`: milliseconds of a timestamp, or the timestamp of a number of milliseconds. */
const epochMs: Build = (args, type) => {
  if (type.id === 'BIGINT') return epoch(1000n)(args, type);
  if (type.id !== 'TIMESTAMP' || args[0]?.type.id !== 'BIGINT') return refuse('this epoch_ms');
  return strict(args, (ms: bigint) => ordinary(ms * 1000n));
};

/** `epoch`: seconds since 1970 as a double. */
const epochSeconds: Build = (args, type) => {
  const [time] = args;
  if (!time || type.id !== 'DOUBLE') return refuse('this epoch');
  const micros = microsOf(time.type);
  return strict(args, (value: never) => {
    const count = micros(value);
    return count > -(2n ** 53n) && count < 2n ** 53n ? Number(count) / 1e6 : defer();
  });
};

const units: readonly (readonly [name: string, short: string, micros: bigint])[] = [
  ['microsecond', 'us', 1n],
  ['millisecond', 'ms', 1_000n],
  ['second', 's', 1_000_000n],
  ['minute', 'm', 60_000_000n],
  ['hour', 'h', 3_600_000_000n],
  ['day', 'd', dayMicros],
];
const unitMicros: ReadonlyMap<string, bigint> = new Map(
  units.flatMap(([name, short, micros]) => [name, `${name}s`, short].map((word) => [word, micros] as const)),
);

/** `date_trunc('hour', timestamp)`, for units of a fixed length. */
const dateTrunc: Build = ([part, time], type) => {
  const name = String(constantValue(part, 'date_trunc to a computed unit')).toLowerCase();
  const unit = unitMicros.get(name);
  if (!unit || !time || type.id !== 'TIMESTAMP') return refuse(`date_trunc to ${name}`);
  const micros = microsOf(time.type);
  return strict([time], (value: never) => ordinary(floorDivide(micros(value), unit) * unit));
};

/** Parts of a time, from the microseconds since 1970 and a Date of the same millisecond. */
const dateParts: Readonly<Record<string, (micros: bigint, date: Date) => number>> = {
  year: (_, date) => date.getUTCFullYear(),
  month: (_, date) => date.getUTCMonth() + 1,
  day: (_, date) => date.getUTCDate(),
  hour: (_, date) => date.getUTCHours(),
  minute: (_, date) => date.getUTCMinutes(),
  second: (_, date) => date.getUTCSeconds(),
  // These two include the seconds of the minute.
  millisecond: (_, date) => date.getUTCSeconds() * 1000 + date.getUTCMilliseconds(),
  microsecond: (micros) => Number(micros - floorDivide(micros, 60_000_000n) * 60_000_000n),
  quarter: (_, date) => Math.floor(date.getUTCMonth() / 3) + 1,
  dayofweek: (_, date) => date.getUTCDay(),
  isodow: (_, date) => date.getUTCDay() || 7,
  dayofyear: (_, date) =>
    Math.floor((date.getTime() - new Date(0).setUTCFullYear(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1,
};

const partNames: Readonly<Record<string, string>> = {
  dow: 'dayofweek',
  weekday: 'dayofweek',
  doy: 'dayofyear',
  dayofmonth: 'day',
  ms: 'millisecond',
  us: 'microsecond',
};
const pluralPart = /^(?:year|month|day|hour|minute|second|millisecond|microsecond)s$/;

/** `date_part('hour', timestamp)`, which EXTRACT becomes too. */
const datePart: Build = ([part, time], type) =>
  partOf(String(constantValue(part, 'date_part of a computed unit')).toLowerCase(), time, type);

function partOf(name: string, time: Compiled | undefined, type: EngineType): Evaluate {
  const read = dateParts[pluralPart.test(name) ? name.slice(0, -1) : (partNames[name] ?? name)];
  if (!time || !read || type.id !== 'BIGINT') return refuse(`the part ${name} of a time`);
  const micros = microsOf(time.type);
  return strict([time], (value: never) => {
    const count = micros(value);
    const date = new Date(Number(floorDivide(count, 1000n)));
    // JavaScript's calendar ends before DuckDB's, and counts the year 0 differently.
    const year = date.getUTCFullYear();
    return year >= 1 && year <= 9999 ? BigInt(read(count, date)) : defer();
  });
}

const maxIntervalMicros = 10n ** 18n;

/** `to_hours(n)` and similar, which INTERVAL n HOUR becomes; of constants only. */
const interval =
  (unit: bigint): Build =>
  ([count]) => {
    const value = constantValue(count, 'a computed interval');
    if (typeof value !== 'bigint' && !Number.isInteger(value)) return refuse('this interval');
    const micros = BigInt(value as number | bigint) * unit;
    if (micros > maxIntervalMicros || micros < -maxIntervalMicros) return refuse('an interval of centuries');
    return () => micros;
  };

const plainInterval = /^(-?\d{1,6}) (microsecond|millisecond|second|minute|hour|day)s?$/i;

/** `INTERVAL '5 minutes'`. */
export function textInterval(child: Compiled): Evaluate {
  const match = plainInterval.exec(String(constantValue(child, 'a computed interval')));
  const unit = unitMicros.get(match?.[2]?.toLowerCase() ?? '');
  if (!match || unit === undefined) return refuse('this interval');
  const micros = BigInt(match[1] ?? '') * unit;
  return () => micros;
}

/** A timestamp plus or minus an interval; undefined for other types. */
export function shift(sign: 1n | -1n, args: readonly Compiled[], type: EngineType): Evaluate | undefined {
  const [left, right] = args;
  if (type.id !== 'TIMESTAMP' || left?.type.id !== 'TIMESTAMP' || right?.type.id !== 'INTERVAL')
    return undefined;
  return strict(args, (time: bigint, by: bigint) => ordinary(ordinary(time) + sign * by));
}

const partFunctions = [
  ...['year', 'month', 'day', 'dayofmonth', 'hour', 'minute', 'second', 'millisecond', 'microsecond'],
  ...['quarter', 'dayofweek', 'weekday', 'isodow', 'dayofyear'],
];

export const timeFunctions: Readonly<Record<string, Build>> = {
  epoch: epochSeconds,
  epoch_ms: epochMs,
  epoch_us: epoch(1n),
  date_trunc: dateTrunc,
  datetrunc: dateTrunc,
  date_part: datePart,
  datepart: datePart,
  ...Object.fromEntries(
    partFunctions.map((name): [string, Build] => [name, ([time], type) => partOf(name, time, type)]),
  ),
  ...Object.fromEntries(units.map(([name, , micros]) => [`to_${name}s`, interval(micros)])),
  to_weeks: interval(7n * dayMicros),
};
