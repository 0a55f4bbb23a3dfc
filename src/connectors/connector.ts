import Type, { type Static, type TSchema } from 'typebox';
import type { DescribedError, FieldError } from '../errors.ts';
import type { RegisteredSchemas } from '../formats/registered.ts';
import type { ColumnUse } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, FieldTypeName } from '../formats/schema/schema.ts';
import type { Delivery, Identity, Pace, Reachable, RunContext, Sink, Source } from './running.ts';
import type { SchemaRegistry } from './schema-registry/profile.ts';

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

export type * from './running.ts';

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
  /** Of a table whose schemas are in a registry. */
  schemas?: RegisteredSchemas | undefined;
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
  /** How the messages look, as far as it is known. */
  schema?: ConnectionSchema | undefined;
  /** Called once, when messages can arrive. */
  listening(): void;
  /** Call it with every message, in order. It drops what it has no room for; what it throws ends the watch. */
  deliver(message: Watched): void;
  /** Called when no message will come any more, as at the end of files. */
  ended?(): void;
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
  /** A table may go without a profile. An empty `config` must be valid then. */
  profileOptional?: boolean;
  /**
   * JSON Schema of a table's `config`, as that of a profile. A connector with `session` has no secrets in it, because the
   * record of a session keeps tables as they are.
   */
  table: T;
  /** The error codes that only this connector has, with their help; `errorMaker` makes such errors. */
  errors?: Readonly<Record<string, DescribedError>>;
  /** For tables that do not say how messages are written. If it has `fields`, a table can only add metadata columns. */
  defaultSchema?: Pick<ConnectionSchema, 'format' | 'fields'>;
  metadata: readonly MetadataColumn[];
  /** Checks what the schemas cannot say, such as contradictory fields. Paths are JSON pointers into the config. */
  validateProfile?(profile: Static<P>): FieldError[];
  validateTable?(table: Static<T>, profile: Static<P> | undefined): FieldError[];
  /** Checks whether a table can have this schema, beyond what holds for every table. Paths begin at the schema. */
  validateSchema?(table: Static<T>, schema: ConnectionSchema): FieldError[];
  /**
   * The schema registry that a profile names, or a table whose connector has no profiles. Left out if the messages of the connector
   * cannot use one. `table` is undefined for a profile alone.
   */
  registryOf?(profile: Static<P>, table: Static<T> | undefined): SchemaRegistry | undefined;
  /** The topic that the subject of a table in the registry is named after, unless it has several; or the subject that it gives. */
  subjectOf?(table: Static<T>): { topic?: string | undefined; subject?: string | undefined };
  pace?(table: Static<T>): Pace;
  /**
   * Whether a sink of this table takes typed rows: messages have no payload, and the schema needs no format. It gets every
   * row of the query, with the values of `Row` for the types of the schema.
   */
  takesRows?(table: Static<T>, schema: ConnectionSchema): boolean;
  /**
   * The columns by which a sink of this table that takes rows finds the row to replace or to delete. Undefined if it can do
   * neither.
   */
  deletesBy?(table: Static<T>): readonly string[] | undefined;
  /** Number of messages that a sink of this table may hold before it confirms them; the window of its task allows for it. */
  holds?(table: Static<T>): number;
  /** Whether a sink of this table can write each message once (`Sink.exact`). */
  exactlyOnce?(table: Static<T>): boolean;
  /**
   * Set for a sink of this table that writes in transactions with the positions of its source (`Sink.transactions`). The source must be of
   * the same connector then, and the query keep no state. Says what to change otherwise, as "set … to …".
   */
  transactional?(table: Static<T>): string | undefined;
  /** When writing a message twice leaves one: for people, and whether it holds for a table. */
  idempotent?: { when: string; holds(table: Static<T>): boolean };
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
  /**
   * Names what the positions of a source count in, such as an address. A position that was stored under another name does not
   * count. The schemas cannot have secrets in it.
   */
  position?(profile: Static<P>, table: Static<T>): string;
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
  /**
   * Removes the session of a source from the other side, with the messages in it. Also that of a sink that was opened with `exact`,
   * by the identity of the sink.
   */
  forget?(context: Omit<RunContext<Static<P>, Static<T>>, 'schema' | 'window' | 'warn'>): Promise<void>;
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
  if ('sensitive' in definition.table && definition.session)
    throw new Error(`${definition.id}: secrets belong in the profile, because sessions keep tables unsealed`);
  return definition;
}

/** A connector with a configuration it can use. */
export interface Usable extends Reachable<unknown> {
  connector: ConnectorDefinition;
  config: unknown;
}
