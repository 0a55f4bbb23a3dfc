import type { Delivery } from '../../connectors/connector.ts';
import type { Batch } from '../batch-processor.ts';
import type { AttemptCounts } from '../counts.ts';

/** A commit follows once as many messages wait for it, or bytes. */
const fullMessages = 4000;
const fullBytes = 4 * 1024 * 1024;
/** A commit follows that long after the first message, or the last one of several. */
export const fewWaitMs = 200;
const someWaitMs = 50;
const some = 10;
const quietMs = 5;
const maxMessages = 20_000;

/** A batch whose rows are in the tables, and not yet committed. */
export interface PendingBatch {
  source: number;
  batch: Batch<Delivery>;
  /** Number of its rows that came too late. */
  late: number;
  acknowledged(): void;
}

/** The batches of the next commit. */
export class PendingBatches {
  #batches: PendingBatch[] = [];
  #messages = 0;
  #bytes = 0;
  #firstAt = 0;
  #lastAt = 0;

  add(pending: PendingBatch): void {
    const now = performance.now();
    if (this.#batches.length === 0) this.#firstAt = now;
    this.#lastAt = now;
    this.#batches.push(pending);
    this.#messages += pending.batch.messages.length;
    this.#bytes += bytesOf(pending.batch.messages);
  }

  take(): PendingBatch[] {
    const batches = this.#batches;
    this.#batches = [];
    this.#messages = 0;
    this.#bytes = 0;
    return batches;
  }

  get isFull(): boolean {
    return this.#messages > maxMessages;
  }

  /** Milliseconds until they are to be committed. */
  waitMs(now: number): number {
    if (this.#batches.length === 0) return Number.POSITIVE_INFINITY;
    if (this.#messages >= fullMessages || this.#bytes >= fullBytes) return 0;
    const age = now - this.#firstAt;
    if (this.#messages < some) return Math.max(0, fewWaitMs - age);
    return Math.max(0, Math.min(someWaitMs - age, quietMs - (now - this.#lastAt)));
  }
}

export function bytesOf(messages: readonly Delivery[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}

/** The packet identifiers of the messages of a source. */
export const identifiersOf = (pending: readonly PendingBatch[], source: number): number[] =>
  pending
    .filter((one) => one.source === source)
    .flatMap(({ batch }) => batch.messages.flatMap(({ identifier }) => identifier ?? []));

/** Failed messages are acknowledged with the commit, after their dead letters are stored. */
export function keepAcknowledgements(batch: Batch<Delivery>, acknowledged: Delivery[]): void {
  for (const index of batch.failures.keys()) {
    const delivery = batch.messages[index] as Delivery;
    const { payload, metadata, receivedAt, identifier } = delivery;
    const kept: Delivery = { payload, metadata, receivedAt, ack: () => acknowledged.push(delivery) };
    batch.messages[index] = identifier === undefined ? kept : { ...kept, identifier };
  }
}

/** Acknowledges what is committed. `others` are the messages that failed. */
export function acknowledge(
  pending: readonly PendingBatch[],
  others: readonly Delivery[],
  counts: AttemptCounts,
): void {
  for (const { batch, acknowledged } of pending) {
    const { messages, failures } = batch;
    messages.forEach((delivery, index) => {
      if (!failures.has(index)) delivery.ack();
    });
    acknowledged();
    counts.add({ in_flight: -messages.length });
    counts.confirmed(messages.length, messages[0]?.receivedAt ?? 0);
  }
  for (const delivery of others) delivery.ack();
}
