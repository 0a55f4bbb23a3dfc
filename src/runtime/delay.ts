import type { Delivery } from '../connectors/connector.ts';
import { asPenstockError, isDatabaseFailure, type PenstockError } from '../errors.ts';

/** Exponential back-off with full jitter: a random time below min(30 s, 500 ms * 2^n) before the n-th retry, from 0. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(30_000, 500 * 2 ** Math.min(attempt, 30)));
}

/**
 * Milliseconds until the next multiple of `everyMs` on the clock of this process, at least a quarter of it. Timers that wait for the same
 * moments wake the process once.
 */
export function untilTick(everyMs: number, now: number = performance.now()): number {
  const left = everyMs - (now % everyMs);
  return Math.ceil(left < everyMs / 4 ? left + everyMs : left);
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

/** Does `work`, again and again while the database is unavailable. Rejects with any other error or the signal's reason. */
export async function despiteOutages<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  failed: (error: PenstockError) => void = () => {},
): Promise<T> {
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      const raised = asPenstockError(error);
      if (!isDatabaseFailure(raised)) throw raised;
      failed(raised);
      await delay(backoffMs(failures), signal);
    }
  }
}

/** A throttled source hands out a tenth of a second's worth of messages at a time, to avoid bursts. */
const slicesPerSecond = 10;

/**
 * The messages of a source in order, at most `perSecond` a second. Takes nothing from the source while it waits, so the
 * source's window fills and it stops reading. Rejects with the signal's reason.
 */
export async function* throttle(
  source: AsyncIterable<Delivery[]>,
  perSecond: number,
  signal: AbortSignal,
): AsyncGenerator<Delivery[]> {
  const max = Math.max(1, Math.floor(perSecond / slicesPerSecond));
  let due = performance.now();
  for await (const deliveries of source) {
    for (let from = 0; from < deliveries.length; from += max) {
      const wait = due - performance.now();
      if (wait > 0) await delay(wait, signal);
      const slice = deliveries.slice(from, from + max);
      due = Math.max(due, performance.now()) + (slice.length / perSecond) * 1000;
      yield slice;
    }
  }
}
