import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition } from '../connectors/connector.ts';
import { checkTableConfig, connectorFor } from '../connectors/registry.ts';
import { type FieldError, PenstockError } from '../errors.ts';
import { expandSchema, validateSchema } from '../formats/codec.ts';
import type { ConnectionSchema } from '../formats/schema.ts';
import type { JsonObject } from '../secrets.ts';
import type { Deps } from './app.ts';
import { answerCheck } from './check.ts';
import { ConnectionProfile, checkResponse, profileToWire } from './connection-profiles.ts';
import { bodyProblems, problems } from './problem.ts';
import {
  ConnectorConfig,
  IdParams,
  Name,
  newestFirst,
  newId,
  nowMicros,
  Page,
  PageQuery,
  startAfter,
  strict,
  toPage,
} from './schemas.ts';

const ConnectionTable = Type.Object({
  id: Type.String(),
  name: Type.String(),
  created_at: Type.Integer({ description: 'Unix microseconds' }),
  connector: Type.String(),
  connection_profile: Type.Union([ConnectionProfile, Type.Null()]),
  table_type: Type.Enum(['source', 'sink']),
  config: ConnectorConfig,
  schema: Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }),
  consumers: Type.Integer({ description: 'Pipelines that use it' }),
});

const post = {
  name: 'readings',
  connector: 'mqtt',
  connection_profile_id: 'cp_3fK0x9QzLm',
  config: { topic: 'plant/+/temperature', qos: 'AtLeastOnce', type: {} },
  schema: {
    format: { type: 'json' },
    bad_data: { behavior: 'drop' },
    fields: [
      { name: 'device', type: 'string', required: true },
      { name: 'celsius', type: 'float64' },
    ],
  },
};
const ConnectionTablePost = Type.Object(
  {
    name: Name,
    connector: Type.String({ maxLength: 64 }),
    connection_profile_id: Type.Optional(Type.Union([Type.String({ maxLength: 64 }), Type.Null()])),
    config: ConnectorConfig,
    schema: Type.Optional(
      Type.Union([Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }), Type.Null()]),
    ),
  },
  { ...strict, examples: [post] },
);
type ConnectionTablePost = Static<typeof ConnectionTablePost>;

/** Throws `invalid_schema` with what is wrong below `at`; answers the schema with its fields filled in. */
function expanded(schema: ConnectionSchema, connector: ConnectorDefinition, at: string): ConnectionSchema {
  const full = located(() => expandSchema(schema), at);
  const errors = validateSchema(full, connector.metadata);
  if (errors.length > 0) throw invalidSchema(errors, at);
  return full;
}

function located<T>(action: () => T, at: string): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_schema')
      throw invalidSchema(error.errors, at);
    throw error;
  }
}

function invalidSchema(errors: FieldError[], at: string): PenstockError {
  const moved = errors.map(({ path, message }) => ({ path: `${at}${path}`, message }));
  const sentences = moved.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new PenstockError('invalid_schema', `The schema is not valid: ${sentences}`, { errors: moved });
}

