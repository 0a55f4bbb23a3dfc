import type { StatefulSelect } from '../../sql/plan.ts';
import type { Results } from '../../sql/state/result-reader.ts';
import { endOfTime, watermarkOf } from '../../sql/state/source-clock.ts';
import { closedBy } from '../../sql/state/windows.ts';
import { microsOf } from './control.ts';
import type { RestoredState } from './state.ts';

/** Interval of looking whether windows close by the clock, and of computing results that change. */
const clockEveryMs = 100;
const updateEveryMs = 1000;
const forgetEveryMs = 60_000;

const nothing: Results = { count: 0, data: undefined };

interface EvaluationTools {
  select: StatefulSelect;
  state: RestoredState;
  /** Updating results: number of the last segment that is part of them. */
  lastSegment(): number;
  /** Rows were forgotten: only a snapshot makes that last. */
  forgot(): void;
}

/** Computes results: of windows that the watermark has passed, or of all rows once a second. */
export class Evaluation {
  readonly #tools: EvaluationTools;
  /** The end of the last window that there can be. */
  readonly #lastEnd: bigint;
  #until: bigint | undefined;
  #at = 0;
  #forgotAt = performance.now();
  #hasNew = false;

  constructor(tools: EvaluationTools) {
    this.#tools = tools;
    this.#until = microsOf(tools.state.control.until);
    this.#lastEnd = closedBy(tools.select.window, endOfTime);
  }

  /** Windows that end here or before are closed. */
  get until(): bigint | undefined {
    return this.#until;
  }

  /** Whether rows are not part of updating results yet. */
  get isOld(): boolean {
    return this.#tools.select.window === undefined && this.#hasNew;
  }

  /** Rows were added. */
  changed(): void {
    this.#hasNew = true;
  }

  /** Milliseconds until there may be results. */
  waitMs(now: number): number {
    if (!this.#tools.select.window) return Math.max(0, this.#updateAt() - now);
    if (this.#mayClose()) return 0;
    return this.#earliest().length > 0 ? clockEveryMs : Number.POSITIVE_INFINITY;
  }

  /** Computes what is due. At the end (`ending`) results that change are; `early` marks those of windows that end with it. */
  compute(ending: boolean, early: boolean): Promise<Results> {
    return this.#tools.select.window ? this.#closeWindows(early) : this.#update(ending);
  }

  async #closeWindows(early: boolean): Promise<Results> {
    const until = this.#closing();
    if (until === undefined || (this.#until !== undefined && until <= this.#until)) return nothing;
    const { tables } = this.#tools.state;
    const results = await tables.closeWindows(this.#until, until, early && until >= this.#lastEnd);
    await tables.trim(until);
    // Nothing comes after the end of all sources, and rows of a later run may.
    if (until < this.#lastEnd) this.#until = until;
    return results;
  }

  async #update(ending: boolean): Promise<Results> {
    const now = performance.now();
    if (!this.#hasNew) {
      await this.#forget(now);
      return nothing;
    }
    if (now - this.#at < updateEveryMs && !ending) return nothing;
    this.#at = now;
    this.#hasNew = false;
    const { state, lastSegment } = this.#tools;
    const results = await state.tables.changes();
    state.control.evaluated = lastSegment();
    await this.#forget(now);
    return results;
  }

  #updateAt(): number {
    if (this.#hasNew) return this.#at + updateEveryMs;
    return this.#earliest().length > 0 ? this.#forgotAt + forgetEveryMs : Number.POSITIVE_INFINITY;
  }

  /** Forgets rows that are older than the query wants them. */
  async #forget(now: number): Promise<void> {
    if (now - this.#forgotAt < forgetEveryMs) return;
    this.#forgotAt = now;
    const { select, state, forgot } = this.#tools;
    const { ttl } = select.limits;
    const olderThan = BigInt(Math.round((performance.timeOrigin + now) * 1000)) - BigInt(ttl);
    if ((await state.tables.forget(olderThan)) > 0) forgot();
  }

  /** Whether the watermark has passed the end of a window that may have rows. */
  #mayClose(): boolean {
    const { window } = this.#tools.select;
    const until = this.#closing();
    if (until === undefined || (this.#until !== undefined && until <= this.#until)) return false;
    const gap = window?.kind === 'session' ? BigInt(window.gap) : 0n;
    // A session that goes on has an early row for long.
    if (this.#until !== undefined && until < this.#until + gap / 10n) return false;
    return this.#earliest().some((time) => time + gap < until);
  }

  #earliest(): bigint[] {
    return this.#tools.state.tables.earliest().filter((time) => time !== undefined);
  }

  #closing(): bigint | undefined {
    const { select, state } = this.#tools;
    const watermark = select.window && watermarkOf(state.clocks);
    return watermark === undefined ? undefined : closedBy(select.window, watermark);
  }
}
