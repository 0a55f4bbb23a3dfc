import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import { type KeyRow, roles } from '../security/api-keys.ts';
import { auditedAs } from './audit.ts';
import type { Deps } from './deps.ts';
import { bodyProblems, problems } from './problem.ts';
import { Collection, Deleted, IdParams, Name, newestFirst, nowMicros, strict } from './schemas.ts';

const Role = Type.Enum([...roles], {
  description: 'viewer: read. operator: write and test as well. admin: keys and the audit log as well',
});

const Micros = Type.Integer({ description: 'Unix microseconds' });
const orNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const fields = {
  id: Type.String(),
  name: Type.String(),
  role: Role,
  created_at: Micros,
  expires_at: orNull(Micros),
  last_used_at: orNull(Type.Integer({ description: 'Unix microseconds, to the minute' })),
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
  { ...fields, key: Type.String({ description: 'The key itself. It is shown this once' }) },
  { title: 'NewApiKey', examples: [{ ...example, key: 'pk_…' }] },
);

const ApiKeyPost = Type.Object(
  {
    name: Name,
    role: Role,
    expires_at: Type.Optional(
      orNull(
        Type.Integer({
          minimum: 0,
          maximum: Number.MAX_SAFE_INTEGER,
          description: 'Unix microseconds after which the key does not work any more; never if left out',
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

/** The keys that may call this API. Only an admin may see or change them. */
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
          summary: 'Make an API key; the answer is the only place that shows it',
          tags,
          body: ApiKeyPost,
          response: { 200: NewApiKey, ...bodyProblems(409) },
        },
      },
      async (request, reply) => {
        const { name, role, expires_at: expires = null } = request.body;
        if (expires !== null && BigInt(expires) <= nowMicros()) {
          const errors = [{ path: '/expires_at', message: 'is over already; it counts unix microseconds' }];
          throw new PenstockError('invalid_request', 'A key cannot expire before it is made', { errors });
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
