import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { checkProfileConfig, connectorFor } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import { type JsonObject, mask, maskConfig, maskedPaths } from '../secrets.ts';
import { answerCheck } from './check.ts';
import type { Deps } from './deps.ts';
import { bodyProblems, problems } from './problem.ts';
import {
  Collection,
  ConnectorConfig,
  Deleted,
  IdParams,
  Name,
  newestFirst,
  newId,
  nowMicros,
  strict,
} from './schemas.ts';

const post = {
  name: 'plant',
  connector: 'mqtt',
  config: { url: 'mqtt://localhost:1883', username: 'penstock', password: '{{ PENSTOCK_VAR_PASSWORD }}' },
};

/** A profile as it is answered: its secrets masked. */
export const exampleProfile = {
  id: 'cp_3fK0x9QzLm',
  ...post,
  config: { ...post.config, password: mask },
  description: post.config.url,
};

export const ConnectionProfile = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    connector: Type.String(),
    config: ConnectorConfig,
    description: Type.String({ description: 'The address, for people' }),
  },
  { examples: [exampleProfile] },
);

export const ConnectionProfilePost = Type.Object(
  { name: Name, connector: Type.String({ maxLength: 64 }), config: ConnectorConfig },
  { ...strict, examples: [post] },
);
type ConnectionProfilePost = Static<typeof ConnectionProfilePost>;

interface Row {
  id: string;
  name: string;
  connector: string;
  config: string;
}

export function profileToWire(row: Row): Static<typeof ConnectionProfile> {
  const connector = connectorFor(row.connector);
  const config = JSON.parse(row.config) as JsonObject;
  return {
    id: row.id,
    name: row.name,
    connector: row.connector,
    config: maskConfig(config, connector.profile) as never,
    description: connector.describe(config),
  };
}

/** Arroyo's console sends the profile's name a second time, among the connector's fields. */
function withoutName({ name, config }: ConnectionProfilePost): JsonObject {
  const { name: again, ...fields } = config as JsonObject;
  return again === name ? fields : (config as JsonObject);
}

/** Throws when the config is not valid, or holds the mask in place of a secret that nobody has stored. */
function refuseInvalid(body: ConnectionProfilePost): JsonObject {
  const config = withoutName(body);
  checkProfileConfig(body.connector, config);
  const masked = maskedPaths(config, connectorFor(body.connector).profile);
  if (masked.length === 0) return config;
  throw new PenstockError('invalid_config', `The mask stands in place of a secret at ${masked.join(', ')}`, {
    hint: 'Send the secret itself: nothing is stored yet that the mask could stand for.',
    errors: masked.map((path) => ({ path: `/config${path}`, message: 'is the mask, not a secret' })),
  });
}

export const connectionProfiles =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['connection_profiles'];

    const found = async (id: string) => {
      const row = await db.connectionProfile.findUnique({ where: { id } });
      if (row) return row;
      throw new PenstockError('not_found', `There is no connection profile ${id}`);
    };

    app.post(
      '/connection_profiles',
      {
        schema: {
          operationId: 'createConnectionProfile',
          summary: 'Create a connection profile',
          tags,
          body: ConnectionProfilePost,
          response: { 200: ConnectionProfile, ...bodyProblems(409) },
        },
      },
      async ({ body }, reply) => {
        const config = refuseInvalid(body);
        const id = newId('cp');
        const now = nowMicros();
        const { name, connector } = body;
        const sealed = catalog.sealProfile(id, connector, config);
        const data = { id, name, connector, config: sealed, createdAt: now, updatedAt: now };
        const row = await db.connectionProfile.create({ data });
        reply.header('location', `/api/v1/connection_profiles/${id}`);
        return profileToWire(row);
      },
    );

    app.get(
      '/connection_profiles',
      {
        schema: {
          operationId: 'listConnectionProfiles',
          summary: 'List the connection profiles, newest first',
          tags,
          response: { 200: Collection(ConnectionProfile), ...problems() },
        },
      },
      async () => {
        const rows = await db.connectionProfile.findMany({ orderBy: [...newestFirst] });
        return { data: rows.map(profileToWire) };
      },
    );

    app.get(
      '/connection_profiles/:id',
      {
        schema: {
          operationId: 'getConnectionProfile',
          summary: 'Get a connection profile',
          tags,
          params: IdParams,
          response: { 200: ConnectionProfile, ...problems(400, 404) },
        },
      },
      async ({ params }) => profileToWire(await found(params.id)),
    );

    app.delete(
      '/connection_profiles/:id',
      {
        schema: {
          operationId: 'deleteConnectionProfile',
          summary: 'Delete a connection profile that no table uses',
          tags,
          params: IdParams,
          response: { 200: Deleted, ...problems(400, 404, 409) },
        },
      },
      async ({ params }) => {
        await found(params.id);
        const users = await db.connectionTable.findMany({
          where: { connectionProfileId: params.id },
          select: { name: true },
          take: 10,
        });
        if (users.length > 0) {
          const names = users.map(({ name }) => name).join(', ');
          throw new PenstockError('connection_profile_in_use', `The profile is used by the tables ${names}`, {
            hint: 'Delete those tables first.',
          });
        }
        await db.connectionProfile.delete({ where: { id: params.id } });
        return null;
      },
    );

    app.post(
      '/connection_profiles/test',
      {
        schema: {
          operationId: 'testConnectionProfile',
          summary: 'Test a connection profile without storing it',
          description: 'Answers JSON, or with `accept: text/event-stream` one event a step.',
          tags,
          body: ConnectionProfilePost,
          response: { 200: checkResponse, ...bodyProblems(429) },
        },
      },
      async (request, reply) => {
        const connector = connectorFor(request.body.connector);
        const profile = catalog.resolve(connector, refuseInvalid(request.body));
        const asked = { profile, table: undefined, schema: undefined, probe: 'publish' as const };
        return answerCheck(request, reply, connector, asked, 'json');
      },
    );

    app.post(
      '/connection_profiles/:id/test',
      {
        schema: {
          operationId: 'testStoredConnectionProfile',
          summary: 'Test a stored connection profile',
          description: 'Answers JSON, or with `accept: text/event-stream` one event a step.',
          tags,
          params: IdParams,
          response: { 200: checkResponse, ...problems(400, 404, 429) },
        },
      },
      async (request, reply) => {
        const row = await found(request.params.id);
        const connector = connectorFor(row.connector);
        const profile = catalog.resolve(connector, catalog.profile(row));
        const asked = { profile, table: undefined, schema: undefined, probe: 'publish' as const };
        return answerCheck(request, reply, connector, asked, 'json');
      },
    );
  };

/** Both forms a test can be answered in. */
export const checkResponse = Type.Unsafe<never>({
  description: 'How each step went',
  content: {
    'application/json': { schema: { $ref: 'TestResult#' } },
    'text/event-stream': { schema: { $ref: 'TestMessage#' } },
  },
});
