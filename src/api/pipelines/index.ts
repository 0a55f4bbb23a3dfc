import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { diagnose } from '../../sql/compile.ts';
import type { Deps } from '../deps.ts';
import { LabelledPageQuery, readSelector, selectRows } from '../labels.ts';
import { bodyProblems, problems } from '../problem.ts';
import { resource } from '../resource.ts';
import { Page, startAfter, toPage } from '../schemas.ts';
import { control } from './control.ts';
import { deadLetters } from './dead-letters.ts';
import { pipelineKind } from './edit.ts';
import { pipelineEvents } from './events.ts';
import { Pipeline, QueryValidationResult, toWire, ValidateQueryPost } from './wire.ts';

export { PipelineGraph } from './wire.ts';

export const pipelines =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['pipelines'];
    await app.register(control(deps));
    await app.register(deadLetters(deps));
    await app.register(pipelineEvents(deps));
    await app.register(resource(deps, pipelineKind(deps)));

    app.get(
      '/pipelines',
      {
        schema: {
          operationId: 'listPipelines',
          summary: 'List the pipelines by page, newest first',
          tags,
          querystring: LabelledPageQuery,
          response: { 200: Page(Pipeline), ...problems(400) },
        },
      },
      async ({ query }) => {
        const after = await startAfter(query, (id) => db.pipeline.findUnique({ where: { id } }));
        const rows = await selectRows(readSelector(query), after, query.limit + 1, (page) =>
          db.pipeline.findMany({ ...page, include: { job: true } }),
        );
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.flatMap((row) => (row.job ? [toWire({ ...row, job: row.job })] : [])), hasMore };
      },
    );

    app.post(
      '/pipelines/validate_query',
      {
        schema: {
          operationId: 'validateQuery',
          summary: 'Tell whether a query is valid, and its graph',
          tags,
          body: ValidateQueryPost,
          response: { 200: QueryValidationResult, ...bodyProblems() },
        },
      },
      async ({ body }) => {
        const result = await diagnose(body.query, catalog);
        return 'plan' in result
          ? { graph: result.plan.graph, errors: [] }
          : { graph: null, errors: result.diagnostics };
      },
    );
  };
