import {
  type DuckDBConnection,
  DuckDBDataChunk,
  type DuckDBPreparedStatement,
  type DuckDBType,
  type DuckDBValue,
} from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../../formats/format.ts';
import { createTableStatement } from '../field-types.ts';
import { quoteName } from '../names.ts';
import type { EngineSelect, TableDefinition } from '../plan.ts';
import type { Transform, Transformed, TransformOptions } from '../transform.ts';
import { bindSelect } from './bound-plan.ts';
import { connectEngine, type EngineError, engineError, engineFailed } from './connection.ts';
import { isOfData, reasonOf } from './failure.ts';
import { aloneBytes, type RowMemory, rowMemory, sharedBytes } from './memory.ts';
import { type Column, columnOf, rowAt } from './values.ts';

const chunkRows = 2048;

/** Runs in DuckDB: loads each batch into the source's table, runs the SELECT, and rolls back. */
export class EngineTransform implements Transform {
  readonly #connection: DuckDBConnection;
  readonly #statement: DuckDBPreparedStatement;
  readonly #insert: EngineInsert;
  readonly #inputs: readonly Column[];
  readonly #outputs: readonly Column[];
  readonly #limits: Required<TransformOptions>;
  readonly bytesFor: RowMemory;
  #types: DuckDBType[] | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  static async open(insert: EngineInsert, options: TransformOptions): Promise<EngineTransform> {
    const { source, select } = insert;
    const connection = await connectEngine();
    const rowNumber = `${quoteName(select.rowColumn)} INTEGER`;
    try {
      await connection.run(createTableStatement(source.name, source.schema.fields ?? [], [rowNumber]));
      const plan = await bindSelect(connection, select.sql);
      const memory = plan && rowMemory(plan);
      if (!memory) throw new Error('The memory of the query cannot be bounded');
      const statement = await connection.prepare(select.sql);
      return new EngineTransform(connection, statement, insert, { ...options, memory });
    } catch (error) {
      connection.closeSync();
      throw engineFailed('prepare a transform', error);
    }
  }

  private constructor(
    connection: DuckDBConnection,
    statement: DuckDBPreparedStatement,
    insert: EngineInsert,
    { memory, ...options }: TransformOptions & { memory: RowMemory },
  ) {
    this.#connection = connection;
    this.#statement = statement;
    this.#insert = insert;
    this.#inputs = (insert.source.schema.fields ?? []).map(columnOf);
    this.#outputs = (insert.sink.schema.fields ?? []).map(columnOf);
    this.bytesFor = memory;
    this.#limits = { batchTimeoutMs: 10_000, runTimeoutMs: 60_000, ...options };
  }

  run(rows: readonly Row[]): Promise<Transformed> {
    const result = this.#last.then(() => this.#transform(rows));
    // The caller gets the error; the next call starts either way.
    this.#last = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    this.#statement.destroySync();
    this.#connection.closeSync();
  }

  async #transform(rows: readonly Row[]): Promise<Transformed> {
    const result: Transformed = { rows: [], origin: [], bad: [] };
    const deadline = performance.now() + this.#limits.runTimeoutMs;
    const range = { rows, from: 0, to: rows.length, bytes: rows.map(this.bytesFor) };
    if (rows.length > 0) await this.#attempt(range, deadline, result);
    return result;
  }

  /** Transforms some rows. If they may need too much memory, or fail, it tries each half, down to single rows. */
  async #attempt(range: RowRange, deadline: number, result: Transformed): Promise<void> {
    const { rows, from, to, bytes } = range;
    if (performance.now() > deadline) {
      const message = `The query took longer than ${this.#limits.runTimeoutMs} ms for ${rows.length} rows`;
      throw new PenstockError('query_too_slow', message);
    }
    const failure = await this.#within(range, result);
    if (!failure) return;
    if (to - from === 1) {
      result.bad.push({ index: from, error: this.#badRow(failure) });
      return;
    }
    const middle = from + Math.ceil((to - from) / 2);
    await this.#attempt({ rows, from, to: middle, bytes }, deadline, result);
    await this.#attempt({ rows, from: middle, to, bytes }, deadline, result);
  }

  /** Transforms rows within the bounds on memory. Returns an error that a row may have caused. */
  async #within(range: RowRange, result: Transformed): Promise<EngineError | undefined> {
    const { rows, from, to, bytes } = range;
    const single = to - from === 1;
    let needed = 0;
    for (let index = from; index < to; index++) needed += bytes[index] as number;
    const work = () => this.#batch(range, result);
    if (needed <= sharedBytes) {
      const failure = await runShared(work);
      return failure && single && failure.kind in scarce ? runExclusive(work) : failure;
    }
    if (!single) return outOfMemory;
    return needed <= aloneBytes(rows[from] as Row) ? runExclusive(work) : outOfMemory;
  }

  /** Returns an error that a row may have caused; throws any other. */
  async #batch(range: RowRange, result: Transformed): Promise<EngineError | undefined> {
    await this.#command('BEGIN');
    try {
      await this.#load(range);
      this.#collect(await this.#select(), result);
      return undefined;
    } catch (error) {
      const failure = engineError(error);
      if (isOfData(failure)) return failure;
      throw engineFailed('transform rows', error);
    } finally {
      await this.#command('ROLLBACK');
    }
  }

  /** DuckDB checks for an interrupt after each chunk of rows, so it always finishes a single row. */
  async #select(): Promise<DuckDBValue[][]> {
    const timer = setTimeout(() => this.#connection.interrupt(), this.#limits.batchTimeoutMs);
    try {
      const result = await this.#statement.run();
      return await result.getColumns();
    } finally {
      clearTimeout(timer);
    }
  }

  async #command(sql: string): Promise<void> {
    try {
      await this.#connection.run(sql);
    } catch (error) {
      throw engineFailed(`run ${sql}`, error);
    }
  }

  async #load({ rows, from, to }: RowRange): Promise<void> {
    const appender = await this.#connection.createAppender(this.#insert.source.name, undefined, 'temp');
    try {
      this.#types ??= Array.from({ length: appender.columnCount }, (_, index) => appender.columnType(index));
      for (let start = from; start < to; start += chunkRows) {
        const batch = rows.slice(start, Math.min(start + chunkRows, to));
        const chunk = DuckDBDataChunk.create(this.#types, batch.length);
        const columns = this.#inputs.map(({ get, toEngine }) =>
          batch.map((row) => toEngine((get(row) ?? null) as Value)),
        );
        chunk.setColumns([...columns, batch.map((_, index) => start + index)]);
        appender.appendDataChunk(chunk);
      }
    } finally {
      appender.closeSync();
    }
  }

  #collect([origins = [], ...columns]: readonly DuckDBValue[][], result: Transformed): void {
    for (const [index, origin] of origins.entries()) {
      result.rows.push(rowAt(this.#outputs, columns, index));
      result.origin.push(origin as number);
    }
  }

  /** Says which part of the query failed and why, but not on which value. */
  #badRow(error: EngineError): PenstockError {
    const message = `The row cannot be transformed: ${reasonOf(error, this.#insert.select.sql)}`;
    return new PenstockError('bad_row', message, { errors: [{ path: '', message }] });
  }
}

