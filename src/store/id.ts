import { randomInt } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Returns a new id such as `cp_3fK0x9QzLm`: a prefix and 10 random characters, as in Arroyo. */
export function newId(prefix: 'cp' | 'ct' | 'pl' | 'job' | 'key' | 'aud' | 'dl'): string {
  let id = `${prefix}_`;
  for (let i = 0; i < 10; i++) id += alphabet[randomInt(alphabet.length)];
  return id;
}
