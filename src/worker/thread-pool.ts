import type { Logger } from '../connectors/connector.ts';
import { Lane, type LaneOptions } from './thread-slot.ts';

/** A thread that leaves out so many pings in a row, 30 s in all, is lost. */
const pingEveryMs = 5_000;
const patience = 6;

const entry = new URL('../runtime/thread.ts', import.meta.url);

interface ThreadsOptions extends Partial<LaneOptions> {
  /** So many at most, 1 or more. */
  most: number;
  /** The entries of PENSTOCK_TARGETS. */
  targets: readonly string[];
  logger: Logger;
}

/** The threads that tasks run in. Each is started when the first task needs it. */
export class Threads {
  readonly #options: LaneOptions;
  readonly #most: number;
  readonly #lanes: Lane[] = [];

  constructor({ most, ...options }: ThreadsOptions) {
    this.#most = most;
    this.#options = { entry, pingEveryMs, patience, ...options };
  }

  /** Where another task should run: the lane with the least to do, a new one while there may be more. */
  lane(): Lane {
    const free = this.#lanes.find(({ used }) => !used);
    if (free) return free;
    if (this.#lanes.length < this.#most) {
      const lane = new Lane(this.#options);
      this.#lanes.push(lane);
      return lane;
    }
    return this.#lanes.reduce((least, lane) => (lane.load < least.load ? lane : least));
  }

  /** Ends all threads, in which nothing should run any more. */
  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}
