import { setTimeout as delay } from 'node:timers/promises';
import type { Position } from '../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import type { PositionStore } from './operations.ts';

const storeEveryMs = 1000;
const maxLength = 64 * 1024;

/** How far a source has come. Stores the last position at most once a second, and when it is closed. */
export class Positions implements Position {
  readonly stored: unknown;
  readonly #store: PositionStore;
  readonly #warn: (error: PenstockError) => void;
  #last: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(store: PositionStore, stored: unknown, warn: (error: PenstockError) => void) {
    this.stored = stored;
    this.#store = store;
    this.#warn = warn;
  }

  static async open(store: PositionStore, warn: (error: PenstockError) => void): Promise<Positions> {
    const last = await store.last();
    return new Positions(store, last === undefined ? undefined : JSON.parse(last), warn);
  }

  commit(position: unknown): void {
    const text = JSON.stringify(position);
    if (text.length > maxLength)
      throw new PenstockError('internal', `A position has ${text.length} characters, more than ${maxLength}`);
    this.#last = text;
    this.#timer ??= setTimeout(() => this.#write(), storeEveryMs);
  }

  /** Stores the last position. If the database is away for long, messages since the one before arrive again. */
  async close(): Promise<void> {
    for (let attempt = 0; attempt < 3 && this.#last !== undefined; attempt++) {
      if (attempt > 0) await delay(storeEveryMs);
      await this.#write();
    }
    clearTimeout(this.#timer);
    await this.#writing;
  }

  #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => {
      const position = this.#last;
      if (position === undefined) return;
      this.#last = undefined;
      await this.#store.store(position).catch((error: unknown) => {
        this.#warn(asPenstockError(error));
        this.#last ??= position;
        this.#timer ??= setTimeout(() => this.#write(), storeEveryMs);
      });
    });
    return this.#writing;
  }
}
