import { monitorEventLoopDelay } from 'node:perf_hooks';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { PenstockError } from '../errors.ts';
import { callerName, type Limits } from './caller.ts';

/** Maximum number of requests without a valid key, per address and minute. */
const unauthenticatedPerMinute = 60;

/** Limits of Node's HTTP server. Slower or larger requests are cut off (408, 431). */
export const serverLimits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
  // Its response would have no body: see `refuseOddRequests`.
  requireHostHeader: false,
} as const;

/** Maximum number of open sockets; further ones are closed immediately. */
export const maxConnections = 5_000;

/** 0 means no limit. */
export interface LimitSettings {
  requestsPerMinute: number;
  /** Requests are refused while the average event loop delay is longer. */
  maxEventLoopDelayMs: number;
}

export async function setLimits(
  app: FastifyInstance,
  { requestsPerMinute: perMinute, maxEventLoopDelayMs }: LimitSettings,
): Promise<Limits> {
  await app.register(rateLimit, { global: false, timeWindow: 60_000 });
  if (maxEventLoopDelayMs > 0) {
    const delay = new LoopDelay();
    const busy = new Busy();
    app.addHook('onClose', async () => delay.stop());
    app.addHook('onRequest', async (request) => {
      // Health checks must still work.
      const isHealthCheck = request.routeOptions.schema?.security?.length === 0;
      if (delay.ms() <= maxEventLoopDelayMs || isHealthCheck || !busy.lasts()) return;
      throw new PenstockError('overloaded', 'Penstock is overloaded', {
        hint: 'Try again shortly. If it lasts, run the API and the worker in separate processes.',
      });
    });
  }
  const caller = app.createRateLimit({ max: perMinute, keyGenerator: callerName });
  const unauthenticated = app.createRateLimit({ max: unauthenticatedPerMinute });
  return {
    caller: async (request) => (perMinute === 0 ? undefined : refuse(await caller(request), perMinute)),
    unauthenticated: async (request) => refuse(await unauthenticated(request), unauthenticatedPerMinute),
  };
}

function refuse(count: object, max: number): void {
  const { isExceeded = false, ttlInSeconds = 60 } = count as { isExceeded?: boolean; ttlInSeconds?: number };
  if (!isExceeded) return;
  throw new PenstockError('too_many_requests', `More than ${max} requests in a minute`, {
    hint: 'Wait for the time in Retry-After.',
    facts: { retryAfterSecs: ttlInSeconds },
  });
}

const resolutionMs = 10;
const sampleEveryMs = 1_000;
/** Time without a request after which nothing is measured: each measurement wakes the process. */
const unaskedMs = 5_000;

/** The mean delay of the event loop in the last second, while requests come. */
class LoopDelay {
  #histogram: ReturnType<typeof monitorEventLoopDelay> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #askedAt = 0;
  #ms = 0;

  /** Call at every request. 0 before the first sample. */
  ms(): number {
    this.#askedAt = performance.now();
    if (this.#timer) return this.#ms;
    this.#histogram ??= monitorEventLoopDelay({ resolution: resolutionMs });
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#sample(), sampleEveryMs).unref();
    return this.#ms;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#histogram?.disable();
    this.#histogram?.reset();
    this.#ms = 0;
  }

  #sample(): void {
    const mean = (this.#histogram?.mean ?? 0) / 1e6;
    this.#histogram?.reset();
    // It is not a number if the loop has not turned since the last sample.
    this.#ms = Number.isNaN(mean) ? Number.POSITIVE_INFINITY : Math.max(0, mean - resolutionMs);
    if (performance.now() - this.#askedAt > unaskedMs) this.stop();
  }
}

/** Shorter overload, as during startup, is tolerated. */
const lastingMs = 3_000;
/** Overload is measured once a second; it is over after this time without a report. */
const overMs = 2_500;

class Busy {
  #since = 0;
  #seen = Number.NEGATIVE_INFINITY;

  /** Call at every report of overload. */
  lasts(): boolean {
    const now = performance.now();
    if (now - this.#seen > overMs) this.#since = now;
    this.#seen = now;
    return now - this.#since >= lastingMs;
  }
}
