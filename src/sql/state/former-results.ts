import type { Row } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import type { StateSession } from '../engine/state-session.ts';
import { type Column, columnOf, rowAt } from '../engine/values.ts';
import { quoteName } from '../names.ts';
import { plainNames, type Results, typedColumns } from './result-reader.ts';

/** A new row has no `before`, one that is no longer a result has no `after`, and an updated one has both. */
interface Change {
  before?: Row;
  after?: Row;
}

export type ChangesBatch = Change[];

/** The results that were given out, to find those that change. */
export class FormerResults {
  readonly #session: StateSession;
  readonly #name: string;
  readonly #fields: readonly Field[];
  readonly #columns: readonly Column[];
  /** Names in the table of the columns that identify a result. */
  readonly #key: readonly string[];
  #version = 0;
  #old = false;

  constructor(
    session: StateSession,
    name: string,
    fields: readonly Field[],
    key: readonly string[] | undefined,
  ) {
    this.#session = session;
    this.#name = name;
    this.#fields = fields;
    this.#columns = fields.map(columnOf);
    const names = plainNames(fields, 'c');
    this.#key = names.filter((_, index) => key?.includes((fields[index] as Field).name));
  }

  /** Whether rows were added since the results were computed. */
  get isOld(): boolean {
    return this.#old;
  }

  changed(): void {
    this.#old = true;
  }

  /** Starts without results, in the types of the query. */
  async open(query: string): Promise<void> {
    await this.#session.run(`CREATE TEMP TABLE ${this.#table} AS ${this.#named(query)} LIMIT 0`);
  }

  async prime(query: string): Promise<void> {
    await this.#session.run(`CREATE OR REPLACE TEMP TABLE ${this.#table} AS ${this.#named(query)}`);
    this.#old = false;
  }

  /** Returns what changes from the former results to those of a query, which become the former ones. */
  async compare(query: string): Promise<Results> {
    if (!this.#old) return { count: 0, data: undefined };
    const former = this.#table;
    this.#version += 1;
    await this.prime(query);
    const { rows, data } = await this.#session.write(this.#difference(former, this.#table));
    await this.#session.run(`DROP TABLE ${former}`);
    return { count: rows, data };
  }

  async read(data: Uint8Array): Promise<AsyncGenerator<ChangesBatch>> {
    const columns = ['hb', 'ha', ...typedColumns(this.#fields, 'b'), ...typedColumns(this.#fields, 'a')];
    const select = (source: string) => `SELECT ${columns.join(', ')} FROM ${source}`;
    const chunks = await this.#session.queryData(data, select);
    const fields = this.#columns;
    return (async function* () {
      for await (const [before = [], after = [], ...values] of chunks) {
        const [left, right] = [values.slice(0, fields.length), values.slice(fields.length)];
        yield before.map((had, index) => ({
          ...(had === true && { before: rowAt(fields, left, index) }),
          ...(after[index] === true && { after: rowAt(fields, right, index) }),
        }));
      }
    })();
  }

  async drop(): Promise<void> {
    await this.#session.run(`DROP TABLE IF EXISTS ${this.#table}`);
  }

  get #table(): string {
    return quoteName(`${this.#name}_${this.#version}`);
  }

  #named(query: string): string {
    return `SELECT * FROM (${query}) AS r(${plainNames(this.#fields, 'c').join(', ')})`;
  }

  /** Retractions, then updates, then insertions. Rows of one key are paired; without a key none are. */
  #difference(former: string, current: string): string {
    const partition = this.#key.length > 0 ? `PARTITION BY ${this.#key.join(', ')}` : '';
    const side = (of: string, without: string) =>
      `(SELECT *, row_number() OVER (${partition}) AS n FROM (FROM ${of} EXCEPT ALL FROM ${without}))`;
    const same = this.#key.map((key) => `b.${key} IS NOT DISTINCT FROM a.${key}`);
    // Numbers are positive, so that no row has the negative one of another.
    const pairs = same.length > 0 ? [...same, 'b.n = a.n'].join(' AND ') : 'b.n = -a.n';
    const names = plainNames(this.#fields, 'c');
    const columns = ['b', 'a'].flatMap((of) => names.map((name) => `${of}.${name} AS ${of}${name.slice(1)}`));
    const present = ['b.n IS NOT NULL AS hb', 'a.n IS NOT NULL AS ha'];
    const sides = `${side(former, current)} b FULL JOIN ${side(current, former)} a ON ${pairs}`;
    return `SELECT ${[...present, ...columns].join(', ')} FROM ${sides} ORDER BY CAST(ha AS INTEGER) - CAST(hb AS INTEGER)`;
  }
}
