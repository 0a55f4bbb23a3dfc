import type { FoundSession, RememberedSession } from '../connectors/connector.ts';
import type { BadData } from '../formats/schema/schema.ts';
import type { CountsDelta } from './counts.ts';
import type { PlainError } from './link.ts';

/** The calls between the main thread and the worker threads. All of it is plain data, which structured cloning carries. */

/** Number of an attempt, unique within its thread. */
export interface AttemptRef {
  attempt: number;
}

/** Rows of a partly written message that still have to be written, by their number from 0, and the total number of rows. */
export interface RemainingRows {
  rows: ReadonlySet<number>;
  of: number;
}

/** A dead letter to be processed again. */
export interface ReplayedDeadLetter {
  payload: Uint8Array;
  /** A JSON object, as it was stored. */
  metadata: string;
  left?: RemainingRows;
}

/** The failure of a message, in the columns of its dead letter. */
export interface DeadLetterFailure {
  stage: string;
  code: string;
  message: string;
  errors: string;
  failedRows: string | null;
  rowCount: number | null;
}

/** A message that could not be used, and why. */
export interface DeadLetter extends DeadLetterFailure {
  operatorId: string;
  taskIndex: number;
  sourceTable: string;
  /** Unix microseconds. */
  receivedAt: bigint;
  payload: Uint8Array;
  /** A JSON object. */
  metadata: string;
}

export interface DeadLettersStored {
  /** Number of dead letters stored, from the first on. Lower than requested if there is no room and the job must fail. */
  stored: number;
  /** Number of oldest dead letters deleted to make room. */
  evicted: number;
}

export interface DeadLetterStore {
  /** Resolves when the dead letters are stored durably. On a database error it throws and stores none. */
  add(deadLetters: readonly DeadLetter[], badData: BadData): Promise<DeadLettersStored>;
}

/** Bookkeeping of the session of a task's source. */
export interface TaskSession {
  /** Called before the source is opened. Throws database errors if something must be written first. */
  opening(): Promise<RememberedSession<unknown> | undefined>;
  /** Called when the source is open. */
  opened(found: FoundSession): Promise<void>;
}

/** The error that ended an attempt, and whether it came from the sink. */
export interface AttemptFailure {
  error: PlainError;
  fromSink: boolean;
}

/** Performed by a worker thread. */
export type ThreadOperations = {
  /** Resolves when the attempt is over. `spec` is the text of `writeSpec`. */
  begin(input: AttemptRef & { spec: string }): Promise<AttemptFailure | undefined>;
  drain(input: AttemptRef): Promise<void>;
  stop(input: AttemptRef): void;
  /** Returns the failure of each dead letter, or undefined if the attempt is not connected. */
  replay(
    input: AttemptRef & { deadLetters: ReplayedDeadLetter[] },
  ): Promise<(DeadLetterFailure | undefined)[] | undefined>;
  ping(input: undefined): void;
};

/** Performed by the main thread, which has the database and the visible state of jobs. */
export type MainOperations = {
  running(input: AttemptRef): void;
  warn(input: AttemptRef & { error: PlainError; operatorId: string | undefined }): void;
  sessionOpening(input: AttemptRef): Promise<RememberedSession<unknown> | undefined>;
  sessionOpened(input: AttemptRef & { resumed: boolean }): Promise<void>;
  sessionSettled(input: AttemptRef): void;
  storeDeadLetters(
    input: AttemptRef & { deadLetters: readonly DeadLetter[]; badData: BadData },
  ): Promise<DeadLettersStored>;
  counted(input: readonly (AttemptRef & { delta: CountsDelta })[]): void;
  log(input: { level: 'debug' | 'info' | 'warn' | 'error'; details: object; message: string }): void;
};

/** Start data of a thread: the entries of PENSTOCK_TARGETS. */
export interface ThreadData {
  targets: readonly string[];
}
