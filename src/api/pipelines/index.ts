import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { diagnose } from '../../sql/compile.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems } from '../problem.ts';
import { resource } from '../resource.ts';
import { IdParams, nowMicros } from '../schemas.ts';
import { deadLetters } from './dead-letters.ts';
import { pipelineKind } from './edit.ts';
import { pipelineEvents } from './events.ts';
import { findPipeline, Pipeline, QueryValidationResult, Restart, toWire, ValidateQueryPost } from './wire.ts';

export { PipelineGraph } from './wire.ts';

export const pipelines =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['pipelines'];

    app.post(
      '/pipelines/:id/restart',
      {
        schema: {
          operationId: 'restartPipeline',
          summary: 'Restart a pipeline, or start it if it has stopped or failed',
          tags,
          params: IdParams,
          body: Restart,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id }, body }) => {
        const { job } = await findPipeline(db, id);
        const again = { restartRequests: { increment: 1 }, restartForce: body.force ?? false };
        const data = { stop: 'none', ...again, updatedAt: nowMicros() };
        await db.job.update({ where: { id: job.id }, data });
        deps.nudge();
        return toWire(await findPipeline(db, id));
      },
    );

    await app.register(deadLetters(deps));
    await app.register(pipelineEvents(deps));
    await app.register(resource(deps, pipelineKind(deps)));

    app.post(
      '/pipelines/validate_query',
      {
        schema: {
          operationId: 'validateQuery',
          summary: 'Check a query and return its graph',
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
