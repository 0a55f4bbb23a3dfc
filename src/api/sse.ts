import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PenstockError } from '../errors.ts';
import { callerName } from './caller.ts';

const heartbeatMs = 15_000;
/** A client that takes nothing for so long, heartbeats neither, is given up; at the latest after twice as long. */
const stalledMs = 30_000;
/** Streams open at a time, for one caller and for all. */
const most = { each: 32, all: 1_000 };
const open = new Map<string, number>();

/**
 * Answers a request with server-sent events, one per object that what `start` answers yields (WHATWG HTML, 9.2). A
 * string is JSON already, for what JSON.stringify cannot write, such as 64-bit integers. A comment comes at once, and one
 * every 15 seconds keeps proxies from closing a quiet stream. When the client goes away it is ended by `return()`; when the service stops,
 * too, behind a comment that says so. A client that does not read is cut off. Throws `too_many_requests` for one stream too many.
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
    // Counts from when something was last written: nothing is any more once the socket takes no more.
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

/** A place among the open streams, until the function it answers is called. */
function takeStream(request: FastifyRequest): () => void {
  const name = callerName(request);
  const own = open.get(name) ?? 0;
  const all = [...open.values()].reduce((sum, count) => sum + count, 0);
  if (own >= most.each || all >= most.all) {
    const message =
      own >= most.each ? `${most.each} streams of yours are open` : `${most.all} streams are open`;
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
    // The head of the answer leaves with the first bytes: a client is to know that it is connected.
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
    // It may wait for its next event, and for that until the answer is closed.
    if (closing.aborted) ended?.catch(() => {});
    else await ended;
  }
}

/** A line break ends a line of data. In JSON it can only stand between values, where any white space may. */
function frame(event: object | string): string {
  const json = typeof event === 'string' ? event.replaceAll(/[\r\n]/g, ' ') : JSON.stringify(event);
  return `data: ${json}\n\n`;
}

/** What comes first: what is waited for, the time for a sign of life, or the end of the service. */
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
