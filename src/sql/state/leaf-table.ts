import type { Row } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import type { StateSession } from '../engine/state-session.ts';
import { rowFits, storedValue, widthOf } from '../engine/stored-types.ts';
import { type Column, columnOf } from '../engine/values.ts';
import { createTableStatement } from '../field-types.ts';
import { quoteName } from '../names.ts';
import type { Leaf, WindowSpec } from '../plan.ts';
import { LeafSessions } from './leaf-sessions.ts';
import {
  bucketOf,
  type Closing,
  closingRows,
  countOpen,
  floorTo,
  foldedBatch,
  type LeafShape,
  latest,
  merged,
  rangeOf,
  shapeOf,
  trimTime,
} from './windows.ts';

/** Rows that a table may hold beyond those in use before it is written anew. */
const spareRows = 20_000;
/** Folded rows of a group and bucket, on average, at which they are merged. */
const rowsPerGroup = 4;
/** Rows of which the width is measured. */
const sampleRows = 10_000;
/** Times in microseconds that leave room for the ends of windows: years -144,000 to 148,000. */
const maxTime = 2n ** 62n;

/** Rows that a commit adds to a leaf. */
export interface Delta {
  leaf: number;
  /** Parquet. */
  data: Uint8Array;
  /** Time of the latest row. The delta is needed until all its rows are before `earliest` of its leaf. */
  lastTime: bigint;
  rows: number;
}

/** The rows of one leaf: those of a batch in JavaScript, those of open windows in a table. */
export class LeafTable {
  readonly #session: StateSession;
  readonly #index: number;
  readonly #name: string;
  readonly #fields: readonly Field[];
  readonly #columns: readonly Column[];
  readonly #fits: (row: Row) => boolean;
  readonly shape: LeafShape;
  readonly sessions: LeafSessions;
  readonly #leafName: string;
  #rows: Row[] = [];
  #times: bigint[] = [];
  #version = 0;
  /** Rows in use; those deleted that still take space; those after the table was last written anew. */
  #live = 0;
  #dead = 0;
  #base = 0;
  /** Time of the earliest row, or a time before it. */
  #earliest: bigint | undefined;
  /** The table's columns in Parquet, and an expression for the width of a row. */
  #stored: readonly string[] = [];
  #widthSql = '0';
  #measured: { rows: number; width: number } | undefined;

  constructor(
    session: StateSession,
    index: number,
    name: string,
    leaf: Leaf,
    window: WindowSpec | undefined,
  ) {
    this.#session = session;
    this.#index = index;
    this.#name = name;
    this.#leafName = quoteName(leaf.name);
    this.shape = shapeOf(leaf, window);
    this.sessions = new LeafSessions(session, name, this.shape);
    const extra = (leaf.times.event ? 1 : 0) + (leaf.times.watermark ? 1 : 0);
    this.#fields = leaf.columns.slice(0, leaf.columns.length - extra);
    this.#columns = this.#fields.map(columnOf);
    this.#fits = rowFits(this.#fields);
  }

  get table(): string {
    return quoteName(`${this.#name}_${this.#version}`);
  }

  get rows(): number {
    return this.#live;
  }

  get earliest(): bigint | undefined {
    return this.#earliest;
  }

