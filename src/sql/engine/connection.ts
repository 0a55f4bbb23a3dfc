import { type DuckDBConnection, DuckDBInstance, type DuckDBType } from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';
import { macros } from './dialect.ts';

/**
 * DuckDB, the authority on what SQL means. One in-memory instance serves all queries of a thread. It is locked: it
 * reaches no file and no network and loads no extension, and no query can change that.
 */

const options = {
  enable_external_access: 'false',
  autoload_known_extensions: 'false',
  autoinstall_known_extensions: 'false',
  allow_community_extensions: 'false',
  memory_limit: '256MB',
  threads: '1',
};

/**
 * A query runs as it is written, because which expressions are evaluated for a row decides whether that row fails.
 * Small batches gain nothing from optimisation. statistics_propagation would even be wrong: a prepared statement is
 * planned while its table is empty, and it would conclude that the table stays empty.
 */
const disabledOptimizers = [
  ...['expression_rewriter', 'filter_pullup', 'filter_pushdown', 'empty_result_pullup', 'cte_filter_pusher'],
  ...['regex_range', 'in_clause', 'join_order', 'deliminator', 'unnest_rewriter', 'unused_columns'],
  ...['statistics_propagation', 'common_subexpressions', 'common_aggregate', 'column_lifetime'],
  ...['build_side_probe_side', 'limit_pushdown', 'top_n', 'compressed_materialization', 'duplicate_groups'],
  ...['reorder_filter', 'sampling_pushdown', 'join_filter_pushdown', 'extension', 'materialized_cte'],
  ...['sum_rewriter', 'late_materialization', 'cte_inlining'],
];

const settings = [
  "SET GLOBAL TimeZone = 'UTC'",
  'SET GLOBAL errors_as_json = true',
  `SET GLOBAL disabled_optimizers = '${disabledOptimizers.join(',')}'`,
  'SET GLOBAL lock_configuration = true',
];

let shared: Promise<DuckDBInstance> | undefined;

async function start(): Promise<DuckDBInstance> {
  const instance = await DuckDBInstance.create(':memory:', options);
  const connection = await instance.connect();
  for (const statement of [...macros, ...settings]) await connection.run(statement);
  connection.closeSync();
  return instance;
}

/** Opens a connection to the shared instance. It alone sees its temporary tables. Close it after use. */
export async function connectEngine(): Promise<DuckDBConnection> {
  shared ??= start().catch((error: unknown) => {
    // The next call tries again.
    shared = undefined;
    throw error;
  });
  const instance = await shared;
  return instance.connect();
}

export interface EngineError {
  kind: string;
  /** May quote data: never show it for an error that rows caused. */
  message: string;
  /** In bytes of the statement's text in UTF-8. */
  position: number | undefined;
}

/** Reads an error that a connection threw. */
export function engineError(error: unknown): EngineError {
  const text = error instanceof Error ? error.message : String(error);
  const json = text.indexOf('{');
  try {
    const parsed = JSON.parse(text.slice(json)) as Record<string, string | undefined>;
    const position = Number(parsed.position ?? Number.NaN);
    return {
      kind: parsed.exception_type ?? 'Unknown',
      message: parsed.exception_message ?? text,
      position: Number.isSafeInteger(position) ? position : undefined,
    };
  } catch {
    return { kind: 'Unknown', message: text, position: undefined };
  }
}

export interface OutputColumn {
  name: string;
  type: DuckDBType;
}

/** The columns that a statement would return. Rejects with DuckDB's error if it is not valid. */
export async function describe(connection: DuckDBConnection, sql: string): Promise<OutputColumn[]> {
  const statement = await connection.prepare(sql);
  try {
    return Array.from({ length: statement.columnCount }, (_, index) => ({
      name: statement.columnName(index),
      type: statement.columnType(index),
    }));
  } finally {
    statement.destroySync();
  }
}

/** Runs a statement with text parameters and returns its single value. */
export async function askEngine(
  connection: DuckDBConnection,
  sql: string,
  ...values: string[]
): Promise<string> {
  const result = await connection.runAndReadAll(sql, values);
  return String(result.getRows()[0]?.at(-1));
}

/** The `internal` error for a failure of DuckDB that no query is to blame for. */
export function engineFailed(action: string, cause: unknown): PenstockError {
  const { kind } = engineError(cause);
  // After a fatal error the instance is unusable: the next attempt gets a new one.
  if (kind === 'FATAL' || kind === 'INTERNAL') shared = undefined;
  return new PenstockError('internal', `DuckDB could not ${action}; see the log (${kind})`, { cause });
}

/** Time limit for checking a query. DuckDB evaluates some functions of constants while it plans. */
const checkTimeoutMs = 5000;

/** Does work with a connection. Interrupts it at the time limit; it then rejects with `INTERRUPT`. */
export async function withTimeLimit<T>(connection: DuckDBConnection, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => connection.interrupt(), checkTimeoutMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
