const parts = 20;
const shortestPartMs = 10;

/**
 * Calls `late` after `ms` in which this process ran, until the returned function is called. A process that was held up, as on
 * an overloaded machine, first handles what has come in the meantime: its own delay is none of the other side.
 */
function countDown(ms: number, late: () => void): () => void {
  const partMs = Math.max(shortestPartMs, ms / parts);
  let left = Math.ceil(ms / partMs);
  const next = (): NodeJS.Timeout =>
    setTimeout(() => {
      left -= 1;
      if (left <= 0) late();
      else timer = next();
    }, partMs);
  let timer = next();
  return () => clearTimeout(timer);
}

/**
 * Runs `work` under a deadline. Its signal aborts with `late()` after `ms`, or with the reason of `signal`; `work` must
 * then reject with the reason of its signal.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  late: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const controller = new AbortController();
  const cancel = () => controller.abort(signal.reason);
  const stop = countDown(ms, () => controller.abort(late()));
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work(controller.signal);
  } finally {
    stop();
    signal.removeEventListener('abort', cancel);
  }
}

/** Like `within`, but resolves with undefined at the deadline. */
export async function forUpTo<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const late = new Error('deadline');
  try {
    return await within(ms, signal, () => late, work);
  } catch (error) {
    if (error !== late) throw error;
    return undefined;
  }
}

/**
 * A promise for what callbacks report. `start` binds listeners and returns the function that unbinds them, if any; it
 * runs exactly once. Rejects with the reason of `signal` when that aborts.
 */
export function untilReported<T>(
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => (() => void) | undefined,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  if (signal.aborted) return Promise.reject(signal.reason);
  let unbind: (() => void) | undefined;
  let over = false;
  const finish = (settle: () => void) => {
    if (over) return;
    over = true;
    signal.removeEventListener('abort', abort);
    unbind?.();
    settle();
  };
  const abort = () => finish(() => reject(signal.reason));
  signal.addEventListener('abort', abort, { once: true });
  unbind = start(
    (value) => finish(() => resolve(value)),
    (error) => finish(() => reject(error)),
  );
  if (over) unbind?.();
  return promise;
}

/** Resolves after `ms`. Rejects with the reason of `signal` when that aborts. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  untilReported(signal, (resolve) => {
    const timer = setTimeout(resolve, ms);
    return () => clearTimeout(timer);
  });
