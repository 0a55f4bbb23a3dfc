import type { Row } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import { StateSession } from '../engine/state-session.ts';
import type { StatefulSelect } from '../plan.ts';
import { type ChangesBatch, FormerResults } from './former-results.ts';
import { type Delta, LeafTable } from './leaf-table.ts';
import { type ResultBatch, ResultReader, type Results } from './result-reader.ts';
import { type LeafSegment, Snapshots } from './snapshots.ts';
import { type Closing, firstEnd, slicesOf } from './windows.ts';

/** Rows that one query reads, each once for every window that it is in. */
const maxRowsAtOnce = 20_000_000;

let opened = 0;

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/**
 * The rows of a stateful select, in DuckDB. Calls are performed one after the other; only a snapshot is written while
 * others run. After an error other than of a snapshot the tables must be closed, and restored from what was committed.
 */
export class StateTables {
  readonly #select: StatefulSelect;
  readonly #rowsAtOnce: number;
  readonly #session: StateSession;
  readonly #leaves: readonly LeafTable[];
  readonly #reader: ResultReader;
  readonly #former: FormerResults;
  readonly #snapshots: Snapshots;
  /** No window ends before this time. Undefined if none is open. */
  #nextEnd: bigint | undefined;
  /** Sessions: what `nextEnd` is when those that have closed are deleted. */
  #later: { until: bigint; end: bigint | undefined } | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  static async open(
    select: StatefulSelect,
    output: readonly Field[],
    rowsAtOnce = maxRowsAtOnce,
  ): Promise<StateTables> {
    const session = await StateSession.open();
    const tables = new StateTables(session, select, output, rowsAtOnce);
    try {
      for (const leaf of tables.#leaves) await leaf.open();
      if (!select.window) await tables.#former.open(tables.#query(undefined));
      return tables;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  private constructor(
    session: StateSession,
    select: StatefulSelect,
    output: readonly Field[],
    rowsAtOnce: number,
  ) {
    this.#rowsAtOnce = rowsAtOnce;
    opened += 1;
    const name = `state${opened}`;
    this.#session = session;
    this.#snapshots = new Snapshots(session);
    this.#select = select;
    this.#leaves = select.leaves.map(
      (leaf, index) => new LeafTable(session, index, `${name}_${index}`, leaf, select.window),
    );
    this.#reader = new ResultReader(session, output);
    this.#former = new FormerResults(session, `${name}_results`, output, select.key);
  }

  /**
   * Keeps rows of a leaf, without its times, and their event times in microseconds, for the next `take`. Returns the
   * indexes of rows that are refused, because DuckDB cannot hold one of their times.
   */
  append(leaf: number, rows: readonly Row[], times: readonly bigint[]): number[] {
    return this.#leaves[leaf]?.append(rows, times) ?? [];
  }

  /** Moves the rows that were appended into the tables, and returns what a restore needs of them. */
  take(): Promise<Delta[]> {
    return this.#queue(async () => {
      const deltas: Delta[] = [];
      for (const leaf of this.#leaves) {
        const taken = await leaf.take();
        if (!taken) continue;
        const { firstTime, ...delta } = taken;
        this.#reached(firstTime);
        deltas.push(delta);
        this.#former.changed();
      }
      return deltas;
    });
  }

  /**
   * Returns the results of the windows that end after `from` and not after `until`, sorted by their end. `early` says that more
   * rows of them may come: `closed_early()` is true in their results.
   */
  closeWindows(from: bigint | undefined, until: bigint, early = false): Promise<Results> {
    return this.#queue(async () => {
      const due = this.#nextEnd !== undefined && until >= this.#nextEnd;
      if (!due || !(await this.#findSessions(from, until))) return { count: 0, data: undefined };
      const parts: Results[] = [];
      await this.#session.run(`SET VARIABLE closed_early = ${early}`);
      for (const slice of await this.#slices({ from, until })) {
        const { rows, data } = await this.#session.write(this.#reader.stored(this.#query(slice)));
        if (data) parts.push({ count: rows, data });
      }
      return this.#reader.joined(parts);
    });
  }

  /** Deletes the rows of windows that end at `until` or before. Call it after `closeWindows`, and after `load`. */
  trim(until: bigint): Promise<void> {
    return this.#queue(async () => {
      if (this.#nextEnd === undefined || until < this.#nextEnd) return;
      for (const leaf of this.#leaves) await leaf.trim(until);
      this.#findNextEnd(until);
    });
  }

  /** Time of the earliest row of each leaf, or a time before it; undefined if it has none. */
  earliest(): (bigint | undefined)[] {
    return this.#leaves.map(({ earliest }) => earliest);
  }

  /** Reads the rows of `closeWindows`, in order and by pieces. `ends` are the ends of their windows. */
  readResults(data: Uint8Array): AsyncGenerator<ResultBatch> {
    return this.#read(() => this.#reader.read(data));
  }

  /** Updating results: the difference between the results of all rows and those at the last call. */
  changes(): Promise<Results> {
    return this.#queue(() => this.#former.compare(this.#query(undefined)));
  }

  /** Reads the changes of `changes`, in order and by pieces. */
  readChanges(data: Uint8Array): AsyncGenerator<ChangesBatch> {
    return this.#read(() => this.#former.read(data));
  }

  /** Updating results: takes the results of the rows loaded so far as written. */
  prime(): Promise<void> {
    return this.#queue(() => this.#former.prime(this.#query(undefined)));
  }

  /**
   * Updating results: deletes the groups without a row since a time; of leaves without keys, the rows. Their results
   * stay as they are. Returns the number of rows: if there are any, only a snapshot restores the rest. Does nothing if
   * rows were taken since the last `changes`.
   */
  forget(olderThan: bigint): Promise<number> {
    return this.#queue(async () => {
      if (this.#former.isOld) return 0;
      let forgotten = 0;
      for (const leaf of this.#leaves) forgotten += await leaf.forget(olderThan);
      if (forgotten > 0) await this.#former.prime(this.#query(undefined));
      return forgotten;
    });
  }

  /** Returns all rows that were taken when it is called, in parts. Other calls need not wait for it. */
  async snapshot(): Promise<LeafSegment[]> {
    const writing = await this.#queue(() => this.#snapshots.begin(this.#leaves));
    return writing();
  }

  /** Adds the rows of deltas and snapshots. */
  load(segments: readonly LeafSegment[]): Promise<void> {
    return this.#queue(async () => {
      for (const [index, leaf] of this.#leaves.entries()) {
        const data = segments.filter((segment) => segment.leaf === index).map((segment) => segment.data);
        await leaf.load(data);
        if (leaf.earliest !== undefined) this.#reached(leaf.earliest);
      }
      this.#former.changed();
    });
  }

  /** Rows in the tables, and an estimate of the bytes they take: the mean width of a sample for each of them. */
  size(): Promise<{ rows: number; bytes: number }> {
    return this.#queue(async () => {
      const bytes = await this.#each((leaf) => leaf.bytes());
      const rows = this.#leaves.map((leaf) => leaf.rows);
      return { rows: sum(rows), bytes: sum(bytes) };
    });
  }

  /**
   * Counts the windows that end after `until`, or about the groups with sessions; of several leaves the largest number.
   * `earliest` is the start of the earliest one, or a time before it. Reads the times of all rows.
   */
  openWindows(until: bigint): Promise<{ count: number; earliest: bigint | undefined }> {
    return this.#queue(async () => {
      const counts = await this.#each((leaf) => leaf.openWindows(until));
      const { window } = this.#select;
      const length = BigInt(!window ? 0 : window.kind === 'session' ? window.gap : window.width);
      const earliest = this.#nextEnd === undefined ? undefined : this.#nextEnd - length;
      return { count: Math.max(0, ...counts), earliest };
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#session.interrupt();
    await this.#snapshots.stop();
    await this.#last;
    try {
      await this.#each((leaf) => leaf.drop());
      await this.#former.drop();
    } catch {
      // The instance is unusable, and its tables with it.
    } finally {
      this.#session.close();
    }
  }

  #queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async *#read<T>(start: () => Promise<AsyncGenerator<T>>): AsyncGenerator<T> {
    yield* await this.#queue(start);
  }

  async #each<T>(work: (leaf: LeafTable) => Promise<T>): Promise<T[]> {
    const results: T[] = [];
    for (const leaf of this.#leaves) results.push(await work(leaf));
    return results;
  }

  /** The planner's query over the rows of the windows that close, or over all rows. */
  #query(closing: Closing | undefined): string {
    const leaves = this.#leaves.map((leaf) => leaf.with(closing ?? { from: undefined, until: 0n }));
    return `WITH ${leaves.join(', ')} SELECT * FROM (\n${this.#select.sql}\n)`;
  }

  /** Returns whether a window may close. Only sessions have to be looked for. */
  async #findSessions(from: bigint | undefined, until: bigint): Promise<boolean> {
    if (this.#select.window?.kind !== 'session') return true;
    const found = await this.#each((leaf) => leaf.sessions.find(leaf.table, from, until));
    const later = found.flatMap(({ next }) => (next === undefined ? [] : [next]));
    const end = later.reduce<bigint | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined);
    this.#later = { until, end };
    return found.some(({ any }) => any);
  }

  async #slices(closing: Closing): Promise<Closing[]> {
    const { window } = this.#select;
    if (window?.kind !== 'hop' || this.#nextEnd === undefined) return [closing];
    const times = await this.#each((leaf) => leaf.lastTime());
    const lastTime = times.reduce<bigint>((a, b) => (b !== undefined && b > a ? b : a), this.#nextEnd);
    const rows = sum(this.#leaves.map((leaf) => leaf.rows));
    return slicesOf(window, closing, { firstEnd: this.#nextEnd, lastTime, rows }, this.#rowsAtOnce);
  }

  #reached(time: bigint): void {
    const { window } = this.#select;
    if (!window) return;
    this.#later = undefined;
    const end = firstEnd(window, time);
    if (this.#nextEnd === undefined || end < this.#nextEnd) this.#nextEnd = end;
  }

  /** After windows were closed. For sessions it was found with those that close. */
  #findNextEnd(until: bigint): void {
    if (this.#select.window?.kind === 'session') {
      if (this.#later?.until === until) this.#nextEnd = this.#later.end;
      return;
    }
    this.#nextEnd = undefined;
    // A row may be in a window that has closed and in one that has not.
    for (const { earliest } of this.#leaves)
      if (earliest !== undefined) this.#reached(earliest > until ? earliest : until);
  }
}
