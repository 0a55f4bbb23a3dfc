import type { TSchema } from 'typebox';
import type { FieldError } from '../errors.ts';
import type { KnownMetadata } from '../formats/codec.ts';
import type { ColumnUse } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, Field } from '../formats/schema/schema.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { TreeNode } from './parse-tree.ts';

/**
 * A plan says which tables a query uses, and which rows flow from which source to which sink. It is plain data. It
 * holds the connectors' configurations, secrets included: keep it in memory.
 */

/** The WITH (…) options of a table. Each can be taken once. */
export interface WithOptions {
  take(name: string): string | undefined;
  takeBoolean(name: string): boolean | undefined;
  takeInteger(name: string): number | undefined;
  /** Takes those that a JSON Schema of an object has. */
  takeObject(schema: TSchema): Record<string, unknown>;
}

/** A connector's result for a table's options. */
export interface InlineConnection {
  direction: 'source' | 'sink';
  /** The schema that was declared, with what the connector adds. */
  schema?: ConnectionSchema | undefined;
  profile: unknown;
  config: unknown;
  /** Whether it is a sink that takes typed rows, so that its schema needs no format. */
  takesRows?: boolean;
  /** The columns by which such a sink can replace and delete rows, if it can. */
  deletesBy?: readonly string[];
  /** Set for a sink whose source must be of the same connector, in a query without state: what to change otherwise. */
  transactional?: string;
  /** The columns that `config` refers to, if any. */
  uses?: readonly ColumnUse[];
  /** The metadata columns that a source of this connector offers. */
  metadata: readonly KnownMetadata[];
  /** Returns why the table cannot have a schema, beyond what holds for every table. Paths begin at the schema. */
  checkSchema?(schema: ConnectionSchema): FieldError[];
}

/** A `CREATE TABLE` that the catalog is to connect. */
export interface InlineTable {
  name: string;
  connector: string;
  /** The name of a stored connection profile, from the option `connection_profile`. */
  profileName: string | undefined;
  /** Options that are not taken when `inline` resolves are refused as unknown. */
  options: WithOptions;
  schema: ConnectionSchema;
}

export interface TableDefinition extends Omit<InlineConnection, 'metadata' | 'checkSchema'> {
  name: string;
  connector: string;
  schema: ConnectionSchema;
  /** Undefined for a table that the query creates. */
  stored?: { tableId: string };
  /** The column with the time of an event, for windows. Without it the time of arrival counts. */
  eventTime?: string;
  /**
   * An expression of DuckDB over the columns, computed ones included: rows with an earlier time may no longer come. It is there
   * if `eventTime` is.
   */
  watermark?: string;
  time?: TimeOptions;
}

/** How windows treat the rows of a source. */
export interface TimeOptions {
  /** A source without rows for this long no longer holds the watermark back; 0: never; default 5 minutes. */
  idleTimeoutMs?: number;
  /** A row whose time is further ahead of the clock is treated as a late one; default 1 minute. */
  maxAheadMs?: number;
  /** What becomes of a row whose windows are closed; default `drop`. */
  lateData?: 'drop' | 'dead_letter';
  /** Columns that identify a message: a further one with the same values within the horizon does not count. */
  dedupe?: { columns: readonly string[]; horizonMs: number };
}

/** The stored tables and connectors that a query may refer to. */
export interface Catalog {
  /**
   * Returns the stored table of that name. `exact` is true for a quoted name. Otherwise a name that differs only in
   * case may be returned too, if no table has exactly this one.
   */
  table(name: string, exact: boolean): Promise<TableDefinition | undefined>;
  /** Returns names of stored tables to suggest when one is not found; need not be complete. */
  tableNames(): Promise<readonly string[]>;
  /**
   * Connects a table that the query creates. What it throws as a `PenstockError` (`unknown_connector`,
   * `invalid_config`, `not_found` for the profile, …) becomes a diagnostic at that table's options.
   */
  inline(table: InlineTable): Promise<InlineConnection>;
}

/** How rows of the source become rows of the sink. Columns are in the order of the sink's. */
export type RowSelect =
  /** The same rows, unchanged. */
  | { kind: 'passthrough' }
  /** Columns renamed, reordered or left out. */
  | { kind: 'project'; columns: readonly ProjectedColumn[] }
  /** Filters and expressions compiled to JavaScript. A row that these cannot decide goes through `sql`. */
  | { kind: 'compiled'; plan: BoundPlan; sql: string; rowColumn: string }
  | EngineSelect;

/** Everything else: DuckDB runs `sql` over small batches. */
export interface EngineSelect {
  kind: 'sql';
  /** Its first column is the number of the input row, which it reads from the source's extra column `rowColumn`. */
  sql: string;
  rowColumn: string;
  /** The part of the query that is not compiled, e.g. `the function regexp_matches`. */
  because: string;
}

export type Select = RowSelect | StatefulSelect;

/** Windows in microseconds. Those of `tumble` and `hop` begin at multiples of their width or slide since 1970. */
export type WindowSpec =
  | { kind: 'tumble'; width: number }
  | { kind: 'hop'; slide: number; width: number }
  | { kind: 'session'; gap: number };

