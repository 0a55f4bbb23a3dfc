import { isDeepStrictEqual } from 'node:util';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { type JsonObject, keepMasked } from '../../security/config-secrets.ts';
import { nowMicros } from '../../store/clock.ts';
import { newTimedId } from '../../store/id.ts';
import { checkResponse, runCheck, testOptions } from '../check.ts';
import { readable } from '../connection-profiles/wire.ts';
import { refuseRename, refuseUsedTable } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Change, Kind } from '../kind.ts';
import { brief } from '../labels.ts';
import { mergePatch, refuseOtherConnector } from '../merge-patch.ts';
import { bodyProblems, problems, refusedBySchema } from '../problem.ts';
import { resource } from '../resource.ts';
import { ConnectorConfig, ConnectorId, IdParams, Name, nothing, optionalBody, strict } from '../schemas.ts';
import type { StagedDefinitions } from '../staged-definitions.ts';
import { checkSchema, checkTable } from './checks.ts';
import { inferSchemas } from './infer.ts';
import { tailTables } from './tail.ts';
import {
  ConnectionTable,
  ConnectionTablePatch,
  ConnectionTablePost,
  ConnectionTableSql,
  findTable,
  include,
  SchemaPatch,
  type TableRow,
  tableSql,
  tableToBody,
  toListed,
  toWire,
} from './wire.ts';

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
        const tested = toTest(catalog, connector, profile, config, schema);
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
        const body = patched(deps, row, request.body);
        const validate = request.compileValidationSchema(ConnectionTablePost, 'body');
        if (!validate(body)) throw refusedBySchema(validate.errors ?? [], 'table');
        const { connector, profile, config, schema } = await checkTable(deps, body);
        const tested = toTest(catalog, connector, profile, config, schema);
        return runCheck(request, reply, connector, tested, 'events');
      },
    );

    app.post(
      '/connection_tables/schemas/test',
      {
        config: { audited: false },
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

    app.get(
      '/connection_tables/:id/sql',
      {
        schema: {
          operationId: 'getConnectionTableSql',
          summary: 'Get the CREATE TABLE statement that defines the same table inside a query',
          description:
            'Secrets of its config are masked. A profile is named, so it must exist where the query runs.',
          tags,
          params: IdParams,
          response: { 200: ConnectionTableSql, ...problems(400, 404) },
        },
      },
      async ({ params }) => tableSql(await findTable(db, params.id)),
    );

    for (const routes of [inferSchemas, tailTables]) await app.register(routes(deps));
    await app.register(resource(deps, tableKind(deps)));
  };

const toTest = (
  catalog: Deps['catalog'],
  connector: ConnectorDefinition,
  profile: JsonObject,
  config: JsonObject,
  schema: ConnectionSchema,
) => ({
  ...catalog.resolve(connector, profile),
  oddities: catalog.oddities(connector, profile, config),
  table: catalog.resolveTable(connector, config),
  schema,
});

function patched(
  { catalog }: Deps,
  row: TableRow,
  patch: Static<typeof TableTestPatch> | null | undefined,
): ConnectionTablePost {
  const connector = connectorFor(row.connector);
  refuseOtherConnector(connector, patch?.connector);
  const { probe: _probe, timeout_ms: _timeout, step_timeout_ms: _step, ...changes } = patch ?? {};
  const merged = mergePatch(tableToBody(row), changes as JsonObject) as unknown as ConnectionTablePost;
  const config = keepMasked(merged.config as JsonObject, catalog.tableConfig(row), connector.table);
  return { ...merged, config: config as never };
}

export const tableKind = (deps: Deps): Kind<TableRow, ConnectionTablePost> => ({
  path: 'connection_tables',
  title: 'ConnectionTable',
  noun: 'connection table',
  summaries: {
    create: 'Create a connection table',
    change: 'Change a connection table',
    delete: 'Delete a connection table that no pipeline uses',
  },
  listDescription: 'The schemas are complete: they include every column and its SQL type.',
  paged: true,
  Response: ConnectionTable,
  Body: ConnectionTablePost,
  Patch: ConnectionTablePatch,
  besides: [],
  find: (where) => deps.db.connectionTable.findUnique({ where, include }),
  rows: (query) => deps.db.connectionTable.findMany({ ...query, include }),
  brief: (query) => deps.db.connectionTable.findMany({ ...query, select: { ...brief, connector: true } }),
  toBody: tableToBody,
  toOpenBody: (row) => ({ ...tableToBody(row), config: deps.catalog.tableConfig(row) }),
  toWire,
  toListed,
  save: (body, current, staged) => save(deps, body, current, staged),
  remove: (row) => ({
    reads: { tables: new Map([[row.id, row.version]]) },
    written: row.id,
    forWorker: true,
    async store(tx) {
      await refuseUsedTable(tx, row.id);
      await tx.connectionTable.delete({ where: { id: row.id } });
      return { row };
    },
  }),
});

async function save(
  deps: Deps,
  sent: ConnectionTablePost,
  current: TableRow | undefined,
  staged: StagedDefinitions,
): Promise<Change<TableRow>> {
  if (current) refuseOtherConnector(connectorFor(current.connector), sent.connector);
  const { table } = connectorFor(sent.connector);
  const stored =
    current && readable(() => deps.catalog.tableConfig(current), sent.config as JsonObject, table);
  const config = keepMasked(sent.config as JsonObject, stored ?? {}, table);
  const checked = await checkTable(deps, { ...sent, config: config as never }, staged);
  const { body, connector, profileRow } = checked;
  const updatedAt = nowMicros();
  const id = current?.id ?? newTimedId('ct', updatedAt);
  const reads = {
    profiles: new Map(profileRow ? [[profileRow.id, profileRow.version]] : []),
    tables: new Map([[id, current?.version ?? 0]]),
  };
  const { name, labels = {}, ...after } = body;
  const former: JsonObject = current ? { ...tableToBody(current), config: stored ?? null } : {};
  const { name: oldName, labels: oldLabels, ...before } = former;
  const sameForJobs = isDeepStrictEqual(before, after);
  const renamed = current !== undefined && name !== oldName;
  if (current && sameForJobs && !renamed && isDeepStrictEqual(labels, oldLabels))
    return { reads, forWorker: false, store: async () => ({ row: current }) };

  if (renamed) await refuseRename(deps.db, 'table', id);
  const row = {
    id,
    name,
    connector: body.connector,
    connectionProfileId: profileRow?.id ?? null,
    tableType: connector.direction(body.config),
    config:
      current && isDeepStrictEqual(config, stored)
        ? current.config
        : deps.catalog.sealTable(id, body.connector, config),
    schema: JSON.stringify(body.schema),
    labels: JSON.stringify(labels),
    version: current?.version ?? 0,
    createdAt: current?.createdAt ?? updatedAt,
    updatedAt,
  };
  if (!sameForJobs) staged.tables.set(id, { ...row, connectionProfile: profileRow });
  return {
    reads,
    forWorker: current !== undefined && !sameForJobs,
    async store(tx) {
      const data = { ...row, version: row.version + 1 };
      if (!current) return { row: await tx.connectionTable.create({ data, include }) };
      if (renamed) await refuseRename(tx, 'table', id);
      return { row: await tx.connectionTable.update({ where: { id }, data, include }) };
    },
  };
}
