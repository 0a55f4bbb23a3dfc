import type { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../../formats/format.ts';
import { badRow } from '../../formats/values/bad.ts';
import { openTransform } from '../open-transform.ts';
import type { RowSelect, StatefulSelect, TableDefinition } from '../plan.ts';
import type { Transform } from '../transform.ts';
import type { SourceClock } from './source-clock.ts';
import type { StateTables } from './tables.ts';
import { changeOrder, goneColumn, isLate } from './windows.ts';

interface Computed {
  rows: readonly Row[];
  /** For each row the index of the row of the source that it was made of. */
  origin: readonly number[];
}

/** Rows of a source as rows of the leaves that read it. */
export interface ComputedRows {
  leaves: readonly (Computed & { leaf: number; whole: boolean })[];
  times: Computed | undefined;
}

interface LeafInput {
  leaf: number;
  whole: boolean;
  transform: Transform;
}

/** What happens to rows of the source, by their index. */
interface RowEvents {
  /** Time of arrival in milliseconds since 1970. */
  receivedAt(index: number): number;
  /** Whether the row counts. */
  counts(index: number): boolean;
  bad(index: number, error: PenstockError): void;
  /** Of a source of changes: the order of the next one, and whether a row is gone. */
  nextChange?(): bigint;
  isGone?(index: number): boolean;
}

/** Rows of one source on their way into the tables: computes the columns of each leaf, and tells late rows apart. */
export class LeafRows {
  readonly clock: SourceClock;
  /** Upper bound on the bytes that a row may become. Absent if that is a small multiple of the row. */
  readonly bytesFor: ((row: Row) => number) | undefined;
  readonly #select: StatefulSelect;
  readonly #source: TableDefinition;
  readonly #inputs: readonly LeafInput[];
  readonly #times: Transform | undefined;

  /** `index` is the number of the source. */
  static async open(
    select: StatefulSelect,
    index: number,
    source: TableDefinition,
    clock: SourceClock,
  ): Promise<LeafRows> {
    const inputs: LeafInput[] = [];
    for (const [leaf, { inputs: given, columns }] of select.leaves.entries())
      for (const { source: of, select: rows, whole } of given)
        if (of === index)
          inputs.push({ leaf, whole, transform: await opened(source, rows, columns.filter(isComputed)) });
    const times = select.clocks.find((one) => one.source === index);
    const transform = times && (await opened(source, times.select, times.columns));
    return new LeafRows(select, source, clock, inputs, transform);
  }

  private constructor(
    select: StatefulSelect,
    source: TableDefinition,
    clock: SourceClock,
    inputs: readonly LeafInput[],
    times: Transform | undefined,
  ) {
    this.#select = select;
    this.#source = source;
    this.clock = clock;
    this.#inputs = inputs;
    this.#times = times;
    const bounds = inputs.flatMap(({ transform }) => transform.bytesFor?.bind(transform) ?? []);
    this.bytesFor =
      bounds.length === 0 ? undefined : (row) => bounds.reduce((sum, bound) => sum + bound(row), 0);
  }

  /** Computes the rows of all leaves. Calls `bad` once for a row that cannot be computed. */
  async compute(rows: readonly Row[], bad: RowEvents['bad']): Promise<ComputedRows> {
    const failed = new Set<number>();
    const leaves: ComputedRows['leaves'][number][] = [];
    for (const { leaf, whole, transform } of this.#inputs) {
      const result = await transform.run(rows);
      for (const { index, error } of result.bad) if (!failed.has(index)) bad(index, error);
      for (const { index } of result.bad) failed.add(index);
      leaves.push({ leaf, whole, rows: result.rows, origin: result.origin });
    }
    return { leaves, times: await this.#times?.run(rows) };
  }

  /**
   * Puts computed rows into the tables, and advances the clock of the source. `until` is the time up to which windows are closed.
   * Returns the number of rows that went in, and the rows of the source that are late.
   */
  add(
    tables: StateTables,
    { leaves, times }: ComputedRows,
    until: bigint | undefined,
    events: RowEvents,
  ): { rows: number; late: ReadonlySet<number> } {
    const late = new Set<number>();
    let added = 0;
    for (const { leaf, rows, origin } of leaves) {
      const kept: { rows: Row[]; times: bigint[]; from: number[] } = { rows: [], times: [], from: [] };
      for (const [index, row] of rows.entries()) {
        const from = origin[index] as number;
        const time = events.counts(from) ? this.#timeOf(row, from, until, events) : undefined;
        if (time === undefined) continue;
        if (this.#isLate(time, until)) late.add(from);
        else {
          if (this.#select.leaves[leaf]?.changes) {
            row[changeOrder] = events.nextChange?.() ?? 0n;
            row[goneColumn] = events.isGone?.(from) ?? false;
          }
          kept.rows.push(row);
          kept.times.push(time);
          kept.from.push(from);
        }
      }
      for (const index of tables.append(leaf, kept.rows, kept.times))
        events.bad(kept.from[index] as number, this.#badTime('is a time that windows cannot hold'));
      added += kept.rows.length;
    }
    this.#advance(times ?? leaves.find(({ whole }) => whole));
    return { rows: added, late };
  }

  async close(): Promise<void> {
    for (const { transform } of this.#inputs) await transform.close();
    await this.#times?.close();
  }

  #isLate(time: bigint, until: bigint | undefined): boolean {
    const { window } = this.#select;
    if (!window) return false;
    return this.clock.isAhead(time) || (until !== undefined && isLate(window, time, until));
  }

  #timeOf(row: Row, from: number, until: bigint | undefined, events: RowEvents): bigint | undefined {
    // How long rows are kept for updating results has nothing to do with their own times.
    if (this.clock.byArrival || !this.#select.window) {
      const arrived = BigInt(Math.round(events.receivedAt(from) * 1000));
      // A message may have waited while its window closed, and the clock may have been set back.
      return until !== undefined && arrived < until ? until : arrived;
    }
    const time = (row.__time ?? null) as Value;
    if (typeof time === 'bigint') return time;
    events.bad(from, this.#badTime('is the time of the event and is null'));
    return undefined;
  }

  #badTime(problem: string): PenstockError {
    return badRow(`/${this.#source.eventTime ?? ''}`, problem);
  }

  /** The latest watermark of the rows of the source. Rows that are too far ahead say nothing. */
  #advance(computed: Computed | undefined): void {
    if (this.clock.byArrival || !computed) return;
    let latest: bigint | undefined;
    for (const row of computed.rows) {
      const time = row.__time as Value;
      const mark = (row.__watermark ?? time ?? null) as Value;
      if (typeof mark !== 'bigint' || (typeof time === 'bigint' && this.clock.isAhead(time))) continue;
      if (latest === undefined || mark > latest) latest = mark;
    }
    if (latest !== undefined) this.clock.advance(latest);
  }
}

const isComputed = ({ name }: { name: string }): boolean => name !== changeOrder && name !== goneColumn;

const opened = (
  source: TableDefinition,
  select: RowSelect,
  columns: StatefulSelect['clocks'][number]['columns'],
): Promise<Transform> => openTransform({ source, select, sink: { schema: { fields: [...columns] } } });
