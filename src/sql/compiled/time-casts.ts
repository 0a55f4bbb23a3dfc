import type { Value } from '../../formats/format.ts';
import { fractionDigits } from '../../formats/schema/sql-type.ts';
import { formatTimestamp, parseTimestamp } from '../../formats/values/timestamp.ts';
import { timestampUnits } from '../field-types.ts';
import { type EngineType, isTimestamp } from './engine-type.ts';
import { defer, refuse } from './evaluate.ts';

export const dayMicros = 86_400_000_000n;
/**
 * Years 1 to 9999, in microseconds. What is outside them is DuckDB's to answer: it has infinities, and edges that
 * its functions do not agree on.
 */
const [leastMicros, greatestMicros] = [-62_135_596_800_000_000n, 253_402_300_799_999_999n];

const leastNanos = -(2n ** 63n) + dayMicros * 1000n;

export const ordinary = (micros: bigint): bigint =>
  micros >= leastMicros && micros <= greatestMicros ? micros : defer();

export const dayStart = (days: number): bigint => ordinary(BigInt(days) * dayMicros);

/** Towards the past, also before 1970. */
export function floorDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  return value % divisor < 0n ? quotient - 1n : quotient;
}

/** Between dates, timestamps of all units, and text. */
export function castTime(from: EngineType, to: EngineType): (value: never) => Value {
  if (from.id === 'VARCHAR') return to.id === 'DATE' ? textToDays : textToTimestamp(to);
  if (to.id === 'VARCHAR') return from.id === 'DATE' ? daysToText : timestampToText(from);
  if (from.id === 'DATE' && isTimestamp(to)) {
    return (days: number) => inUnit(dayStart(days), to);
  }
  if (to.id === 'DATE') return (count: bigint) => Number(floorDivide(toMicros(count, from), dayMicros));
  if (isTimestamp(from) && isTimestamp(to)) {
    return (count: bigint) => inUnit(toMicros(count, from), to);
  }
  return refuse(`a cast of ${from.id} to ${to.id}`);
}

/** A count of the type's unit in microseconds; what is finer must be nothing, as its rounding is DuckDB's. */
function toMicros(count: bigint, { id }: EngineType): bigint {
  const { micros, perMicro } = unitParts[timestampUnits[id] ?? refuse(`the unit of ${id}`)];
  if (count % perMicro !== 0n) return defer();
  return ordinary((count / perMicro) * micros);
}

function inUnit(micros: bigint, { id }: EngineType): bigint {
  const { micros: unit, perMicro } = unitParts[timestampUnits[id] ?? refuse(`the unit of ${id}`)];
  if (micros % unit !== 0n) return defer();
  const count = (micros / unit) * perMicro;
  return BigInt.asIntN(64, count) === count ? count : defer();
}

/** Microseconds in a unit, and units in a microsecond. */
const unitParts = {
  second: { micros: 1_000_000n, perMicro: 1n },
  millisecond: { micros: 1_000n, perMicro: 1n },
  microsecond: { micros: 1n, perMicro: 1n },
  nanosecond: { micros: 1n, perMicro: 1_000n },
};

const plainTime = /^(?!0000)\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?)?$/;
const plainDate = /^(?!0000)\d{4}-\d\d-\d\d$/;

function textToTimestamp(to: EngineType): (text: string) => bigint {
  const unit = timestampUnits[to.id] ?? refuse(`a cast of VARCHAR to ${to.id}`);
  // Digits finer than the unit are rounded; that is DuckDB's to do.
  const digits = fractionDigits[unit];
  return (text) => {
    if (!plainTime.test(text)) return defer();
    const point = text.indexOf('.');
    const fraction = point < 0 ? 0 : text.length - point - 1 - Number(text.endsWith('Z'));
    const value = fraction > digits ? undefined : parseTimestamp(withTime(text), unit);
    return value === undefined ? defer() : value;
  };
}

const withTime = (text: string): string => (text.length === 10 ? `${text}T00:00:00` : text);

function textToDays(text: string): number {
  const seconds = plainDate.test(text) ? parseTimestamp(withTime(text), 'second') : undefined;
  return seconds === undefined ? defer() : Number(seconds / 86_400n);
}

function daysToText(days: number): string {
  return (formatTimestamp(dayStart(days), 'microsecond') ?? defer()).slice(0, 10);
}

/** `2026-01-31 08:15:00.25`: the zeros at the end of a fraction are left out. */
function timestampToText(from: EngineType): (count: bigint) => string {
  const unit = timestampUnits[from.id] ?? refuse(`a cast of ${from.id} to VARCHAR`);
  return (count) => {
    // DuckDB calls the year 0 otherwise, and cannot write the first day that nanoseconds reach.
    if (unit === 'nanosecond' && count < leastNanos) return defer();
    const text = formatTimestamp(count, unit) ?? defer();
    if (text.startsWith('0000')) return defer();
    const plain = text.slice(0, -1).replace('T', ' ');
    return plain.includes('.') ? plain.replace(/\.?0+$/, '') : plain;
  };
}
