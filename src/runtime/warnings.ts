import type { PenstockError } from '../errors.ts';

/** A job shows one warning of each code a second; nobody misses what is left out between two of these. */
const everyMs = 250;

/** Lets warnings through, but of those with one code not more than are shown: each message may bring one. */
export class Warnings {
  readonly #pass: (error: PenstockError, operatorId?: string) => void;
  readonly #last = new Map<string, number>();

  constructor(pass: (error: PenstockError, operatorId?: string) => void) {
    this.#pass = pass;
  }

  readonly warn = (error: PenstockError, operatorId?: string): void => {
    const now = performance.now();
    if (now - (this.#last.get(error.code) ?? Number.NEGATIVE_INFINITY) < everyMs) return;
    this.#last.set(error.code, now);
    this.#pass(error, operatorId);
  };
}
