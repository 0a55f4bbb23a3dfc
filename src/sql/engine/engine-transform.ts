import {
  type DuckDBConnection,
  DuckDBDataChunk,
  type DuckDBPreparedStatement,
  type DuckDBValue,
} from '@duckdb/node-api';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import { getterOf, setterOf } from '../../formats/values/own-property.ts';
import type { EngineSelect, TableDefinition } from '../plan.ts';
import { quoteName } from '../quote.ts';
import { createTable } from '../rewrite.ts';
import type { Transform, Transformed, TransformOptions } from '../transform.ts';
import { connectEngine, type EngineError, engineError, engineFailed } from './engine.ts';
import { alone, inCompany } from './turns.ts';
import { vectorOf } from './vectors.ts';

/** As many rows as a chunk of DuckDB holds. */
const chunkRows = 2048;

interface Column {
  field: Field;
  get: (row: object) => unknown;
  set: (row: Row, value: Value) => void;
  vector: ReturnType<typeof vectorOf>;
}

/** A transform that DuckDB does: each batch is loaded into the source's table, selected and rolled back. */
export class EngineTransform implements Transform {
  readonly #connection: DuckDBConnection;
  readonly #statement: DuckDBPreparedStatement;
  readonly #sql: string;
  readonly #table: string;
  readonly #inputs: readonly Column[];
  readonly #outputs: readonly Column[];
  readonly #batchTimeoutMs: number;
  readonly #runTimeoutMs: number;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  static async open(
    source: TableDefinition,
    sink: Pick<TableDefinition, 'schema'>,
    select: Pick<EngineSelect, 'sql' | 'rowColumn'>,
    options: TransformOptions,
  ): Promise<EngineTransform> {
    const connection = await connectEngine();
    try {
      await connection.run(createTable(source, [`${quoteName(select.rowColumn)} INTEGER`]));
      const statement = await connection.prepare(select.sql);
      return new EngineTransform(connection, statement, source, sink, select.sql, options);
    } catch (error) {
      connection.closeSync();
      throw engineFailed('prepare a transform', error);
    }
  }

  private constructor(
    connection: DuckDBConnection,
    statement: DuckDBPreparedStatement,
    source: TableDefinition,
    sink: Pick<TableDefinition, 'schema'>,
    sql: string,
    { batchTimeoutMs = 10_000, runTimeoutMs = 60_000 }: TransformOptions,
  ) {
    this.#connection = connection;
    this.#statement = statement;
    this.#sql = sql;
    this.#table = source.name;
    this.#inputs = (source.schema.fields ?? []).map(columnOf);
    this.#outputs = (sink.schema.fields ?? []).map(columnOf);
    this.#batchTimeoutMs = batchTimeoutMs;
    this.#runTimeoutMs = runTimeoutMs;
  }

  run(rows: readonly Row[]): Promise<Transformed> {
    const result = this.#last.then(() => this.#transform(rows));
    // Whoever called gets the error; the next call starts either way.
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
    const deadline = performance.now() + this.#runTimeoutMs;
    if (rows.length > 0) await this.#attempt(rows, 0, rows.length, deadline, result);
    return result;
  }

  /** Transforms the rows from `from` to before `to`; if that fails each half alone, down to the rows at fault. */
  async #attempt(
    rows: readonly Row[],
    from: number,
    to: number,
    deadline: number,
    result: Transformed,
  ): Promise<void> {
    if (performance.now() > deadline) {
      const message = `The query needed more than ${this.#runTimeoutMs} ms for ${rows.length} rows`;
      throw new PenstockError('query_too_slow', message);
    }
    const failure = await inCompany(() => this.#batch(rows, from, to, result));
    if (!failure) return;
    if (to - from === 1) {
      const blamed =
        failure.kind in scarce ? await alone(() => this.#batch(rows, from, to, result)) : failure;
      if (blamed) result.bad.push({ index: from, error: this.#badRow(blamed) });
      return;
    }
    const middle = from + Math.ceil((to - from) / 2);
    await this.#attempt(rows, from, middle, deadline, result);
    await this.#attempt(rows, middle, to, deadline, result);
  }

  /** Answers what a row is to blame for; throws what is nobody's fault here. */
  async #batch(
    rows: readonly Row[],
    from: number,
    to: number,
    result: Transformed,
  ): Promise<EngineError | undefined> {
    await this.#command('BEGIN');
    try {
      await this.#load(rows, from, to);
      this.#collect(await this.#select(), result);
      return undefined;
    } catch (error) {
      const failure = engineError(error);
      if (failure.kind in reasons) return failure;
      throw engineFailed('transform rows', error);
    } finally {
      await this.#command('ROLLBACK');
    }
  }

  /** DuckDB looks for an interrupt after each chunk of rows, so a single row is always worked on to its end. */
  async #select(): Promise<DuckDBValue[][]> {
    const timer = setTimeout(() => this.#connection.interrupt(), this.#batchTimeoutMs);
    try {
      const answer = await this.#statement.run();
      return await answer.getColumns();
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

  async #load(rows: readonly Row[], from: number, to: number): Promise<void> {
    const types = [...this.#inputs.map(({ vector }) => vector.type), rowVector.type];
    const appender = await this.#connection.createAppender(this.#table, undefined, 'temp');
    try {
      for (let start = from; start < to; start += chunkRows) {
        const part = rows.slice(start, Math.min(start + chunkRows, to));
        const chunk = DuckDBDataChunk.create(types, part.length);
        const columns = this.#inputs.map(({ get, vector }) =>
          part.map((row) => vector.toEngine((get(row) ?? null) as Value)),
        );
        chunk.setColumns([...columns, part.map((_, index) => start + index)]);
        appender.appendDataChunk(chunk);
      }
    } finally {
      appender.closeSync();
    }
  }

  #collect(columns: readonly DuckDBValue[][], result: Transformed): void {
    const [origins = [], ...values] = columns;
    for (const [index, origin] of origins.entries()) {
      const row: Row = {};
      this.#outputs.forEach(({ set, vector }, column) => {
        set(row, vector.fromEngine(values[column]?.[index] ?? null));
      });
      result.rows.push(row);
      result.origin.push(origin as number);
    }
  }

  /** Says which part of the query failed and why, but not on which value. */
  #badRow({ kind, position }: EngineError): PenstockError {
    const where = position === undefined ? '' : ` in ${excerpt(this.#sql, position)}`;
    const message = `The row cannot be transformed: ${reasons[kind]}${where}`;
    return new PenstockError('bad_row', message, { errors: [{ path: '', message }] });
  }
}

