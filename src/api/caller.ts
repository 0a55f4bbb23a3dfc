import type { FastifyRequest } from 'fastify';
import type { Caller, Role } from '../security/api-keys.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The lowest role that may call this. */
    role?: Role;
  }
  interface FastifyRequest {
    /** Null on public routes. */
    caller: Caller | null;
  }
}

/** Identifies a caller: by key, or by address if no key is required. */
export const callerName = ({ caller, ip }: FastifyRequest): string => caller?.id ?? `${caller?.name} ${ip}`;

/** Rate limits. Each throws `too_many_requests`. */
export interface Limits {
  /** Counts a request of an authenticated caller. */
  caller(request: FastifyRequest): Promise<void>;
  /** Counts a request without a valid key. */
  unauthenticated(request: FastifyRequest): Promise<void>;
}
