import { endOfTime, watermarkOf } from '../../sql/state/source-clock.ts';
import type { AttemptCounts } from '../counts.ts';
import type { RestoredState, Segments } from './state.ts';

const measureEveryMs = 1000;

interface GaugeTools {
  state: RestoredState;
  segments: Segments;
  counts: AttemptCounts;
  /** Windows that end here or before are closed. */
  until(): bigint | undefined;
}

/** Tells the size of the state and how far its windows are. */
export class Gauges {
  readonly #tools: GaugeTools;
  #at = 0;
  #later: NodeJS.Timeout | undefined;
  #bytes = 0;
  /** How long the last commit took. */
  checkpointMs = 0;

  constructor(tools: GaugeTools) {
    this.#tools = tools;
  }

  /** Bytes of the state in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Call it after a commit. */
  async measure(): Promise<void> {
    clearTimeout(this.#later);
    const now = performance.now();
    if (now - this.#at < measureEveryMs) {
      // A job may fall quiet now.
      this.#later = setTimeout(() => void this.measure().catch(() => {}), measureEveryMs);
      return;
    }
    this.#at = now;
    const { state, segments, counts, until } = this.#tools;
    const { bytes } = await state.tables.size();
    this.#bytes = bytes + state.duplicates.reduce((sum, one) => sum + (one?.bytes ?? 0), 0);
    const watermark = watermarkOf(state.clocks);
    const known = watermark === undefined || watermark >= endOfTime ? null : Number(watermark);
    const { count } = await state.tables.openWindows(until() ?? -endOfTime);
    counts.state({
      watermark: known,
      watermarkLagMs: known === null ? null : performance.timeOrigin + now - known / 1000,
      openWindows: count,
      closedWindows: state.control.closed,
      lateRows: state.control.late,
      stateBytes: segments.bytes,
      checkpointMs: this.checkpointMs,
    });
  }

  stop(): void {
    clearTimeout(this.#later);
  }
}
