import type { Delivery } from '../../connectors/connector.ts';
import { PenstockError } from '../../errors.ts';
import { codecFor } from '../../formats/codec.ts';
import type { Row, Value } from '../../formats/format.ts';
import { badRow } from '../../formats/values/bad.ts';
import { openTransform } from '../../sql/open-transform.ts';
import type { RowSelect, StatefulSelect, TableDefinition } from '../../sql/plan.ts';
import type { Transform } from '../../sql/transform.ts';
import { type Batch, BatchReader } from '../batch-processor.ts';
import { isLate } from './control.ts';
import type { Duplicates } from './duplicates.ts';
import type { SourceClock } from './source-clock.ts';
import type { StateTables } from './tables.ts';

interface Computed {
  rows: readonly Row[];
  /** For each row the index of its row in the batch. */
  origin: readonly number[];
}

/** A batch whose rows are computed, and not yet in the tables. */
export interface PreparedBatch {
  batch: Batch<Delivery>;
  leaves: readonly (Computed & { leaf: number; whole: boolean })[];
  times: Computed | undefined;
}

export interface Added {
  rows: number;
  late: number;
  duplicates: number;
}

/** Rows of one source on their way into the tables: decodes, computes the columns of each leaf, and tells late rows apart. */
export class SourceInput {
  readonly reader: BatchReader;
  readonly clock: SourceClock;
  readonly #source: TableDefinition;
  readonly #select: StatefulSelect;
  readonly #transforms: readonly { leaf: number; whole: boolean; transform: Transform }[];
  readonly #clockTransform: Transform | undefined;
  readonly #duplicates: Duplicates | undefined;

  static async open(
    select: StatefulSelect,
    { index, source, clock }: { index: number; source: TableDefinition; clock: SourceClock },
    duplicates: Duplicates | undefined,
  ): Promise<SourceInput> {
    const transforms: { leaf: number; whole: boolean; transform: Transform }[] = [];
    for (const [leaf, { inputs, columns }] of select.leaves.entries())
      for (const input of inputs)
        if (input.source === index)
          transforms.push({ leaf, whole: input.whole, transform: await opened(source, input.select, columns) });
    const clockOf = select.clocks.find((one) => one.source === index);
    const clockTransform = clockOf && (await opened(source, clockOf.select, clockOf.columns));
    return new SourceInput(select, { source, clock, duplicates, transforms, clockTransform });
  }

  private constructor(
    select: StatefulSelect,
    parts: {
      source: TableDefinition;
      clock: SourceClock;
      duplicates: Duplicates | undefined;
      transforms: readonly { leaf: number; whole: boolean; transform: Transform }[];
      clockTransform: Transform | undefined;
    },
  ) {
    const { source, clock, duplicates, transforms, clockTransform } = parts;
    this.#select = select;
    this.#source = source;
    this.clock = clock;
    this.#duplicates = duplicates;
    this.#transforms = transforms;
    this.#clockTransform = clockTransform;
    const bounds = transforms.flatMap(({ transform }) => transform.bytesFor?.bind(transform) ?? []);
    const bytesFor = (row: Row): number => bounds.reduce((sum, bound) => sum + bound(row), 0);
    this.reader = new BatchReader(source, codecFor(source.schema), bounds.length > 0 ? bytesFor : undefined);
  }

  /** Computes the rows of a batch for every leaf. Rows that cannot be computed are failures of the batch. */
  async prepare(batch: Batch<Delivery>): Promise<PreparedBatch> {
    const leaves: PreparedBatch['leaves'][number][] = [];
    const bad = new Set<number>();
    for (const { leaf, whole, transform } of this.#transforms) {
      const result = await transform.run(batch.rows);
      for (const { index, error } of result.bad) {
        if (bad.has(index)) continue;
        bad.add(index);
        batch.failRow(index, 'transform', error);
      }
      leaves.push({ leaf, whole, rows: result.rows, origin: result.origin });
    }
    const times = await this.#clockTransform?.run(batch.rows);
    return { batch, leaves, times };
  }

  /** Puts the rows of a batch into the tables. `until` is the time up to which windows are closed. */
  add(tables: StateTables, { batch, leaves, times }: PreparedBatch, until: bigint | undefined): Added {
    const counts: Added = { rows: 0, late: 0, duplicates: 0 };
    if (batch.rows.length > 0) this.clock.heard();
    const left = this.#notSeen(batch, counts);
    const late = new Set<number>();
    for (const { leaf, rows, origin } of leaves) {
      const kept: Row[] = [];
      const at: bigint[] = [];
      for (const [index, row] of rows.entries()) {
        const from = origin[index] as number;
        if (!left(from)) continue;
        const time = this.#timeOf(row, from, batch, until);
        if (time === undefined) continue;
        if (this.clock.isAhead(time) || (until !== undefined && isLate(this.#select, time, until))) late.add(from);
        else {
          kept.push(row);
          at.push(time);
        }
      }
      for (const index of tables.append(leaf, kept, at)) this.#refuse(batch, origin[index] as number);
      counts.rows += kept.length;
    }
    for (const from of late) this.#late(batch, from);
    counts.late = late.size;
    this.#advance(times ?? leaves.find(({ whole }) => whole));
    return counts;
  }

  async close(): Promise<void> {
    for (const { transform } of this.#transforms) await transform.close();
    await this.#clockTransform?.close();
  }

  #notSeen(batch: Batch<Delivery>, counts: Added): (index: number) => boolean {
    const duplicates = this.#duplicates;
    if (!duplicates) return () => true;
    const seen = new Set<number>();
    for (const [index, row] of batch.rows.entries()) if (!duplicates.add(row)) seen.add(index);
    counts.duplicates = seen.size;
    return (index) => !seen.has(index);
  }

  #timeOf(
    row: Row,
    from: number,
    batch: Batch<Delivery>,
    until: bigint | undefined,
  ): bigint | undefined {
    if (this.clock.byArrival) {
      const { receivedAt } = batch.messages[batch.owners[from] as number] as Delivery;
      const arrived = BigInt(Math.round(receivedAt * 1000));
      // A message may have waited while its window closed, and the clock may have been set back.
      return until !== undefined && arrived < until ? until : arrived;
    }
    const time = (row.__time ?? null) as Value;
    if (typeof time === 'bigint') return time;
    const field = this.#source.eventTime ?? '';
    batch.failRow(from, 'transform', badRow(`/${field}`, 'is the time of the event and is null'));
    return undefined;
  }

  #refuse(batch: Batch<Delivery>, from: number): void {
    const field = this.#source.eventTime ?? '';
    batch.failRow(from, 'transform', badRow(`/${field}`, 'is a time that windows cannot hold'));
  }

  #late(batch: Batch<Delivery>, from: number): void {
    if (this.#source.time?.lateData !== 'dead_letter') return;
    const message = 'The row came after its windows had closed, or its time is too far ahead of the clock';
    batch.failRow(from, 'late', new PenstockError('late_row', message));
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

const opened = (
  source: TableDefinition,
  select: RowSelect,
  columns: readonly StatefulSelect['leaves'][number]['columns'][number][],
): Promise<Transform> => openTransform({ source, select, sink: { schema: { fields: [...columns] } } });
