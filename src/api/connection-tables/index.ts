import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Deps } from '../deps.ts';
import { LabelledPageQuery, readSelector, selectRows } from '../labels.ts';
import { problems } from '../problem.ts';
import { resource } from '../resource.ts';
import { Page, startAfter, toPage } from '../schemas.ts';
import { tableKind } from './edit.ts';
import { inferSchemas } from './infer.ts';
import { tailTables } from './tail.ts';
import { tryTables } from './try.ts';
import { ConnectionTable, include, toListed } from './wire.ts';

export const connectionTables =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db } = deps;
    for (const more of [tryTables, inferSchemas, tailTables]) await app.register(more(deps));
    await app.register(resource(deps, tableKind(deps)));

    app.get(
      '/connection_tables',
      {
        schema: {
          operationId: 'listConnectionTables',
          summary: 'List the connection tables by page, newest first',
          description:
            'Their schemas are complete, with every column and its SQL type, whatever was sent of them.',
          tags: ['connection_tables'],
          querystring: LabelledPageQuery,
          response: { 200: Page(ConnectionTable), ...problems(400) },
        },
      },
      async ({ query }) => {
        const after = await startAfter(query, (id) => db.connectionTable.findUnique({ where: { id } }));
        const rows = await selectRows(readSelector(query), after, query.limit + 1, (page) =>
          db.connectionTable.findMany({ ...page, include }),
        );
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.map(toListed), hasMore };
      },
    );
  };