/** The kinds of DuckDB's errors that a row can cause. */
const reasons: Readonly<Record<string, string>> = {
  Conversion: 'a value cannot be converted',
  'Out of Range': 'a value is out of range',
  'Invalid Input': 'a function refuses its input',
  'Mismatch Type': 'a value has the wrong type',
  'Invalid type': 'a value has the wrong type',
  'Divide by Zero': 'it divides by zero',
  Constraint: 'a value breaks a constraint',
  'Out of Memory': 'it needs more memory than a query may use',
  'Object Size': 'a value is too large',
  INTERRUPT: 'it takes too long',
};

/** Kinds that other transforms may have caused, as they share the engine: only a row that fails alone is to blame. */
const scarce: Readonly<Record<string, true>> = { 'Out of Memory': true, INTERRUPT: true };

const rowVector = vectorOf({ type: 'int32' });

function columnOf(field: Field): Column {
  return { field, get: getterOf(field.name), set: setterOf(field.name), vector: vectorOf(field) };
}

/** The expression of the query that starts at a position in bytes. */
function excerpt(sql: string, position: number): string {
  const text = Buffer.from(sql)
    .subarray(position, position + 200)
    .toString();
  let depth = 0;
  for (const [index, character] of [...text].entries()) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    const over = depth < 0 || (depth === 0 && (character === ',' || character === ')'));
    if (over) return [...text].slice(0, depth === 0 && character === ')' ? index + 1 : index).join('');
  }
  return text;
}
