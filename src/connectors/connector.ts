import Type, { type Static, type TSchema } from 'typebox';
import type { DescribedError, FieldError, PenstockError } from '../errors.ts';
import type { Row } from '../formats/format.ts';
import type { ColumnUse } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, FieldTypeName } from '../formats/schema/schema.ts';

/**
 * The contract between Penstock and a kind of system it can talk to.
 *
 * A connector is one folder that exports one `defineConnector(...)`, and one line in `registry.ts`. Routes, forms, SQL
 * options, documentation, masking of secrets and the `source`/`sink`/`testing` flags are derived from the definition.
 * Connectors know neither the database nor HTTP nor each other: what they need arrives as arguments.
 *
 * Threads: `openSource` and `openSink` run in a worker thread, and so does all that they return. `pace` runs in both threads,
 * everything else in the main thread, as the API does. Every thread loads the definition, so it must be light: libraries and everything that
 * needs them are imported when something is opened. Memory is shared between the calls in one thread only.
 *
 * Everything thrown is a `PenstockError`, or the reason of the signal. A connector never retries: after a passing error the worker connects again
 * with back-off, after any other the job fails and shows the error.
 */

/** The log of a connector. Never pass a configuration object, because it holds secrets. */
export interface Logger {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface Targets {
  /** Returns the addresses of `host` that may be dialled; ask before opening any socket. Throws `target_not_allowed`. */
  allowed<A extends { address: string; family: number }>(host: string, addresses: readonly A[]): A[];
}

/** A profile, its secrets opened and variables replaced, with what may be reached for it. */
export interface Reachable<P> {
  profile: P;
  targets: Targets;
}

export interface Identity {
  jobId: string;
  /** The node of the pipeline's graph, unique within the job. */
  operatorId: string;
  taskIndex: number;
}

/** One incoming message, and the duty to acknowledge it. */
export interface Delivery {
  readonly payload: Buffer;
  /** Values of the metadata columns by name; a timestamp is a bigint of microseconds. Best computed on access. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** When it arrived: milliseconds since 1970, by `performance.timeOrigin + performance.now()`. */
  readonly receivedAt: number;
  /**
   * Says that the message is safe downstream. Called once, in any order; acknowledgements leave in order of receipt.
   * Nothing else acknowledges a message: without it the message is delivered again after a reconnect. A call after the
   * connection is gone does nothing.
   */
  ack(): void;
}

/**
 * The worker's record of the session that a source resumes. A session holds the messages that the other side keeps while
 * no client is connected. It outlives the process.
 */
export interface RememberedSession<T> {
  /** Whether it was open before. If the other side no longer has it, messages are lost: warn. */
  known: boolean;
  /**
   * Other tables whose subscriptions it may still have. Once the context's table is subscribed, the source removes all
   * other subscriptions. It still hands out messages that are already queued.
   */
  former: readonly T[];
  /**
   * Whether the session will not be opened again. The source then removes all subscriptions and hands out the queued
   * messages. Its iteration ends when everything is acknowledged and no more arrives.
   */
  drain: boolean;
}

export interface RunContext<P, T> extends Reachable<P> {
  table: T;
  identity: Identity;
  /** Of a source whose connector has `session`. */
  session?: RememberedSession<T>;
  /** Maximum number of messages in flight: deliveries without `ack`, or messages that are not confirmed. */
  window: number;
  /** Call it when the connection of a sink is lost. A source throws from its iteration instead. */
  lost?(error: PenstockError): void;
  /** Adds to the messages of the job. The job goes on. */
  warn(error: PenstockError): void;
  /** Aborting it cancels everything at once; pending calls reject with the signal's reason. */
  signal: AbortSignal;
  logger: Logger;
}

/**
 * A running source. Each step of the iteration waits for at least one message and returns all that have arrived, within
 * the window. An empty batch says that the source is not silent, though its messages are for other tasks. It throws when the connection is lost or the signal aborts. It ends after `drain`, or when the
 * source has no more: when all sources of a job have ended, the job is Finished.
 */
export interface Source extends AsyncIterable<Delivery[]> {
  /** How it found its session, if its connector has `session`. */
  readonly session?: FoundSession;
  /** Asks for no more messages. The iteration returns what has arrived, then ends. */
  drain(): Promise<void>;
  /**
   * Called when every task that shares the table is connected, perhaps several times. Only then may the source leave a
   * message to another task that it had to handle itself under a former table.
   */
  allConnected?(): void;
  /** Sends the acknowledgements that are due and disconnects. May be called twice and after a failure; never throws. */
  close(): Promise<void>;
}

export interface FoundSession {
  /** Whether the other side certainly had it. */
  resumed: boolean;
  /** Whether the other side has lost a known one. Both are false if that cannot be found out. */
  lost: boolean;
  /** How long the other side keeps it after a disconnect, if it says so: the worker connects again before that. */
  keptSecs?: number;
  /** Resolves once nothing of the former tables is left in it. Never rejects, even when the source is lost. */
  settled: Promise<void>;
}

/** How a source table is to be read; the worker enforces it. */
export interface Pace {
  messagesPerSecond?: number;
  /** Time without a message after which the job warns. */
  maxSilenceSecs?: number;
}

export interface Outgoing {
  payload: Buffer;
  /** The row of the payload, whose columns may also make a topic or key. */
  row: Row;
}

/** A message that can never be written, though the connection works. */
export interface Refusal {
  /** Its index in the argument of `write`. */
  index: number;
  error: PenstockError;
}

export interface Sink {
  /**
   * Writes in order, and resolves when the other side has confirmed every message. Calls may overlap; their messages are
   * sent in the order of the calls. Returns the messages that were refused, by the connector or the other side, in order:
   * all others are written. Rejects when it is not known what was written, as when the connection is lost.
   */
  write(messages: Outgoing[]): Promise<Refusal[]>;
  /** Disconnects; pending writes reject. May be called twice and after a failure; never throws. */
  close(): Promise<void>;
}

export type CheckOutcome = 'ok' | 'warning' | 'failed' | 'skipped';

/** One step of a connection test, reported when it is over. */
export interface CheckStep {
  /** e.g. `resolve`, `tcp`, `tls`, `subscribe`, `publish`, `decode`. */
  name: string;
  outcome: CheckOutcome;
  durationMs: number;
  /** Why it failed or warns, by a code of the core or of this connector; null when it is ok. */
  code: string | null;
  message: string;
  /** Advice; null if none is needed. */
  hint: string | null;
  /** Facts about the step: addresses, protocol version, reason codes, certificate names, limits. No secrets. */
  details: Record<string, unknown>;
}

export interface CheckContext<P, T> extends Reachable<P> {
  /** The table to test, or undefined to test the profile alone. */
  table: T | undefined;
  /** How the table's messages should look, when a sample is to be decoded. */
  schema: ConnectionSchema | undefined;
  /** `none`: publish nothing. */
  probe: 'publish' | 'none';
  /** Deadline of each step; `signal` is that of the whole test. */
  stepTimeoutMs: number;
  signal: AbortSignal;
  /** Call it for every step as soon as it is over, in order. */
  report(step: CheckStep): void;
}

export interface AutocompleteContext<P> extends Reachable<P> {
  signal: AbortSignal;
}

/** A message that is only looked at, without an acknowledgement. */
export type Watched = Omit<Delivery, 'ack'>;

export interface WatchContext<P, T> extends Reachable<P> {
  table: T;
  /** Called once, when messages can arrive. */
  listening(): void;
  /** Call it with every message, in order. It drops what it has no room for; what it throws ends the watch. */
  deliver(message: Watched): void;
  signal: AbortSignal;
}

/** A column that a source can fill from the metadata of a message. */
export interface MetadataColumn {
  name: string;
  type: FieldTypeName;
  /** Of a list: the type of what it holds. */
  items?: FieldTypeName;
  description: string;
}

/** The profile of a connector that has nothing to connect to: its tables need none. */
export const noProfile = Type.Object({}, { title: 'NoProfile', additionalProperties: false });

export interface ConnectorDefinition<P extends TSchema = TSchema, T extends TSchema = TSchema> {
  id: string;
  name: string;
  description: string;
  icon: string;
  /** Whether people do not choose it for a table. */
  hidden?: boolean;
  /**
   * JSON Schema of a profile's `config`, as Arroyo's forms read it. Besides the JSON Schema keywords it has
   * `sensitive`: the names of the properties that are secrets, as JSON pointers without the leading slash. Strings
   * with `format: 'var-str'` may hold `{{ NAME }}`, which is replaced before the connector sees it. A string with
   * `file: true` holds PEM text or the path of a file in the operator's folder; the connector sees the text. Forms send
   * false for every boolean that a user leaves alone, so false must be the safe value.
   */
  profile: P;
  /** Former names of fields of the profile as JSON pointers, with what to write instead: "is now …". */
  renamed?: Readonly<Record<string, string>>;
  table: T;
  /** The error codes that only this connector has, with their help; `errorMaker` makes such errors. */
  errors?: Readonly<Record<string, DescribedError>>;
  /** For tables that do not say how messages are written. If it has `fields`, a table can only add metadata columns. */
  defaultSchema?: Pick<ConnectionSchema, 'format' | 'fields'>;
  metadata: readonly MetadataColumn[];
  /** Checks what the schemas cannot say, such as contradictory fields. Paths are JSON pointers into the config. */
  validateProfile?(profile: Static<P>): FieldError[];
  validateTable?(table: Static<T>, profile: Static<P> | undefined): FieldError[];
  pace?(table: Static<T>): Pace;
  /** The columns that a sink's config refers to. They are checked against its schema once that is known. */
  columnsOf?(table: Static<T>): ColumnUse[];
  /** The address of the system, for people. No secrets. */
  describe(profile: Static<P>): string;
  direction(table: Static<T>): 'source' | 'sink';
  /** Tests a connection. Resolves at the end, also after a failed step; rejects only when the signal aborts. */
  check?(context: CheckContext<Static<P>, Static<T>>): Promise<void>;
  /** Returns a bounded number of values for forms, by the name of the table's field, within seconds. Leaves nothing behind. */
  autocomplete?(context: AutocompleteContext<Static<P>>): Promise<Record<string, string[]>>;
  /**
   * Shows the messages of a source table without affecting the jobs that read it: under its own identity, and leaving
   * nothing behind. Never resolves: rejects with the failure, or with the signal's reason once it has disconnected.
   */
  watch?(context: WatchContext<Static<P>, Static<T>>): Promise<never>;
  /** Connects and subscribes; rejects with the first thing that went wrong. */
  openSource?(context: RunContext<Static<P>, Static<T>>): Promise<Source>;
  openSink?(context: RunContext<Static<P>, Static<T>>): Promise<Sink>;
  /** Names the session in which the other side keeps messages for a source of this identity while it is away. */
  session?(profile: Static<P>, identity: Identity): string;
  /**
   * Whether two profiles reach the same session although `session` names it differently: one system may have two addresses.
   * Undefined if that cannot be found out, such as when the former address does not respond. Leaves nothing behind. Throws
   * a passing fault of the present profile, or the signal's reason.
   */
  isSameSession?(
    now: Reachable<Static<P>>,
    former: Reachable<Static<P>>,
    identity: Identity,
    signal: AbortSignal,
  ): Promise<boolean | undefined>;
  /** Removes the session of a source from the other side, with the messages in it. */
  forget?(context: Omit<RunContext<Static<P>, Static<T>>, 'window' | 'warn'>): Promise<void>;
  /**
   * Returns the source table as task `index` of several `tasks` reads it, so that each message is handled by one of them. Left
   * out if no table can be shared.
   */
  shared?(table: Static<T>, index: number, tasks: number): Static<T>;
}

/** Checks the types of a definition against its own schemas, and returns it. */
export function defineConnector<P extends TSchema, T extends TSchema>(
  definition: ConnectorDefinition<P, T>,
): ConnectorDefinition<P, T> {
  if ('sensitive' in definition.table)
    throw new Error(
      `${definition.id}: secrets belong in the profile, as those of a table are neither sealed nor masked`,
    );
  return definition;
}

/** A connector with a configuration it can use. */
export interface Usable extends Reachable<unknown> {
  connector: ConnectorDefinition;
  config: unknown;
}