  get #batch(): string {
    return `${this.#name}_batch`;
  }

  get #folded(): boolean {
    return this.shape.partials !== undefined;
  }

  async open(): Promise<void> {
    await this.#newBatch();
    await this.#create();
    const columns = await this.#session.columns(`SELECT * FROM ${this.table}`);
    this.#stored = columns.map(({ name, type }) => storedValue(quoteName(name), type));
    this.#widthSql = columns.map(({ name, type }) => widthOf(quoteName(name), type)).join(' + ');
  }

  /** Keeps rows for the next `take`. Returns the indexes of those with a time that DuckDB cannot hold. */
  append(rows: readonly Row[], times: readonly bigint[]): number[] {
    const refused: number[] = [];
    for (const [index, row] of rows.entries()) {
      const at = times[index] as bigint;
      if (at > maxTime || at < -maxTime || !this.#fits(row)) {
        refused.push(index);
        continue;
      }
      this.#rows.push(row);
      this.#times.push(at);
    }
    return refused;
  }

  /** Moves the rows of the batch into the table. */
  async take(): Promise<(Delta & { firstTime: bigint }) | undefined> {
    const rows = this.#rows;
    const times = this.#times;
    if (rows.length === 0) return undefined;
    this.#rows = [];
    this.#times = [];
    await this.#newBatch();
    await this.#session.append(this.#batch, this.#columns, rows, times);
    let source = quoteName(this.#batch);
    if (this.#folded) {
      const folded = quoteName(`${this.#name}_folded`);
      await this.#session.run(`CREATE OR REPLACE TEMP TABLE ${folded} AS ${foldedBatch(this.shape, source)}`);
      source = folded;
    }
    const written = await this.#session.write(`SELECT ${this.#stored.join(', ')} FROM ${source}`);
    await this.#session.run(`INSERT INTO ${this.table} SELECT * FROM ${source}`);
    this.#live += written.rows;
    this.sessions.changed();
    const [first, last] = rangeOf(times);
    this.#reached(first);
    const bucket = this.#folded ? bucketOf(this.shape.window) : undefined;
    const lastTime = bucket === undefined ? last : floorTo(last, bucket);
    await this.#tidy();
    return {
      leaf: this.#index,
      data: written.data as Uint8Array,
      lastTime,
      firstTime: first,
      rows: written.rows,
    };
  }

  async load(data: readonly Uint8Array[]): Promise<void> {
    await this.#session.withData(data, async (source) => {
      this.#live += await this.#session.runLong(`INSERT INTO ${this.table} SELECT * FROM ${source}`);
    });
    this.sessions.changed();
    await this.#findEarliest();
    await this.#tidy();
  }

  /** A CTE with the rows of the windows that close. */
  with(closing: Closing): string {
    return `${this.#leafName} AS (${closingRows(this.shape, this.table, this.sessions.table, closing)})`;
  }

  /** Deletes the rows that can be in no window that ends after `until`. */
  async trim(until: bigint): Promise<void> {
    const { window } = this.shape;
    if (this.#earliest === undefined || !window) return;
    if (window.kind !== 'session') {
      const before = trimTime(window, until);
      if (this.#earliest < before) await this.#delete(`"__t" < ${before}`);
      return;
    }
    if (this.#earliest + BigInt(window.gap) > until) return;
    if (await this.sessions.anyClosed(this.table, until))
      await this.#delete(`rowid IN (${this.sessions.rows(this.table)})`);
  }

  /** Deletes groups without a row since a time, or such rows if there are no groups. Returns the number of rows. */
  async forget(olderThan: bigint): Promise<number> {
    if (this.#earliest === undefined || this.#earliest >= olderThan) return 0;
    const { keys } = this.shape;
    if (keys.length === 0 && !this.#folded) return this.#delete(`"__t" < ${olderThan}`);
    const groups = keys.length > 0 ? `PARTITION BY ${keys.join(', ')}` : '';
    const latest = `SELECT rowid AS "__r", max("__t") OVER (${groups}) AS "__m" FROM ${this.table}`;
    return this.#delete(`rowid IN (SELECT "__r" FROM (${latest}) WHERE "__m" < ${olderThan})`);
  }

  async lastTime(): Promise<bigint | undefined> {
    const [last] = await this.#session.first(`SELECT max("__t") FROM ${this.table}`);
    return typeof last === 'bigint' ? last : undefined;
  }

  async openWindows(until: bigint): Promise<number> {
    const [count] = await this.#session.first(countOpen(this.shape, this.table, until));
    return Number(count);
  }

  /** Bytes of the rows, from the width of a sample of them. */
  async bytes(): Promise<number> {
    const held = this.#live + this.#dead;
    const known = this.#measured;
    if (held === 0) return 0;
    if (!known || held > known.rows * 2 || held < known.rows / 2) {
      const sample = `(SELECT * FROM ${this.table} LIMIT ${sampleRows})`;
      const [width] = await this.#session.first(
        `SELECT CAST(avg(${this.#widthSql}) AS DOUBLE) FROM ${sample}`,
      );
      this.#measured = { rows: held, width: Number(width ?? 0) };
    }
    return Math.ceil(held * (this.#measured?.width ?? 0));
  }

  /** The rows as they are stored. */
  get select(): string {
    return `SELECT ${this.#stored.join(', ')} FROM ${this.table}`;
  }

  async #newBatch(): Promise<void> {
    await this.#session.run(createTableStatement(this.#batch, this.#fields, ['"__t" BIGINT']));
  }

  async #create(): Promise<void> {
    const batch = quoteName(this.#batch);
    const rows = this.#folded ? foldedBatch(this.shape, batch) : `SELECT * FROM ${batch}`;
    await this.#session.run(`CREATE OR REPLACE TABLE ${this.table} AS SELECT * FROM (${rows}) LIMIT 0`);
  }

  async #delete(condition: string): Promise<number> {
    const deleted = await this.#session.run(`DELETE FROM ${this.table} WHERE ${condition}`);
    this.#live -= deleted;
    this.#dead += deleted;
    this.sessions.changed();
    await this.#findEarliest();
    await this.#tidy();
    return deleted;
  }

  async #findEarliest(): Promise<void> {
    const [earliest] = await this.#session.first(`SELECT min("__t") FROM ${this.table}`);
    this.#earliest = typeof earliest === 'bigint' ? earliest : undefined;
  }

  #reached(time: bigint): void {
    const { window } = this.shape;
    const bucket = this.#folded ? bucketOf(window) : undefined;
    const first = bucket === undefined ? time : floorTo(time, bucket);
    if (this.#earliest === undefined || first < this.#earliest) this.#earliest = first;
  }

  /** Writes the table anew if deleted rows, or rows that could be merged, outnumber the others. */
  async #tidy(): Promise<void> {
    const excess =
      this.#folded || this.shape.changes
        ? this.#live + this.#dead - rowsPerGroup * this.#base
        : this.#dead - this.#live;
    if (excess <= spareRows && (this.#live > 0 || this.#dead === 0)) return;
    const old = this.table;
    this.#version += 1;
    await this.#create();
    if (this.#live > 0) {
      const rows = this.#folded
        ? merged(this.shape, old)
        : this.shape.changes
          ? latest(this.shape, old)
          : `SELECT * FROM ${old}`;
      this.#live = await this.#session.run(`INSERT INTO ${this.table} ${rows}`);
    }
    await this.#session.run(`DROP TABLE ${old}`);
    this.#dead = 0;
    this.#base = this.#live;
  }

  async drop(): Promise<void> {
    for (const table of [this.#batch, `${this.#name}_folded`])
      await this.#session.run(`DROP TABLE IF EXISTS ${quoteName(table)}`);
    await this.#session.run(`DROP TABLE IF EXISTS ${this.table}`);
    await this.sessions.drop();
  }
}
