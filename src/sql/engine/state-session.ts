import { readFileSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type DuckDBConnection,
  DuckDBDataChunk,
  type DuckDBResult,
  type DuckDBValue,
} from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../../formats/format.ts';
import {
  connectStateEngine,
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
  quoteText,
  type StateEngine,
} from './connection.ts';
import { isOfData, reasonOf } from './failure.ts';
import type { Column } from './values.ts';

const chunkRows = 2048;
/** Chunks that are loaded without a pause for other work of the thread. */
const chunksAtOnce = 8;
const timeLimitMs = 60_000;
const noLimitMs = 2 ** 31 - 1;
/** Files that one statement reads, so that few are on the disk at once. */
const filesAtOnce = 250;

let files = 0;

/** The pieces of a result, each with the values of its columns. */
export type ResultChunks = AsyncGenerator<readonly (readonly DuckDBValue[])[]>;

/** A connection to the instance for state, which also turns rows into Parquet and back. Not for concurrent use. */
export class StateSession {
  readonly #engine: StateEngine;
  readonly #connection: DuckDBConnection;

  static async open(): Promise<StateSession> {
    let engine: StateEngine | undefined;
    try {
      engine = await connectStateEngine();
      return new StateSession(engine, await engine.connect());
    } catch (error) {
      engine?.release();
      throw engineFailed('open the tables of a state', error);
    }
  }

  private constructor(engine: StateEngine, connection: DuckDBConnection) {
    this.#engine = engine;
    this.#connection = connection;
  }

  /** Opens a further session. Its statements see what is committed when its transaction begins. */
  async fork(): Promise<StateSession> {
    const { folder, connect } = this.#engine;
    return new StateSession({ folder, connect, release: () => {} }, await connect());
  }

  close(): void {
    this.#connection.closeSync();
    this.#engine.release();
  }

  interrupt(): void {
    this.#connection.interrupt();
  }

  /** Runs a statement. Returns the number of rows that it changed. */
  async run(sql: string): Promise<number> {
    const result = await this.#attempt(sql, () => this.#connection.run(sql));
    return result.rowsChanged;
  }

  /** The first row of a small result. */
  async first(sql: string): Promise<DuckDBValue[]> {
    const result = await this.#attempt(sql, () => this.#connection.runAndReadAll(sql));
    return result.getRows()[0] ?? [];
  }

  columns(sql: string): Promise<OutputColumn[]> {
    return this.#attempt(sql, () => describe(this.#connection, sql));
  }

  /** Evaluates a query over Parquet data. The chunks of its result can be taken while other statements run. */
  async queryData(data: Uint8Array, query: (source: string) => string): Promise<ResultChunks> {
    let result: DuckDBResult | undefined;
    await this.withData([data], async (source) => {
      const sql = query(source);
      result = await this.#attempt(sql, () => this.#connection.run(sql), noLimitMs);
    });
    return chunksOf(result);
  }

  /** Adds rows and their times to a temporary table, whose last column is the time. */
  async append(
    table: string,
    columns: readonly Column[],
    rows: readonly Row[],
    times: readonly bigint[],
  ): Promise<void> {
    const appender = await this.#attempt('', () => this.#connection.createAppender(table, undefined, 'temp'));
    try {
      const types = Array.from({ length: appender.columnCount }, (_, index) => appender.columnType(index));
      for (let start = 0; start < rows.length; start += chunkRows) {
        const some = rows.slice(start, start + chunkRows);
        const chunk = DuckDBDataChunk.create(types, some.length);
        const values = columns.map(({ get, toEngine }) =>
          some.map((row) => toEngine((get(row) ?? null) as Value)),
        );
        chunk.setColumns([...values, times.slice(start, start + chunkRows)]);
        appender.appendDataChunk(chunk);
        const paused = (start / chunkRows) % chunksAtOnce === chunksAtOnce - 1;
        if (paused) await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      throw engineFailed('add rows to a table', error);
    } finally {
      appender.closeSync();
    }
  }

  /** Returns the rows of a query as Parquet, or undefined if there are none. */
  async write(select: string): Promise<{ rows: number; data: Uint8Array | undefined }> {
    const path = this.#path();
    try {
      const rows = await this.run(`COPY (${select}) TO ${quoteText(path)} (${parquet})`);
      // It is small and in the cache of the system: a thread of the pool would take longer.
      return { rows, data: rows > 0 ? readFileSync(path) : undefined };
    } finally {
      rmSync(path, { force: true });
    }
  }

  /** As `write`, in several parts if the result is large. Takes as long as it needs. */
  async writeParts(select: string, partBytes: number): Promise<Uint8Array[]> {
    const path = this.#path();
    try {
      const sql = `COPY (${select}) TO ${quoteText(path)} (${parquet}, FILE_SIZE_BYTES ${partBytes})`;
      if ((await this.runLong(sql)) === 0) return [];
      const names = await readdir(path);
      return await Promise.all(names.map((name) => readFile(join(path, name))));
    } finally {
      await rm(path, { recursive: true, force: true });
    }
  }

  /** Does work with Parquet data, some at a time. `use` gets what to read FROM. */
  async withData(data: readonly Uint8Array[], use: (source: string) => Promise<unknown>): Promise<void> {
    for (let start = 0; start < data.length; start += filesAtOnce) {
      const folder = this.#path();
      const some = data.slice(start, start + filesAtOnce);
      const paths = some.map((_, index) => join(folder, `${index}.parquet`));
      await mkdir(folder, { mode: 0o700 });
      try {
        await Promise.all(some.map((bytes, index) => writeFile(paths[index] as string, bytes)));
        await use(`read_parquet([${paths.map(quoteText).join(', ')}], hive_partitioning = false)`);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
  }

  /** Runs a statement that may take as long as it needs. */
  async runLong(sql: string): Promise<number> {
    const { rowsChanged } = await this.#attempt(sql, () => this.#connection.run(sql), noLimitMs);
    return rowsChanged;
  }

  #path(): string {
    files += 1;
    return join(this.#engine.folder, `${files}.parquet`);
  }

  async #attempt<T>(sql: string, work: () => Promise<T>, limit = timeLimitMs): Promise<T> {
    const timer = setTimeout(() => this.interrupt(), limit);
    try {
      return await work();
    } catch (error) {
      throw stateFailed(error, sql);
    } finally {
      clearTimeout(timer);
    }
  }
}

async function* chunksOf(result: DuckDBResult | undefined): ResultChunks {
  for (let chunk = await result?.fetchChunk(); chunk?.rowCount; chunk = await result?.fetchChunk())
    yield chunk.getColumns();
}

const parquet = 'FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd';

function stateFailed(cause: unknown, sql: string): PenstockError {
  const error = engineError(cause);
  if (!isOfData(error)) return engineFailed('compute the aggregates', cause);
  return new PenstockError('window_failed', `The aggregates cannot be computed: ${reasonOf(error, sql)}`);
}
