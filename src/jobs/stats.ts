/**
 * What the worker counts of a job and the API shows of it. They meet in a row of the database (`JobStats`), which holds
 * this as JSON: what each task has counted since its job began, and how much of it in each of the last seconds.
 */

/** What is counted, in the order that the samples have it. */
export const counted = [
  'messages_in',
  'bytes_in',
  'rows_in',
  'rows_out',
  'messages_out',
  'bytes_out',
  'bad',
] as const;
export type Counted = (typeof counted)[number];
export type Counts = Record<Counted, number>;

/** One sample a second, of the last two minutes. */
export const sampleEveryMs = 1000;
export const keptSamples = 120;

/** An operator of a task, and the node of the pipeline's graph that stands for it. */
export interface OperatorPlace {
  id: string;
  node: number;
}

export interface TaskError {
  code: string;
  message: string;
  /** Unix microseconds. */
  at: number;
}

/** In milliseconds, from the arrival of a batch to the confirmation of the sink, each message with that of its batch. */
export interface Latency {
  p50: number;
  p95: number;
  p99: number;
}

export interface TaskStatus {
  index: number;
  source: OperatorPlace;
  /** Null where rows pass as they are. */
  transform: OperatorPlace | null;
  sink: OperatorPlace;
  /** Whether both its ends are connected. */
  connected: boolean;
  totals: Counts;
  batches: number;
  /** Messages that are not acknowledged, and how many may be. */
  in_flight: number;
  window: number;
  reconnects: number;
  last_error: TaskError | null;
  /** Of the last one to two minutes; null when nothing was sent. */
  latency: Latency | null;
  /** Per second, the oldest first, each in the order of `counted`; the newest is of the second that ends at `at`. */
  samples: number[][];
  /** In flight at the end of each of those seconds. */
  in_flight_samples: number[];
}

export interface JobStats {
  /** Unix microseconds: when the newest sample was taken. */
  at: number;
  tasks: TaskStatus[];
}

/** Whether nothing went on in the second of the newest sample. */
export const isQuiet = ({ tasks }: JobStats): boolean =>
  tasks.every(({ samples }) => samples.at(-1)?.every((count) => count === 0) ?? true);
