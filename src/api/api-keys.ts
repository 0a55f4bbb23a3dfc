import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import {
  anybody,
  type Caller,
  type KeyRing,
  type KeyRow,
  mayAct,
  type Role,
  roles,
} from '../security/api-keys.ts';
import { isLoopbackName } from '../security/targets.ts';
import { nowMicros } from '../store/clock.ts';
import { auditedAs } from './audit.ts';
import type { Limits } from './caller.ts';
import type { Deps } from './deps.ts';
import { locationOf } from './precondition.ts';
import { bodyProblems, problems } from './problem.ts';
import { Collection, Deleted, IdParams, Micros, Name, newestFirst, nullable, strict } from './schemas.ts';

const KeyRole = Type.Enum([...roles], {
  description: 'viewer: read. operator: also write and test. admin: also keys and the audit log',
});

const fields = {
  id: Type.String(),
  name: Type.String(),
  role: KeyRole,
  created_at: Micros,
  expires_at: nullable(Micros),
  last_used_at: nullable(Type.Integer({ description: 'Unix microseconds, to the minute' })),
};

const example = {
  id: 'key_4Hc91LkqXz',
  name: 'terraform',
  role: 'operator',
  created_at: 1_790_000_000_000_000,
  expires_at: null,
  last_used_at: null,
};

const ApiKey = Type.Object(fields, { title: 'ApiKey', examples: [example] });

const NewApiKey = Type.Object(
  { ...fields, key: Type.String({ description: 'The key, shown only once' }) },
  { title: 'NewApiKey', examples: [{ ...example, key: 'pk_…' }] },
);

const ApiKeyPost = Type.Object(
  {
    name: Name,
    role: KeyRole,
    expires_at: Type.Optional(
      nullable(
        Type.Integer({
          minimum: 0,
          maximum: Number.MAX_SAFE_INTEGER,
          description: 'Expiry in Unix microseconds; never if left out',
        }),
      ),
    ),
  },
  { ...strict, title: 'ApiKeyPost', examples: [{ name: 'terraform', role: 'operator' }] },
);

const micros = (time: bigint | null): number | null => (time === null ? null : Number(time));

const toWire = (row: KeyRow): Static<typeof ApiKey> => ({
  id: row.id,
  name: row.name,
  role: row.role as Static<typeof KeyRole>,
  created_at: Number(row.createdAt),
  expires_at: micros(row.expiresAt),
  last_used_at: micros(row.lastUsedAt),
});

const CallingKey = Type.Object(
  {
    name: Type.String({ description: 'Name of the key; `anybody` if no key is required' }),
    role: KeyRole,
    keys_required: Type.Boolean({ description: 'Whether calls need a key' }),
  },
  { title: 'Caller', examples: [{ name: 'terraform', role: 'operator', keys_required: true }] },
);

export const apiKeys =
  ({ db, keys }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const tags = ['access'];
    const config = { role: 'admin' } as const;

    app.get(
      '/caller',
      {
        schema: {
          operationId: 'getCaller',
          summary: 'Get the name and the role of the calling key',
          description: 'Without keys, every caller is an admin.',
          tags,
          response: { 200: CallingKey, ...problems() },
        },
      },
      async (request) => {
        // The guard refuses requests without a caller.
        const caller = request.caller as Caller;
        return { name: caller.name, role: caller.role, keys_required: caller !== anybody };
      },
    );

    app.post(
      '/api_keys',
      {
        config,
        schema: {
          operationId: 'createApiKey',
          summary: 'Create an API key; only this response shows it',
          tags,
          body: ApiKeyPost,
          response: { 200: NewApiKey, ...bodyProblems(409) },
        },
      },
      async (request, reply) => {
        const { name, role, expires_at: expires = null } = request.body;
        if (expires !== null && BigInt(expires) <= nowMicros()) {
          const errors = [{ path: '/expires_at', message: 'is in the past; the unit is Unix microseconds' }];
          throw new PenstockError('invalid_request', 'The key would already be expired', { errors });
        }
        const { key, row } = await keys.create({
          name,
          role,
          expiresAt: expires === null ? null : BigInt(expires),
        });
        auditedAs(request, { after: toWire(row) });
        reply
          .header('location', locationOf(request, `/api/v1/api_keys/${row.id}`))
          .header('cache-control', 'no-store');
        return { ...toWire(row), key };
      },
    );

    app.get(
      '/api_keys',
      {
        config,
        schema: {
          operationId: 'listApiKeys',
          summary: 'List the API keys, newest first',
          tags,
          response: { 200: Collection(ApiKey), ...problems() },
        },
      },
      async () => ({ data: (await db.apiKey.findMany({ orderBy: [...newestFirst] })).map(toWire) }),
    );

    app.delete(
      '/api_keys/:id',
      {
        config,
        schema: {
          operationId: 'deleteApiKey',
          summary: 'Revoke an API key',
          tags,
          params: IdParams,
          response: { 200: Deleted, ...bodyProblems(404, 409) },
        },
      },
      async (request) => {
        auditedAs(request, { before: toWire(await keys.revoke(request.params.id)) });
        return null;
      },
    );
  };

/**
 * Access control. Reading needs the key of a viewer and writing that of an operator, unless `config.role` of the route
 * says otherwise.
 */

/** Public: health checks and the documentation. */
const open = [/^\/(healthz|readyz)?$/, /^\/api\/v1\/(swagger-ui|api-docs)(\/|$)/, /^\/api\/v1\/ping$/];

export const roleFor = (method: string, role: Role | undefined): Role =>
  role ?? (method === 'GET' || method === 'HEAD' ? 'viewer' : 'operator');

export function guard(app: FastifyInstance, keys: KeyRing, limits: Limits): void {
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request) => {
    const path = request.url.split('?')[0] as string;
    const needed = roleFor(request.method, request.routeOptions.config.role);
    // Asks no database, because these routes report that it does not respond.
    if (open.some((pattern) => pattern.test(path)))
      return keys.always ? undefined : requireLoopbackName(request);
    if (!(await keys.needed())) {
      requireLoopbackName(request);
      requireOwnSite(request);
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

/**
 * Without keys, only the loopback interface protects the API. A web page could reach it through its own host name that
 * resolves to 127.0.0.1 (DNS rebinding), so other host names are refused.
 */
function requireLoopbackName({ host, originalUrl }: FastifyRequest): void {
  const [, authority = host] = /^https?:\/\/([^/?#]*)/i.exec(originalUrl) ?? [];
  if (isLoopbackName(host) && isLoopbackName(authority)) return;
  throw new PenstockError('host_not_allowed', 'Without an API key, only loopback names are served', {
    hint: 'Use http://127.0.0.1 or http://localhost, or set PENSTOCK_ADMIN_KEY.',
  });
}

/**
 * A browser on this machine also sends the requests of pages of other sites. They cannot read the responses, but even a
 * GET can connect to a broker. Only browsers send these headers, and a page cannot change them.
 */
function requireOwnSite({ headers, host }: FastifyRequest): void {
  const { 'sec-fetch-site': site, origin, referer } = headers;
  // Older browsers send only the other two.
  const from = site === undefined ? (origin ?? referer) : undefined;
  const own = from === undefined || hostOf(String(from)) === hostOf(`http://${host}`);
  if (own && (site === undefined || site === 'same-origin' || site === 'none')) return;
  throw new PenstockError(
    'cross_site_request',
    'Without an API key, requests from other web sites are refused',
    { hint: 'Open Penstock itself, or create a key and send it as authorization: Bearer <key>.' },
  );
}

const hostOf = (url: string): string => URL.parse(url)?.host ?? 'unknown';
