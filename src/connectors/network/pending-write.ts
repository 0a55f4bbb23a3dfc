import type { PenstockError } from '../../errors.ts';
import type { Outgoing, Refusal } from '../connector.ts';

/** A call of `write` of a sink, each of whose messages is confirmed or refused. They may be in several batches. */
export class PendingWrite {
  readonly messages: readonly Outgoing[];
  /** Resolves with the refusals when that is known of every message. Rejects with the error of `fail`. */
  readonly done: Promise<Refusal[]>;
  readonly #refusals: Refusal[] = [];
  readonly #settle: { resolve(refusals: Refusal[]): void; reject(error: unknown): void };
  #next = 0;
  #left: number;

  constructor(messages: readonly Outgoing[]) {
    const { promise, resolve, reject } = Promise.withResolvers<Refusal[]>();
    this.messages = messages;
    this.done = promise;
    this.#left = messages.length;
    this.#settle = { resolve, reject };
  }

  /** The index of the next message to send; -1 after the last one. */
  take(): number {
    return this.#next < this.messages.length ? this.#next++ : -1;
  }

  refuse(index: number, error: PenstockError): void {
    this.#refusals.push({ index, error });
    this.confirm();
  }

  confirm(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#settle.resolve(this.#refusals.toSorted((a, b) => a.index - b.index));
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
  }
}
