import { isDeepStrictEqual } from 'node:util';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { type JsonObject, keepMasked } from '../../security/config-secrets.ts';
import { nowMicros } from '../../store/clock.ts';
import { newId } from '../../store/id.ts';
import { checkResponse, runCheck, takePlace, testOptions } from '../check.ts';
import { refuseRename, refuseUsedProfile } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Change, Kind } from '../kind.ts';
import { brief } from '../labels.ts';
import { mergePatch, refuseOtherConnector } from '../merge-patch.ts';
import { bodyProblems, problems } from '../problem.ts';
import { resource } from '../resource.ts';
import { ConnectorConfig, ConnectorId, IdParams, Name, optionalBody, strict } from '../schemas.ts';
import { clientGone } from '../sse.ts';
import type { ProfileRow, StagedDefinitions } from '../staged-definitions.ts';
import {
  ConnectionProfile,
  ConnectionProfilePatch,
  ConnectionProfilePost,
  checkProfile,
  findProfile,
  profileToBody,
  profileToWire,
  readable,
} from './wire.ts';

const example = { name: 'plant', connector: 'mqtt', config: { url: 'mqtt://localhost:1883' } };
const ProfileTest = Type.Object(
  { ...ConnectionProfilePost.properties, ...testOptions },
  { ...strict, examples: [{ ...example, timeout_ms: 5_000 }] },
);

const ProfileTestPatch = Type.Object(
  {
    name: Type.Optional(Name),
    connector: Type.Optional(ConnectorId),
    config: Type.Optional(ConnectorConfig),
    ...testOptions,
  },
  { ...strict, examples: [{ config: { username: 'someone-else', will: null }, probe: 'none' }] },
);

const Autocomplete = Type.Object(
  {
    values: Type.Record(Type.String(), Type.Array(Type.String()), {
      description: 'Existing values, by the name of a field of the table config, such as topic',
    }),
  },
  { examples: [{ values: { topic: ['plant/oven-1/readings', 'plant/oven-2/readings'] } }] },
);

export const connectionProfiles =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['connection_profiles'];

    app.post(
      '/connection_profiles/test',
      {
        schema: {
          operationId: 'testConnectionProfile',
          summary: 'Test a connection profile without storing it',
          description: 'Returns JSON, or with `accept: text/event-stream` one event per step.',
          tags,
          body: ProfileTest,
          response: { 200: checkResponse, ...bodyProblems() },
        },
      },
      async (request, reply) => {
        const connector = connectorFor(request.body.connector);
        return runCheck(
          request,
          reply,
          connector,
          toTest(catalog, connector, checkProfile(request.body)),
          'json',
        );
      },
    );

    app.post(
      '/connection_profiles/:id/test',
      {
        schema: {
          operationId: 'testStoredConnectionProfile',
          summary: 'Test a stored connection profile, with optional changes',
          description:
            'Without a body, the stored profile is tested. Otherwise the body is an RFC 7396 merge patch to test ' +
            'without storing it; secrets that are left out or masked are the stored ones. Returns JSON, or with ' +
            '`accept: text/event-stream` one event per step.',
          tags,
          params: IdParams,
          body: optionalBody(ProfileTestPatch),
          response: { 200: checkResponse, ...bodyProblems(404) },
        },
      },
      async (request, reply) => {
        const row = await findProfile(db, request.params.id);
        const connector = connectorFor(row.connector);
        const config = patched(connector, catalog.profile(row), request.body);
        return runCheck(request, reply, connector, toTest(catalog, connector, config), 'json');
      },
    );

    app.get(
      '/connection_profiles/:id/autocomplete',
      {
        config: { role: 'operator' },
        schema: {
          operationId: 'autocompleteConnectionProfile',
          summary: 'Discover what can be read; for MQTT, topics',
          description:
            'Listens for up to two seconds and returns the topics of retained and new messages. It counts as a test.',
          tags,
          params: IdParams,
          response: { 200: Autocomplete, ...problems(400, 404) },
        },
      },
      async ({ params }, reply) => {
        const row = await findProfile(db, params.id);
        const connector = connectorFor(row.connector);
        const reachable = catalog.resolve(connector, catalog.profile(row));
        const leave = takePlace();
        try {
          const values = await connector.autocomplete?.({ ...reachable, signal: clientGone(reply) });
          return { values: values ?? {} };
        } finally {
          leave();
        }
      },
    );

    await app.register(resource(deps, profileKind(deps)));
  };

