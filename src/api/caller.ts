import type { FastifyRequest } from 'fastify';
import type { Caller, Role } from '../security/api-keys.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The lowest role that may call this. */
    role?: Role;
    /** False for a call by another method than GET that neither changes anything nor connects. */
    audited?: boolean;
  }
  interface FastifyRequest {
    caller: Caller | null;
  }
}

/** Identifies a caller: by key, or by address if no key is required. */
export const callerName = ({ caller, ip }: FastifyRequest): string => caller?.id ?? `${caller?.name} ${ip}`;

export interface Limits {
  caller(request: FastifyRequest): Promise<void>;
  unauthenticated(request: FastifyRequest): Promise<void>;
}