export const connectionTables =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['connection_tables'];
    const include = { connectionProfile: true, _count: { select: { pipelines: true } } } as const;

    const found = async (id: string) => {
      const row = await db.connectionTable.findUnique({ where: { id }, include });
      if (row) return row;
      throw new PenstockError('not_found', `There is no connection table ${id}`);
    };

    const toWire = (row: Awaited<ReturnType<typeof found>>) => ({
      id: row.id,
      name: row.name,
      created_at: Number(row.createdAt),
      connector: row.connector,
      connection_profile: row.connectionProfile ? profileToWire(row.connectionProfile) : null,
      table_type: row.tableType as 'source' | 'sink',
      config: JSON.parse(row.config),
      schema: JSON.parse(row.schema ?? '{}'),
      consumers: row._count.pipelines,
    });

    /** Everything a table's body has to satisfy; throws what does not hold, with its path. */
    const checked = async (body: ConnectionTablePost) => {
      const connector = connectorFor(body.connector);
      const profile = await profileOf(body);
      checkTableConfig(body.connector, body.config, profile);
      const missing = [{ path: '/schema', message: 'is required: it says how a message becomes a row' }];
      if (!body.schema)
        throw new PenstockError('invalid_schema', 'The table has no schema', { errors: missing });
      return {
        connector,
        profile,
        config: body.config as JsonObject,
        schema: expanded(body.schema, connector, '/schema'),
      };
    };

    const profileOf = async ({
      connector,
      connection_profile_id: id,
    }: ConnectionTablePost): Promise<JsonObject> => {
      const path = '/connection_profile_id';
      const refuse = (message: string): never => {
        throw new PenstockError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
      };
      if (!id) return refuse('is required: create a connection profile first');
      const row = await db.connectionProfile.findUnique({ where: { id } });
      if (!row) return refuse(`names no connection profile: there is no ${id}`);
      if (row.connector !== connector)
        return refuse(`names a profile of ${row.connector}, not of ${connector}`);
      return catalog.profile(row);
    };

    app.post(
      '/connection_tables',
      {
        schema: {
          operationId: 'createConnectionTable',
          summary: 'Create a connection table',
          tags,
          body: ConnectionTablePost,
          response: { 200: ConnectionTable, ...bodyProblems(409) },
        },
      },
      async ({ body }, reply) => {
        const { connector, schema } = await checked(body);
        const id = newId('ct');
        const now = nowMicros();
        const row = await db.connectionTable.create({
          data: {
            id,
            name: body.name,
            connector: body.connector,
            connectionProfileId: body.connection_profile_id ?? null,
            tableType: connector.direction(body.config),
            config: JSON.stringify(body.config),
            schema: JSON.stringify(schema),
            createdAt: now,
            updatedAt: now,
          },
          include,
        });
        reply.header('location', `/api/v1/connection_tables/${id}`);
        return toWire(row);
      },
    );

    app.get(
      '/connection_tables',
      {
        schema: {
          operationId: 'listConnectionTables',
          summary: 'List the connection tables by page, newest first',
          tags,
          querystring: PageQuery,
          response: { 200: Page(ConnectionTable), ...problems(400) },
        },
      },
      async ({ query }) => {
        const after = await startAfter(query, (id) => db.connectionTable.findUnique({ where: { id } }));
        const rows = await db.connectionTable.findMany({
          where: after,
          orderBy: [...newestFirst],
          take: query.limit + 1,
          include,
        });
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.map(toWire), hasMore };
      },
    );

    app.get(
      '/connection_tables/:id',
      {
        schema: {
          operationId: 'getConnectionTable',
          summary: 'Get a connection table',
          tags,
          params: IdParams,
          response: { 200: ConnectionTable, ...problems(400, 404) },
        },
      },
      async ({ params }) => toWire(await found(params.id)),
    );

    app.delete(
      '/connection_tables/:id',
      {
        schema: {
          operationId: 'deleteConnectionTable',
          summary: 'Delete a connection table that no pipeline uses',
          tags,
          params: IdParams,
          response: { 200: Type.Null({ description: 'Deleted' }), ...problems(400, 404, 409) },
        },
      },
      async ({ params: { id } }) => {
        await found(id);
        const users = await db.pipeline.findMany({
          where: { tables: { some: { connectionTableId: id } } },
          select: { name: true },
          take: 10,
        });
        if (users.length > 0) {
          const names = users.map(({ name }) => name).join(', ');
          throw new PenstockError('connection_table_in_use', `The table is used by the pipelines ${names}`, {
            hint: 'Delete those pipelines first.',
          });
        }
        await db.connectionTable.delete({ where: { id } });
        return null;
      },
    );

    app.post(
      '/connection_tables/test',
      {
        schema: {
          operationId: 'testConnectionTable',
          summary: 'Test a connection table without storing it',
          description: 'Answers one event a step, or with `accept: application/json` one object.',
          tags,
          body: ConnectionTablePost,
          response: { 200: checkResponse, ...bodyProblems(429) },
        },
      },
      async (request, reply) => {
        const { connector, profile, config, schema } = await checked(request.body);
        const asked = {
          profile: catalog.resolve(connector, profile),
          table: config,
          schema,
          probe: 'publish' as const,
        };
        return answerCheck(request, reply, connector, asked, 'events');
      },
    );

    app.post(
      '/connection_tables/:id/test',
      {
        schema: {
          operationId: 'testStoredConnectionTable',
          summary: 'Test a stored connection table',
          description: 'Answers one event a step, or with `accept: application/json` one object.',
          tags,
          params: IdParams,
          response: { 200: checkResponse, ...problems(400, 404, 429) },
        },
      },
      async (request, reply) => {
        const row = await found(request.params.id);
        const connector = connectorFor(row.connector);
        const profile = row.connectionProfile ? catalog.profile(row.connectionProfile) : {};
        const schema = JSON.parse(row.schema ?? '{}') as ConnectionSchema;
        const table = JSON.parse(row.config) as JsonObject;
        const asked = {
          profile: catalog.resolve(connector, profile),
          table,
          schema,
          probe: 'publish' as const,
        };
        return answerCheck(request, reply, connector, asked, 'events');
      },
    );

    app.post(
      '/connection_tables/schemas/test',
      {
        schema: {
          operationId: 'testConnectionSchema',
          summary: 'Tell whether a connection schema is valid',
          tags,
          body: Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }),
          response: { 200: Type.Null({ description: 'It is valid' }), ...bodyProblems() },
        },
      },
      async ({ body }) => {
        // Without a connector any metadata key may be right.
        const full = located(() => expandSchema(body), '');
        const errors = validateSchema(full);
        if (errors.length > 0) throw invalidSchema(errors, '');
        return null;
      },
    );
  };
