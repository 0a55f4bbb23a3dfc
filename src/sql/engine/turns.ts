/**
 * Whose turn it is with the engine. Transforms share its memory, so one that has run out of it may have been starved
 * by the others. It may try once more while they wait.
 */

let running = 0;
let idle = Promise.withResolvers<void>();
/** Resolves when the one that is alone has finished. */
let occupied: Promise<void> | undefined;

/** Does something while others may do the same. */
export async function inCompany<T>(work: () => Promise<T>): Promise<T> {
  while (occupied) await occupied;
  running += 1;
  try {
    return await work();
  } finally {
    running -= 1;
    if (running === 0) {
      idle.resolve();
      idle = Promise.withResolvers<void>();
    }
  }
}

/** Does something when nobody else does, and lets nobody begin before it is done. */
export async function alone<T>(work: () => Promise<T>): Promise<T> {
  while (occupied) await occupied;
  const done = Promise.withResolvers<void>();
  occupied = done.promise;
  try {
    if (running > 0) await idle.promise;
    return await work();
  } finally {
    occupied = undefined;
    done.resolve();
  }
}
