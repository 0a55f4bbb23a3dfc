import type { PenstockError } from '../errors.ts';
import type { Row } from '../formats/format.ts';

/** The result of a batch. Every input row is in `origin` any number of times, or in `bad` once. */
export interface Transformed {
  /** Rows of the sink, in the order of their input rows. */
  rows: Row[];
  /** The index of the input row, for each output row. */
  origin: number[];
  /** The failed rows in order, each with a `bad_row` error. */
  bad: { index: number; error: PenstockError }[];
}

export interface Transform {
  /**
   * Transforms a batch of any size. The result of a row does not depend on the other rows of the batch. Overlapping
   * calls are handled one after the other. Throws only what no row is to blame for: `query_too_slow` for a batch that
   * takes too long, `internal` for a failure of DuckDB. A result that needs no DuckDB comes without a promise.
   */
  run(rows: readonly Row[]): Transformed | Promise<Transformed>;
  /** Upper bound on the bytes that a row may become or need. Absent if that is a small multiple of the row. */
  bytesFor?: ((row: Row) => number) | undefined;
  /** Waits for running calls and releases all resources. Safe to call twice. */
  close(): Promise<void>;
}

export interface TransformOptions {
  /** Time limit of DuckDB for one batch, which is then split; 10 s by default. */
  batchTimeoutMs?: number;
  /** Time limit for one call of `run`; 60 s by default. */
  runTimeoutMs?: number;
}
