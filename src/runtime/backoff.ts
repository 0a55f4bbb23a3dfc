/**
 * Exponential back-off with full jitter: before the n-th try in a row (from 0) wait a random time below
 * min(cap, base * 2^n) milliseconds.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const base = 500;
  const cap = 30_000;
  return Math.floor(random() * Math.min(cap, base * 2 ** Math.min(attempt, 30)));
}

/** Waits, or rejects with the signal's reason as soon as it aborts. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(done, ms);
  signal.addEventListener('abort', cancelled);
  function done(): void {
    signal.removeEventListener('abort', cancelled);
    resolve();
  }
  function cancelled(): void {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancelled);
    reject(signal.reason);
  }
  return promise;
}
