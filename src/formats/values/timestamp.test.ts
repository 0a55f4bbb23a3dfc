import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatTimestamp, parseTimestamp } from './timestamp.ts';

const times = fc.oneof(
  fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }),
  // The ends of days, where the text of the last one must not be used again.
  fc
    .tuple(fc.integer({ min: -719_528, max: 2_932_895 }), fc.integer({ min: -1, max: 1 }))
    .map(([day, apart]) => Math.max(day * 86_400_000 + apart, -62_167_219_200_000)),
);

test('a time is written as a Date writes it, and read back', () => {
  fc.assert(
    fc.property(times, (ms) => {
      const text = new Date(ms).toISOString();
      expect(formatTimestamp(BigInt(ms), 'millisecond')).toBe(text);
      expect(formatTimestamp(BigInt(ms) * 1000n, 'microsecond')).toBe(text.replace('Z', '000Z'));
      expect(formatTimestamp(BigInt(Math.floor(ms / 1000)), 'second')).toBe(`${text.slice(0, 19)}Z`);
      expect(parseTimestamp(text, 'millisecond')).toBe(BigInt(ms));
    }),
    { numRuns: 2_000 },
  );
});

test('years that RFC 3339 cannot write are not written', () => {
  expect(formatTimestamp(-62_167_219_200_001n, 'millisecond')).toBeUndefined();
  expect(formatTimestamp(253_402_300_800_000n, 'millisecond')).toBeUndefined();
  expect(formatTimestamp(253_402_300_800n, 'second')).toBeUndefined();
});
