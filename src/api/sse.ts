import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PenstockError } from '../errors.ts';
import { callerName } from './caller.ts';

export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(new Error('the client disconnected')));
  return gone.signal;
}

/** A queue of events between a producer and one consumer. */
export class EventQueue<T> {
  readonly #sizeOf: (event: T) => number;
  readonly #waiting: T[] = [];
  #size = 0;
  #wake: (() => void) | undefined;
  #over = false;

  constructor(sizeOf: (event: T) => number = () => 1) {
    this.#sizeOf = sizeOf;
  }

  get size(): number {
    return this.#size;
  }

  add(event: T): void {
    this.#waiting.push(event);
    this.#size += this.#sizeOf(event);
    this.#wake?.();
  }

  /** Ends the iteration behind the waiting events. */
  end(): void {
    this.#over = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const event = this.#waiting.shift();
      if (event !== undefined) {
        this.#size -= this.#sizeOf(event);
        yield event;
      } else if (this.#over) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

const heartbeatMs = 15_000;
/** A client that reads nothing for this long, not even heartbeats, is cut off; at the latest after twice as long. */
const stalledMs = 30_000;
/** Maximum number of open streams, for each caller and in all. */
const max = { each: 32, all: 1_000 };
const open = new Map<string, number>();

/**
 * Responds with server-sent events (WHATWG HTML, 9.2), one for each object of the iterable that `start` returns. A string
 * is taken as JSON text, for 64-bit integers. A comment comes at once and every 15 seconds, to keep proxies from closing a
 * quiet stream. The iteration ends by `return()` when the client leaves or the service stops. A client that does not read
 * is cut off. Throws `too_many_requests`.
 */
export function streamEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  start: () => AsyncIterable<object | string>,
): FastifyReply {
  const leave = takeStream(request);
  try {
    const events = start();
    reply.raw.once('close', leave);
    // Counts from the last write: there is none once the socket buffer is full.
    reply.raw.setTimeout(stalledMs, () => reply.raw.destroy());
    return reply
      .type('text/event-stream')
      .header('cache-control', 'no-cache')
      .header('x-accel-buffering', 'no')
      .send(
        Readable.from(frames(events, request.server.closing), {
          objectMode: false,
          highWaterMark: 16 * 1024,
        }),
      );
  } catch (error) {
    leave();
    throw error;
  }
}

function takeStream(request: FastifyRequest): () => void {
  const name = callerName(request);
  const own = open.get(name) ?? 0;
  const all = [...open.values()].reduce((sum, count) => sum + count, 0);
  if (own >= max.each || all >= max.all) {
    const message = own >= max.each ? `${max.each} of your streams are open` : `${max.all} streams are open`;
    throw new PenstockError('too_many_requests', message, { hint: 'Close one of them first.' });
  }
  open.set(name, own + 1);
  return () => {
    const left = (open.get(name) ?? 1) - 1;
    if (left > 0) open.set(name, left);
    else open.delete(name);
  };
}

async function* frames(events: AsyncIterable<object | string>, closing: AbortSignal): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]();
  try {
    // The response head leaves with the first bytes, and tells the client that it is connected.
    yield ': connected\n\n';
    let pending = iterator.next();
    for (;;) {
      const result = await orElse(pending, closing);
      if (result === 'closing') {
        yield ': the service stops\n\n';
        return;
      }
      if (result === 'heartbeat') {
        yield ': still here\n\n';
        continue;
      }
      if (result.done) return;
      yield frame(result.value);
      pending = iterator.next();
    }
  } finally {
    const ended = iterator.return?.();
    // It may be waiting for an event that never comes.
    if (closing.aborted) ended?.catch(() => {});
    else await ended;
  }
}

/** Line breaks would end the data. In JSON they only stand between tokens, so spaces can replace them. */
function frame(event: object | string): string {
  const json = typeof event === 'string' ? event.replaceAll(/[\r\n]/g, ' ') : JSON.stringify(event);
  return `data: ${json}\n\n`;
}

/** Waits for the pending value, the next heartbeat or the end of the service, whichever is first. */
async function orElse<T>(pending: Promise<T>, closing: AbortSignal): Promise<T | 'heartbeat' | 'closing'> {
  const { promise, resolve } = Promise.withResolvers<'heartbeat' | 'closing'>();
  const timer = setTimeout(() => resolve('heartbeat'), heartbeatMs);
  const close = (): void => resolve('closing');
  if (closing.aborted) close();
  closing.addEventListener('abort', close);
  try {
    return await Promise.race([pending, promise]);
  } finally {
    clearTimeout(timer);
    closing.removeEventListener('abort', close);
  }
}
