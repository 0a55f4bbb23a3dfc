/**
 * Runs `work` under a deadline. The signal it gets aborts with `late()` after `ms`, or with the reason of `signal`
 * when that aborts; `work` must then reject with the signal's reason. Nothing is left behind when it is over.
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
  const timer = setTimeout(() => controller.abort(late()), ms);
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
  }
}

/**
 * A promise for what callbacks report. `start` binds listeners and answers the function that unbinds them, which
 * runs exactly once, however it ends. Rejects with the signal's reason when that aborts.
 */
export function untilReported<T>(
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
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
  if (over) unbind();
  return promise;
}
