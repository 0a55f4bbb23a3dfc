import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PenstockError } from '../../errors.ts';
import { auditedAs } from '../audit.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import { Collection, Deleted, IdParams, newestFirst, newId, nowMicros } from '../schemas.ts';
import { tryProfiles } from './try.ts';
import {
  ConnectionProfile,
  ConnectionProfilePost,
  checkProfile,
  findProfile,
  profileToWire,
} from './wire.ts';

export const connectionProfiles =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['connection_profiles'];
    await app.register(tryProfiles(deps));

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
        const config = checkProfile(body);
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
      async ({ params }) => profileToWire(await findProfile(db, params.id)),
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
      async (request) => {
        const { params } = request;
        auditedAs(request, { before: profileToWire(await findProfile(db, params.id)) });
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
  };
