import type { Delivery } from '../connectors/connector.ts';
import { type BadMessages, deadLetterFailure } from './bad-messages.ts';
import type { Batch, BatchProcessor, InputMessage } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import type { DeadLetterFailure } from './operations.ts';
import { window } from './task-spec.ts';

/** Maximum number and total weight (`Batch.weight`) of batches that wait for the sink's confirmation. */
const maxPending = 16;
const maxPendingWeight = 4;

interface RowPumpTools {
  processor: BatchProcessor;
  bad: BadMessages;
  counts: AttemptCounts;
  /** Maximum number of unacknowledged messages. */
  window: number;
  /** Marks an error as one of the sink. */
  sinkError(error: unknown): unknown;
  /** Aborted by the first failure. */
  failed: AbortController;
  signal: AbortSignal;
}

/** The path of messages whose rows are computed one by one. */
export class RowPump {
  readonly #tools: RowPumpTools;

  constructor(tools: RowPumpTools) {
    this.#tools = tools;
  }

  /**
   * Moves messages from the source to the sink in batches. Several may wait for the sink, which receives them in order. The
   * first failed write aborts `failed` and ends the attempt, so nothing behind it is acknowledged.
   */
  async run(source: AsyncIterable<Delivery[]>): Promise<void> {
    const { processor, bad, counts, failed, signal } = this.#tools;
    const pending = new Set<Promise<void>>();
    const mayWait = this.#tools.window > window ? this.#tools.window : maxPending;
    let weight = 0;
    for await (const deliveries of source) {
      const inBatches = counts.waiting(arrivalOf(deliveries));
      counts.add({ batches: 1, messages_in: deliveries.length, bytes_in: bytes(deliveries) });
      for (const batch of processor.batches(deliveries, bad.failed)) {
        await processor.prepare(batch);
        counts.add({ rows_in: batch.rows.length, rows_out: batch.rowsOut });
        signal.throwIfAborted();
        weight += batch.weight;
        const settled = this.#settle(batch)
          .catch((error: unknown) => failed.abort(error))
          .finally(() => {
            weight -= batch.weight;
            pending.delete(settled);
          });
        pending.add(settled);
        while (pending.size >= mayWait || (weight >= maxPendingWeight && pending.size > 0)) {
          processor.flush();
          await Promise.race(pending);
        }
      }
      inBatches();
    }
    processor.flush();
    await Promise.all(pending);
    failed.signal.throwIfAborted();
  }

  /** Processes messages that acknowledge nothing. Returns the failure of each. Rejects if it is unknown what was written. */
  async replay(messages: readonly InputMessage[]): Promise<(DeadLetterFailure | undefined)[]> {
    const { processor, counts } = this.#tools;
    const failures: (DeadLetterFailure | undefined)[] = [];
    for (const batch of processor.batches(messages, () => {})) {
      await processor.prepare(batch);
      await processor.write(batch);
      counts.add(written(batch));
      failures.push(...batch.messages.map((_, index) => deadLetterFailure(batch, index)));
    }
    return failures;
  }

  /** Writes the results of a batch and acknowledges its messages, the bad ones once they are handled (invariant 1). */
  async #settle(batch: Batch<Delivery>): Promise<void> {
    const { processor, bad, counts, sinkError, signal } = this.#tools;
    const { messages, failures } = batch;
    const acknowledged = counts.waiting(arrivalOf(messages));
    counts.add({ in_flight: messages.length });
    await processor.write(batch).catch((error: unknown) => {
      throw sinkError(error);
    });
    messages.forEach((delivery, index) => {
      if (!failures.has(index)) delivery.ack();
    });
    await bad.settle(batch, signal);
    acknowledged();
    counts.add({ ...written(batch), in_flight: -messages.length });
    counts.confirmed(messages.length, arrivalOf(messages));
  }
}

export const arrivalOf = ([first]: readonly Delivery[]): number => first?.receivedAt ?? 0;

const written = ({ outgoing, refused }: Batch<InputMessage>) => ({
  messages_out: outgoing.length - refused.length,
  bytes_out: bytes(outgoing) - bytes(refused),
});

function bytes(messages: readonly { payload: Buffer }[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}
