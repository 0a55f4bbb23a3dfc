import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { connectorFor } from '../../connectors/registry.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import { checkResponse, runCheck, testOptions } from '../check.ts';
import type { Deps } from '../deps.ts';
import { mergePatch, refuseOtherConnector } from '../merge-patch.ts';
import { bodyProblems, refusedBySchema } from '../problem.ts';
import { resource } from '../resource.ts';
import { ConnectorConfig, ConnectorId, IdParams, Name, nothing, optionalBody, strict } from '../schemas.ts';
import { checkSchema, checkTable } from './checks.ts';
import { tableKind } from './edit.ts';
import { inferSchemas } from './infer.ts';
import { tailTables } from './tail.ts';
import { ConnectionTablePost, findTable, SchemaPatch, type TableRow, tableToBody } from './wire.ts';

const example = {
  name: 'readings',
  connector: 'mqtt',
  connection_profile_id: 'cp_3fK0x9QzLm',
  config: { topic: 'plant/+/temperature', type: {} },
  schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] },
};
const TableTest = Type.Object(
  { ...ConnectionTablePost.properties, ...testOptions },
  { ...strict, examples: [{ ...example, timeout_ms: 5_000 }] },
);

/** Changes to test without storing them. */
const TableTestPatch = Type.Object(
  {
    name: Type.Optional(Name),
    connector: Type.Optional(ConnectorId),
    connection_profile_id: Type.Optional(Type.String({ maxLength: 64 })),
    config: Type.Optional(ConnectorConfig),
    schema: Type.Optional(SchemaPatch),
    ...testOptions,
  },
  { ...strict, examples: [{ config: { topic: 'plant/+/humidity' } }] },
);

export const connectionTables =
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
          description: 'Returns one event per step, or with `accept: application/json` one object.',
          tags,
          body: TableTest,
          response: { 200: checkResponse, ...bodyProblems() },
        },
      },
      async (request, reply) => {
        const { connector, profile, config, schema } = await checkTable(deps, request.body);
        const tested = { ...catalog.resolve(connector, profile), table: config, schema };
        return runCheck(request, reply, connector, tested, 'events');
      },
    );

    app.post(
      '/connection_tables/:id/test',
      {
        schema: {
          operationId: 'testStoredConnectionTable',
          summary: 'Test a stored connection table, with optional changes',
          description:
            'Without a body, the stored table is tested. Otherwise the body is an RFC 7396 merge patch to test without ' +
            'storing it. Returns one event per step, or with `accept: application/json` one object.',
          tags,
          params: IdParams,
          body: optionalBody(TableTestPatch),
          response: { 200: checkResponse, ...bodyProblems(404) },
        },
      },
      async (request, reply) => {
        const row = await findTable(db, request.params.id);
        const body = patched(row, request.body);
        const validate = request.compileValidationSchema(ConnectionTablePost, 'body');
        if (!validate(body)) throw refusedBySchema(validate.errors ?? [], 'table');
        const { connector, profile, config, schema } = await checkTable(deps, body);
        const tested = { ...catalog.resolve(connector, profile), table: config, schema };
        return runCheck(request, reply, connector, tested, 'events');
      },
    );

    app.post(
      '/connection_tables/schemas/test',
      {
        schema: {
          operationId: 'testConnectionSchema',
          summary: 'Check a connection schema',
          tags,
          body: Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }),
          response: { 200: nothing('The schema is valid'), ...bodyProblems() },
        },
      },
      async ({ body }) => {
        checkSchema(body, '');
        return null;
      },
    );

    for (const routes of [inferSchemas, tailTables]) await app.register(routes(deps));
    await app.register(resource(deps, tableKind(deps)));
  };

/** A stored table with a patch, still to be checked. */
function patched(
  row: TableRow,
  patch: Static<typeof TableTestPatch> | null | undefined,
): ConnectionTablePost {
  refuseOtherConnector(connectorFor(row.connector), patch?.connector);
  const { probe: _probe, timeout_ms: _timeout, step_timeout_ms: _step, ...changes } = patch ?? {};
  return mergePatch(tableToBody(row), changes as JsonObject) as unknown as ConnectionTablePost;
}
