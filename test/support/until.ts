import { setTimeout as delay } from 'node:timers/promises';

/** Asks again until `condition` returns something, and returns that; fails with `what` after the deadline. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  ms = 20_000,
): Promise<Exclude<T, false | undefined>> {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found as Exclude<T, false | undefined>;
    if (Date.now() > deadline) throw new Error(`Waited ${ms} ms in vain for: ${what}`);
    await delay(10);
  }
}