const toTest = (catalog: Deps['catalog'], connector: ConnectorDefinition, config: JsonObject) => ({
  ...catalog.resolve(connector, config),
  oddities: catalog.oddities(connector, config),
  table: undefined,
  schema: undefined,
});

function patched(
  connector: ConnectorDefinition,
  stored: JsonObject,
  patch: Static<typeof ProfileTestPatch> | null | undefined,
): JsonObject {
  refuseOtherConnector(connector, patch?.connector);
  const merged = mergePatch(stored, (patch?.config ?? {}) as JsonObject) as JsonObject;
  const config = keepMasked(merged, stored, connector.profile);
  return checkProfile({ connector: connector.id, config: config as never });
}

export const profileKind = (deps: Deps): Kind<ProfileRow, ConnectionProfilePost> => ({
  path: 'connection_profiles',
  title: 'ConnectionProfile',
  noun: 'connection profile',
  summaries: {
    create: 'Create a connection profile',
    change: 'Change a connection profile',
    delete: 'Delete an unused connection profile',
  },
  paged: false,
  Response: ConnectionProfile,
  Body: ConnectionProfilePost,
  Patch: ConnectionProfilePatch,
  besides: [],
  find: (where) => deps.db.connectionProfile.findUnique({ where }),
  rows: (query) => deps.db.connectionProfile.findMany(query),
  brief: (query) => deps.db.connectionProfile.findMany({ ...query, select: { ...brief, connector: true } }),
  toBody: profileToBody,
  toOpenBody: (row) => ({ ...profileToBody(row), config: deps.catalog.profile(row) }),
  toWire: profileToWire,
  toListed: profileToWire,
  save: (body, current, staged) => save(deps, body, current, staged),
  remove: (row) => ({
    reads: { profiles: new Map([[row.id, row.version]]) },
    written: row.id,
    forWorker: true,
    async store(tx) {
      await refuseUsedProfile(tx, row.id);
      return { row: await tx.connectionProfile.delete({ where: { id: row.id } }) };
    },
  }),
});

async function save(
  deps: Deps,
  body: ConnectionProfilePost,
  current: ProfileRow | undefined,
  staged: StagedDefinitions,
): Promise<Change<ProfileRow>> {
  const { name, connector, labels = {} } = body;
  if (current) refuseOtherConnector(connectorFor(current.connector), connector);
  const { profile: schema } = connectorFor(connector);
  const stored = current && readable(() => deps.catalog.profile(current), body.config, schema);
  const sent = current ? keepMasked(body.config, stored ?? {}, schema) : body.config;
  const config = checkProfile({ ...body, config: sent as never });
  const id = current?.id ?? newId('cp');
  const reads = { profiles: new Map([[id, current?.version ?? 0]]) };
  const sameConfig = current !== undefined && isDeepStrictEqual(config, stored);
  const renamed = current !== undefined && name !== current.name;
  if (sameConfig && !renamed && isDeepStrictEqual(labels, JSON.parse(current.labels)))
    return { reads, forWorker: false, store: async () => ({ row: current }) };

  if (renamed) await refuseRename(deps.db, 'profile', id);
  const updatedAt = nowMicros();
  const row: ProfileRow = {
    id,
    name,
    connector,
    config: sameConfig ? current.config : deps.catalog.sealProfile(id, connector, config),
    labels: JSON.stringify(labels),
    version: current?.version ?? 0,
    createdAt: current?.createdAt ?? updatedAt,
    updatedAt,
  };
  if (!sameConfig) staged.profiles.set(id, row);
  return {
    reads,
    forWorker: current !== undefined && !sameConfig,
    async store(tx) {
      const data = { ...row, version: row.version + 1 };
      if (!current) return { row: await tx.connectionProfile.create({ data }) };
      if (renamed) await refuseRename(tx, 'profile', id);
      return { row: await tx.connectionProfile.update({ where: { id }, data }) };
    },
  };
}