/** Kinds that other transforms of this thread may have caused: a row is bad only if it also fails alone. */
const scarce: Readonly<Record<string, true>> = { 'Out of Memory': true, INTERRUPT: true };

const outOfMemory: EngineError = { kind: 'Out of Memory', message: '', position: undefined };

interface RowRange {
  rows: readonly Row[];
  from: number;
  to: number;
  /** The memory that each of `rows` may need. */
  bytes: readonly number[];
}

export interface EngineInsert {
  source: TableDefinition;
  sink: Pick<TableDefinition, 'schema'>;
  select: Pick<EngineSelect, 'sql' | 'rowColumn'>;
}

// A shared lock on the instance: its transforms share the memory, so one that ran out of it may have been starved by
// the others. It may try once more while they wait.
let running = 0;
let idle = Promise.withResolvers<void>();
let exclusive: Promise<void> | undefined;

/** Does work while others may do the same. */
export async function runShared<T>(work: () => Promise<T>): Promise<T> {
  while (exclusive) await exclusive;
  running += 1;
  try {
    return await work();
  } finally {
    running -= 1;
    if (running === 0) {
      idle.resolve();
      idle = Promise.withResolvers<void>();
    }
  }
}

/** Does work alone: waits for the others to finish, and lets none start before it is done. */
export async function runExclusive<T>(work: () => Promise<T>): Promise<T> {
  while (exclusive) await exclusive;
  const done = Promise.withResolvers<void>();
  exclusive = done.promise;
  try {
    if (running > 0) await idle.promise;
    return await work();
  } finally {
    exclusive = undefined;
    done.resolve();
  }
}
