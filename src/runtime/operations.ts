import type { FoundSession, RememberedSession } from '../connectors/connector.ts';
import type { BadData } from '../formats/schema/schema.ts';
import type { StoredCheckpoint } from '../jobs/stats.ts';
import type { CountsDelta } from './counts.ts';
import type { PlainError } from './link.ts';

/** The calls between the main thread and the worker threads. All of it is plain data, which structured cloning carries. */

/** Rows of a partly written message that still have to be written, by their number from 0, and the total number of rows. */
export interface RemainingRows {
  rows: ReadonlySet<number>;
  of: number;
}

export interface ReplayedDeadLetter {
  /** The number of the source that it came from. */
  source: number;
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

export interface DeadLetter extends DeadLetterFailure {
  operatorId: string;
  taskIndex: number;
  sourceTable: string;
  receivedAt: bigint;
  payload: Uint8Array;
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

export interface TaskSession {
  /** Called before the source is opened. Throws database errors if something must be written first. */
  opening(): Promise<RememberedSession<unknown> | undefined>;
  opened(found: FoundSession): Promise<void>;
}

/** The record of how far a source has come. A position is the text of JSON. */
export interface PositionStore {
  /** Returns the last position, or undefined if there is none. Throws database errors. */
  last(): Promise<string | undefined>;
  /** Throws database errors. */
  store(position: string): Promise<void>;
}

/** A commit of a job's state: all of it is stored, or nothing. */
export interface StateCommit {
  /** JSON that the runtime reads again; at most 16 MiB. */
  control: string;
  /** New segments: Parquet of at most some 100 MB. Numbers are never used again. */
  add: readonly { segment: number; data: Uint8Array }[];
  remove: readonly number[];
  /** The highest number that a segment has, staged ones included. */
  lastSegment: number;
  checkpoint: CheckpointInfo;
}

/** A checkpoint as the runtime tells it. */
export type CheckpointInfo = Omit<StoredCheckpoint, 'finishTime'>;

/** The state of a task's windows. Survives the worker. */
export interface StateStore {
  /** Returns the control of the last commit, or undefined if there is none. Throws database errors. */
  load(): Promise<string | undefined>;
  read(segment: number): Promise<Uint8Array>;
  /**
   * Stores segments that a later commit is to name, while commits go on. Those that no commit has named by the next `load` are to be
   * removed by the first commit after it.
   */
  stage(segments: StateCommit['add']): Promise<void>;
  /** Resolves when it is durable. Throws database errors, and `task_taken` if another worker has the task. */
  commit(commit: StateCommit): Promise<void>;
}

export interface AttemptFailure {
  error: PlainError;
  fromSink: boolean;
}

/** Performed in a worker thread by one attempt. */
export interface AttemptOperations {
  /** Takes no more messages and finishes those in flight. Open windows stay in the state. */
  drain(): Promise<void>;
  /** The same, and closes all open windows. */
  finish(): Promise<void>;
  stop(): void;
  /** Every task of the job is connected: see `Source.allConnected`. */
  allConnected(): void;
  /** Returns the failure of each dead letter, or undefined if the attempt is not connected. */
  replay(deadLetters: readonly ReplayedDeadLetter[]): Promise<(DeadLetterFailure | undefined)[] | undefined>;
}

/** Performed by a worker thread. `attempt` is the number of an attempt, unique within its thread. */
export interface ThreadOperations {
  /** Resolves when the attempt is over. `spec` is the text of `writeSpec`. */
  begin(input: { attempt: number; spec: string }): Promise<AttemptFailure | undefined>;
  ping(): void;
}

/** Performed by the main thread for one attempt. */
export interface AttemptHandlers {
  running(): void;
  warn(input: { error: PlainError; operatorId: string | undefined }): void;
  /** Calls for one source name it by its number: 0 is that of the insert, then come its `others`. */
  sessionOpening(source: number): Promise<RememberedSession<unknown> | undefined>;
  sessionOpened(input: Omit<FoundSession, 'settled'> & { source: number }): Promise<void>;
  sessionSettled(source: number): void;
  lastPosition(source: number): Promise<string | undefined>;
  storePosition(input: { source: number; position: string }): Promise<void>;
  loadState(): Promise<string | undefined>;
  readState(segment: number): Promise<Uint8Array>;
  stageState(segments: StateCommit['add']): Promise<void>;
  commitState(commit: StateCommit): Promise<void>;
  storeDeadLetters(input: {
    deadLetters: readonly DeadLetter[];
    badData: BadData;
  }): Promise<DeadLettersStored>;
  counted(delta: CountsDelta): void;
}

/** Performed by the main thread for a worker thread. */
export interface MainOperations {
  /** The counts of all attempts together. */
  countedAll(input: readonly { attempt: number; delta: CountsDelta }[]): void;
  log(input: { level: 'debug' | 'info' | 'warn' | 'error'; details: object; message: string }): void;
}

/** Start data of a thread: the entries of PENSTOCK_TARGETS, and PENSTOCK_FILE_DIR. */
export interface ThreadData {
  targets: readonly string[];
  fileDir?: string | undefined;
}
