import type { Delivery, TransactionPart } from '../connectors/connector.ts';
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
    // Asking the signal costs more than all the other checks: it is made of others.
    let aborted = signal.aborted;
    signal.addEventListener('abort', () => {
      aborted = true;
    });
    for await (const deliveries of source) {
      const inBatches = counts.waiting(arrivalOf(deliveries));
      counts.arrived(deliveries.length, bytes(deliveries));
      const loading = processor.ready(deliveries);
      if (loading !== undefined) await loading;
      for (let from = 0; from < deliveries.length; ) {
        const batch = processor.batch(deliveries, from, bad.failed);
        from += batch.messages.length;
        const preparing = processor.prepare(batch);
        if (preparing !== undefined) await preparing;
        counts.rows(batch.rows.length, batch.rowsOut);
        if (aborted) signal.throwIfAborted();
        weight += batch.weight;
        const settled = this.#settle(batch).then(() => {
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
    await processor.ready(messages);
    for (const batch of processor.batches(messages, () => {})) {
      await processor.prepare(batch);
      processor.begin(batch, () => []);
      await processor.write(batch);
      await batch.part?.commit();
      counts.add({ messages_out: messagesOut(batch), bytes_out: bytesOut(batch) });
      failures.push(...batch.messages.map((_, index) => deadLetterFailure(batch, index)));
    }
    return failures;
  }

  /**
   * Writes the results of a batch and acknowledges its messages, the bad ones once they are handled (invariant 1). Never rejects: a
   * failure aborts `failed`.
   */
  async #settle(batch: Batch<Delivery>): Promise<void> {
    const { bad, counts, failed, signal } = this.#tools;
    const { messages, failures } = batch;
    const acknowledged = counts.waiting(arrivalOf(messages));
    counts.sent(messages.length);
    try {
      this.#tools.processor.begin(batch, () => messages.map(({ position }) => position));
      await this.#write(batch);
      if (batch.part) {
        await bad.settle(batch, signal);
        await this.#commit(batch.part);
        for (const delivery of messages) delivery.ack();
      } else if (failures.size === 0) {
        for (const delivery of messages) delivery.ack();
      } else {
        messages.forEach((delivery, index) => {
          if (!failures.has(index)) delivery.ack();
        });
        await bad.settle(batch, signal);
      }
      acknowledged();
      counts.settled(messages.length, messagesOut(batch), bytesOut(batch));
      counts.confirmed(messages.length, arrivalOf(messages));
    } catch (error) {
      failed.abort(error);
    }
  }

  async #write(batch: Batch<Delivery>): Promise<void> {
    await this.#tools.processor.write(batch).catch(this.#sinkFailed);
  }

  async #commit(part: TransactionPart): Promise<void> {
    await part.commit().catch(this.#sinkFailed);
  }

  readonly #sinkFailed = (error: unknown): never => {
    throw this.#tools.sinkError(error);
  };
}

export const arrivalOf = ([first]: readonly Delivery[]): number => first?.receivedAt ?? 0;

const messagesOut = ({ outgoing, refused }: Batch<InputMessage>): number => outgoing.length - refused.length;

const bytesOut = ({ outgoing, refused }: Batch<InputMessage>): number => bytes(outgoing) - bytes(refused);

function bytes(messages: readonly { payload: Buffer }[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}
