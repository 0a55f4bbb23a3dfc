import type { Findings, Range } from './diagnostic.ts';

/** Lengths of time and sizes in options and settings. */

const unitMicros: Readonly<Record<string, number>> = {
  ...{ microsecond: 1, millisecond: 1e3, second: 1e6, minute: 6e7, hour: 3.6e9, day: 8.64e10 },
  ...{ week: 6.048e11, us: 1, ms: 1e3, sec: 1e6, min: 6e7, s: 1e6, m: 6e7, h: 3.6e9, d: 8.64e10 },
};

const unitBytes: Readonly<Record<string, number>> = {
  ...{ '': 1, b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30, tb: 2 ** 40 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
};

/** Microseconds of a text such as `5 minutes` or `1 hour 30 minutes`. Undefined if it is none. */
export function microsOf(text: string): number | undefined {
  const parts = text.trim().matchAll(/(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]+)\s*|(.)/gi);
  let sum: number | undefined;
  for (const [, count, word = ''] of parts) {
    const lower = word.toLowerCase();
    const unit = unitMicros[lower] ?? unitMicros[lower.replace(/s$/, '')];
    if (count === undefined || unit === undefined) return undefined;
    sum = (sum ?? 0) + Number(count) * unit;
  }
  return sum === undefined ? undefined : Math.round(sum);
}

/** A length of time as people say it, such as `90 seconds`. */
export function lengthText(micros: number): string {
  const units = ['day', 'hour', 'minute', 'second', 'millisecond'] as const;
  const unit = units.find((name) => micros % (unitMicros[name] as number) === 0) ?? 'microsecond';
  const count = micros / (unitMicros[unit] as number);
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

function bytesOf(text: string): number | undefined {
  const [, count, word = ''] = /^(\d{1,15}(?:\.\d{1,3})?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const unit = unitBytes[word.toLowerCase()];
  return count === undefined || unit === undefined ? undefined : Math.round(Number(count) * unit);
}

/** A bound as people write it, which is also how they are told of it. */
export interface Bounds {
  from: string;
  to: string;
}

interface Written extends Range {
  text: string;
}

/** Reads a length of time in microseconds: an INTERVAL, a text such as `5 minutes`, or a number of microseconds. */
export function readMicros(subject: string, value: Written, bounds: Bounds, findings: Findings): number {
  const count = /^\d{1,15}$/.test(value.text) ? Number(value.text) : microsOf(value.text);
  if (count === undefined) {
    const message = `${subject} must be a length of time, as in '5 minutes' or INTERVAL '5' MINUTE`;
    return findings.stop(message, value);
  }
  return within(subject, count, value, bounds, microsOf, findings);
}

/** Reads a size in bytes: a number, or a text such as `1 GB`. */
export function readBytes(subject: string, value: Written, bounds: Bounds, findings: Findings): number {
  const count = bytesOf(value.text);
  if (count === undefined)
    return findings.stop(`${subject} must be a number of bytes, or a size as in '1 GB'`, value);
  return within(subject, count, value, bounds, bytesOf, findings);
}

function within(
  subject: string,
  count: number,
  value: Range,
  { from, to }: Bounds,
  measure: (text: string) => number | undefined,
  findings: Findings,
): number {
  if (count >= (measure(from) as number) && count <= (measure(to) as number)) return count;
  return findings.stop(`${subject} must be between ${from} and ${to}`, value);
}
