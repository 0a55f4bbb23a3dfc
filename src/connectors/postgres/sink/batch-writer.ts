import type { PenstockError } from '../../../errors.ts';
import type { Row } from '../../../formats/format.ts';
import { postgresError } from '../config/errors.ts';
import { type PostgresProfile, statementTimeoutMs } from '../config/profile.ts';
import { keyOf, modeOf, type PostgresTable } from '../config/table.ts';
import { mayBeOfRow, rowOfCopy, rowRefused } from '../connection/server-errors.ts';
import type { Session } from '../connection/session.ts';
import { copyStatement, deleteStatement, insertStatement, type Target } from '../connection/target.ts';
import { arrayLiteral, type ColumnEncoder, columnEncoder, copyLine } from './encode.ts';

/** A row of a batch, encoded. */
export interface Entry {
  /** For append: the line of COPY. */
  line: string;
  /** Whether the row with this key is to be deleted; `cells` are those of the key then. */
  deleted: boolean;
  /** Otherwise: a text or null for each column. */
  cells: (string | null)[];
  /** Text of the key, for upsert; undefined if a part of it is null, because such rows never conflict. */
  key: string | undefined;
  bytes: number;
  /** An earlier row of the batch with the same key, which this one replaces. */
  replaced?: Entry;
  /** The call of `write` that it belongs to, and its index there. */
  write: { refuse(index: number, error: PenstockError): void; confirm(): void };
  index: number;
}

const none: never[] = [];

/** Writes batches of rows, each in a transaction. One bad row does not fail a batch. */
export class BatchWriter {
  readonly #session: Session;
  readonly #encoders: ColumnEncoder[];
  readonly #key: number[];
  readonly #copies: boolean;
  readonly #statement: string;
  readonly #deletes: { whole: string; nulls: string };
  readonly #begin: string;
  readonly #timeoutMs: number;

