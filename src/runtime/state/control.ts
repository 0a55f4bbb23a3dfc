/** What a commit says besides the rows. Times are texts of microseconds, as JSON has no integers of 64 bits. */
export interface Control {
  version: 1;
  /** Number of commits. */
  epoch: number;
  /** Windows that end here or before are closed. */
  until: string | null;
  sources: SourceControl[];
  segments: Segment[];
  outbox: OutboxEntry[];
  /** Numbers of segments that are being stored for a later commit. */
  staging: number[];
  /** Number of the next segment. */
  nextSegment: number;
  nextIdentifier: number;
  /** Number of the next change of a table in Debezium's envelope. */
  nextChange: number;
  /** Numbers of rows that came late and of windows that closed, since the state began. */
  late: number;
  closed: number;
  /** Updating results: segments up to this number were in the results that are written or in the outbox. */
  evaluated: number;
}

export interface SourceControl {
  watermark: string | null;
  /** Name of the session with the other side that the identifiers are of. */
  session: string | null;
  /** Packet identifiers that are committed and not released. */
  received: number[];
}

/** Rows of a leaf, results for the sink, or keys of messages for `dedupe`. */
export interface Segment {
  segment: number;
  kind: 'rows' | 'keys';
  /** Leaf or source. */
  of: number;
  bytes: number;
  /** Time of the latest row. */
  last: string;
  /** Whether it is part of a snapshot. */
  base: boolean;
}

/** Results that the sink has not confirmed. */
export interface OutboxEntry {
  segment: number;
  bytes: number;
  count: number;
  /** Number of results that the sink has confirmed, from the first on. */
  done: number;
  /** Results that are being written under identifiers, from `done` on. */
  flying: Flight | null;
}

export interface Flight {
  identifiers: number[];
  /** Number of results; some may need no message. */
  size: number;
  /** Whether the other side has taken all of them over. */
  published: boolean;
}

export const noControl = (sources: number): Control => ({
  version: 1,
  epoch: 0,
  until: null,
  sources: Array.from({ length: sources }, () => ({ watermark: null, session: null, received: [] })),
  segments: [],
  outbox: [],
  staging: [],
  nextSegment: 1,
  nextIdentifier: 1,
  nextChange: 1,
  late: 0,
  closed: 0,
  evaluated: 0,
});

export const microsOf = (text: string | null): bigint | undefined =>
  text === null ? undefined : BigInt(text);
