import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

const heartbeatMs = 15_000;

/**
 * Answers a request with server-sent events, one per object that `events` yields (WHATWG HTML, 9.2). A comment every
 * 15 seconds keeps proxies from closing a quiet stream. When the client goes away `events` is ended by `return()`.
 */
export function streamEvents(reply: FastifyReply, events: AsyncIterable<object>): FastifyReply {
  return reply
    .type('text/event-stream')
    .header('cache-control', 'no-cache')
    .header('x-accel-buffering', 'no')
    .send(Readable.from(frames(events), { objectMode: false, highWaterMark: 16 * 1024 }));
}

async function* frames(events: AsyncIterable<object>): AsyncGenerator<string> {
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
      yield `data: ${JSON.stringify(result.value)}\n\n`;
      pending = iterator.next();
    }
  } finally {
    await iterator.return?.();
  }
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
