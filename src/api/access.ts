import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PenstockError } from '../errors.ts';
import { anybody, type Caller, type KeyRing, mayAct, type Role } from '../security/api-keys.ts';
import type { Limits } from './caller.ts';

/**
 * Access control. Reading needs the key of a viewer and writing that of an operator, unless `config.role` of the route
 * says otherwise.
 */

/** Public: health checks and the documentation. */
const open = [/^\/(healthz|readyz)?$/, /^\/api\/v1\/(swagger-ui|api-docs)(\/|$)/, /^\/api\/v1\/ping$/];

/** The lowest role that may call a route. */
export const roleFor = (method: string, role: Role | undefined): Role =>
  role ?? (method === 'GET' || method === 'HEAD' ? 'viewer' : 'operator');

export function guard(app: FastifyInstance, keys: KeyRing, limits: Limits): void {
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request) => {
    const path = request.url.split('?')[0] as string;
    const needed = roleFor(request.method, request.routeOptions.config.role);
    // Asks no database, because these routes report that it does not respond.
    if (open.some((pattern) => pattern.test(path)))
      return keys.always ? undefined : requireLoopbackName(request.host);
    if (!(await keys.needed())) {
      requireLoopbackName(request.host);
      request.caller = anybody;
      await limits.caller(request);
    } else {
      request.caller = await identified(request, keys, limits);
      await limits.caller(request);
      if (!mayAct(request.caller.role, needed)) throw forbidden(request.caller, needed);
    }
  });
}

async function identified(request: FastifyRequest, keys: KeyRing, limits: Limits): Promise<Caller> {
  const [scheme, key = ''] = (request.headers.authorization ?? '').split(' ');
  const caller = scheme?.toLowerCase() === 'bearer' ? await keys.callerOf(key) : undefined;
  if (caller !== undefined) return caller;
  await limits.unauthenticated(request);
  throw new PenstockError('unauthorized', 'This call needs a valid API key', {
    hint: 'Send the key as authorization: Bearer <key>.',
  });
}

const forbidden = ({ role, name }: Caller, needed: Role): PenstockError =>
  new PenstockError('forbidden', `The key ${name} has the role ${role}; this call requires ${needed}`, {
    hint: `Use a key with the role ${needed}.`,
  });

const loopbackName = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Without keys, only the loopback interface protects the API. A web page could reach it through its own host name that
 * resolves to 127.0.0.1 (DNS rebinding), so other host names are refused.
 */
function requireLoopbackName(host: string): void {
  if (loopbackName.test(host.replace(/:\d+$/, ''))) return;
  throw new PenstockError('host_not_allowed', 'Without an API key, only loopback names are served', {
    hint: 'Use http://127.0.0.1 or http://localhost, or set PENSTOCK_ADMIN_KEY.',
  });
}
