import { fractionDigits, type TimestampUnit } from './sql-type.ts';

const perSecond = {
  second: 1n,
  millisecond: 1_000n,
  microsecond: 1_000_000n,
  nanosecond: 1_000_000_000n,
} as const;

const shape = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,64}))?([Zz]|[+-]\d\d:\d\d)?$/;

/** Years 0000 to 9999 are what RFC 3339 can write; in milliseconds since 1970. */
const firstMs = -62_167_219_200_000;
const lastMs = 253_402_300_799_999;

/**
 * Reads an RFC 3339 time (a space may stand for the T, and a missing offset means UTC, as in Arroyo) as a count of
 * the unit since 1970; digits finer than the unit are dropped. Answers undefined when it is not a time, or does not
 * fit 64 bits: nanoseconds reach from 1677 to 2262.
 */
export function parseTimestamp(text: string, unit: TimestampUnit): bigint | undefined {
  const match = shape.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', offset = 'Z'] = match;
  const offsetMs = parseOffset(offset);
  const localMs = utcMs(
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  if (offsetMs === undefined || localMs === undefined) return undefined;
  const digits = fractionDigits[unit];
  const part = digits === 0 ? 0n : BigInt(fraction.slice(0, digits).padEnd(digits, '0'));
  return fitting(BigInt((localMs - offsetMs) / 1000) * perSecond[unit] + part);
}

function parseOffset(offset: string): number | undefined {
  if (offset === 'Z' || offset === 'z') return 0;
  const hours = Number(offset.slice(1, 3));
  const minutes = Number(offset.slice(4));
  if (hours > 23 || minutes > 59) return undefined;
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function utcMs(year: number, month: number, day: number, hour: number, minute: number, second: number) {
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}

/** Milliseconds since 1970 as a count of the unit, rounded down; undefined when that does not fit 64 bits. */
export function timestampFromMs(ms: bigint, unit: TimestampUnit): bigint | undefined {
  if (unit === 'second') return floorDivide(ms, 1000n);
  return fitting(ms * (perSecond[unit] / 1000n));
}

/** A count of the unit as milliseconds since 1970, rounded down. */
export function timestampToMs(value: bigint, unit: TimestampUnit): bigint {
  return unit === 'second' ? value * 1000n : floorDivide(value, perSecond[unit] / 1000n);
}

/**
 * Writes a count of the unit as RFC 3339 in UTC with exactly the unit's digits, e.g. `2026-01-31T08:15:00.250Z`.
 * Answers undefined for a year that RFC 3339 cannot write.
 */
export function formatTimestamp(value: bigint, unit: TimestampUnit): string | undefined {
  const seconds = floorDivide(value, perSecond[unit]);
  const ms = Number(seconds) * 1000;
  if (ms < firstMs || ms > lastMs) return undefined;
  const whole = new Date(ms).toISOString().slice(0, 19);
  const digits = fractionDigits[unit];
  if (digits === 0) return `${whole}Z`;
  return `${whole}.${String(value - seconds * perSecond[unit]).padStart(digits, '0')}Z`;
}

function fitting(value: bigint): bigint | undefined {
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

function floorDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  return value % divisor < 0n ? quotient - 1n : quotient;
}

/** A count of one unit as a count of another, rounded down; undefined when that does not fit 64 bits. */
export function convertTimestamp(value: bigint, from: TimestampUnit, to: TimestampUnit): bigint | undefined {
  if (from === to) return value;
  const [less, more] = [perSecond[from], perSecond[to]];
  return more > less ? fitting(value * (more / less)) : floorDivide(value, less / more);
}

/** Whole seconds and the nanoseconds behind them, both of a time before 1970 too, as a count of the unit. */
export function timestampFromParts(
  seconds: bigint,
  nanoseconds: bigint,
  unit: TimestampUnit,
): bigint | undefined {
  return fitting(seconds * perSecond[unit] + nanoseconds / (perSecond.nanosecond / perSecond[unit]));
}

/** A count of the unit as whole seconds, rounded down, and the nanoseconds behind them. */
export function timestampToParts(
  value: bigint,
  unit: TimestampUnit,
): { seconds: bigint; nanoseconds: bigint } {
  const seconds = floorDivide(value, perSecond[unit]);
  const rest = value - seconds * perSecond[unit];
  return { seconds, nanoseconds: rest * (perSecond.nanosecond / perSecond[unit]) };
}
