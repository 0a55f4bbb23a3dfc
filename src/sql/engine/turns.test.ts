import { expect, test } from 'vitest';
import { alone, inCompany } from './turns.ts';

test('who works alone begins when the others have finished, and holds up who comes later', async () => {
  const log: string[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const work = (name: string, gate?: Promise<void>) => async () => {
    log.push(`${name} begins`);
    await gate;
    log.push(`${name} ends`);
  };
  const first = inCompany(work('one', gates[0].promise));
  const second = inCompany(work('two', gates[1].promise));
  const single = alone(work('alone'));
  const last = inCompany(work('last'));
  gates[1].resolve();
  await second;
  expect(log).toEqual(['one begins', 'two begins', 'two ends']);
  gates[0].resolve();
  await Promise.all([first, single, last]);
  expect(log.slice(3)).toEqual(['one ends', 'alone begins', 'alone ends', 'last begins', 'last ends']);
});

test('work that fails leaves the way free for the others', async () => {
  const broken = () => Promise.reject(new Error('broken'));
  await expect(alone(broken)).rejects.toThrow('broken');
  await expect(inCompany(broken)).rejects.toThrow('broken');
  await expect(alone(() => inNoTime())).resolves.toBe('done');
  await expect(Promise.all([alone(inNoTime), alone(inNoTime), inCompany(inNoTime)])).resolves.toHaveLength(3);
});

async function inNoTime(): Promise<string> {
  return 'done';
}
