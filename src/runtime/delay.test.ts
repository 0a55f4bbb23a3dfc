import { expect, test, vi } from 'vitest';
import type { Delivery } from '../connectors/connector.ts';
import { throttle } from './delay.ts';

const never = new AbortController().signal;

const delivery = (index: number): Delivery => ({
  payload: Buffer.from(String(index)),
  metadata: {},
  receivedAt: 0,
  ack: () => undefined,
});

async function* batches(...sizes: number[]): AsyncGenerator<Delivery[]> {
  let next = 0;
  for (const size of sizes) yield Array.from({ length: size }, () => delivery(next++));
}

test('throttle hands out every message once and in order, in slices of at most a tenth of a second', async () => {
  const seen: string[] = [];
  const sizes: number[] = [];
  for await (const slice of throttle(batches(25, 1, 40), 100_000, never)) {
    sizes.push(slice.length);
    seen.push(...slice.map(({ payload }) => String(payload)));
  }
  expect(seen).toEqual(Array.from({ length: 66 }, (_, index) => String(index)));
  expect(sizes).toEqual([25, 1, 40]);
  sizes.length = 0;
  for await (const slice of throttle(batches(25), 100, never)) sizes.push(slice.length);
  expect(sizes).toEqual([10, 10, 5]);
});

test('throttle never exceeds its rate', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    let count = 0;
    const reading = (async () => {
      for await (const slice of throttle(batches(30), 100, never)) count += slice.length;
    })();
    const counts: number[] = [];
    for (let step = 0; step < 5; step += 1) {
      await vi.advanceTimersByTimeAsync(50);
      counts.push(count);
    }
    await reading;
    expect(counts).toEqual([10, 20, 20, 30, 30]);
  } finally {
    vi.useRealTimers();
  }
});

test('throttle stops waiting when the signal aborts', async () => {
  const controller = new AbortController();
  const slices = throttle(batches(2), 0.001, controller.signal);
  await slices.next();
  const waiting = slices.next();
  const reason = new Error('stop it');
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});
