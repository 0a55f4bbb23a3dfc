import { setTimeout as delay } from 'node:timers/promises';

/** Asks again until `condition` returns something, and returns that; fails with `what` after the deadline. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  ms = 60_000,
): Promise<Exclude<T, false | undefined>> {
  const start = Date.now();
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found as Exclude<T, false | undefined>;
    const waited = Date.now() - start;
    if (waited > ms) throw new Error(`Waited ${ms} ms in vain for: ${what}`);
    // Less and less often: most conditions are requests, and all tests share the processors.
    await delay(Math.min(100, 5 + waited / 20));
  }
}
