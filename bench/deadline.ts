import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits for `work` for at most `ms` milliseconds. Rejects with "<what> took longer than …" when they have passed, and
 * with the reason of `signal` when it aborts.
 */
export async function within<T>(ms: number, what: string, signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: given, reject: giveUp } = Promise.withResolvers<never>();
  const aborted = (): void => giveUp(signal.reason);
  const timer = setTimeout(() => giveUp(new Error(`${what} took longer than ${ms} ms`)), ms);
  signal.addEventListener('abort', aborted, { once: true });
  if (signal.aborted) aborted();
  try {
    return await Promise.race([work, given]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
}

/** Polls `met` until it is true; rejects as `within` does. */
export async function until(
  ms: number,
  what: string,
  signal: AbortSignal,
  met: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await met())) {
    if (performance.now() > deadline) throw new Error(`${what} took longer than ${ms} ms`);
    await sleep(200, undefined, { signal });
  }
}
