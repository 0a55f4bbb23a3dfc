import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { type JsonObject, keepMasked } from '../../security/config-secrets.ts';
import { checkResponse, runCheck, takePlace, testOptions } from '../check.ts';
import type { Deps } from '../deps.ts';
import { mergePatch, refuseOtherConnector } from '../merge-patch.ts';
import { bodyProblems, problems } from '../problem.ts';
import { resource } from '../resource.ts';
import { ConnectorConfig, ConnectorId, IdParams, Name, optionalBody, strict } from '../schemas.ts';
import { clientGone } from '../sse.ts';
import { profileKind } from './edit.ts';
import { ConnectionProfilePost, checkProfile, findProfile } from './wire.ts';

const example = { name: 'plant', connector: 'mqtt', config: { url: 'mqtt://localhost:1883' } };
const ProfileTest = Type.Object(
  { ...ConnectionProfilePost.properties, ...testOptions },
  { ...strict, examples: [{ ...example, timeout_ms: 5_000 }] },
);

/** Changes to test without storing them. */
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
        const reachable = catalog.resolve(connector, checkProfile(request.body));
        return runCheck(
          request,
          reply,
          connector,
          { ...reachable, table: undefined, schema: undefined },
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
        const reachable = catalog.resolve(connector, config);
        return runCheck(
          request,
          reply,
          connector,
          { ...reachable, table: undefined, schema: undefined },
          'json',
        );
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

/** A stored config with a patch, checked like a new one. */
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
