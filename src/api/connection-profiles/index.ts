import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Deps } from '../deps.ts';
import { readSelector, SelectorQuery, selectRows } from '../labels.ts';
import { problems } from '../problem.ts';
import { resource } from '../resource.ts';
import { Collection } from '../schemas.ts';
import { profileKind } from './edit.ts';
import { tryProfiles } from './try.ts';
import { ConnectionProfile, profileToWire } from './wire.ts';

export const connectionProfiles =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    await app.register(tryProfiles(deps));
    await app.register(resource(deps, profileKind(deps)));

    app.get(
      '/connection_profiles',
      {
        schema: {
          operationId: 'listConnectionProfiles',
          summary: 'List the connection profiles, newest first',
          tags: ['connection_profiles'],
          querystring: SelectorQuery,
          response: { 200: Collection(ConnectionProfile), ...problems(400) },
        },
      },
      async ({ query }) => {
        const rows = await selectRows(readSelector(query), {}, undefined, (page) =>
          deps.db.connectionProfile.findMany(page),
        );
        return { data: rows.map(profileToWire) };
      },
    );
  };
