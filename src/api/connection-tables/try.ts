import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { connectorFor } from '../../connectors/registry.ts';
import type { ConnectionSchema } from '../../formats/schema.ts';
import type { JsonObject } from '../../secrets.ts';
import { answerCheck } from '../check.ts';
import { checkResponse } from '../connection-profiles.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import { IdParams } from '../schemas.ts';
import { checkSchema, checkTable } from './checks.ts';
import { ConnectionTablePost, findTable } from './wire.ts';

/** Trying out tables, stored and unsaved, and schemas. */
export const tryTables =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['connection_tables'];

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
        const { connector, profile, config, schema } = await checkTable(deps, request.body);
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
        const row = await findTable(db, request.params.id);
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
          response: { 200: Type.Null({ description: 'It is valid', examples: [null] }), ...bodyProblems() },
        },
      },
      async ({ body }) => {
        checkSchema(body, '');
        return null;
      },
    );
  };