/**
 * Results over many rows. The rows of each leaf are kept in a table. With `window` the results of a window come when it closes,
 * once. Without it results are updates: the difference between the results of all rows and those before.
 */
export interface StatefulSelect {
  kind: 'stateful';
  window: WindowSpec | undefined;
  leaves: readonly Leaf[];
  /** The times of all rows of a source that has such times, if a leaf has only some of its rows. */
  clocks: readonly Clock[];
  /**
   * A SELECT that reads the leaves by their names, as tables of `columns`, or of keys and partials if the leaf has `fold`. With
   * `window` they also have the column `__w`, a struct of the timestamps `start` and `end`. Its columns are those of the sink, in
   * order and cast to their types. With `window` the struct `__w` comes before them.
   */
  sql: string;
  /** Names of columns of the sink that identify a result; undefined if none are known. */
  key: readonly string[] | undefined;
  limits: StateLimits;
}

export interface StateLimits {
  maxStateBytes: number;
  /** At the limit: `wait` takes no more messages until windows have closed; `fail` ends the job. */
  whenFull: 'wait' | 'fail';
  /** Updating results: time after which rows are forgotten, in microseconds. */
  ttl: number;
}

export const defaultLimits: StateLimits = { maxStateBytes: 1024 ** 3, whenFull: 'wait', ttl: 86_400_000_000 };

/** Rows of one or more sources, computed one by one, that a stateful select keeps. */
export interface Leaf {
  name: string;
  /** Several are a UNION ALL. `source` is 0 for the source of the insert, then counts its `others`. */
  inputs: readonly LeafInput[];
  /** Columns that the selects of `inputs` return. The last are `__time` and `__watermark` (microseconds), if `times` has them. */
  columns: readonly Field[];
  times: { event: boolean; watermark: boolean };
  /** Names of the columns by which rows are grouped: those of a session are of one group. */
  keys: readonly string[];
  /**
   * Rows are changes of a table in Debezium's envelope: the latest one by these columns counts, if it is no deletion. The leaf then
   * has the further columns `__n`, the order of changes, and `__gone`.
   */
  changes?: { key: readonly string[] };
  /** Partial aggregates that stand for the rows of a group, and of a slide or width if there are windows. */
  fold?: { partials: readonly PartialAggregate[] };
}

export interface LeafInput {
  source: number;
  select: RowSelect;
  /** Whether it has every row of the source. */
  whole: boolean;
}

/** Returns the columns `__time` and `__watermark`, or only the first. */
export interface Clock {
  source: number;
  columns: readonly Field[];
  select: RowSelect;
}

export interface PartialAggregate {
  name: string;
  /** An aggregate over the columns of the leaf. */
  sql: string;
  /** The aggregate that makes one of several partials. */
  merge: 'sum' | 'min' | 'max' | 'bool_and' | 'bool_or' | 'bit_and' | 'bit_or' | 'bit_xor';
}

export interface ProjectedColumn {
  from: string;
  to: string;
  /** A widening that JavaScript does without loss. */
  convert: 'none' | 'to_bigint';
}

/** A statement as DuckDB's binder returns it: names resolved, implicit casts written out, expressions typed. */
export interface BoundPlan {
  /** The columns of the table, in the order the first step refers to them. */
  columns: readonly { name: string; type: TreeNode }[];
  steps: readonly BoundStep[];
}

/**
 * A filter lets through the rows for which every expression is true; a projection makes new columns; an UNNEST adds
 * columns after those below, and makes a row for each element of its lists.
 */
export interface BoundStep {
  kind: 'filter' | 'project' | 'unnest';
  expressions: readonly TreeNode[];
}

export interface InsertPlan {
  source: TableDefinition;
  /** Further sources of a stateful select, each with its operator. */
  others?: readonly { source: TableDefinition; operatorId: string }[];
  sink: TableDefinition;
  /**
   * Stable names of [0-9A-Za-z_], at most 27 characters, unique among all inserts. Those of source and sink depend
   * on the table's name alone, so that an edit of the query keeps their sessions with the broker. Of several inserts
   * with one source or sink only the first has such a name; each has its own session, see docs/decisions/0009.
   */
  operatorIds: { source: string; transform: string; sink: string };
  select: Select;
}

export interface PreviewPlan extends Pick<InsertPlan, 'others'> {
  source: TableDefinition;
  columns: Field[];
  operatorIds: { source: string; transform: string };
  select: Select;
  /** The table that the rows are also written to, if any. */
  sink?: TableDefinition;
}

export interface Plan {
  tables: TableDefinition[];
  inserts: InsertPlan[];
  graph: PipelineGraph;
  /** Places whose result may surprise. */
  warnings: Diagnostic[];
}

/** The wire shape of Arroyo's graph. */
export interface PipelineGraph {
  nodes: PipelineNode[];
  edges: { src_id: number; dest_id: number; key_type: string; value_type: string; edge_type: string }[];
}

export interface PipelineNode {
  node_id: number;
  /** The connector of a source or sink; `watermark`; `project`, `compiled`, `sql` or `stateful` for a transform. */
  operator: string;
  description: string;
  parallelism: number;
}
