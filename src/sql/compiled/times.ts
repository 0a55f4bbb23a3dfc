import type { EngineType } from './engine-type.ts';
import { type Compiled, constantValue, defer, type Evaluate, refuse, strict } from './evaluate.ts';
import { dayMicros, dayStart, floorDivide, ordinary } from './time-casts.ts';

/** Microseconds since 1970 of a timestamp or a date; an infinity is DuckDB's. */
function microsOf(type: EngineType): (value: never) => bigint {
  if (type.id === 'TIMESTAMP') return ordinary;
  if (type.id === 'DATE') return dayStart;
  return refuse(`the time of ${type.id}`);
}

/** `epoch_ms(timestamp)` and `epoch_us(timestamp)`. */
export function epoch(divisor: bigint) {
  return (args: readonly Compiled[], type: EngineType): Evaluate => {
    const [time] = args;
    if (!time || type.id !== 'BIGINT') return refuse('this epoch');
    const micros = microsOf(time.type);
    // Towards zero, not towards the past.
    return strict(args, (value: never) => micros(value) / divisor);
  };
}

/** `epoch_ms`: of a timestamp its milliseconds, of a number the timestamp. */
export function epochMs(args: readonly Compiled[], type: EngineType): Evaluate {
  if (type.id === 'BIGINT') return epoch(1000n)(args, type);
  if (type.id !== 'TIMESTAMP' || args[0]?.type.id !== 'BIGINT') return refuse('this epoch_ms');
  return strict(args, (ms: bigint) => {
    const micros = ms * 1000n;
    return ordinary(micros);
  });
}

/** `epoch`: seconds since 1970 as a double. */
export function epochSeconds(args: readonly Compiled[], type: EngineType): Evaluate {
  const [time] = args;
  if (!time || type.id !== 'DOUBLE') return refuse('this epoch');
  const micros = microsOf(time.type);
  return strict(args, (value: never) => {
    const count = micros(value);
    return count > -(2n ** 53n) && count < 2n ** 53n ? Number(count) / 1e6 : defer();
  });
}

const fixedParts: Readonly<Record<string, bigint>> = {
  microsecond: 1n,
  microseconds: 1n,
  us: 1n,
  millisecond: 1_000n,
  milliseconds: 1_000n,
  ms: 1_000n,
  second: 1_000_000n,
  seconds: 1_000_000n,
  s: 1_000_000n,
  minute: 60_000_000n,
  minutes: 60_000_000n,
  m: 60_000_000n,
  hour: 3_600_000_000n,
  hours: 3_600_000_000n,
  h: 3_600_000_000n,
  day: dayMicros,
  days: dayMicros,
  d: dayMicros,
};

/** `date_trunc('hour', timestamp)`, of units of a fixed length. */
export function dateTrunc([part, time]: readonly Compiled[], type: EngineType): Evaluate {
  const name = String(constantValue(part, 'date_trunc to a computed unit')).toLowerCase();
  const unit = fixedParts[name];
  if (!unit || !time || type.id !== 'TIMESTAMP') return refuse(`date_trunc to ${name}`);
  const micros = microsOf(time.type);
  return strict([time], (value: never) => {
    const truncated = floorDivide(micros(value), unit) * unit;
    return ordinary(truncated);
  });
}

/** Parts of a time, from the microseconds since 1970 and a Date of the same millisecond. */
const dateParts: Readonly<Record<string, (micros: bigint, date: Date) => number>> = {
  year: (_, date) => date.getUTCFullYear(),
  month: (_, date) => date.getUTCMonth() + 1,
  day: (_, date) => date.getUTCDate(),
  hour: (_, date) => date.getUTCHours(),
  minute: (_, date) => date.getUTCMinutes(),
  second: (_, date) => date.getUTCSeconds(),
  // Both count the seconds of the minute too.
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
  minutes: 'minute',
  hours: 'hour',
  seconds: 'second',
  days: 'day',
  months: 'month',
  years: 'year',
  milliseconds: 'millisecond',
  ms: 'millisecond',
  microseconds: 'microsecond',
  us: 'microsecond',
};

/** `date_part('hour', timestamp)`, which EXTRACT becomes too. */
export function datePart([part, time]: readonly Compiled[], type: EngineType): Evaluate {
  const name = String(constantValue(part, 'date_part of a computed unit')).toLowerCase();
  return time ? partOf(name, time, type) : refuse('this date_part');
}

/** `hour(timestamp)` and its kin. */
export const namedPart =
  (name: string) =>
  ([time]: readonly Compiled[], type: EngineType): Evaluate =>
    time ? partOf(name, time, type) : refuse(name);

function partOf(name: string, time: Compiled, type: EngineType): Evaluate {
  const read = dateParts[partNames[name] ?? name];
  if (!read || type.id !== 'BIGINT') return refuse(`the part ${name} of a time`);
  const micros = microsOf(time.type);
  return strict([time], (value: never) => {
    const count = micros(value);
    const date = new Date(Number(floorDivide(count, 1000n)));
    // JavaScript's calendar ends before DuckDB's; the year 0 is counted otherwise.
    const year = date.getUTCFullYear();
    return year >= 1 && year <= 9999 ? BigInt(read(count, date)) : defer();
  });
}

const intervalParts: Readonly<Record<string, bigint>> = {
  to_microseconds: 1n,
  to_milliseconds: 1_000n,
  to_seconds: 1_000_000n,
  to_minutes: 60_000_000n,
  to_hours: 3_600_000_000n,
  to_days: dayMicros,
  to_weeks: 7n * dayMicros,
};

/** `to_hours(n)` and its kin, which INTERVAL n HOUR becomes; only of constants. */
export const interval =
  (name: string) =>
  ([count]: readonly Compiled[]): Evaluate => {
    const value = constantValue(count, 'an interval that is computed');
    const unit = intervalParts[name];
    if (typeof value !== 'number' && typeof value !== 'bigint') return refuse('this interval');
    if (unit === undefined || (typeof value === 'number' && !Number.isInteger(value)))
      return refuse('this interval');
    const micros = BigInt(value) * unit;
    if (micros > 10n ** 15n * 1000n || micros < -(10n ** 15n) * 1000n)
      return refuse('an interval of centuries');
    return () => micros;
  };

const plainInterval = /^(-?\d{1,6}) (microsecond|millisecond|second|minute|hour|day)s?$/i;

/** `INTERVAL '5 minutes'`. */
export function textInterval(child: Compiled): Evaluate {
  const text = constantValue(child, 'an interval that is computed');
  const match = plainInterval.exec(String(text));
  const unit = fixedParts[match?.[2]?.toLowerCase() ?? ''];
  if (!match || unit === undefined) return refuse('this interval');
  const micros = BigInt(match[1] ?? '') * unit;
  return () => micros;
}

/** A timestamp plus or minus an interval. */
export function shift(sign: 1n | -1n, args: readonly Compiled[], type: EngineType): Evaluate | undefined {
  const [left, right] = args;
  if (type.id !== 'TIMESTAMP' || left?.type.id !== 'TIMESTAMP' || right?.type.id !== 'INTERVAL')
    return undefined;
  return strict(args, (time: bigint, by: bigint) => ordinary(ordinary(time) + sign * by));
}
