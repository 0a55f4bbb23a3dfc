import type { Delivery } from '../../connectors/connector.ts';
import { PenstockError } from '../../errors.ts';
import { codecFor } from '../../formats/codec.ts';
import type { Row } from '../../formats/format.ts';
import { type ChangeReader, changeReader } from '../../formats/json/changes.ts';
import type { RegisteredSchemas } from '../../formats/registered.ts';
import type { StatefulSelect, TableDefinition } from '../../sql/plan.ts';
import type { Duplicates } from '../../sql/state/duplicates.ts';
import { type ComputedRows, LeafRows } from '../../sql/state/leaf-rows.ts';
import type { SourceClock } from '../../sql/state/source-clock.ts';
import type { StateTables } from '../../sql/state/tables.ts';
import { type Batch, BatchReader } from '../batch-processor.ts';

/** A batch whose rows are computed, and not yet in the tables. */
interface PreparedBatch {
  batch: Batch<Delivery>;
  computed: ComputedRows;
}

interface SourceGiven {
  index: number;
  source: TableDefinition;
  clock: SourceClock;
  /** Of a source whose schemas are in a registry. */
  schemas: RegisteredSchemas | undefined;
}

/** Messages of one source on their way into the tables. */
export class SourceInput {
  readonly reader: BatchReader;
  readonly #source: TableDefinition;
  readonly #rows: LeafRows;
  readonly #duplicates: Duplicates | undefined;
  readonly #changes: ChangeReader | undefined;
  readonly #nextChange: () => bigint;

  static async open(
    select: StatefulSelect,
    { index, source, clock, schemas }: SourceGiven,
    duplicates: Duplicates | undefined,
    nextChange: () => bigint,
  ): Promise<SourceInput> {
    const rows = await LeafRows.open(select, index, source, clock);
    return new SourceInput(source, rows, duplicates, nextChange, schemas);
  }

  private constructor(
    source: TableDefinition,
    rows: LeafRows,
    duplicates: Duplicates | undefined,
    nextChange: () => bigint,
    schemas: RegisteredSchemas | undefined,
  ) {
    this.#source = source;
    this.#rows = rows;
    this.#duplicates = duplicates;
    this.#nextChange = nextChange;
    this.#changes = changeReader(source.schema, schemas);
    const codec = this.#changes?.codec ?? codecFor(source.schema, schemas);
    this.reader = new BatchReader(source, codec, rows.bytesFor);
  }

  get clock(): SourceClock {
    return this.#rows.clock;
  }

  /** Computes the rows of a batch for every leaf. Rows that cannot be computed are failures of the batch. */
  async prepare(batch: Batch<Delivery>): Promise<PreparedBatch> {
    const computed = await this.#rows.compute(batch.rows, (index, error) =>
      batch.failRow(index, 'transform', error),
    );
    return { batch, computed };
  }

  /** Puts the rows of a batch into the tables. `until` is the time up to which windows are closed. Returns the number of late rows. */
  add(tables: StateTables, { batch, computed }: PreparedBatch, until: bigint | undefined): number {
    if (batch.rows.length > 0) this.clock.heard();
    const repeated = this.#repeated(batch);
    const { late } = this.#rows.add(tables, computed, until, {
      receivedAt: (index) => (batch.messages[batch.owners[index] as number] as Delivery).receivedAt,
      counts: (index) => !repeated.has(index),
      bad: (index, error) => batch.failRow(index, 'transform', error),
      nextChange: this.#nextChange,
      isGone: (index) => this.#changes?.effectOf(batch.rows[index] as Row) === 'retract',
    });
    if (this.#source.time?.lateData === 'dead_letter')
      for (const index of late) batch.failRow(index, 'late', new PenstockError('late_row', lateRow));
    return late.size;
  }

  close(): Promise<void> {
    return this.#rows.close();
  }

  #repeated(batch: Batch<Delivery>): Set<number> {
    const repeated = new Set<number>();
    const duplicates = this.#duplicates;
    if (duplicates)
      for (const [index, row] of batch.rows.entries()) if (!duplicates.add(row)) repeated.add(index);
    return repeated;
  }
}

const lateRow = 'The row came after its windows had closed, or its time is too far ahead of the clock';
