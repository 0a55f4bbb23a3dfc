import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

const heartbeatMs = 15_000;

/**
 * Answers a request with server-sent events, one per object that `events` yields (WHATWG HTML, 9.2). A string is JSON
 * already, for what JSON.stringify cannot write, such as 64-bit integers. A comment every
 * 15 seconds keeps proxies from closing a quiet stream. When the client goes away `events` is ended by `return()`.
 */
export function streamEvents(reply: FastifyReply, events: AsyncIterable<object | string>): FastifyReply {
  return reply
    .type('text/event-stream')
    .header('cache-control', 'no-cache')
    .header('x-accel-buffering', 'no')
    .send(Readable.from(frames(events), { objectMode: false, highWaterMark: 16 * 1024 }));
}

async function* frames(events: AsyncIterable<object | string>): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]();
  let pending = iterator.next();
  try {
    for (;;) {
      const result = await orHeartbeat(pending);
      if (result === 'heartbeat') {
        yield ': still here\n\n';
        continue;
      }
      if (result.done) return;
      yield frame(result.value);
      pending = iterator.next();
    }
  } finally {
    await iterator.return?.();
  }
}

/** A line break ends a line of data. In JSON it can only stand between values, where any white space may. */
function frame(event: object | string): string {
  const json = typeof event === 'string' ? event.replaceAll(/[\r\n]/g, ' ') : JSON.stringify(event);
  return `data: ${json}\n\n`;
}

async function orHeartbeat<T>(pending: Promise<T>): Promise<T | 'heartbeat'> {
  const { promise, resolve } = Promise.withResolvers<'heartbeat'>();
  const timer = setTimeout(() => resolve('heartbeat'), heartbeatMs);
  try {
    return await Promise.race([pending, promise]);
  } finally {
    clearTimeout(timer);
  }
}
