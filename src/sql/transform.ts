import type { PenstockError } from '../errors.ts';
import type { Row } from '../formats/format.ts';

/** What became of a batch. Every input row is in `origin` any number of times, or in `bad` once. */
export interface Transformed {
  /** Rows of the sink, in the order of the rows they come from. */
  rows: Row[];
  /** For each output row the index of its input row. */
  origin: number[];
  /** The rows that failed, by index and in order, each with a `bad_row`. */
  bad: { index: number; error: PenstockError }[];
}

/** Turns rows of a source into rows of a sink. */
export interface Transform {
  /**
   * Transforms a batch of any size. The answer for a row does not depend on which other rows are in the batch. Calls
   * may overlap; they are done one after the other. Throws only when nothing can be said about the rows:
   * `query_too_slow` when a batch takes for ever, `internal` when the engine fails.
   */
  run(rows: readonly Row[]): Promise<Transformed>;
  /** Waits for what is running and releases everything. Safe to call twice. */
  close(): Promise<void>;
}

export interface TransformOptions {
  /** How long DuckDB may work on one batch before it is split; 10 s if left out. */
  batchTimeoutMs?: number;
  /** How long one call of `run` may take in all; 60 s if left out. */
  runTimeoutMs?: number;
}
