import type { LeafSegment } from '../../sql/state/snapshots.ts';
import type { StateTables } from '../../sql/state/tables.ts';
import type { NewSegment, Segments } from './state.ts';

interface RewritingTools {
  tables: StateTables;
  segments: Segments;
  /** A snapshot is there: the next commit is to take it. */
  ready(): void;
  failed(error: unknown): void;
}

/** Writes all rows anew while commits go on. A later commit puts them in place of what they replace. */
export class Rewriting {
  readonly #tools: RewritingTools;
  #running: Promise<void> | undefined;
  #written: { upTo: number; segments: LeafSegment[] } | undefined;

  constructor(tools: RewritingTools) {
    this.#tools = tools;
  }

  get isReady(): boolean {
    return this.#written !== undefined;
  }

  /** Begins a snapshot of the rows that are taken, unless one is being written. */
  begin(): void {
    if (this.#running || this.#written) return;
    const { tables, segments, ready, failed } = this.#tools;
    const upTo = segments.next - 1;
    this.#running = tables
      .snapshot()
      .then((written) => {
        this.#written = { upTo, segments: written };
        ready();
      })
      .catch(failed)
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Puts a snapshot that is written into a commit. Returns whether there was one. */
  replace(add: NewSegment[], remove: number[]): boolean {
    if (!this.#written) return false;
    const { segments } = this.#tools;
    const { upTo, segments: written } = this.#written;
    this.#written = undefined;
    const replaced = segments.all.filter(({ kind, segment }) => kind === 'rows' && segment <= upTo);
    const lasts = new Map<number, bigint>();
    for (const { of, last } of replaced) {
      const known = lasts.get(of);
      if (known === undefined || BigInt(last) > known) lasts.set(of, BigInt(last));
    }
    remove.push(...segments.remove((one) => replaced.includes(one)));
    for (const { leaf, data } of written)
      add.push(
        segments.store(data, { kind: 'rows', of: leaf, last: String(lasts.get(leaf) ?? 0n), base: true }),
      );
    return true;
  }

  async settled(): Promise<void> {
    await this.#running;
  }
}
