import { type DuckDBConnection, DuckDBInstance, type DuckDBType } from '@duckdb/node-api';
import { PenstockError } from '../errors.ts';

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

const settings = [
  "SET GLOBAL TimeZone = 'UTC'",
  'SET GLOBAL errors_as_json = true',
  // A prepared statement is planned while its table is empty, and this pass would conclude that it stays so.
  "SET GLOBAL disabled_optimizers = 'statistics_propagation'",
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

/** A name in double quotes, safe in any statement. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The error of a part that does not work as it should; never the fault of a query. */
export function engineFailed(action: string, cause: unknown): PenstockError {
  const { kind } = engineError(cause);
  // Nothing works any more after a fatal error: let whoever tries again have a new instance.
  if (kind === 'FATAL' || kind === 'INTERNAL') shared = undefined;
  return new PenstockError('internal', `DuckDB could not ${action}: ${kind}`, { cause });
}

let aggregates: Promise<ReadonlySet<string>> | undefined;

/** The names of all functions that need more than one row, macros that hide such a function included. */
export function aggregateNames(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
  aggregates ??= readAggregates(connection);
  return aggregates;
}

async function readAggregates(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
  const functions = await connection.runAndReadAll(
    "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'",
  );
  const names = new Set(functions.getRows().map(([name]) => String(name)));
  const macros = await connection.runAndReadAll(
    "SELECT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'",
  );
  const calls = new RegExp(`\\b(?:${[...names].join('|')})\\(`);
  for (const [name, definition] of macros.getRows())
    if (calls.test(String(definition))) names.add(String(name));
  return names;
}
