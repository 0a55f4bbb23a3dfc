import type { TSchema } from 'typebox';
import type { KnownMetadata } from '../formats/codec.ts';
import type { ColumnUse } from '../formats/schema/column-use.ts';
import type { ConnectionSchema, Field } from '../formats/schema/schema.ts';
import type { BoundPlan } from './bound-plan.ts';

/**
 * What a query means: which tables it uses, and which rows flow from which source to which sink. A plan is plain
 * data. It holds the connectors' configurations, secrets included: keep it in memory.
 */

/** The WITH (…) options of a table. Each can be taken once. */
export interface WithOptions {
  take(name: string): string | undefined;
  takeBoolean(name: string): boolean | undefined;
  takeInteger(name: string): number | undefined;
  /** Takes those that a JSON Schema of an object has. */
  takeObject(schema: TSchema): Record<string, unknown>;
}

/** How a table is reached, as its connector reads it. */
export interface Connection {
  direction: 'source' | 'sink';
  /** The schema that was declared, with what the connector adds. */
  schema?: ConnectionSchema | undefined;
  profile: unknown;
  config: unknown;
  /** The columns that `config` refers to, if any. */
  uses?: readonly ColumnUse[];
  /** The metadata columns a source of this connector offers. */
  metadata: readonly KnownMetadata[];
}

/** A `CREATE TABLE` that the caller is to connect. */
export interface InlineTable {
  name: string;
  connector: string;
  /** The name of a stored connection profile, from the option `connection_profile`. */
  profileName: string | undefined;
  /** Take what the connector knows; what is left when `inline` resolves is refused as unknown. */
  options: WithOptions;
  schema: ConnectionSchema;
}

/** A table that a query may use. */
export interface TableDefinition {
  name: string;
  connector: string;
  direction: 'source' | 'sink';
  /** With its fields, as `expandSchema` leaves it. */
  schema: ConnectionSchema;
  /** Where a stored table comes from; undefined for one the query creates. */
  stored?: { tableId: string };
  /** What the connector opens it with. */
  profile: unknown;
  config: unknown;
  /** The columns that `config` refers to, if any. */
  uses?: readonly ColumnUse[];
}

/** What a query may refer to, given by the caller. */
export interface Catalog {
  /**
   * The stored table of that name, or undefined. `exact` is true for a quoted name; without it a name that differs
   * only in case may be answered too, when no table has exactly this one.
   */
  table(name: string, exact: boolean): Promise<TableDefinition | undefined>;
  /** The names of stored tables, some of them at least, for suggestions. Asked for only when one is not found. */
  tableNames(): Promise<readonly string[]>;
  /**
   * Connects a table that the query creates. What it throws as a `PenstockError` (`unknown_connector`,
   * `invalid_config`, `not_found` for the profile, …) becomes a diagnostic at that table's options.
   */
  inline(table: InlineTable): Promise<Connection>;
}

/** How the rows of the source become rows of the sink. Both lists of columns are in the order of the sink's. */
export type Select =
  /** The very same rows. */
  | { kind: 'passthrough' }
  /** Columns renamed, reordered or left out. */
  | { kind: 'project'; columns: readonly ProjectedColumn[] }
  /**
   * Filters and expressions that are evaluated in JavaScript as DuckDB would; rows of which only DuckDB knows the
   * answer go through `sql`, as with the kind `sql`.
   */
  | { kind: 'compiled'; plan: BoundPlan; sql: string; rowColumn: string }
  /**
   * Everything else: DuckDB runs `sql` over small batches. Its first column is the number of the input row, which it
   * reads from the further column `rowColumn` of the source.
   */
  | EngineSelect;

export interface EngineSelect {
  kind: 'sql';
  sql: string;
  rowColumn: string;
  /** What the query uses that is not compiled, e.g. `the function regexp_matches`. */
  because: string;
}

export interface ProjectedColumn {
  from: string;
  to: string;
  /** What the value goes through: nothing, or one of the widenings that JavaScript does without loss. */
  convert: 'none' | 'to_bigint';
}

/** One `INSERT INTO`. */
export interface InsertPlan {
  source: TableDefinition;
  sink: TableDefinition;
  /**
   * The operators of this insert: stable names of [0-9A-Za-z_], at most 27 characters, that no other insert has.
   * Those of source and sink depend on the table's name alone, so that editing the query keeps their sessions with
   * the broker; of several inserts with one source or sink only the first has such a name. Each insert has a session
   * of its own: see docs/decisions/0009.
   */
  operatorIds: { source: string; transform: string; sink: string };
  select: Select;
}

/** A SELECT whose rows go nowhere but to who asks: the plan of a preview. */
export interface PreviewPlan {
  source: TableDefinition;
  /** What its rows are made of. */
  columns: Field[];
  operatorIds: { source: string; transform: string };
  select: Select;
}

export interface Plan {
  /** Every table the inserts use, once. */
  tables: TableDefinition[];
  inserts: InsertPlan[];
  graph: PipelineGraph;
}

/** The wire shape of Arroyo's graph. */
export interface PipelineGraph {
  nodes: PipelineNode[];
  edges: PipelineEdge[];
}

export interface PipelineNode {
  node_id: number;
  /** The connector of a source or sink; `project`, `compiled` or `sql` for a transform. */
  operator: string;
  description: string;
  parallelism: number;
}

export interface PipelineEdge {
  src_id: number;
  dest_id: number;
  key_type: string;
  value_type: string;
  edge_type: string;
}
