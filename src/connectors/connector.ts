import type { Static, TSchema } from 'typebox';
import type { ErrorCode, FieldError, PenstockError } from '../errors.ts';
import type { Row } from '../formats/format.ts';
import type { ColumnUse } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, FieldTypeName } from '../formats/schema/schema.ts';

/**
 * The contract between Penstock and a kind of system it can talk to.
 *
 * A connector is one folder that exports one `defineConnector(...)`. Everything about it that the rest of the house
 * shows (routes, forms, OpenAPI, masking of secrets, metadata columns, the `source`/`sink`/`testing` flags) is
 * derived from that definition. Connectors know neither the database nor HTTP nor each other: what they need arrives
 * as arguments. They never retry by themselves: they throw, and the worker decides.
 *
 * Everything thrown is a `PenstockError`. Its code says whether it is passing (the worker reconnects with back-off)
 * or permanent (the job fails and says why).
 */

/** What a connector logs with. Never give it a configuration object: those hold secrets. */
export interface Logger {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Which addresses the operator lets tests and jobs reach. */
export interface Targets {
  /**
   * Of the addresses that `host` has, those that may be dialled. A connector asks before it opens any socket, and dials
   * only what it gets. Throws `target_not_allowed`.
   */
  allowed<A extends { address: string; family: number }>(host: string, addresses: readonly A[]): A[];
}

/** A profile, its secrets opened and variables replaced, with what may be reached for it. */
export interface Reachable<P> {
  profile: P;
  targets: Targets;
}

/** Who is connecting. Stable across restarts and machines, so a broker can recognise a returning client. */
export interface Identity {
  jobId: string;
  /** The node of the pipeline's graph, unique within the job. */
  operatorId: string;
  /** 0 … parallelism - 1. */
  taskIndex: number;
}

/** One incoming message, and the duty to acknowledge it. */
export interface Delivery {
  readonly payload: Buffer;
  /** Values of the connector's metadata columns by name; a timestamp is a bigint of microseconds. Read when asked for, so cheap when nobody asks. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** When it arrived, in milliseconds since 1970, from a monotonic-enough clock (`performance.timeOrigin` based). */
  readonly receivedAt: number;
  /**
   * Says that the message is safe downstream. Call it once, in any order; acknowledgements leave in order of
   * receipt. Nothing else acknowledges a message: one that was never acked is delivered again after a reconnect.
   * A late call, after the connection it came from is gone, does nothing.
   */
  ack(): void;
}

/**
 * What the worker remembers of the session that a source takes up: what the other side keeps for it while nobody is
 * connected. It outlives the process.
 */
export interface RememberedSession<T> {
  /** Whether it has been open before, so that the other side should still have it. If not, messages are lost: warn. */
  known: boolean;
  /**
   * Tables that it may still be subscribed as, beside the context's. Once that one is subscribed, the source takes back
   * what it does not ask for. What is queued already is still handed out.
   */
  former: readonly T[];
  /**
   * Whether nobody will open it again: the source subscribes to nothing, takes back all it is subscribed to, hands out
   * what the other side still holds, and its iteration ends when everything is acknowledged and nothing more comes.
   */
  drain: boolean;
}

export interface RunContext<P, T> extends Reachable<P> {
  table: T;
  identity: Identity;
  /** Of a source whose connector has `session`. */
  session?: RememberedSession<T>;
  /** Most messages in flight: unsettled deliveries of a source, unconfirmed messages of a sink. */
  window: number;
  /**
   * To be called when the connection is lost, so that this is noticed while there is nothing to write. A source need
   * not: its iteration throws.
   */
  lost?(error: PenstockError): void;
  /** Shows something to the operator, among the messages of the job. Nothing else comes of it. */
  warn(error: PenstockError): void;
  /** Aborting it cancels everything at once; pending calls reject with the signal's reason. */
  signal: AbortSignal;
  logger: Logger;
}

/**
 * A running source. Iterating it waits for at least one message and then answers all that have arrived, never more
 * than the window; it ends after `drain`, and throws when the connection is lost or the signal aborts.
 */
export interface Source extends AsyncIterable<Delivery[]> {
  /** How it found its session, if its connector has `session`. */
  readonly session?: FoundSession;
  /** Asks for no more messages. What has arrived already is still answered, then the iteration ends. */
  drain(): Promise<void>;
  /**
   * Sends the acknowledgements that are due and disconnects. Unacknowledged messages stay with the broker and come
   * again. Safe to call twice and after a failure; never throws.
   */
  close(): Promise<void>;
}

export interface FoundSession {
  /** Whether the other side had it. */
  resumed: boolean;
  /** Resolves once it is subscribed as its table says and as nothing else. It never rejects: a lost source stays silent. */
  settled: Promise<void>;
}

/** How a source table is to be read; the worker sees to it. */
export interface Pace {
  messagesPerSecond?: number;
  /** The job warns when it has got no message for so long. */
  maxSilenceSecs?: number;
}

/** One outgoing message. */
export interface Outgoing {
  payload: Buffer;
  /** What the payload was made of: a topic or a key may be made of its columns too. */
  row: Row;
}

/** A message that was not written and never will be, though the connection is well. */
export interface Refusal {
  /** Which one of those given to `write`. */
  index: number;
  error: PenstockError;
}

export interface Sink {
  /**
   * Writes in order, and resolves when every message is durable there (for MQTT: PUBACK or PUBCOMP received; at
   * QoS 0: handed to the operating system). Several writes may be pending; they are sent in the order of the calls.
   * Answers the messages that are refused, by us or by the other side, in order: none of them is there, all others
   * are. Rejects when it cannot be known what is there, as when the connection is lost.
   */
  write(messages: Outgoing[]): Promise<Refusal[]>;
  /** Disconnects. Pending writes reject. Safe to call twice and after a failure; never throws. */
  close(): Promise<void>;
}

export type CheckOutcome = 'ok' | 'warning' | 'failed' | 'skipped';

/** One step of a connection test, reported when it is over. */
export interface CheckStep {
  /** e.g. `resolve`, `tcp`, `tls`, `mqtt_connect`, `subscribe`, `publish`, `first_message`, `decode`. */
  name: string;
  outcome: CheckOutcome;
  durationMs: number;
  /** Why it failed or warns; null when it is ok. */
  code: ErrorCode | null;
  /** One sentence for a person. */
  message: string;
  /** What to do about it; null when there is nothing to do. */
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
  /** For each step. The caller bounds the whole with `signal`. */
  stepTimeoutMs: number;
  signal: AbortSignal;
  /** Call it for every step, in order, as soon as the step is over. */
  report(step: CheckStep): void;
}

export interface AutocompleteContext<P> extends Reachable<P> {
  /** Aborts when the caller goes away. */
  signal: AbortSignal;
}

/** A message that is only looked at: nothing is to be acknowledged. */
export type Watched = Omit<Delivery, 'ack'>;

export interface WatchContext<P, T> extends Reachable<P> {
  table: T;
  /** Called once, when messages can arrive. */
  listening(): void;
  /**
   * Called with every message, in order of arrival. Nothing waits for the caller: what it has no room for it drops.
   * What it throws ends the watch, which rejects with it.
   */
  deliver(message: Watched): void;
  /** Ends it. */
  signal: AbortSignal;
}

/** A column that a source can fill from a message's metadata. */
export interface MetadataColumn {
  name: string;
  type: FieldTypeName;
  /** Of a list: the type of what it holds. */
  items?: FieldTypeName;
  description: string;
}

/** The WITH (…) options of a SQL table definition, each taken at most once; what nobody takes is refused. */
export interface Options {
  take(name: string): string | undefined;
  takeBoolean(name: string): boolean | undefined;
  takeInteger(name: string): number | undefined;
}

export interface ConnectorDefinition<P extends TSchema = TSchema, T extends TSchema = TSchema> {
  id: string;
  name: string;
  description: string;
  /** An SVG document. */
  icon: string;
  /**
   * JSON Schema of a profile's `config`, as Arroyo's forms read it. Beside the JSON Schema keywords it has
   * `sensitive`: the names of the properties that are secrets, as JSON pointers without the leading slash. Strings
   * with `format: 'var-str'` may hold `{{ NAME }}`, which is replaced before the connector sees it. A string with
   * `file: true` holds PEM text or the path of a file in the operator's folder; the connector sees the text.
   */
  profile: P;
  /** JSON Schema of a table's `config`. */
  table: T;
  metadata: readonly MetadataColumn[];
  /** What the schemas cannot say: topic rules, contradictory options. Paths are JSON pointers into the config. */
  validateProfile?(profile: Static<P>): FieldError[];
  validateTable?(table: Static<T>, profile: Static<P> | undefined): FieldError[];
  pace?(table: Static<T>): Pace;
  /** The columns of the table's schema that a sink's config refers to; they are checked where the schema is known. */
  columnsOf?(table: Static<T>): ColumnUse[];
  /** The address of the system, for people: Arroyo's `description` of a profile. No secrets. */
  describe(profile: Static<P>): string;
  direction(table: Static<T>): 'source' | 'sink';
  /** Reads `CREATE TABLE … WITH (…)`. The profile's options are only read when `withProfile` is true. */
  fromOptions(options: Options, withProfile: boolean): { profile: unknown; table: unknown };
  /** Tests a connection. Resolves when done, also after a failed step; throws only when the signal aborts. */
  check?(context: CheckContext<Static<P>, Static<T>>): Promise<void>;
  /**
   * What is really there, for forms to offer: values by the name of the table's field. It takes a few seconds at most,
   * bounds what it answers, and leaves nothing behind. Throws what is wrong with the connection.
   */
  autocomplete?(context: AutocompleteContext<Static<P>>): Promise<Record<string, string[]>>;
  /**
   * Shows the messages that a source table reads, beside whoever reads them in earnest: under an identity of its own,
   * taking nothing from anybody, leaving nothing behind. Never resolves: it rejects with what went wrong, or with the
   * signal's reason once it has disconnected.
   */
  watch?(context: WatchContext<Static<P>, Static<T>>): Promise<never>;
  /** Connects and subscribes; rejects with the first thing that went wrong. */
  openSource?(context: RunContext<Static<P>, Static<T>>): Promise<Source>;
  openSink?(context: RunContext<Static<P>, Static<T>>): Promise<Sink>;
  /**
   * Names the session that a source of this identity has on the other side, when what comes while nobody is connected is
   * kept there. Another name is another session.
   */
  session?(profile: Static<P>, identity: Identity): string;
  /**
   * Whether sessions that `session` names differently, by two profiles, are one: of a system that has two addresses.
   * Undefined when that cannot be told: nobody is there by the former one, or somebody who lets no stranger in. It leaves
   * nothing behind. Throws a passing fault of the connection by the profile of now, or the signal's reason.
   */
  isSameSession?(
    now: Reachable<Static<P>>,
    former: Reachable<Static<P>>,
    identity: Identity,
    signal: AbortSignal,
  ): Promise<boolean | undefined>;
  /** Removes the session of a source from the other side, with what it holds. */
  forget?(context: Omit<RunContext<Static<P>, Static<T>>, 'window' | 'warn'>): Promise<void>;
  /**
   * The source table as one of several tasks reads it, so that each message goes to one of them; `group` is of
   * [0-9A-Za-z_] and the same for all of them. Left out by a connector that cannot do that. Throws `cannot_share` for a
   * table that cannot be shared.
   */
  shared?(table: Static<T>, group: string): Static<T>;
}

/** Checks a definition's types against its own schemas; answers it unchanged. */
export function defineConnector<P extends TSchema, T extends TSchema>(
  definition: ConnectorDefinition<P, T>,
): ConnectorDefinition<P, T> {
  if ('sensitive' in definition.table)
    throw new Error(
      `${definition.id}: secrets belong into the profile; those of a table are neither sealed nor masked`,
    );
  return definition;
}

/** A connector with a configuration it can use. */
export interface Usable extends Reachable<unknown> {
  connector: ConnectorDefinition;
  config: unknown;
}
