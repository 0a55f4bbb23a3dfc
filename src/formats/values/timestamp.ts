import { fractionDigits, type TimestampUnit } from '../schema/sql-type.ts';
import { formatDecimal } from './decimal.ts';

const perSecond = {
  second: 1n,
  millisecond: 1_000n,
  microsecond: 1_000_000n,
  nanosecond: 1_000_000_000n,
} as const;

const shape = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,64})?(?:[Zz]|[+-]\d\d:\d\d)?$/;

/** Years 0000 to 9999 are what RFC 3339 can write; in milliseconds since 1970. */
const firstMs = -62_167_219_200_000;
const lastMs = 253_402_300_799_999;

/**
 * Reads an RFC 3339 time (a space may replace the T, and a missing offset means UTC, as in Arroyo) as a count of
 * the unit since 1970; finer digits are dropped. Returns undefined when it is not a time, or does not
 * fit 64 bits: nanoseconds reach from 1677 to 2262.
 */
export function parseTimestamp(text: string, unit: TimestampUnit): bigint | undefined {
  if (!shape.test(text)) return undefined;
  const localMs = utcMs(text);
  if (localMs === undefined) return undefined;
  let end = 19;
  if (text.charCodeAt(end) === point) {
    end += 1;
    while (isDigit(text.charCodeAt(end))) end += 1;
  }
  const offsetMs = end === text.length ? 0 : parseOffset(text, end);
  if (offsetMs === undefined) return undefined;
  const seconds = (localMs - offsetMs) / 1000;
  const digits = fractionDigits[unit];
  let part = 0;
  for (let at = 20; at < 20 + digits; at += 1) part = part * 10 + (at < end ? digit(text, at) : 0);
  // A double is exact here, and much faster than three bigints.
  if (digits <= 3) return BigInt(seconds * 10 ** digits + part);
  return fitting(BigInt(seconds) * perSecond[unit] + BigInt(part));
}

const point = 0x2e;

const isDigit = (code: number) => code >= 0x30 && code <= 0x39;

const digit = (text: string, at: number) => text.charCodeAt(at) - 0x30;

const twoDigits = (text: string, at: number) => digit(text, at) * 10 + digit(text, at + 1);

function parseOffset(text: string, at: number): number | undefined {
  const sign = text[at];
  if (sign === 'Z' || sign === 'z') return 0;
  const hours = twoDigits(text, at + 1);
  const minutes = twoDigits(text, at + 4);
  if (hours > 23 || minutes > 59) return undefined;
  return (sign === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

/** The calendar repeats itself after 400 years, and Date.UTC takes the years up to 99 for those of the last century. */
const cycleMs = 146_097 * 86_400_000;

/** Milliseconds since 1970 of the first 19 characters, which have the shape of a time. */
function utcMs(text: string): number | undefined {
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  return Date.UTC(year + 400, month - 1, day, hour, minute, second) - cycleMs;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

const decimal = /^(-?)(\d{1,40})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,2}))?$/;

/**
 * Reads a decimal number that counts one unit since 1970 as a whole count of another, rounded down. Returns undefined when
 * it is not a number, or does not fit 64 bits.
 */
export function timestampFromDecimal(
  text: string,
  from: TimestampUnit,
  to: TimestampUnit,
): bigint | undefined {
  const [, sign, whole = '', fraction = '', exponent = '0'] = decimal.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const scale = fraction.length - Number(exponent);
  const digits = BigInt(`${sign}${whole}${fraction}`) * perSecond[to] * 10n ** BigInt(Math.max(0, -scale));
  return fitting(floorDivide(digits, perSecond[from] * 10n ** BigInt(Math.max(0, scale))));
}

/** A count of one unit as a decimal number that counts seconds, without trailing zeros: `1700000000.25`. */
export function timestampToSeconds(value: bigint, unit: TimestampUnit): string {
  const digits = fractionDigits[unit];
  return digits === 0 ? String(value) : formatDecimal(value, digits).replace(/\.?0+$/, '');
}

