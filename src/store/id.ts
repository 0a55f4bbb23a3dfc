import { randomInt } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

const random = (length: number): string =>
  Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');

/** Returns a new id such as `cp_3fK0x9QzLm`: a prefix and 10 random characters, as in Arroyo. */
export const newId = (prefix: 'cp' | 'job' | 'key'): string => `${prefix}_${random(10)}`;

/** Enough for microseconds until the year 2398. */
const timeLength = 9;

/**
 * The same for objects that are listed by page: the id begins with the time of creation, so that the page after an
 * object can be found when the object is gone.
 */
export function newTimedId(prefix: 'ct' | 'pl' | 'aud' | 'dl', createdAt: bigint): string {
  let time = '';
  for (let rest = createdAt; rest > 0n; rest /= 62n) time = `${alphabet[Number(rest % 62n)]}${time}`;
  return `${prefix}_${time.padStart(timeLength, '0')}${random(5)}`;
}

/** Returns the time of creation in a timed id; undefined for another text. */
export function timeOfId(id: string): bigint | undefined {
  const [, time] = /^(?:ct|pl|aud|dl)_([0-9A-Za-z]{9})[0-9A-Za-z]{5}$/.exec(id) ?? [];
  if (time === undefined) return undefined;
  return [...time].reduce((sum, digit) => sum * 62n + BigInt(alphabet.indexOf(digit)), 0n);
}
