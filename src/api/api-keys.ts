import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import { type KeyRow, roles } from '../security/api-keys.ts';
import { auditedAs } from './audit.ts';
import type { Deps } from './deps.ts';
import { bodyProblems, problems } from './problem.ts';
import {
  Collection,
  Deleted,
  IdParams,
  Micros,
  Name,
  newestFirst,
  nowMicros,
  nullable,
  strict,
} from './schemas.ts';

const Role = Type.Enum([...roles], {
  description: 'viewer: read. operator: also write and test. admin: also keys and the audit log',
});

const fields = {
  id: Type.String(),
  name: Type.String(),
  role: Role,
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
    role: Role,
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
  role: row.role as Static<typeof Role>,
  created_at: Number(row.createdAt),
  expires_at: micros(row.expiresAt),
  last_used_at: micros(row.lastUsedAt),
});

export const apiKeys =
  ({ db, keys }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const tags = ['access'];
    const config = { role: 'admin' } as const;

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
        reply.header('location', `/api/v1/api_keys/${row.id}`).header('cache-control', 'no-store');
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
          response: { 200: Deleted, ...problems(400, 404, 409) },
        },
      },
      async (request) => {
        auditedAs(request, { before: toWire(await keys.revoke(request.params.id)) });
        return null;
      },
    );
  };
