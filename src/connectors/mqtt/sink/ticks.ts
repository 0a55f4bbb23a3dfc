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
