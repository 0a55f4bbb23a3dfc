import type { StateSession } from '../engine/state-session.ts';
import { quoteName } from '../names.ts';
import { closingSessions, type LeafShape, rowsInSessions, sessionEnds } from './windows.ts';

interface FoundSessions {
  until: bigint;
  /** Whether any closes. */
  any: boolean;
  /** Earliest end of one that stays open. */
  next: bigint | undefined;
}

/** The sessions of a leaf that close, in a table of their groups, buckets and bounds. */
export class LeafSessions {
  readonly #session: StateSession;
  readonly #shape: LeafShape;
  readonly #ends: string;
  readonly table: string;
  #found: FoundSessions | undefined;

  constructor(session: StateSession, name: string, shape: LeafShape) {
    this.#session = session;
    this.#shape = shape;
    this.#ends = quoteName(`${name}_ends`);
    this.table = quoteName(`${name}_sessions`);
  }

  /** The rows of the leaf are no longer those that were looked at. */
  changed(): void {
    this.#found = undefined;
  }

  /** Finds the sessions that end after `from` and not after `until`. */
  async find(rows: string, from: bigint | undefined, until: bigint): Promise<FoundSessions> {
    const { window } = this.#shape;
    if (window?.kind !== 'session') return { until, any: true, next: undefined };
    const ends = sessionEnds(this.#shape, window.gap, rows, from);
    await this.#session.run(`CREATE OR REPLACE TEMP TABLE ${this.#ends} AS ${ends}`);
    const later = from === undefined ? '' : ` AND "__end" > ${from}`;
    const [next, any] = await this.#session.first(
      `SELECT min("__end") FILTER ("__end" > ${until}), count(*) FILTER ("__end" <= ${until}${later}) > 0 FROM ${this.#ends}`,
    );
    const sessions = closingSessions(this.#shape, window.gap, rows, this.#ends, { from, until });
    const none = any === true ? '' : ' LIMIT 0';
    await this.#session.run(`CREATE OR REPLACE TEMP TABLE ${this.table} AS ${sessions}${none}`);
    this.#found = { until, any: any === true, next: typeof next === 'bigint' ? next : undefined };
    return this.#found;
  }

  /** Finds the sessions that have closed, unless they are known. Returns whether there are any. */
  async anyClosed(rows: string, until: bigint): Promise<boolean> {
    const { any } = this.#found?.until === until ? this.#found : await this.find(rows, undefined, until);
    return any;
  }

  /** Row ids of the rows that are in them. */
  rows(rows: string): string {
    const { window } = this.#shape;
    const gap = window?.kind === 'session' ? window.gap : 1;
    return rowsInSessions(this.#shape, gap, rows, this.table);
  }

  async drop(): Promise<void> {
    for (const table of [this.#ends, this.table]) await this.#session.run(`DROP TABLE IF EXISTS ${table}`);
  }
}
