import { createHash } from 'node:crypto';
import type { PenstockError } from '../../errors.ts';
import type { RunContext, Source, WatchContext } from '../connector.ts';
import { pause } from '../network/deadline.ts';
import { type HttpClient, type HttpResponse, statusError, withHttpClient } from '../network/http.ts';
import { httpServer, requestOf } from '../network/http-table.ts';
import { type Incoming, QueueSource, watchAll } from '../network/queue-source.ts';
import { type Page, readPage } from './page.ts';
import { type PollingTable, polls } from './table.ts';

/** How far the source has come: what makes the next request conditional, and where it begins. */
interface PollPosition {
  etag?: string;
  lastModified?: string;
  /** SHA-256 of the last response. */
  hash?: string;
  cursor?: string;
}

/** Pages of one poll. More than these come with the next poll. */
const maxPages = 1_000;
/** A longer Retry-After ends the connection, and the job tries again with growing pauses. */
const maxWaitMs = 300_000;

export async function openSource(context: RunContext<unknown, PollingTable>): Promise<Source> {
  const { table, signal, window, position, warn } = context;
  signal.throwIfAborted();
  requestOf(table);
  return new QueueSource({
    window,
    signal,
    position,
    read: (queue, reading) =>
      withHttpClient(httpServer(context), reading, async (client) => {
        const poller = new Poller(table, (position?.stored ?? {}) as PollPosition, warn);
        for await (const { messages, reached } of poller.polls(client, reading)) {
          for (const message of messages) await queue.add(message);
          queue.reached(reached);
        }
      }),
  });
}

/** See `watch` in the connector contract. It keeps no position. */
export function watch(context: WatchContext<unknown, PollingTable>): Promise<never> {
  const { table, signal, listening } = context;
  return withHttpClient(httpServer(context), signal, (client) => {
    const polled = new Poller(table, {}, () => {}).polls(client, signal, listening);
    return watchAll(context, flat(polled));
  });
}

async function* flat(polled: AsyncIterable<Poll>): AsyncGenerator<Incoming> {
  for await (const { messages } of polled) yield* messages;
}

interface Poll {
  messages: Incoming[];
  reached: PollPosition;
}

class Poller {
  readonly #table: PollingTable;
  readonly #options: ReturnType<typeof polls>;
  readonly #warn: (error: PenstockError) => void;
  #position: PollPosition;

  constructor(table: PollingTable, position: PollPosition, warn: (error: PenstockError) => void) {
    this.#table = table;
    this.#options = polls(table);
    this.#position = position;
    this.#warn = warn;
  }

  /** Polls until the signal aborts: one result for each page. `first` is called after the first response. */
  async *polls(client: HttpClient, signal: AbortSignal, first: () => void = () => {}): AsyncGenerator<Poll> {
    let started = () => first();
    for (;;) {
      let link: URL | undefined;
      for (let pages = 0; pages < maxPages; pages++) {
        const url = link ?? this.#start();
        const response = await this.#request(client, url, pages === 0, signal);
        started();
        started = () => {};
        if (!response) break;
        const page = readPage(response, url, this.#options);
        const moved = page.cursor !== undefined && page.cursor !== this.#position.cursor;
        yield this.#take(response, page, pages === 0, moved);
        link = page.next;
        if (!link && !(moved && page.messages.length > 0)) break;
      }
      await pause(this.#options.intervalMs, signal);
    }
  }

  /** Undefined if nothing has changed. Waits as long as a server asks for that is busy. */
  async #request(
    client: HttpClient,
    url: URL,
    isFirst: boolean,
    signal: AbortSignal,
  ): Promise<HttpResponse | undefined> {
    const { headers, timeoutMs } = requestOf(this.#table);
    for (;;) {
      const { method, body, maxBytes } = this.#options;
      const response = await client.request({
        method,
        url,
        headers: { ...headers, ...(isFirst ? this.#conditions() : {}) },
        body,
        timeoutMs,
        maxBytes,
        signal,
      });
      if (response.status === 304) return undefined;
      const error = statusError(response);
      if (!error) return response;
      const wait = error.facts.retryAfterMs as number | undefined;
      if (wait === undefined || wait > maxWaitMs) throw error;
      this.#warn(error);
      await pause(wait, signal);
    }
  }

  /** The first request of a poll: after the last cursor, if there is one. */
  #start(): URL {
    const { url } = requestOf(this.#table);
    const { cursorParameter, paging } = this.#options;
    const { cursor } = this.#position;
    if (paging === 'cursor' && cursorParameter !== undefined && cursor !== undefined)
      url.searchParams.set(cursorParameter, cursor);
    return url;
  }

  #conditions(): Record<string, string> {
    const { etag, lastModified } = this.#position;
    if (!this.#options.changedOnly) return {};
    return {
      ...(etag === undefined ? {} : { 'if-none-match': etag }),
      ...(lastModified === undefined ? {} : { 'if-modified-since': lastModified }),
    };
  }

  #take(response: HttpResponse, page: Page, isFirst: boolean, moved: boolean): Poll {
    const { changedOnly } = this.#options;
    const hash = createHash('sha256').update(response.body).digest('hex');
    const isSame = changedOnly && isFirst && hash === this.#position.hash;
    if (isFirst) {
      const { etag, 'last-modified': lastModified } = response.headers;
      this.#position = {
        ...this.#position,
        hash,
        ...(etag === undefined ? {} : { etag }),
        ...(lastModified === undefined ? {} : { lastModified }),
      };
    }
    // Validators and hash belong to the request with the cursor before.
    if (moved && page.cursor !== undefined) this.#position = { cursor: page.cursor };
    return { messages: isSame ? [] : page.messages, reached: this.#position };
  }
}
