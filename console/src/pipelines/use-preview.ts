import { useMutation } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { call, type OutputData } from '../api/client.ts';
import { followAgain, type StreamState } from '../api/stream.ts';
import { nothingSeen, type Seen, withEvents } from './preview-rows.ts';

/** Starts a preview, reads its rows, and ends it when its page is left. */

interface Running {
  id: string;
  abort: AbortController;
}

const showEveryMs = 200;

export interface Preview {
  seen: Seen;
  /** Null before the first start. */
  stream: StreamState | null;
  error: unknown;
  starting: boolean;
  running: Running | undefined;
  start(query: string, enableSinks: boolean): void;
  stop(): void;
}

export function usePreview(): Preview {
  const [seen, setSeen] = useState(nothingSeen);
  const [stream, setStream] = useState<StreamState | null>(null);
  const [error, setError] = useState<unknown>();
  const [running, setRunning] = useState<Running>();
  const current = useRef<Running>(undefined);
  const waiting = useRef<OutputData[]>([]);
  useEffect(() => {
    if (running === undefined) return;
    const show = (): void => {
      const events = waiting.current.splice(0);
      if (events.length > 0) setSeen((before) => withEvents(before, events));
    };
    const timer = setInterval(show, showEveryMs);
    return () => {
      clearInterval(timer);
      show();
    };
  }, [running]);
  const end = useCallback(() => {
    const one = current.current;
    current.current = undefined;
    setRunning(undefined);
    one?.abort.abort();
    return one;
  }, []);
  const { mutate, isPending } = useMutation({
    mutationFn: async ({ query, enableSinks }: { query: string; enableSinks: boolean }) => {
      const one = { id: '', abort: new AbortController() };
      current.current = one;
      const { signal } = one.abort;
      const { id } = await call('previewPipeline', { body: { query, enable_sinks: enableSinks }, signal });
      one.id = id;
      const { data } = await call('listPipelineJobs', { params: { id }, signal });
      setRunning(one);
      const asked = { params: { id, job_id: data[0]?.id ?? '' } };
      const onEvent = (event: OutputData): unknown => waiting.current.push(event);
      const tell = (state: StreamState, reason?: unknown): void => {
        setStream(state);
        setError(reason);
      };
      await followAgain('readPreviewOutput', asked, { onEvent, again: false }, tell, signal);
    },
    onError: (reason) => {
      if ((reason as Error).name !== 'AbortError') setError(reason);
      setStream('ended');
    },
    onSettled: end,
  });
  // The server ends a preview 10 seconds after its reader has left; this is sooner.
  const stop = useCallback(() => {
    const id = current.current?.id;
    if (id) void call('patchPipeline', { params: { id }, body: { stop: 'immediate' } }).catch(setError);
    else end();
  }, [end]);
  useEffect(
    () => () => {
      const one = end();
      if (one?.id)
        void call('patchPipeline', { params: { id: one.id }, body: { stop: 'immediate' } }).catch(() => {});
    },
    [end],
  );
  const start = (query: string, enableSinks: boolean): void => {
    waiting.current = [];
    setSeen(nothingSeen);
    setError(undefined);
    setStream('connecting');
    mutate({ query, enableSinks });
  };
  return { seen, stream, error, starting: isPending && running === undefined, running, start, stop };
}
