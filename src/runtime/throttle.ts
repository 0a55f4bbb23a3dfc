import type { Delivery } from '../connectors/connector.ts';
import { delay } from './backoff.ts';

/** A limited source hands out what makes a tenth of a second, so that its messages do not come in bursts. */
const slicesPerSecond = 10;

/**
 * The batches of a source, at most `perSecond` messages a second, in their order. While it waits it takes nothing
 * from the source, which then keeps its window full and reads no further. Rejects with the signal's reason.
 */
export async function* paced(
  source: AsyncIterable<Delivery[]>,
  perSecond: number,
  signal: AbortSignal,
): AsyncGenerator<Delivery[]> {
  const most = Math.max(1, Math.floor(perSecond / slicesPerSecond));
  let due = performance.now();
  for await (const batch of source) {
    for (let from = 0; from < batch.length; from += most) {
      const wait = due - performance.now();
      if (wait > 0) await delay(wait, signal);
      const slice = batch.slice(from, from + most);
      due = Math.max(due, performance.now()) + (slice.length / perSecond) * 1000;
      yield slice;
    }
  }
}
