import type { StatefulSelect, TableDefinition } from '../../sql/plan.ts';
import { Duplicates } from '../../sql/state/duplicates.ts';
import type { LeafSegment } from '../../sql/state/snapshots.ts';
import { SourceClock } from '../../sql/state/source-clock.ts';
import { StateTables } from '../../sql/state/tables.ts';
import type { StateStore } from '../operations.ts';
import { type Control, microsOf, noControl, type OutboxEntry, type Segment } from './control.ts';

/** Rows and clocks of a stateful select, as they were committed. */
export interface RestoredState {
  control: Control;
  tables: StateTables;
  clocks: readonly SourceClock[];
  duplicates: readonly (Duplicates | undefined)[];
}

export async function restoreState(
  select: StatefulSelect,
  sources: readonly TableDefinition[],
  output: Parameters<typeof StateTables.open>[1],
  store: StateStore,
): Promise<RestoredState> {
  const text = await store.load();
  const control = text === undefined ? noControl(sources.length) : (JSON.parse(text) as Control);
  const tables = await StateTables.open(select, output);
  try {
    await loadRows(select, control, tables, store);
    const duplicates = sources.map(({ time }) => time?.dedupe && new Duplicates(time.dedupe));
    for (const { kind, of, segment } of control.segments)
      if (kind === 'keys') duplicates[of]?.load(await store.read(segment));
    const clocks = sources.map(
      (source, index) => new SourceClock(source, microsOf(control.sources[index]?.watermark ?? null)),
    );
    return { control, tables, clocks, duplicates };
  } catch (error) {
    await tables.close();
    throw error;
  }
}

/** Updating results that are written, or in the outbox, are those of the rows up to `evaluated`. */
async function loadRows(
  { window }: StatefulSelect,
  { segments, evaluated, until }: Control,
  tables: StateTables,
  store: StateStore,
): Promise<void> {
  const rows = segments.filter(({ kind }) => kind === 'rows');
  const read = async (some: readonly Segment[]): Promise<void> => {
    const loaded: LeafSegment[] = [];
    for (const { segment, of } of some) loaded.push({ leaf: of, data: await store.read(segment) });
    if (loaded.length > 0) await tables.load(loaded);
  };
  if (window) {
    await read(rows);
    const time = microsOf(until);
    if (time !== undefined) await tables.trim(time);
    return;
  }
  await read(rows.filter(({ segment, base }) => base || segment <= evaluated));
  await tables.prime();
  await read(rows.filter(({ segment, base }) => !base && segment > evaluated));
}

const maxDeltas = 400;
const minSnapshotBytes = 4 * 1024 * 1024;

/** A segment that a commit adds. */
export interface NewSegment {
  segment: number;
  data: Uint8Array;
}

/** The stored segments of a state, and what has to become of them. */
export class Segments {
  #segments: Segment[];
  #next: number;

  constructor({ segments, nextSegment }: Control) {
    this.#segments = [...segments];
    this.#next = nextSegment;
  }

  get all(): readonly Segment[] {
    return this.#segments;
  }

  get next(): number {
    return this.#next;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  number(): number {
    this.#next += 1;
    return this.#next - 1;
  }

  /** Adds a segment that is stored. */
  add(segment: Segment): void {
    this.#segments.push(segment);
  }

  /** Adds a segment, and returns it for the commit. */
  store(data: Uint8Array, of: Omit<Segment, 'segment' | 'bytes'>): NewSegment {
    const segment = this.number();
    this.#segments.push({ segment, bytes: data.byteLength, ...of });
    return { segment, data };
  }

  /** Removes segments, and returns their numbers. */
  remove(isOver: (segment: Segment) => boolean): number[] {
    const over = this.#segments.filter(isOver);
    if (over.length > 0) this.#segments = this.#segments.filter((segment) => !over.includes(segment));
    return over.map(({ segment }) => segment);
  }

  /** Whether what was added since the last snapshot outweighs it. */
  get wantsSnapshot(): boolean {
    const rows = this.#segments.filter(({ kind }) => kind === 'rows');
    const sizeOf = (some: readonly Segment[]) => some.reduce((sum, { bytes }) => sum + bytes, 0);
    const deltas = rows.filter(({ base }) => !base);
    const base = sizeOf(rows.filter((segment) => segment.base));
    return deltas.length > maxDeltas || sizeOf(deltas) > Math.max(minSnapshotBytes, base);
  }
}

export const outboxBytes = (entries: readonly OutboxEntry[]): number =>
  entries.reduce((sum, { bytes }) => sum + bytes, 0);
