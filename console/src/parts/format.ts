/** Numbers with their units, and times. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

/** `1 row`, `1,234 rows`. */
export const amount = (value: number, noun: string): string =>
  `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

/** `1,234 msg/s`; below 10 with one digit. */
export const perSecond = (value: number, unit = 'msg'): string =>
  `${value < 10 ? short.format(value) : whole.format(value)} ${unit}/s`;

/** `1.2 kB`; steps of 1,000. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let step = 0;
  let rest = value;
  for (; rest >= 999.5 && step < units.length - 1; step++) rest /= 1000;
  return `${step === 0 || rest >= 100 ? whole.format(rest) : short.format(rest)} ${units[step]}`;
}

/** A duration given in milliseconds: `3.2 ms`, `12 s`, `4 min`, `2.5 h`, `3 d`. */
export function duration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 100) / 100} ms`;
  for (const [unit, size, next] of [
    ['ms', 1, 1000],
    ['s', 1000, 60_000],
    ['min', 60_000, 3_600_000],
    ['h', 3_600_000, 86_400_000],
  ] as const)
    if (ms + size / 2 < next)
      return `${ms / size < 10 ? short.format(ms / size) : whole.format(ms / size)} ${unit}`;
  return `${short.format(ms / 86_400_000)} d`;
}

const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/** `micros` are Unix microseconds, as everywhere in the API. */
export const localTime = (micros: number): string => local.format(micros / 1000);
export const clockTime = (micros: number): string => clock.format(micros / 1000);
export const utcTime = (micros: number): string => `${new Date(micros / 1000).toISOString()} (UTC)`;