  constructor(session: Session, profile: PostgresProfile, table: PostgresTable, targets: readonly Target[]) {
    this.#session = session;
    this.#encoders = targets.map(({ field, column }) => columnEncoder(field, column));
    this.#copies = modeOf(table) === 'append';
    const key = modeOf(table) === 'upsert' ? keyOf(table) : [];
    this.#key = key.map((name) => targets.findIndex(({ field }) => field.name === name));
    this.#statement = this.#copies ? copyStatement(table, targets) : insertStatement(table, targets);
    const keyTargets = this.#key.map((index) => targets[index] as Target);
    this.#deletes = {
      whole: deleteStatement(table, keyTargets, false),
      nulls: deleteStatement(table, keyTargets, true),
    };
    this.#timeoutMs = statementTimeoutMs(profile);
    // Local to the transaction: pgbouncer gives the connection to others afterwards.
    this.#begin = `BEGIN; SET LOCAL statement_timeout = ${this.#timeoutMs}`;
  }

  /** Throws `bad_row`. */
  encode(
    { row, deleted = false }: { row: Row; deleted?: boolean },
    write: Entry['write'],
    index: number,
  ): Entry {
    const cells = deleted
      ? this.#key.map((at) => (this.#encoders[at] as ColumnEncoder)(row))
      : this.#encoders.map((encode) => encode(row));
    if (this.#copies) {
      const line = copyLine(cells);
      return { line, deleted, cells: none, key: undefined, bytes: line.length, write, index };
    }
    let bytes = 0;
    for (const cell of cells) bytes += (cell?.length ?? 0) + 4;
    const key = deleted ? cells : this.#key.map((at) => cells[at] as string | null);
    return { line: '', deleted, cells, key: keyOfCells(key), bytes, write, index };
  }

  /**
   * Commits the rows, or refuses some and commits the others. Rejects if it is not known what was written, or if the server
   * refuses the statement itself.
   */
  async write(batch: readonly Entry[]): Promise<void> {
    const entries = this.#withoutReplaced(batch);
    try {
      await this.#writeAll(entries);
    } catch (error) {
      if (!mayBeOfRow(error)) throw error;
      await this.#statementOf('ROLLBACK');
      await this.#writeInParts(entries, error);
    }
  }

  /** The last row of each key, in order. */
  #withoutReplaced(batch: readonly Entry[]): readonly Entry[] {
    if (this.#key.length === 0) return batch;
    const last = new Map<string | Entry, Entry>();
    for (const entry of batch) {
      const key = entry.key ?? entry;
      const earlier = last.get(key);
      if (earlier) entry.replaced = earlier;
      last.delete(key);
      last.set(key, entry);
    }
    return [...last.values()];
  }

  async #writeAll(entries: readonly Entry[]): Promise<void> {
    if (this.#copies) {
      await this.#copy(`${this.#begin}; ${this.#statement}; COMMIT`, entries);
      return;
    }
    await this.#statementOf(this.#begin);
    await this.#apply(entries);
    await this.#commit();
  }

  async #writeInParts(entries: readonly Entry[], error: unknown): Promise<void> {
    // Constraints that are checked at COMMIT would not show their row.
    await this.#statementOf(`${this.#begin}; SET CONSTRAINTS ALL IMMEDIATE`);
    let refused = await this.#attempt(split(entries, error));
    // A row that was refused replaces nothing.
    while (refused.length > 0) {
      const again = refused.flatMap(({ replaced }) => replaced ?? []);
      refused = again.length === 0 ? [] : await this.#attempt([again]);
    }
    await this.#commit();
  }

  /** Writes the parts in order, each under a savepoint, halving those that fail. Returns the refused rows. */
  async #attempt(parts: readonly (readonly Entry[])[]): Promise<Entry[]> {
    const refused: Entry[] = [];
    const left = parts.toReversed();
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      try {
        await this.#writePart(part);
      } catch (error) {
        if (!mayBeOfRow(error)) throw error;
        await this.#statementOf('ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part');
        if (part.length > 1) {
          left.push(...split(part, error).toReversed());
          continue;
        }
        const [entry] = part as [Entry];
        entry.write.refuse(entry.index, rowRefused(error));
        refused.push(entry);
      }
    }
    return refused;
  }

  async #writePart(entries: readonly Entry[]): Promise<void> {
    if (this.#copies)
      return this.#copy(`SAVEPOINT part; ${this.#statement}; RELEASE SAVEPOINT part`, entries);
    await this.#statementOf('SAVEPOINT part');
    await this.#apply(entries);
    await this.#statementOf('RELEASE SAVEPOINT part');
  }

  #copy(text: string, entries: readonly Entry[]): Promise<void> {
    const data = Buffer.from(entries.map(({ line }) => line).join(''));
    return this.#session.withinDeadline(this.#timeoutMs, () => this.#session.copy(text, data));
  }

  /** Inserts and deletes in order: the database may find keys equal that differ here. */
  async #apply(entries: readonly Entry[]): Promise<void> {
    let from = 0;
    for (const [index, entry] of entries.entries()) {
      const next = entries[index + 1];
      if (next && next.deleted === entry.deleted) continue;
      const run = entries.slice(from, index + 1);
      from = index + 1;
      if (entry.deleted) await this.#delete(run);
      else await this.#insert(run);
    }
  }

  async #insert(entries: readonly Entry[]): Promise<void> {
    await this.#statementOf(this.#statement, arraysOf(this.#sorted(entries), this.#encoders.length));
  }

  async #delete(entries: readonly Entry[]): Promise<void> {
    const [whole, nulls] = [true, false].map((isWhole) =>
      entries.filter(({ key }) => (key !== undefined) === isWhole),
    ) as [Entry[], Entry[]];
    if (whole.length > 0)
      await this.#statementOf(this.#deletes.whole, arraysOf(this.#sorted(whole), this.#key.length));
    if (nulls.length > 0) await this.#statementOf(this.#deletes.nulls, arraysOf(nulls, this.#key.length));
  }

  /** Two tasks that lock rows in the same order do not end in a deadlock. */
  #sorted(entries: readonly Entry[]): readonly Entry[] {
    return this.#key.length === 0 ? entries : entries.toSorted(byKey);
  }

  /** COMMIT of a transaction that has failed is a ROLLBACK, without an error. */
  async #commit(): Promise<void> {
    const { command } = await this.#statementOf('COMMIT');
    if (command === 'COMMIT') return;
    throw postgresError('postgres_unavailable', `The server responds to COMMIT with ${command}`, {
      hint: 'Look at its log.',
    });
  }

  #statementOf(text: string, values?: readonly unknown[]) {
    return this.#session.withinDeadline(this.#timeoutMs, () => this.#session.query(text, values));
  }
}

const arraysOf = (entries: readonly Entry[], columns: number): string[] =>
  Array.from({ length: columns }, (_, index) =>
    arrayLiteral(entries.map(({ cells }) => cells[index] as string | null)),
  );

function keyOfCells(parts: readonly (string | null)[]): string | undefined {
  if (parts.length === 0 || parts.includes(null)) return undefined;
  return parts.length === 1 ? (parts[0] as string) : JSON.stringify(parts);
}

const byKey = ({ key: one = '' }: Entry, { key: other = '' }: Entry): number =>
  one < other ? -1 : one > other ? 1 : 0;

/** Divides rows of which one is bad: around the row that COPY names, or into halves. */
function split(entries: readonly Entry[], error: unknown): (readonly Entry[])[] {
  const at = rowOfCopy(error);
  if (at === undefined || at >= entries.length) {
    const middle = entries.length >> 1;
    return [entries.slice(0, middle), entries.slice(middle)].filter((part) => part.length > 0);
  }
  return [entries.slice(0, at), entries.slice(at, at + 1), entries.slice(at + 1)].filter(
    (part) => part.length > 0,
  );
}
