import type { FoundSession, RememberedSession } from '../connectors/connector.ts';
import type { BadData } from '../formats/schema/schema.ts';
import type { Counted } from './counts.ts';
import type { LetterFailure } from './dead-letter-failure.ts';
import type { PlainError } from './plain-error.ts';

/** What the main thread and the threads of tasks ask of each other: plain data, which structured cloning carries. */

/** Which attempt of a task is meant: a number that its thread has once. */
export interface Which {
  attempt: number;
}

/** A dead letter that is sent on its way again. */
export interface Replayed {
  payload: Uint8Array;
  /** A JSON object, as it was stored. */
  metadata: string;
  /** When some of its rows have got through before: the numbers of those that have not, and of how many. */
  left?: { rows: ReadonlySet<number>; of: number };
}

/** A message that could not be used, with what failed of it. */
export interface DeadLetter extends LetterFailure {
  operatorId: string;
  taskIndex: number;
  sourceTable: string;
  /** Unix microseconds. */
  receivedAt: bigint;
  payload: Uint8Array;
  /** A JSON object. */
  metadata: string;
}

/** What became of letters that were to be stored. */
export interface Stored {
  /** So many of the first were; fewer than all where there is no room and the job is to fail. */
  stored: number;
  /** So many of the oldest had to go. */
  evicted: number;
}

/** Where the tasks of one job keep their dead letters. */
export interface DeadLetterStore {
  /** When it resolves they are stored durably. Throws as the database does: none is stored then. */
  add(letters: readonly DeadLetter[], badData: BadData): Promise<Stored>;
}

/** What a task says of its source's session, and is told. */
export interface TaskSession {
  /** Before the source is opened. Throws as the database does, if there is something to be written first. */
  opening(): Promise<RememberedSession<unknown> | undefined>;
  /** The source is open. */
  opened(found: FoundSession): Promise<void>;
}

/** How an attempt has ended, if not as it should: with what, and whether that came from the sink. */
export interface Broken {
  error: PlainError;
  ofSink: boolean;
}

/** What a thread does. */
export type ThreadOperations = {
  /** Resolves when the attempt is over. `spec` is what `writeSpec` wrote. */
  begin(input: Which & { spec: string }): Promise<Broken | undefined>;
  drain(input: Which): Promise<void>;
  stop(input: Which): void;
  /** What failed of each; undefined where the attempt is not connected. */
  replay(input: Which & { letters: Replayed[] }): Promise<(LetterFailure | undefined)[] | undefined>;
  /** Is answered as soon as the thread gets round to it. */
  ping(input: undefined): void;
};

/** What the main thread does, which has the database and all that is shown of a job. */
export type MainOperations = {
  running(input: Which): void;
  warn(input: Which & { error: PlainError; operatorId: string | undefined }): void;
  opening(input: Which): Promise<RememberedSession<unknown> | undefined>;
  opened(input: Which & { resumed: boolean }): Promise<void>;
  settled(input: Which): void;
  store(input: Which & { letters: readonly DeadLetter[]; badData: BadData }): Promise<Stored>;
  counted(input: readonly (Which & { counted: Counted })[]): void;
  log(input: { level: 'debug' | 'info' | 'warn' | 'error'; details: object; message: string }): void;
};

/** What a thread is started with: the entries of PENSTOCK_TARGETS. */
export interface ThreadData {
  targets: readonly string[];
}
