import { errorCatalog } from '../connectors/catalog.ts';
import type { PenstockError } from '../errors.ts';

const patienceMs = 5 * 60_000;
/** Few tries, because a server may lock an account after some refused logins. */
const pausesMs = { first: 5_000, longest: 60_000 };

/**
 * How long a task tries again when it is refused, with an error that is not passing. What was accepted before is often refused only for a
 * moment: by a broker that asks another server for logins, by a proxy that still loads its certificates, while a queue is made again.
 */
export class Patience {
  static readonly hint = `It was accepted before, so the job tries again for ${patienceMs / 60_000} minutes.`;
  #hasRun: boolean;
  /** Whether the present attempt was connected. */
  #isConnected = false;
  /** Number of refusals since it was connected last. */
  #refusals = 0;
  #endsAt = 0;

  /** `hasRun` says whether the task was connected before, with the same definitions. */
  constructor(hasRun: boolean) {
    this.#hasRun = hasRun;
  }

  /** An attempt begins. */
  connecting(): void {
    this.#isConnected = false;
  }

  connected(): void {
    this.#hasRun = true;
    this.#isConnected = true;
    this.#refusals = 0;
  }

  /** Returns the pause before the next try. Throws the error if another try is of no use, or was of no use for five minutes. */
  pauseMs(error: PenstockError): number {
    if (!this.#hasRun || this.#isConnected || errorCatalog[error.code]?.lasting) throw error;
    const now = performance.now();
    if (this.#refusals === 0) this.#endsAt = now + patienceMs;
    if (now >= this.#endsAt) throw error;
    const longest = Math.min(pausesMs.longest, pausesMs.first * 2 ** this.#refusals);
    this.#refusals += 1;
    return Math.floor(longest * (0.5 + Math.random() / 2));
  }
}
