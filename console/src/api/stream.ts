import { useEffect, useRef, useState } from 'react';
import { type Asked, follow, type Name, type Operations, Refused } from './client.ts';

/** An event stream that opens again after it was lost. */

export type StreamState = 'connecting' | 'live' | 'lost' | 'ended' | 'refused';

interface StreamOptions<N extends Name> {
  onEvent(event: Operations[N]['events']): void;
  /** Called when a new stream begins, before its first event. */
  onOpen?(): void;
  /** Whether a stream that ends is opened again. Default true; false for one that ends by itself. */
  again?: boolean;
  /** Whether it stays open while the page is hidden for long. Default false. */
  whenHidden?: boolean;
  /** Reads the JSON of an event; JSON.parse if left out. */
  parse?(json: string): Operations[N]['events'];
}

const firstWaitMs = 500;
const maxWaitMs = 10_000;
/** The server sends at least a comment every 15 seconds. */
const silentMs = 40_000;

/** Follows a stream until `signal` aborts; reports its state. */
export async function followAgain<N extends Name>(
  name: N,
  asked: Asked<N>,
  { onEvent, onOpen, again = true, parse = JSON.parse }: StreamOptions<N>,
  tell: (state: StreamState, error?: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  let wait = firstWaitMs;
  while (!signal.aborted) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), silentMs);
    let error: unknown;
    try {
      const both = AbortSignal.any([signal, silence.signal]);
      let first = true;
      for await (const frame of follow(name, { ...asked, signal: both })) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), silentMs);
        if (first) {
          onOpen?.();
          tell('live');
        }
        first = false;
        wait = firstWaitMs;
        if (frame.startsWith('data: ')) onEvent(parse(frame.slice(6)));
      }
    } catch (raised) {
      error = raised;
    } finally {
      clearTimeout(timer);
    }
    if (signal.aborted) return;
    if (error instanceof Refused && error.problem.status < 500 && error.problem.status !== 429)
      return tell('refused', error);
    if (!again && error === undefined) return tell('ended');
    tell('lost', error);
    if (!again) return;
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, maxWaitMs);
  }
}

/** Waits, or until `signal` aborts. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });

const hiddenMs = 60_000;

/** Whether the page has been hidden for long. Streams of many tabs would use up the connections that a browser opens. */
function useIsHidden(): boolean {
  const [hidden, setHidden] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => setHidden(true), hiddenMs);
      else setHidden(false);
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, []);
  return hidden;
}

/** Follows a stream while the component is shown. `asked` null opens none. A change of `asked` opens another. */
export function useStream<N extends Name>(
  name: N,
  asked: Asked<N> | null,
  options: StreamOptions<N>,
): { state: StreamState; error: unknown } {
  const latest = useRef(options);
  latest.current = options;
  const [shown, setShown] = useState<{ state: StreamState; error: unknown }>({
    state: 'connecting',
    error: undefined,
  });
  const rests = useIsHidden() && !options.whenHidden;
  const text = JSON.stringify(rests ? null : asked);
  useEffect(() => {
    const parsed = JSON.parse(text) as Asked<N> | null;
    if (parsed === null) return;
    const leave = new AbortController();
    setShown({ state: 'connecting', error: undefined });
    const through: StreamOptions<N> = {
      onEvent: (event) => latest.current.onEvent(event),
      onOpen: () => latest.current.onOpen?.(),
      ...(latest.current.again === undefined ? {} : { again: latest.current.again }),
      ...(latest.current.parse === undefined ? {} : { parse: latest.current.parse }),
    };
    void followAgain(name, parsed, through, (state, error) => setShown({ state, error }), leave.signal);
    return () => leave.abort();
  }, [name, text]);
  return shown;
}
