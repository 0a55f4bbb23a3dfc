import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance } from 'fastify';
import { PenstockError } from '../errors.ts';
import { callerName, type Limits } from './caller.ts';

/** How much one caller may ask for, and what is refused when there is no time for it. */

/** Wrong keys that may come from one address in a minute. */
const strangersPerMinute = 60;

/** What Node's HTTP server allows. A request that is slower or larger is cut off (408, 431). */
export const serverLimits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
} as const;

/** Sockets that are open at a time; a further one is closed at once. */
export const maxConnections = 5_000;

/** What may be asked of the process; 0 stands for no limit. */
export interface LimitSettings {
  /** Requests that each caller may make in a minute. */
  requestsPerMinute: number;
  /** When the process takes so long, on average, to get round to its work, requests are refused. */
  maxEventLoopDelayMs: number;
}

export async function setLimits(
  app: FastifyInstance,
  { requestsPerMinute: perMinute, maxEventLoopDelayMs }: LimitSettings,
): Promise<Limits> {
  await app.register(rateLimit, { global: false, timeWindow: 60_000 });
  const busy = new Busy();
  await app.register(underPressure, {
    maxEventLoopDelay: maxEventLoopDelayMs,
    pressureHandler: (request) => {
      // Whoever looks after the process has to be able to see how it is.
      if (request.routeOptions.schema?.security?.length === 0 || !busy.lasts()) return;
      throw new PenstockError('overloaded', 'Penstock does not get round to its requests', {
        hint: 'Try again shortly. If it lasts, run API and worker in processes of their own.',
      });
    },
  });
  const caller = app.createRateLimit({ max: perMinute, keyGenerator: callerName });
  const stranger = app.createRateLimit({ max: strangersPerMinute });
  return {
    caller: async (request) => (perMinute === 0 ? undefined : refuse(await caller(request), perMinute)),
    stranger: async (request) => refuse(await stranger(request), strangersPerMinute),
  };
}

function refuse(count: object, most: number): void {
  const { isExceeded = false, ttlInSeconds = 60 } = count as { isExceeded?: boolean; ttlInSeconds?: number };
  if (!isExceeded) return;
  throw new PenstockError('too_many_requests', `More than ${most} requests in a minute`, {
    hint: 'Wait for as long as Retry-After says.',
    facts: { retryAfterSecs: ttlInSeconds },
  });
}

/** A moment of being busy, as while the process starts, is no reason to refuse anything. */
const lastingMs = 3_000;
/** It is measured once a second: after this long without a sign of it, it was over. */
const overMs = 2_500;

class Busy {
  #since = 0;
  #seen = Number.NEGATIVE_INFINITY;

  /** To be asked whenever the process is found to be busy. */
  lasts(): boolean {
    const now = performance.now();
    if (now - this.#seen > overMs) this.#since = now;
    this.#seen = now;
    return now - this.#since >= lastingMs;
  }
}
