import type { ReceivedIdentifiers } from '../../connectors/connector.ts';

/** The packet identifiers of a source in the commits of a task. */
export class CommittedIdentifiers implements ReceivedIdentifiers {
  readonly #received: Set<number>;
  #releasing = new Map<number, PromiseWithResolvers<void>>();
  #clearing: PromiseWithResolvers<void> | undefined;
  readonly #changed: () => void;

  /** `changed` is called when a commit is needed. */
  constructor(received: readonly number[], changed: () => void) {
    this.#received = new Set(received);
    this.#changed = changed;
  }

  has(identifier: number): boolean {
    return this.#received.has(identifier);
  }

  release(identifier: number): Promise<void> {
    const known = this.#releasing.get(identifier) ?? Promise.withResolvers<void>();
    this.#releasing.set(identifier, known);
    this.#changed();
    return known.promise;
  }

  clear(): Promise<void> {
    this.#received.clear();
    this.#clearing ??= Promise.withResolvers<void>();
    this.#changed();
    return this.#clearing.promise;
  }

  get hasChanged(): boolean {
    return this.#releasing.size > 0 || this.#clearing !== undefined;
  }

  /**
   * Begins a commit with the identifiers of further messages. Returns what it holds, and what to call when it is done. One that is
   * both released and added has a new message.
   */
  commit(added: readonly number[]): { received: number[]; done(): void } {
    for (const identifier of added) this.#received.add(identifier);
    const renewed = new Set(added);
    const [releasing, clearing] = [this.#releasing, this.#clearing];
    this.#releasing = new Map();
    this.#clearing = undefined;
    const received = [...this.#received].filter(
      (identifier) => !releasing.has(identifier) || renewed.has(identifier),
    );
    return {
      received,
      done: () => {
        for (const [identifier, { resolve }] of releasing) {
          if (!renewed.has(identifier)) this.#received.delete(identifier);
          resolve();
        }
        clearing?.resolve();
      },
    };
  }
}
