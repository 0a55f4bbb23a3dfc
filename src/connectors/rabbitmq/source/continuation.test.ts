import type { ConsumeMessage } from 'amqplib';
import { expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { until } from '../../../../test/support/until.ts';
import type { PenstockError } from '../../../errors.ts';
import type { Connection } from '../connection/client.ts';
import { Continuation } from './continuation.ts';

const at = (offset: number): ConsumeMessage =>
  ({ fields: {}, properties: { headers: { 'x-stream-offset': offset } } }) as unknown as ConsumeMessage;

/** A connection whose looks at the end of a stream find these: an error, an offset, or a number of messages of which none comes. */
function connectionWith(looks: (Error | number | { count: number })[]) {
  const counts = { opened: 0, closed: 0 };
  const channel = async () => {
    const found = looks[counts.opened++] ?? new Error('no more looks');
    const raw = {
      prefetch: async () => {},
      consume: async (_: string, show: (message: ConsumeMessage) => void) => {
        if (found instanceof Error) throw found;
        if (typeof found === 'number') show(at(found));
        return { consumerTag: 't' };
      },
      cancel: async () => {},
      checkQueue: async () => ({ messageCount: (found as { count: number }).count }),
    };
    const close = async () => {
      counts.closed += 1;
    };
    return { raw, until: (work: Promise<unknown>) => work, close };
  };
  return { connection: { channel } as unknown as Connection, counts };
}

function continuing(looks: Parameters<typeof connectionWith>[0], stored?: number, patienceMs = 4) {
  const { connection, counts } = connectionWith(looks);
  const said: unknown[] = [];
  const continuation = new Continuation(
    connection,
    { name: 's', offset: 'next', stored, patienceMs },
    {
      warn: ({ code, facts }: PenstockError) => void said.push([code, facts?.count]),
      commit: (offset) => void said.push(offset),
      replaced: ({ code }) => void said.push(code),
    },
  );
  atEnd(async () => continuation.close());
  return { continuation, counts, said };
}

test.each([
  ['two equal ends', [3, 4, 4], 3],
  ['an error', [new Error('refused'), 4, new Error('refused'), 4, 4], 5],
  ['a look without a message', [4, { count: 9 }, 4, 4], 4],
  ['an empty stream', [{ count: 0 }, { count: 0 }], 2],
])('finds that a stream is another one after %s', async (_, looks, opened) => {
  const { counts, said } = continuing(looks, 10);
  await until('the end', () => said.length > 0);
  expect(said).toEqual(['rabbitmq_stream_replaced']);
  expect(counts).toEqual({ opened, closed: opened });
});

test.each([
  [[9, 10], 10, []],
  [[4, 4], undefined, [4]],
  [[{ count: 0 }, { count: 0 }], undefined, [-1]],
])('the ends %j with the position %j lead to %j', async (looks, stored, expected) => {
  const { counts, said } = continuing([...looks], stored);
  await until('all looks', () => counts.closed === 2);
  await until('the position', () => said.length === expected.length);
  expect(said).toEqual(expected);
});

test('notices every jump in the offsets, and warns at most once a minute', () => {
  const { continuation, said } = continuing([], 5, 60_000);
  const known = [5, 6, 9, 12].map((offset) => continuation.isKnown(at(offset)));
  expect(known).toEqual([true, false, false, false]);
  expect(said).toEqual([['rabbitmq_offsets_skipped', 2]]);
});

test('tells messages that were removed before, and stores where it begins', () => {
  const resumed = continuing([], 5, 60_000);
  expect(resumed.continuation.isKnown(at(8))).toBe(false);
  expect(resumed.said).toEqual([['rabbitmq_messages_removed', 2]]);
  const fresh = continuing([], undefined, 60_000);
  for (const offset of [0, 1]) expect(fresh.continuation.isKnown(at(offset))).toBe(false);
  expect(fresh.said).toEqual([-1]);
});
