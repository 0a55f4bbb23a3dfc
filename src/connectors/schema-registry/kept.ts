import { createHash } from 'node:crypto';
import type { SchemaRegistry } from './profile.ts';

/** A cache of responses of schema registries, for all tables and attempts of a thread. */

interface Entry<T> {
  value: T;
  length: number;
  /** By `performance.now()`. */
  since: number;
}

/** Values by key, bounded in number and in total length. Those that were not used for longest go first. */
export class Kept<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #maxCount: number;
  readonly #maxLength: number;
  #length = 0;

  constructor(maxCount: number, maxLength = Infinity) {
    this.#maxCount = maxCount;
    this.#maxLength = maxLength;
  }

  get(key: string, maxAgeMs = Infinity): T | undefined {
    const entry = this.#entries.get(key);
    if (!entry || performance.now() - entry.since > maxAgeMs) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  put(key: string, value: T, length = 0): void {
    this.#length += length - (this.#entries.get(key)?.length ?? 0);
    this.#entries.delete(key);
    this.#entries.set(key, { value, length, since: performance.now() });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#maxCount && this.#length <= this.#maxLength) return;
      this.#entries.delete(oldest);
      this.#length -= entry.length;
    }
  }
}

export const keyOf = (...parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64');

/** Tells registries apart, and logins to them. A secret is only in a hash. */
export const registryKey = ({ endpoint, apiKey, apiSecret, tls, insecureSkipVerify }: SchemaRegistry) =>
  keyOf(endpoint, apiKey, apiSecret, tls, insecureSkipVerify);
