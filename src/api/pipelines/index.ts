import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { compileQuery, diagnose } from '../../pipeline/compile.ts';
import type { Plan } from '../../pipeline/plan.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import { IdParams, newestFirst, newId, nowMicros, Page, PageQuery, startAfter, toPage } from '../schemas.ts';
import { control } from './control.ts';
import { checkParallelism } from './parallelism.ts';
import {
  findPipeline,
  Pipeline,
  PipelinePost,
  QueryValidationResult,
  toWire,
  ValidateQueryPost,
} from './wire.ts';

export { PipelineGraph } from './wire.ts';

const defaultCheckpointInterval = 10_000_000n;

export const pipelines =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['pipelines'];
    await app.register(control(deps));

    app.post(
      '/pipelines',
      {
        schema: {
          operationId: 'createPipeline',
          summary: 'Create a pipeline and start its job',
          tags,
          body: PipelinePost,
          response: { 200: Pipeline, ...bodyProblems(409) },
        },
      },
      async ({ body }, reply) => {
        const plan = await compileQuery(body.query, catalog);
        checkParallelism(plan, body.parallelism);
        const id = newId('pl');
        const now = nowMicros();
        await db.pipeline.create({
          data: {
            id,
            name: body.name,
            query: body.query,
            parallelism: body.parallelism,
            checkpointIntervalMicros: BigInt(body.checkpoint_interval_micros ?? defaultCheckpointInterval),
            tags: JSON.stringify(body.tags ?? {}),
            graph: JSON.stringify(plan.graph),
            createdAt: now,
            updatedAt: now,
            tables: { create: usedTables(plan).map((connectionTableId) => ({ connectionTableId })) },
            job: { create: { id: newId('job'), createdAt: now, updatedAt: now, stateSince: now } },
          },
        });
        deps.nudge();
        reply.header('location', `/api/v1/pipelines/${id}`);
        return toWire(await findPipeline(db, id));
      },
    );

    app.get(
      '/pipelines',
      {
        schema: {
          operationId: 'listPipelines',
          summary: 'List the pipelines by page, newest first',
          tags,
          querystring: PageQuery,
          response: { 200: Page(Pipeline), ...problems(400) },
        },
      },
      async ({ query }) => {
        const after = await startAfter(query, (id) => db.pipeline.findUnique({ where: { id } }));
        const rows = await db.pipeline.findMany({
          where: after,
          orderBy: [...newestFirst],
          take: query.limit + 1,
          include: { job: true },
        });
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.flatMap((row) => (row.job ? [toWire({ ...row, job: row.job })] : [])), hasMore };
      },
    );

    app.get(
      '/pipelines/:id',
      {
        schema: {
          operationId: 'getPipeline',
          summary: 'Get a pipeline',
          tags,
          params: IdParams,
          response: { 200: Pipeline, ...problems(400, 404) },
        },
      },
      async ({ params }) => toWire(await findPipeline(db, params.id)),
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

const usedTables = (plan: Plan): string[] => [
  ...new Set(plan.tables.flatMap(({ stored }) => (stored ? [stored.tableId] : []))),
];
