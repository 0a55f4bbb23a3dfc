import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { PenstockError } from '../../errors.ts';
import type { RunContext, Source, WatchContext } from '../connector.ts';
import { pause } from '../network/deadline.ts';
import { type HttpClient, type StreamedResponse, statusError, withHttpClient } from '../network/http.ts';
import { httpServer, requestOf } from '../network/http-table.ts';
import { type Incoming, QueueSource, watchAll } from '../network/queue-source.ts';
import { type SseTable, sseError } from './table.ts';

interface EventPosition {
  id?: string;
}

/** Maximum size of one event in characters. */
const maxEvent = 16 * 1024 * 1024;
/** Pause before a connection that the server has ended is opened again, unless the server says another (`retry`). */
const retryMs = 1_000;
const maxRetryMs = 60_000;

export async function openSource(context: RunContext<unknown, SseTable>): Promise<Source> {
  const { table, signal, window, position } = context;
  signal.throwIfAborted();
  requestOf(table);
  return new QueueSource({
    window,
    signal,
    position,
    read: (queue, reading) =>
      withHttpClient(httpServer(context), reading, async (client) => {
        const { id } = (position?.stored ?? {}) as EventPosition;
        for await (const message of events(client, table, id, reading)) await queue.add(message);
      }),
  });
}

/** See `watch` in the connector contract. */
export function watch(context: WatchContext<unknown, SseTable>): Promise<never> {
  const { table, signal, listening } = context;
  return withHttpClient(httpServer(context), signal, (client) =>
    watchAll(context, events(client, table, undefined, signal, listening)),
  );
}

/**
 * Reads events from the one after `id` on. When the server ends a response, it asks again for what follows the last event, as
 * browsers do. Ends when the server says with 204 that there is no more.
 */
export async function* events(
  client: HttpClient,
  table: SseTable,
  id: string | undefined,
  signal: AbortSignal,
  listening: () => void = () => {},
): AsyncGenerator<Incoming> {
  const stream = new EventStream(table, id);
  let opened = () => listening();
  for (;;) {
    const response = await open(client, table, stream.lastId, signal);
    if (!response) return;
    opened();
    opened = () => {};
    yield* stream.read(response, signal);
    await pause(stream.retryMs, signal);
  }
}

/** Undefined if there is no more to read. */
async function open(
  client: HttpClient,
  table: SseTable,
  lastId: string | undefined,
  signal: AbortSignal,
): Promise<StreamedResponse | undefined> {
  const { url, headers, timeoutMs } = requestOf(table);
  const resume: Record<string, string> =
    lastId === undefined ? {} : { 'last-event-id': Buffer.from(lastId).toString('latin1') };
  const own = { accept: 'text/event-stream', 'cache-control': 'no-store' };
  const response = await client.stream({
    method: 'GET',
    url,
    headers: { ...own, ...headers, ...resume },
    timeoutMs,
    signal,
  });
  if (response.status === 204) {
    response.body.destroy();
    return undefined;
  }
  const type = response.headers['content-type'] ?? 'none';
  const error =
    statusError(response) ??
    (/^text\/event-stream\b/i.test(type)
      ? undefined
      : sseError('sse_not_spoken', `The response has the type ${type.slice(0, 100)}, not text/event-stream`));
  if (!error) return response;
  response.body.destroy();
  throw error;
}

class EventStream {
  readonly #idleMs: number;
  readonly #wanted: ReadonlySet<string>;
  readonly #decoder = new TextDecoder();
  lastId: string | undefined;
  retryMs = retryMs;
  /** Events that are complete but not handed out. */
  #complete: Incoming[] = [];

  constructor({ events: wanted = '', idle_timeout_secs = 300 }: SseTable, id: string | undefined) {
    this.#idleMs = idle_timeout_secs * 1000;
    this.#wanted = new Set(
      wanted
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    );
    this.lastId = id;
  }

  /** Reads one response to its end. Throws `connection_lost` if it ends by an error. */
  async *read({ body }: StreamedResponse, signal: AbortSignal): AsyncGenerator<Incoming> {
    let tooLarge = false;
    const parser = createParser({
      maxBufferSize: maxEvent,
      onError: ({ type }) => {
        tooLarge ||= type === 'max-buffer-size-exceeded';
      },
      onEvent: (event) => this.#received(event),
      onId: (id) => {
        this.lastId = id === '' ? undefined : id;
      },
      onRetry: (ms) => {
        this.retryMs = Math.min(ms, maxRetryMs);
      },
    });
    let idle: NodeJS.Timeout | undefined;
    const restart = () => {
      clearTimeout(idle);
      idle = setTimeout(() => body.destroy(silent(this.#idleMs)), this.#idleMs);
    };
    try {
      restart();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        restart();
        const text = this.#decoder.decode(chunk, { stream: true });
        parser.feed(text);
        if (tooLarge) throw sseError('sse_not_spoken', `An event is larger than ${maxEvent} characters`);
        const complete = this.#complete;
        this.#complete = [];
        // A slow sink is no silence of the server.
        clearTimeout(idle);
        yield* complete;
        restart();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof PenstockError) throw error;
      throw new PenstockError('connection_lost', 'The connection broke while events were read', {
        cause: error,
      });
    } finally {
      clearTimeout(idle);
      body.destroy();
    }
  }

  #received({ event = 'message', data }: EventSourceMessage): void {
    if (this.#wanted.size > 0 && !this.#wanted.has(event)) return;
    const timestamp = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
    const id = this.lastId ?? null;
    const position: EventPosition | undefined = id === null ? undefined : { id };
    this.#complete.push({ payload: Buffer.from(data), metadata: { event, id, timestamp }, position });
  }
}

const silent = (ms: number): PenstockError =>
  new PenstockError('connection_lost', `The server has sent nothing for ${ms / 1000} s`, {
    hint: 'Let the server send comments to keep the connection alive, or raise idle_timeout_secs.',
  });
