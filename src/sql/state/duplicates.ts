import type { Row } from '../../formats/format.ts';
import { getterOf } from '../../formats/values/own-property.ts';
import type { TimeOptions } from '../plan.ts';

/** Keys of messages that were counted, to drop further ones. Forgotten after the horizon, by the time of arrival. */
export class Duplicates {
  readonly #getters: readonly ((row: Row) => unknown)[];
  readonly #horizonMs: number;
  /** Time of arrival in milliseconds by key, the oldest first. */
  readonly #seen = new Map<string, number>();
  #added: [key: string, at: number][] = [];
  #bytes = 0;

  constructor({ columns, horizonMs }: NonNullable<TimeOptions['dedupe']>) {
    this.#getters = columns.map(getterOf);
    this.#horizonMs = horizonMs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Remembers a row. Returns false if a row with the same key was there before. */
  add(row: Row): boolean {
    const key = JSON.stringify(
      this.#getters.map((get) => get(row) ?? null),
      replaceBigint,
    );
    const now = Date.now();
    this.#forget(now);
    if (this.#seen.has(key)) return false;
    this.#remember(key, now);
    this.#added.push([key, now]);
    return true;
  }

  /** What was added since the last call; undefined if nothing was. */
  take(): { data: Uint8Array; last: number } | undefined {
    const added = this.#added;
    this.#added = [];
    return added.length > 0 ? written(added) : undefined;
  }

  all(): { data: Uint8Array; last: number } | undefined {
    return this.#seen.size > 0 ? written([...this.#seen]) : undefined;
  }

  load(data: Uint8Array): void {
    for (const [key, at] of JSON.parse(Buffer.from(data).toString()) as [string, number][])
      this.#remember(key, at);
  }

  /** Whether keys that were added at this time are needed no more. */
  isOver(at: number): boolean {
    return at + this.#horizonMs < Date.now();
  }

  #remember(key: string, at: number): void {
    if (!this.#seen.has(key)) this.#bytes += 2 * key.length + 64;
    this.#seen.set(key, at);
  }

  #forget(now: number): void {
    for (const [key, at] of this.#seen) {
      if (at + this.#horizonMs >= now) return;
      this.#seen.delete(key);
      this.#bytes -= 2 * key.length + 64;
    }
  }
}

const written = (keys: [string, number][]) => ({
  data: Buffer.from(JSON.stringify(keys)),
  last: keys.at(-1)?.[1] ?? 0,
});

const replaceBigint = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value);
