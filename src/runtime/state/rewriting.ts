import type { StateTables } from '../../sql/state/tables.ts';
import type { StateStore } from '../operations.ts';
import type { Segments } from './state.ts';

interface RewritingTools {
  tables: StateTables;
  segments: Segments;
  store: StateStore;
  /** Resolves with a commit. */
  commit(): Promise<void>;
  /** A snapshot is stored: the next commit is to name it. */
  ready(): void;
  failed(error: unknown): void;
}

/** Pause after a snapshot that failed. */
const retryMs = 60_000;

/** Writes and stores all rows anew while commits go on. A later commit puts them in place of what they replace. */
export class Rewriting {
  readonly #tools: RewritingTools;
  #running: Promise<void> | undefined;
  #written: { upTo: number; segments: { leaf: number; segment: number; bytes: number }[] } | undefined;
  #closed = false;
  #notBefore = 0;
  /** Numbers of segments that are being stored. */
  staging: number[] = [];

  constructor(tools: RewritingTools) {
    this.#tools = tools;
  }

  get isReady(): boolean {
    return this.#written !== undefined;
  }

  /** Begins a snapshot of the rows that are taken, unless one is being written. */
  begin(): void {
    if (this.#running || this.#written || performance.now() < this.#notBefore) return;
    const upTo = this.#tools.segments.next - 1;
    this.#running = this.#write(upTo)
      .catch((error: unknown) => {
        this.#notBefore = performance.now() + retryMs;
        if (!this.#closed) this.#tools.failed(error);
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #write(upTo: number): Promise<void> {
    const { tables, segments, store, commit, ready } = this.#tools;
    const written = (await tables.snapshot()).map((one) => ({ ...one, segment: segments.number() }));
    this.staging = written.map(({ segment }) => segment);
    // A crash while they are stored leaves some behind, which the numbers tell.
    await commit();
    await store.stage(written.map(({ segment, data }) => ({ segment, data })));
    const named = written.map(({ leaf, segment, data }) => ({ leaf, segment, bytes: data.byteLength }));
    this.#written = { upTo, segments: named };
    ready();
  }

  /** Names a snapshot that is stored in a commit. Returns its size in bytes, or undefined if there is none. */
  replace(remove: number[]): number | undefined {
    if (!this.#written) return undefined;
    const { segments } = this.#tools;
    const { upTo, segments: written } = this.#written;
    this.#written = undefined;
    this.staging = [];
    const replaced = segments.all.filter(({ kind, segment }) => kind === 'rows' && segment <= upTo);
    const lasts = new Map<number, bigint>();
    for (const { of, last } of replaced) {
      const known = lasts.get(of);
      if (known === undefined || BigInt(last) > known) lasts.set(of, BigInt(last));
    }
    remove.push(...segments.remove((one) => replaced.includes(one)));
    for (const { leaf, segment, bytes } of written) {
      const last = String(lasts.get(leaf) ?? 0n);
      segments.add({ segment, bytes, kind: 'rows', of: leaf, last, base: true });
    }
    return written.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async settled(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }
}
