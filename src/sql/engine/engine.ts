import { type DuckDBConnection, DuckDBInstance, type DuckDBType } from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';

/**
 * DuckDB, as the one who says what SQL means. One instance in memory serves the whole process. It is locked: it can
 * reach no file and no network, loads no extension, and no query can change that.
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
 * Nothing is to be gained on small batches, and what a query means is easier to say when it runs as it is written:
 * which expressions are evaluated for a row decides whether that row fails. One of them would do harm: a prepared
 * statement is planned while its table is empty, and statistics_propagation would conclude that it stays so.
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
  for (const setting of settings) await connection.run(setting);
  connection.closeSync();
  return instance;
}

/** A connection of its own to the shared instance; temporary tables are seen by it alone. Close it after use. */
export async function connectEngine(): Promise<DuckDBConnection> {
  shared ??= start().catch((error: unknown) => {
    // The next one tries again.
    shared = undefined;
    throw error;
  });
  const instance = await shared;
  return instance.connect();
}

/** What DuckDB found wrong. `position` counts bytes of the statement's text in UTF-8. */
export interface EngineError {
  /** DuckDB's kind of error, e.g. `Conversion`, `Binder`, `INTERRUPT`. */
  kind: string;
  /** May quote data: never show it for an error that rows caused. */
  message: string;
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

/** The columns a statement would answer. Rejects with DuckDB's error when it is not valid. */
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

/** Runs a statement with text parameters that answers a single value. */
export async function askEngine(
  connection: DuckDBConnection,
  sql: string,
  ...values: string[]
): Promise<string> {
  const result = await connection.runAndReadAll(sql, values);
  return String(result.getRows()[0]?.at(-1));
}

/** The error of a part that does not work as it should; never the fault of a query. */
export function engineFailed(action: string, cause: unknown): PenstockError {
  const { kind } = engineError(cause);
  // Nothing works any more after a fatal error: let whoever tries again have a new instance.
  if (kind === 'FATAL' || kind === 'INTERNAL') shared = undefined;
  return new PenstockError('internal', `DuckDB could not ${action}: ${kind}`, { cause });
}

/** How long DuckDB may work on checking a query: some functions of constants are evaluated while it plans. */
const checkTimeoutMs = 5000;

/** Does something with a connection, which is interrupted when that takes too long: it rejects with `INTERRUPT`. */
export async function bounded<T>(connection: DuckDBConnection, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => connection.interrupt(), checkTimeoutMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
