import type { FieldError } from '../../errors.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import { convertTimestamp, parseTimestamp } from './timestamp.ts';

/** Reads the text of a time as a count of the unit since 1970; undefined when it is not a time that fits. */
export type ReadTime = (text: string, unit: TimestampUnit) => bigint | undefined;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== '';
  } catch {
    return false;
  }
}

/** Returns the errors of the option `timezone` of a format, if it has one. */
export function validateZone(format: { timezone?: string | null } | object): FieldError[] {
  const { timezone } = format as { timezone?: string | null };
  if (!timezone || isTimeZone(timezone)) return [];
  const message = `There is no time zone ${timezone}; write a name such as Europe/Berlin`;
  return [{ path: '/format/timezone', message }];
}

const hasOffset = /(?:[Zz]|[+-]\d\d:\d\d)$/;

/** Returns `parseTimestamp`, but a text without an offset is a local time of the zone, as with `AT TIME ZONE` in a query. */
export function timeReader(zone: string | undefined | null): ReadTime {
  if (zone === undefined || zone === null) return parseTimestamp;
  const shift = zoneShift(zone);
  return (text, unit) => {
    const time = parseTimestamp(text, unit);
    if (time === undefined || hasOffset.test(text)) return time;
    const seconds = convertTimestamp(time, unit, 'second') as bigint;
    const offset = convertTimestamp(BigInt(shift(Number(seconds))), 'second', unit) as bigint;
    const utc = time - offset;
    return BigInt.asIntN(64, utc) === utc ? utc : undefined;
  };
}

const day = 86_400;

/** Returns the function from local seconds to the offset that the zone has then. */
function zoneShift(zone: string): (local: number) => number {
  const offsetAt = offsetOf(zone);
  // No zone has changed its clock within a quarter of an hour, so neighbouring times have the same offset.
  const last = { quarter: Number.NaN, offset: 0 };
  return (local) => {
    const quarter = Math.floor(local / 900);
    if (quarter !== last.quarter) {
      last.offset = offsetFor(local, offsetAt);
      last.quarter = quarter;
    }
    return last.offset;
  };
}

/** A local time that occurs twice is the later one. One that is skipped has the offset from before the change. */
function offsetFor(local: number, offsetAt: (utc: number) => number): number {
  const [before, after] = [offsetAt(local - day), offsetAt(local + day)];
  const fits = (offset: number): boolean => offsetAt(local - offset) === offset;
  const fitting = [before, after].filter(fits);
  return fitting.length === 0 ? before : Math.min(...fitting);
}

function offsetOf(zone: string): (utc: number) => number {
  const format = new Intl.DateTimeFormat('en', {
    timeZone: zone,
    hourCycle: 'h23',
    era: 'short',
    ...({ year: 'numeric', month: 'numeric', day: 'numeric' } as const),
    ...({ hour: 'numeric', minute: 'numeric', second: 'numeric' } as const),
  });
  return (utc) => {
    const parts = new Map(format.formatToParts(utc * 1000).map(({ type, value }) => [type, value]));
    const part = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type));
    const year = parts.get('era') === 'BC' ? 1 - part('year') : part('year');
    const local = new Date(0);
    local.setUTCFullYear(year, part('month') - 1, part('day'));
    local.setUTCHours(part('hour'), part('minute'), part('second'));
    return local.getTime() / 1000 - utc;
  };
}
