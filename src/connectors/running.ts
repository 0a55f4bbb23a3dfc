import type { PenstockError } from '../errors.ts';
import type { Row } from '../formats/format.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';

/** The running part of the connector contract: sources and sinks, and what a task gives them. */

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
  /** The folder below which local files may be read and written; without it none may. */
  readonly fileDir?: string | undefined;
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
   * Set if the other side may send the message again under this identifier, though it was acknowledged, until it releases the
   * identifier. A packet identifier of MQTT at QoS 2.
   */
  readonly identifier?: number | undefined;
  /** Where the source is after this message, for the transactions of its sink. */
  readonly position?: unknown;
  /**
   * Says that the message is safe downstream. Called once, in any order; acknowledgements leave in order of receipt, unless the
   * other side takes them in any order.
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

/** How far a source has come, where the other side does not keep it. Plain JSON data of at most 64 KiB. */
export interface Position {
  /** The last one that was committed under the present name, perhaps by another process. Undefined at the first start. */
  readonly stored: unknown;
  /**
   * Records that every message up to here is acknowledged. Stored within about a second and when the source closes. After a
   * crash an earlier one may come back, and the messages since then arrive again.
   */
  commit(position: unknown): void;
}

/**
 * Identifiers of messages that a job with state has committed and that the other side has not released. They are committed with
 * the rows, so a message that comes again after a crash is not counted twice (MQTT 5, section 4.3.3). All commits of a former
 * connection are over before a source is opened: nothing of it is committed later.
 */
export interface ReceivedIdentifiers {
  /** True until the release is committed. */
  has(identifier: number): boolean;
  /**
   * The other side may now use the identifier for another message. Resolves when that is committed: only then tell the other side.
   * May be called again. A delivery that is handed out later with the same identifier adds it again.
   */
  release(identifier: number): Promise<void>;
  /**
   * The other side no longer has the session, so identifiers say nothing. Takes effect at once, and resolves when it is committed:
   * only then subscribe. Called while the source is being opened, so commits must be possible then.
   */
  clear(): Promise<void>;
}

export interface RunContext<P, T> extends Reachable<P> {
  table: T;
  /** Complete: every column with its type. */
  schema: ConnectionSchema;
  identity: Identity;
  /** Of a source whose connector has `session`. */
  session?: RememberedSession<T>;
  /** Of a source whose connector has `position`. */
  position?: Position;
  /** Of a source of a job with state. */
  received?: ReceivedIdentifiers;
  /**
   * The sink must be opened with `exact`: `resume` in the session that it had before, `begin` in a new one. With nothing committed of
   * the former session its identifiers may not be used: the other side could take a new message for a former one.
   */
  exact?: 'resume' | 'begin';
  /** The sink must be opened with `transactions`. */
  transactional?: boolean;
  /** Of a source: those of its sink, which commit its positions. It commits none itself. */
  transactions?: Transactions;
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
  /** Empty for a sink that takes rows. */
  payload: Buffer;
  /** The row of the payload. It has the columns that the table refers to (`columnsOf`), and may lack others. */
  row: Row;
  /** Whether the row with the same key is to be deleted. Only a sink whose connector has `deletesBy` gets it. */
  deleted?: true;
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
  /** Asks a sink that holds messages to confirm all of them soon: no more may come until it does. */
  flush?(): void;
  /** Set if the context asked for it. Then `write` is not used. */
  readonly exact?: ExactSink;
  /** The same. */
  readonly transactions?: Transactions;
  /** Disconnects; pending writes reject. May be called twice and after a failure; never throws. */
  close(): Promise<void>;
}

/**
 * Writes each message once across crashes. The caller commits the messages with identifiers of its choice (1 to 65,535) before
 * `publish`, and commits what was published before `release`. After a crash it publishes again what it had not committed as
 * published, and releases the rest, before it publishes anything new. It keeps a message until its release is committed.
 */
export interface ExactSink {
  /**
   * Whether the other side still has the session of former connections. Otherwise it may have lost what was published and not
   * released, or have passed it on. Commit then that nothing unreleased is published, and publish all of it again.
   */
  readonly resumed: boolean;
  /**
   * Maximum number of messages in one call of `publish`, and of those that are published and not released. Messages that are
   * published again may be more, if the maximum was larger when they were published first.
   */
  readonly maxInFlight: number;
  /**
   * Resolves when the other side has taken over every message; returns those that it refused, whose identifiers are free. `again`
   * marks messages that may have been published before under the same identifier. Waits for releases while too many are in
   * flight. Rejects when the connection is lost, or when an identifier is in use.
   */
  publish(messages: readonly { identifier: number; message: Outgoing }[], again: boolean): Promise<Refusal[]>;
  /** Ends the use of identifiers, also of ones that the other side no longer knows. Rejects when the connection is lost. */
  release(identifiers: readonly number[]): Promise<void>;
}

/** Writes messages in transactions that also say how far the source has come, so that neither counts without the other. */
export interface Transactions {
  /**
   * Begins a part: messages of one batch, with the positions of its deliveries. Call it in the order of the source, also for a batch
   * without messages to write.
   */
  begin(positions: readonly unknown[]): TransactionPart;
}

export interface TransactionPart {
  /** As `Sink.write`, but what is written does not count before the commit. */
  write(messages: Outgoing[]): Promise<Refusal[]>;
  /** Call it once the part is complete. Resolves when it is committed; rejects when it is not, or when that is not known. */
  commit(): Promise<void>;
}
