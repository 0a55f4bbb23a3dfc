/**
 * Counts of a job, written by its workers and shown by the API. They meet in the database: `Task.place` holds a `TaskPlace`
 * as JSON, `TaskStats.stats` its `TaskCounts`: totals since the job began, and the counts of each of the last seconds.
 */

/** The counts, in the order used by samples. */
export const counted = [
  'messages_in',
  'bytes_in',
  'rows_in',
  'rows_out',
  'messages_out',
  'bytes_out',
  'bad',
] as const;
export type CountName = (typeof counted)[number];
export type Counts = Record<CountName, number>;

/** One sample a second, kept for two minutes. */
export const sampleEveryMs = 1000;
export const keptSamples = 120;

/** An operator of a task, and its node in the pipeline's graph. */
export interface OperatorPlace {
  id: string;
  node: number;
}

export interface TaskError {
  code: string;
  message: string;
  at: number;
}

/** Milliseconds from the arrival of a batch to the sink's confirmation. Messages count with the time of their batch. */
export interface Latency {
  p50: number;
  p95: number;
  p99: number;
}

/** Where a task is in the graph of its pipeline. */
export interface TaskPlace {
  index: number;
  source: OperatorPlace;
  /** Further sources. */
  others?: OperatorPlace[];
  /** Null if rows pass unchanged. */
  transform: OperatorPlace | null;
  sink: OperatorPlace;
  /** Maximum number of unacknowledged messages. */
  window: number;
}

/** What a task with a state last said of it. Its numbers of rows and windows are totals since the state began. */
export interface StateGauges {
  /** Unix microseconds; null before the first row. */
  watermark: number | null;
  /** By how much the watermark is behind the clock; null without one. */
  watermarkLagMs: number | null;
  openWindows: number;
  closedWindows: number;
  lateRows: number;
  stateBytes: number;
  /** Duration of the last commit. */
  checkpointMs: number;
}

/** The gauges that are sampled every second, in the order used by samples. */
export const sampledGauges = ['watermarkLagMs', 'openWindows', 'stateBytes'] as const;

export interface TaskCounts {
  /** Time of the sample (Unix microseconds). */
  at: number;
  connected: boolean;
  totals: Counts;
  batches: number;
  /** Number of unacknowledged messages. */
  in_flight: number;
  reconnects: number;
  last_error: TaskError | null;
  /** Of the last one to two minutes. Null if nothing was sent. */
  latency: Latency | null;
  /** Per second, oldest first, each in the order of `counted`. The newest second ends at `at`. */
  samples: number[][];
  /** Number of messages in flight at the end of each of these seconds. */
  in_flight_samples: number[];
  /**
   * Arrival of the oldest message that is not acknowledged, or the loss of the connection (Unix microseconds); null if there
   * is neither.
   */
  waiting_since: number | null;
  /** Of a task with a state. */
  windows?: StateGauges;
  /** At the end of each of these seconds, each in the order of `sampledGauges`. */
  window_samples?: number[][];
  /** Age of `waiting_since` at the end of each of these seconds, in milliseconds; 0 for null. */
  waiting_samples: number[];
}

export type TaskStatus = TaskPlace & TaskCounts;

/** A commit of the state of a task. Times are Unix microseconds. */
export interface StoredCheckpoint {
  epoch: number;
  startTime: number;
  finishTime: number;
  /** Size of what this commit added. */
  bytes: number;
  /** Size of the whole state after it. */
  stateBytes: number;
  kind: 'delta' | 'snapshot';
}

/** Whether nothing was counted in the last second of a task. */
export const isQuiet = ({ samples }: Pick<TaskCounts, 'samples'>): boolean =>
  samples.at(-1)?.every((count) => count === 0) ?? true;

/** Makes text from elsewhere fit to store and print: PostgreSQL refuses NUL, terminals obey escape sequences. */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '\ufffd').slice(0, 2000);
