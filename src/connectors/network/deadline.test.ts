import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { within } from './deadline.ts';

const { signal } = new AbortController();
const late = () => new Error('late');

/** Nothing else can run meanwhile, as when the machine has no time for the process. */
function holdUp(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

test('a process that was held up first handles what has come in the meantime', async () => {
  const working = within(200, signal, late, async (soon) => {
    for (let turns = 0; turns < 5; turns += 1) await turn();
    soon.throwIfAborted();
    return 'done';
  });
  holdUp(400);
  expect(await working).toBe('done');
});

test('a deadline ends work that goes on', async () => {
  const work = (soon: AbortSignal) =>
    new Promise((_resolve, reject) => {
      soon.addEventListener('abort', () => reject(soon.reason));
    });
  await expect(within(5, signal, late, work)).rejects.toThrow('late');
  await expect(within(100, signal, late, work)).rejects.toThrow('late');
});
