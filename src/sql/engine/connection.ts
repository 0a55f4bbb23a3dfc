import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance, type DuckDBType } from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';
import { macros } from './dialect.ts';

/**
 * DuckDB, the authority on what SQL means. One in-memory instance serves all queries of a thread. It is locked: it
 * reaches no file and no network and loads no extension, and no query can change that.
 */

const common = {
  autoload_known_extensions: 'false',
  autoinstall_known_extensions: 'false',
  allow_community_extensions: 'false',
  threads: '1',
};

const options = { ...common, enable_external_access: 'false', memory_limit: '256MB' };

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

/** The instance of a thread that keeps the rows of open windows. */
export interface StateEngine {
  /** A private folder, the only one that statements can read and write. */
  folder: string;
  connect(): Promise<DuckDBConnection>;
  /** The last user to call it ends the instance and removes the folder. */
  release(): void;
}

/** The state of all jobs of a thread, and the queries over it. More is written to the private folder. */
const stateMemory = '1GB';

interface StateInstance extends Omit<StateEngine, 'release'> {
  end(): void;
}

let state: { users: number; started: Promise<StateInstance> } | undefined;

async function startState(): Promise<StateInstance> {
  const folder = await mkdtemp(join(tmpdir(), 'penstock-state-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const created = { ...common, memory_limit: stateMemory, temp_directory: folder };
    const instance = await DuckDBInstance.create(':memory:', created);
    const connection = await instance.connect();
    const locks = [
      `SET GLOBAL allowed_directories = [${quoteText(folder)}]`,
      'SET GLOBAL enable_external_access = false',
      "SET GLOBAL TimeZone = 'UTC'",
      'SET GLOBAL errors_as_json = true',
      'SET GLOBAL lock_configuration = true',
    ];
    for (const statement of [...macros, ...locks]) await connection.run(statement);
    connection.closeSync();
    const end = () => {
      instance.closeSync();
      remove();
    };
    return { folder, connect: () => instance.connect(), end };
  } catch (error) {
    remove();
    throw error;
  }
}

/**
 * Uses the instance of this thread for state. It is locked as the one for queries, except for its private folder. Its
 * optimizers are on, because its queries see many rows, and a failure concerns all of them.
 */
export async function connectStateEngine(): Promise<StateEngine> {
  state ??= { users: 0, started: startState() };
  const own = state;
  own.users += 1;
  const leave = () => {
    own.users -= 1;
    if (own.users === 0 && state === own) state = undefined;
    return own.users === 0;
  };
  try {
    const { end, ...engine } = await own.started;
    let released = false;
    return {
      ...engine,
      release() {
        if (!released && leave()) end();
        released = true;
      },
    };
  } catch (error) {
    leave();
    throw error;
  }
}

/** A text as a literal. */
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

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
  if (kind === 'FATAL' || kind === 'INTERNAL') {
    shared = undefined;
    state = undefined;
  }
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
