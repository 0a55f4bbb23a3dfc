import { expect, test } from 'vitest';
import { runExclusive, runShared } from './transform.ts';

test('exclusive work starts when shared work has finished, and holds up later work', async () => {
  const log: string[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const work = (name: string, gate?: Promise<void>) => async () => {
    log.push(`${name} begins`);
    await gate;
    log.push(`${name} ends`);
  };
  const first = runShared(work('one', gates[0].promise));
  const second = runShared(work('two', gates[1].promise));
  const single = runExclusive(work('alone'));
  const last = runShared(work('last'));
  gates[1].resolve();
  await second;
  expect(log).toEqual(['one begins', 'two begins', 'two ends']);
  gates[0].resolve();
  await Promise.all([first, single, last]);
  expect(log.slice(3)).toEqual(['one ends', 'alone begins', 'alone ends', 'last begins', 'last ends']);
});

test('failed work releases the lock', async () => {
  const broken = () => Promise.reject(new Error('broken'));
  await expect(runExclusive(broken)).rejects.toThrow('broken');
  await expect(runShared(broken)).rejects.toThrow('broken');
  await expect(runExclusive(() => inNoTime())).resolves.toBe('done');
  await expect(
    Promise.all([runExclusive(inNoTime), runExclusive(inNoTime), runShared(inNoTime)]),
  ).resolves.toHaveLength(3);
});

async function inNoTime(): Promise<string> {
  return 'done';
}
