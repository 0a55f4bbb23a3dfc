import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply } from 'fastify';

/** Closing the API: nobody is cut off in the middle of an answer that comes soon. */

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborts when streams have to end, because the service does. */
    closing: AbortSignal;
  }
}

/** For so long answers under way are waited for. */
const graceMs = 5_000;

/**
 * Makes `app.close()` wait for the requests in flight. Meanwhile new ones are refused with 503, which Fastify does, and
 * streams of events come to their end. Register the plugin that it answers behind all others, so that what they say when
 * they close is still heard.
 */
export function closeGently(app: FastifyInstance): FastifyPluginAsync {
  const closing = new AbortController();
  const answering = new Set<FastifyReply['raw']>();
  let answered = (): void => {};
  let stopped = false;
  app.decorate('closing', closing.signal);
  app.addHook('onRequest', async (_request, reply) => {
    answering.add(reply.raw);
    reply.raw.once('close', () => {
      answering.delete(reply.raw);
      if (answering.size === 0) answered();
    });
  });
  // An idle connection would be closed under the next request that its client sends.
  app.addHook('onSend', async (_request, reply) => {
    if (stopped) reply.header('connection', 'close');
  });
  return async (last) => {
    last.addHook('preClose', async () => {
      stopped = true;
      // What the others have just said is handed on first.
      await turn();
      closing.abort();
      if (answering.size === 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      answered = resolve;
      const late = setTimeout(resolve, graceMs);
      await promise;
      clearTimeout(late);
    });
  };
}
