import type { DuckDBConnection } from '@duckdb/node-api';

/** The names of functions that a query over a stream may not use. */
export interface FunctionKinds {
  /** They need more than one row; macros that hide such a function included. */
  aggregates: ReadonlySet<string>;
  /** They answer something else at each call, such as `random`. */
  volatile: ReadonlySet<string>;
}

let kinds: Promise<FunctionKinds> | undefined;

/** Asks DuckDB what its functions are, once. */
export function functionKinds(connection: DuckDBConnection): Promise<FunctionKinds> {
  kinds ??= readKinds(connection).catch((error: unknown) => {
    // The next one tries again.
    kinds = undefined;
    throw error;
  });
  return kinds;
}

async function readKinds(connection: DuckDBConnection): Promise<FunctionKinds> {
  const [aggregates, volatile] = await Promise.all([
    namesWhere(connection, "function_type = 'aggregate'"),
    namesWhere(connection, "stability = 'VOLATILE'"),
  ]);
  const macros = await connection.runAndReadAll(
    "SELECT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'",
  );
  for (const names of [aggregates, volatile]) {
    const calls = new RegExp(`\\b(?:${[...names].filter((name) => /^\w+$/.test(name)).join('|')})\\(`);
    for (const [name, definition] of macros.getRows()) {
      if (calls.test(String(definition))) names.add(String(name));
    }
  }
  return { aggregates, volatile };
}

async function namesWhere(connection: DuckDBConnection, condition: string): Promise<Set<string>> {
  const answer = await connection.runAndReadAll(
    `SELECT DISTINCT function_name FROM duckdb_functions() WHERE ${condition}`,
  );
  return new Set(answer.getRows().map(([name]) => String(name)));
}
