import { expect, test } from 'vitest';
import type { Delivery } from '../connector.ts';
import { type Incoming, QueueSource } from './queue-source.ts';

const message = (payload: number, bytes?: number): Incoming => ({
  payload: Buffer.alloc(payload),
  metadata: {},
  ...(bytes === undefined ? {} : { bytes }),
});

const mebibyte = 1024 * 1024;

test.each([
  ['the payload', message(32 * mebibyte)],
  ['what a connector holds beside it', message(1, 32 * mebibyte)],
])('takes no more than 64 MiB that are not acknowledged, by %s', async (_, each) => {
  const source = new QueueSource({
    window: 1_000,
    signal: new AbortController().signal,
    async read(queue) {
      for (let n = 0; n < 3; n++) await queue.add(each);
    },
  });
  const batches = source[Symbol.asyncIterator]();
  const deliveries: Delivery[] = [];
  while (deliveries.length < 2) deliveries.push(...((await batches.next()).value ?? []));
  expect(deliveries).toHaveLength(2);
  expect(source.room).toBe(0);
  deliveries[0]?.ack();
  expect(source.room).toBeGreaterThan(0);
  expect((await batches.next()).value).toHaveLength(1);
  expect(source.room).toBe(0);
  deliveries[1]?.ack();
  expect(source.room).toBeGreaterThan(0);
  await source.close();
});

test.each([
  ['a position', { position: { stored: undefined, commit: () => {} } }, 30],
  ['no position', {}, 100],
])(
  'reads a bounded number of messages behind one that is not acknowledged, with %s',
  async (_, more, most) => {
    const committed: unknown[] = [];
    const position = { stored: undefined, commit: (value: unknown) => void committed.push(value) };
    const source = new QueueSource({
      window: 3,
      signal: new AbortController().signal,
      ...('position' in more ? { position } : {}),
      async read(queue) {
        for (let n = 0; n < 100; n++) await queue.add({ ...message(1), position: n });
      },
    });
    const batches = source[Symbol.asyncIterator]();
    const deliveries: Delivery[] = [];
    const take = async (count: number) => {
      while (deliveries.length < count) {
        const batch: Delivery[] = (await batches.next()).value;
        for (const delivery of batch) if (deliveries.push(delivery) > 1) delivery.ack();
      }
    };
    await take(most);
    expect(deliveries).toHaveLength(most);
    expect(committed).toEqual([]);
    deliveries[0]?.ack();
    await take(100);
    expect(committed.at(-1)).toBe('position' in more ? 99 : undefined);
    await source.close();
  },
);
