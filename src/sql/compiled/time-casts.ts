import type { Value } from '../../formats/format.ts';
import { fractionDigits, type TimestampUnit } from '../../formats/schema/sql-type.ts';
import {
  convertTimestamp,
  floorDivide,
  formatTimestamp,
  parseTimestamp,
} from '../../formats/values/timestamp.ts';
import { timestampUnits } from '../field-types.ts';
import { type EngineType, isTimestamp } from './engine-type.ts';
import { defer, refuse } from './evaluate.ts';

export const dayMicros = 86_400_000_000n;
/** Years 1 to 9999, in microseconds. Outside them DuckDB has infinities, and its functions disagree on the limits. */
const [minMicros, maxMicros] = [-62_135_596_800_000_000n, 253_402_300_799_999_999n];

const minNanos = -(2n ** 63n) + dayMicros * 1000n;

export const ordinary = (micros: bigint): bigint =>
  micros >= minMicros && micros <= maxMicros ? micros : defer();

export const dayStart = (days: number): bigint => ordinary(BigInt(days) * dayMicros);

/** Between dates, timestamps of all units, and text. */
export function castTime(from: EngineType, to: EngineType): (value: never) => Value {
  if (from.id === 'VARCHAR') return to.id === 'DATE' ? textToDays : textToTimestamp(to);
  if (to.id === 'VARCHAR') return from.id === 'DATE' ? daysToText : timestampToText(from);
  if (from.id === 'DATE' && isTimestamp(to)) {
    const unit = unitOf(to);
    return (days: number) => exactly(dayStart(days), 'microsecond', unit);
  }
  const unit = unitOf(from);
  if (to.id === 'DATE') return (count: bigint) => Number(floorDivide(toMicros(count, unit), dayMicros));
  if (!isTimestamp(to)) return refuse(`a cast of ${from.id} to ${to.id}`);
  const wanted = unitOf(to);
  return (count: bigint) => exactly(toMicros(count, unit), 'microsecond', wanted);
}

/** Converts a count between units. Defers if that needs rounding, or does not fit. */
function exactly(count: bigint, from: TimestampUnit, to: TimestampUnit): bigint {
  const converted = convertTimestamp(count, from, to);
  const isExact = converted !== undefined && convertTimestamp(converted, to, from) === count;
  return isExact ? converted : defer();
}

const unitOf = ({ id }: EngineType): TimestampUnit => timestampUnits[id] ?? refuse(`the unit of ${id}`);
const toMicros = (count: bigint, unit: TimestampUnit): bigint =>
  ordinary(exactly(count, unit, 'microsecond'));

const plainTime = /^(?!0000)\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?)?$/;
const plainDate = /^(?!0000)\d{4}-\d\d-\d\d$/;

function textToTimestamp(to: EngineType): (text: string) => bigint {
  const unit = unitOf(to);
  // DuckDB rounds digits finer than the unit.
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

/** E.g. `2026-01-31 08:15:00.25`, without trailing zeros. */
function timestampToText(from: EngineType): (count: bigint) => string {
  const unit = unitOf(from);
  return (count) => {
    // DuckDB writes the year 0 differently, and cannot write the first day of the range of nanoseconds.
    if (unit === 'nanosecond' && count < minNanos) return defer();
    const text = formatTimestamp(count, unit) ?? defer();
    if (text.startsWith('0000')) return defer();
    const plain = text.slice(0, -1).replace('T', ' ');
    return plain.includes('.') ? plain.replace(/\.?0+$/, '') : plain;
  };
}
