import type { FastifyRequest } from 'fastify';
import type { Caller, Role } from '../security/api-keys.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The least role that may call this. */
    role?: Role;
  }
  interface FastifyRequest {
    /** Who calls; null where everybody may. */
    caller: Caller | null;
  }
}

/** By what a caller is told from others: a key, wherever it is used; an address where no key is needed. */
export const callerName = ({ caller, ip }: FastifyRequest): string => caller?.id ?? `${caller?.name} ${ip}`;

/** Each throws `too_many_requests` when it was one too many. */
export interface Limits {
  /** Counts a request of somebody whom we know. */
  caller(request: FastifyRequest): Promise<void>;
  /** Counts a request without a valid key. */
  stranger(request: FastifyRequest): Promise<void>;
}
