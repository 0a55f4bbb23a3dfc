interface Ticker {
  readonly calls: Set<() => void>;
  readonly timer: NodeJS.Timeout;
}

const tickers = new Map<number, Ticker>();

/**
 * Calls `call` at this interval, until the returned function is called. All that have the same interval share a timer: those
 * of a thousand connections would wake their thread all the time.
 */
export function every(ms: number, call: () => void): () => void {
  const { calls, timer } = tickers.get(ms) ?? begin(ms);
  calls.add(call);
  return () => {
    calls.delete(call);
    if (calls.size > 0 || tickers.get(ms)?.calls !== calls) return;
    clearInterval(timer);
    tickers.delete(ms);
  };
}

function begin(ms: number): Ticker {
  const calls = new Set<() => void>();
  const timer = setInterval(() => {
    for (const call of calls) call();
  }, ms);
  const ticker = { calls, timer };
  tickers.set(ms, ticker);
  return ticker;
}

const looks = 6;

/**
 * Calls `silent` when nothing was heard for `ms`, until `stop` is called. It counts how often it looked in vain: after a time in
 * which this process was held up it looks only once before it handles what has come.
 */
export class Silence {
  readonly stop: () => void;
  #vain = 0;

  /** `isDue` tells whether something is to be heard at all. */
  constructor(ms: number, isDue: () => boolean, silent: () => void) {
    this.stop = every(ms / looks, () => {
      this.#vain = isDue() ? this.#vain + 1 : 0;
      if (this.#vain > looks) silent();
    });
  }

  heard(): void {
    this.#vain = 0;
  }
}
