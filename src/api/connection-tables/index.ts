import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PenstockError } from '../../errors.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import {
  Deleted,
  IdParams,
  newestFirst,
  newId,
  nowMicros,
  Page,
  PageQuery,
  startAfter,
  toPage,
} from '../schemas.ts';
import { checkTable } from './checks.ts';
import { inferSchemas } from './infer.ts';
import { tailTables } from './tail.ts';
import { tryTables } from './try.ts';
import { ConnectionTable, ConnectionTablePost, findTable, include, toWire } from './wire.ts';

export const connectionTables =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db } = deps;
    const tags = ['connection_tables'];
    for (const more of [tryTables, inferSchemas, tailTables]) await app.register(more(deps));

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
        const { connector, schema } = await checkTable(deps, body);
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
      async ({ params }) => toWire(await findTable(db, params.id)),
    );

    app.delete(
      '/connection_tables/:id',
      {
        schema: {
          operationId: 'deleteConnectionTable',
          summary: 'Delete a connection table that no pipeline uses',
          tags,
          params: IdParams,
          response: { 200: Deleted, ...problems(400, 404, 409) },
        },
      },
      async ({ params: { id } }) => {
        await findTable(db, id);
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
  };
