import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { RecentLatency } from './latency.ts';

const soak = process.env.PENSTOCK_SOAK === '1';

test('percentiles are never too low, and too high by a tenth at most', () => {
  const times = fc.array(
    fc.record({ ms: fc.double({ min: 0.1, max: 60_000, noNaN: true }), count: fc.nat(50) }),
    {
      minLength: 1,
    },
  );
  fc.assert(
    fc.property(times, (batches) => {
      const latency = new RecentLatency();
      for (const { ms, count } of batches) latency.add(ms, count);
      const all = batches
        .flatMap(({ ms, count }) => Array.from({ length: count }, () => ms))
        .toSorted((a, b) => a - b);
      const found = latency.percentiles();
      if (all.length === 0) {
        expect(found).toBeNull();
        return;
      }
      for (const [share, value] of [
        [0.5, found?.p50],
        [0.95, found?.p95],
        [0.99, found?.p99],
      ] as const) {
        const exact = all[Math.ceil(all.length * share) - 1] as number;
        // Rounded to three digits.
        expect(value).toBeGreaterThanOrEqual(exact * 0.99);
        expect(value).toBeLessThanOrEqual(exact * 1.11);
      }
    }),
    soak ? { numRuns: 10_000 } : { seed: 11 },
  );
});

test('what is older than two minutes is forgotten', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const latency = new RecentLatency();
    latency.add(5, 10);
    vi.advanceTimersByTime(61_000);
    latency.add(50, 10);
    expect(latency.percentiles()).toMatchObject({ p50: expect.closeTo(5, 0), p99: expect.closeTo(52, -1) });
    vi.advanceTimersByTime(61_000);
    expect(latency.percentiles()?.p50).toBeGreaterThanOrEqual(50);
    vi.advanceTimersByTime(121_000);
    expect(latency.percentiles()).toBeNull();
  } finally {
    vi.useRealTimers();
  }
});
