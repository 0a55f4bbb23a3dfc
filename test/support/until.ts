import { setTimeout as delay } from 'node:timers/promises';

/** Waits for a condition, and fails with `what` at the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 20_000,
): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Waited ${ms} ms in vain for: ${what}`);
    await delay(10);
  }
}
