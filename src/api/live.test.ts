import { describe, expect, test } from 'vitest';
import { scripted } from '../../test/support/fixtures.ts';
import { targets } from '../../test/support/mqtt.ts';
import { until } from '../../test/support/until.ts';
import { connectorFor } from '../connectors/registry.ts';
import { enough, watchSource, whenReady } from './live.ts';

/** Messages that are ready at once if they are even, else when `load` is called. */
function view(max = Infinity) {
  const seen: (number | string)[] = [];
  const loads: PromiseWithResolvers<void>[] = [];
  const ready = ([message = 0]: readonly number[]): Promise<void> | undefined => {
    if (message % 2 === 0) return undefined;
    const load = Promise.withResolvers<void>();
    loads.push(load);
    return load.promise;
  };
  const add = whenReady<number>(ready, {
    deliver: (message) => {
      if (message > max) throw new Error('too large');
      seen.push(message);
    },
    leftOut: () => seen.push('left out'),
    failed: (error) => seen.push((error as Error).message),
  });
  return { seen, loads, add };
}

describe('messages of a live view', () => {
  test('come at once if nothing is to be loaded, and in order if something is', async () => {
    const { seen, loads, add } = view();
    add(2);
    expect(seen).toEqual([2]);
    for (const message of [3, 4, 5, 6]) add(message);
    expect(seen).toEqual([2]);
    loads[0]?.resolve();
    await until('the next to be loaded', () => loads.length === 2);
    expect(seen).toEqual([2, 3, 4]);
    loads[1]?.resolve();
    await until('all', () => seen.length === 5);
    expect(seen).toEqual([2, 3, 4, 5, 6]);
    await until('nothing to wait for', () => {
      add(8);
      return seen.at(-1) === 8;
    });
  });

  test('are left out when too many wait', () => {
    const { seen, add } = view();
    for (let message = 1; message <= 1002; message += 1) add(message);
    expect(seen).toEqual(['left out', 'left out']);
  });

  test('end the view if one can never be ready, or cannot be delivered', async () => {
    const { seen, loads, add } = view(6);
    add(1);
    loads[0]?.reject(new Error('no registry'));
    await until('the failure', () => seen.includes('no registry'));
    const other = view(6);
    other.add(7);
    other.loads[0]?.resolve();
    await until('the failure', () => other.seen.includes('too large'));
  });
});

test('a live view listens, once, before it shows a message that comes together with the SUBACK', async () => {
  const kept = { cmd: 'publish', topic: 'a', payload: 'kept', qos: 0, dup: false, retain: true } as const;
  const { url } = await scripted({
    on: (packet, connection) => {
      if (packet.cmd !== 'subscribe') return false;
      connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [0] }, kept, kept);
      return true;
    },
  });
  const seen: string[] = [];
  const over = new AbortController();
  const watching = watchSource(connectorFor('mqtt'), {
    ...{ profile: { url }, targets, table: { topic: 'a', type: {} }, signal: over.signal },
    listening: () => void seen.push('listening'),
    deliver: ({ payload }) => {
      if (seen.push(String(payload)) === 3) over.abort(enough);
    },
  });
  await expect(watching).rejects.toBe(enough);
  expect(seen).toEqual(['listening', 'kept', 'kept']);
});