/**
 * Writes a count of the unit as RFC 3339 in UTC with exactly the unit's digits, e.g. `2026-01-31T08:15:00.250Z`.
 * Returns undefined for a year that RFC 3339 cannot write.
 */
export function formatTimestamp(value: bigint, unit: TimestampUnit): string | undefined {
  if (unit === 'millisecond') {
    const count = Number(value);
    if (count < firstMs || count > lastMs) return undefined;
    const second = Math.floor(count / 1000);
    return `${secondText(second)}.${String(count - second * 1000).padStart(3, '0')}Z`;
  }
  const seconds = floorDivide(value, perSecond[unit]);
  const ms = Number(seconds) * 1000;
  if (ms < firstMs || ms > lastMs) return undefined;
  const whole = secondText(Number(seconds));
  const digits = fractionDigits[unit];
  if (digits === 0) return `${whole}Z`;
  return `${whole}.${String(value - seconds * perSecond[unit]).padStart(digits, '0')}Z`;
}

const daySeconds = 86_400;
const pairs = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));

/** Cache of the last day: formatting a Date is slow, and the next time is usually of the same day. */
const lastDay = { number: Number.NaN, text: '' };

function secondText(seconds: number): string {
  const day = Math.floor(seconds / daySeconds);
  if (day !== lastDay.number) {
    lastDay.number = day;
    lastDay.text = new Date(day * daySeconds * 1000).toISOString().slice(0, 11);
  }
  const rest = seconds - day * daySeconds;
  const minutes = Math.floor(rest / 60);
  const hours = Math.floor(minutes / 60);
  return `${lastDay.text}${pairs[hours]}:${pairs[minutes - hours * 60]}:${pairs[rest - minutes * 60]}`;
}

function fitting(value: bigint): bigint | undefined {
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

export function floorDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  return value % divisor < 0n ? quotient - 1n : quotient;
}

/** A count of one unit as a count of another, rounded down; undefined when that does not fit 64 bits. */
export function convertTimestamp(value: bigint, from: TimestampUnit, to: TimestampUnit): bigint | undefined {
  return from === to ? value : fitting(countIn(value, from, to));
}

/** The same without the bound. */
export function countIn(value: bigint, from: TimestampUnit, to: TimestampUnit): bigint {
  const [less, more] = [perSecond[from], perSecond[to]];
  return more >= less ? value * (more / less) : floorDivide(value, less / more);
}

/** Times before these are exact in a double, even in milliseconds. */
const farSeconds = 2n ** 42n;
const farMs = 2n ** 52n;

/** Converts whole seconds and nanoseconds into a count of the unit; undefined when that does not fit 64 bits. */
export function timestampFromParts(
  seconds: bigint,
  nanoseconds: bigint,
  unit: TimestampUnit,
): bigint | undefined {
  if (unit === 'millisecond' && nanoseconds >= 0n && seconds > -farSeconds && seconds < farSeconds)
    return BigInt(Number(seconds) * 1000 + Math.floor(Number(nanoseconds) / 1e6));
  return fitting(seconds * perSecond[unit] + nanoseconds / (perSecond.nanosecond / perSecond[unit]));
}

/** Converts a count of the unit into whole seconds, rounded down, and nanoseconds. */
export function timestampToParts(
  value: bigint,
  unit: TimestampUnit,
): { seconds: bigint; nanoseconds: bigint } {
  if (unit === 'millisecond' && value > -farMs && value < farMs) {
    const count = Number(value);
    const whole = Math.floor(count / 1000);
    return { seconds: BigInt(whole), nanoseconds: BigInt((count - whole * 1000) * 1_000_000) };
  }
  const seconds = floorDivide(value, perSecond[unit]);
  const rest = value - seconds * perSecond[unit];
  return { seconds, nanoseconds: rest * (perSecond.nanosecond / perSecond[unit]) };
}
