import { asPenstockError, type PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import { postgresError } from '../config/errors.ts';
import type { PostgresProfile } from '../config/profile.ts';
import { type PostgresTable, tableName } from '../config/table.ts';
import { findTable } from '../connection/catalog.ts';
import { createStatement } from '../connection/column-types.ts';
import { createTable } from '../connection/create.ts';
import { translated } from '../connection/server-errors.ts';
import { openSession, type Session } from '../connection/session.ts';
import { matchColumns, precisionCut } from '../connection/target.ts';
import { BatchWriter, type Entry } from './batch-writer.ts';

type PostgresContext = RunContext<PostgresProfile, PostgresTable>;

/** A batch is full at this number of rows or bytes; what is written while one is on its way makes the next. */
const maxBatchRows = 5_000;
const maxBatchBytes = 8 * 1024 * 1024;

export async function openSink(context: PostgresContext): Promise<Sink> {
  const { signal } = context;
  const session = await openSession(context, signal);
  const abort = () => session.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    const writer = await session.withinDeadline(10_000, () => prepare(session, context));
    signal.throwIfAborted();
    return new PostgresSink(session, writer, context);
  } catch (error) {
    session.destroy();
    signal.throwIfAborted();
    throw translated(error);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Finds the table, or creates it, and compares its columns with the schema. */
async function prepare(
  session: Session,
  { profile, table, schema, warn }: PostgresContext,
): Promise<BatchWriter> {
  const found =
    table.create_table === 'if_missing'
      ? await createTable(session, table, schema)
      : await findTable(session, tableName(table));
  if (!found)
    throw postgresError('postgres_table_missing', `The database has no table ${table.table}`, {
      hint: `Create it: ${createStatement(table, schema)};`,
    });
  const { targets, problems } = matchColumns(table, schema.fields ?? [], found);
  const [problem] = problems;
  if (problem) throw problem;
  const cut = precisionCut(targets);
  if (cut) warn(cut);
  return new BatchWriter(session, profile, table, targets);
}

/** A call of `write`, whose rows may be in several batches. */
class PendingWrite {
  readonly done: Promise<Refusal[]>;
  readonly #refusals: Refusal[] = [];
  readonly #settle: { resolve(refusals: Refusal[]): void; reject(error: unknown): void };
  #left: number;

  constructor(rows: number) {
    const { promise, resolve, reject } = Promise.withResolvers<Refusal[]>();
    this.done = promise;
    this.#left = rows;
    this.#settle = { resolve, reject };
  }

  refuse(index: number, error: PenstockError): void {
    this.#refusals.push({ index, error });
  }

  confirm(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#settle.resolve(this.#refusals.toSorted((a, b) => a.index - b.index));
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
  }
}

/** Writes rows to a table over one connection. Calls of `write` that overlap share transactions. */
class PostgresSink implements Sink {
  readonly #session: Session;
  readonly #writer: BatchWriter;
  readonly #signal: AbortSignal;
  readonly #pending = new Set<PendingWrite>();
  #queue: Entry[] = [];
  #failure: unknown;
  #writing = false;

  constructor(session: Session, writer: BatchWriter, { signal, lost }: PostgresContext) {
    this.#session = session;
    this.#writer = writer;
    this.#signal = signal;
    signal.addEventListener('abort', this.#aborted, { once: true });
    session.whenLost((error) => {
      this.#fail(error);
      lost?.(error);
    });
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure !== undefined) throw this.#failure;
    if (messages.length === 0) return [];
    const write = new PendingWrite(messages.length);
    this.#pending.add(write);
    try {
      for (const [index, message] of messages.entries()) this.#encode(write, index, message);
      void this.#writeQueue();
      return await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#aborted);
    this.#fail(postgresError('connection_lost', 'The sink was closed'));
    if (this.#writing) this.#session.destroy();
    await this.#session.close();
  }

  #encode(write: PendingWrite, index: number, message: Outgoing): void {
    try {
      this.#queue.push(this.#writer.encode(message, write, index));
    } catch (error) {
      const raised = asPenstockError(error);
      if (raised.code !== 'bad_row') throw raised;
      write.refuse(index, raised);
      write.confirm();
    }
  }

  async #writeQueue(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      while (this.#queue.length > 0 && this.#failure === undefined) {
        const batch = this.#nextBatch();
        await this.#writer.write(batch);
        for (const { write } of batch) write.confirm();
      }
    } catch (error) {
      this.#fail(translated(error));
      this.#session.destroy();
    } finally {
      this.#writing = false;
    }
  }

  #nextBatch(): Entry[] {
    let bytes = 0;
    let rows = 0;
    for (const entry of this.#queue) {
      if (rows >= maxBatchRows || (rows > 0 && bytes + entry.bytes > maxBatchBytes)) break;
      bytes += entry.bytes;
      rows += 1;
    }
    const batch = this.#queue.slice(0, rows);
    this.#queue = this.#queue.slice(rows);
    return batch;
  }

  readonly #aborted = (): void => {
    this.#fail(this.#signal.reason);
    this.#session.destroy();
  };

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#queue = [];
    for (const write of this.#pending) write.fail(this.#failure);
  }
}
