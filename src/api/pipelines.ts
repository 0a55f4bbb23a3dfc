import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import { actionFor, isResting, type JobState, type StopMode } from '../job.ts';
import { compileQuery, diagnose } from '../pipeline/compile.ts';
import type { Plan } from '../pipeline/plan.ts';
import type { Deps } from './app.ts';
import { bodyProblems, problems } from './problem.ts';
import {
  IdParams,
  Name,
  newestFirst,
  newId,
  nowMicros,
  Page,
  PageQuery,
  StopMode as StopModeSchema,
  startAfter,
  strict,
  toPage,
} from './schemas.ts';

export const PipelineGraph = Type.Object(
  {
    nodes: Type.Array(
      Type.Object({
        node_id: Type.Integer(),
        operator: Type.String(),
        description: Type.String(),
        parallelism: Type.Integer(),
      }),
    ),
    edges: Type.Array(
      Type.Object({
        src_id: Type.Integer(),
        dest_id: Type.Integer(),
        key_type: Type.String(),
        value_type: Type.String(),
        edge_type: Type.String(),
      }),
    ),
  },
  { $id: 'PipelineGraph' },
);

const Pipeline = Type.Object({
  id: Type.String(),
  name: Type.String(),
  query: Type.String(),
  udfs: Type.Array(Type.Unknown(), { description: 'Always empty' }),
  checkpoint_interval_micros: Type.Integer(),
  stop: StopModeSchema,
  created_at: Type.Integer({ description: 'Unix microseconds' }),
  action: Type.Union([StopModeSchema, Type.Null()], {
    description: 'What to send as stop for the action offered',
  }),
  action_text: Type.String({ description: 'The caption of that action' }),
  action_in_progress: Type.Boolean(),
  graph: Type.Unsafe<Static<typeof PipelineGraph>>({ $ref: 'PipelineGraph#' }),
  preview: Type.Boolean(),
  state_url: Type.Null(),
  tags: Type.Record(Type.String(), Type.String()),
  parallelism: Type.Integer(),
});

const exampleQuery = `CREATE TABLE readings (device TEXT, celsius DOUBLE) WITH (
  connector = 'mqtt', url = 'mqtt://localhost:1883', topic = 'plant/readings', qos = 'AtLeastOnce',
  type = 'source', format = 'json');
CREATE TABLE alerts (device TEXT, celsius DOUBLE) WITH (
  connector = 'mqtt', url = 'mqtt://localhost:1883', topic = 'plant/alerts', qos = 'AtLeastOnce',
  type = 'sink', format = 'json');
INSERT INTO alerts SELECT device, celsius FROM readings WHERE celsius > 90;`;

const Query = Type.String({ minLength: 1, maxLength: 100_000, description: 'SQL' });
const NoUdfs = Type.Optional(
  Type.Union([Type.Array(Type.Unknown(), { maxItems: 0 }), Type.Null()], {
    description: 'There are none: [] or left out',
  }),
);
const CheckpointInterval = Type.Integer({ minimum: 1_000_000, maximum: 86_400_000_000 });
const Parallelism = Type.Integer({
  minimum: 1,
  maximum: 1,
  description: 'Tasks side by side; more than one is not available yet',
});

const PipelinePost = Type.Object(
  {
    name: Name,
    query: Query,
    parallelism: Parallelism,
    udfs: NoUdfs,
    checkpoint_interval_micros: Type.Optional(Type.Union([CheckpointInterval, Type.Null()])),
    tags: Type.Optional(
      Type.Union([Type.Record(Type.String(), Type.String({ maxLength: 256 })), Type.Null()]),
    ),
  },
  { ...strict, examples: [{ name: 'overheating', query: exampleQuery, parallelism: 1 }] },
);

const PipelinePatch = Type.Object(
  {
    stop: Type.Optional(StopModeSchema),
    parallelism: Type.Optional(Parallelism),
    checkpoint_interval_micros: Type.Optional(CheckpointInterval),
  },
  { ...strict, minProperties: 1, examples: [{ stop: 'graceful' }] },
);

const Restart = Type.Object(
  {
    force: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    ignore_state: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  },
  { ...strict, examples: [{ force: false }] },
);

const Location = Type.Object({ line: Type.Integer(), column: Type.Integer() });
const ValidateQueryPost = Type.Object(
  { query: Query, udfs: NoUdfs },
  { ...strict, examples: [{ query: exampleQuery }] },
);
const QueryValidationResult = Type.Object({
  graph: Type.Union([Type.Unsafe<Static<typeof PipelineGraph>>({ $ref: 'PipelineGraph#' }), Type.Null()]),
  errors: Type.Array(
    Type.Object({
      message: Type.String(),
      span: Type.Optional(Type.Object({ start: Location, end: Location }, { description: 'Counted from 1' })),
    }),
  ),
});

const defaultCheckpointInterval = 10_000_000n;

export const pipelines =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['pipelines'];
    const include = { job: true } as const;

    const found = async (id: string) => {
      const row = await db.pipeline.findUnique({ where: { id }, include });
      if (row?.job) return { ...row, job: row.job };
      throw new PenstockError('not_found', `There is no pipeline ${id}`);
    };

    const toWire = (row: Awaited<ReturnType<typeof found>>): Static<typeof Pipeline> => ({
      id: row.id,
      name: row.name,
      query: row.query,
      udfs: [],
      checkpoint_interval_micros: Number(row.checkpointIntervalMicros),
      stop: row.job.stop as StopMode,
      created_at: Number(row.createdAt),
      ...actionFor(row.job.state as JobState, row.job.stop === 'none'),
      graph: JSON.parse(row.graph),
      preview: false,
      state_url: null,
      tags: JSON.parse(row.tags),
      parallelism: row.parallelism,
    });

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
        return toWire(await found(id));
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
          include,
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
      async ({ params }) => toWire(await found(params.id)),
    );

    app.patch(
      '/pipelines/:id',
      {
        schema: {
          operationId: 'patchPipeline',
          summary: 'Stop or start a pipeline',
          tags,
          params: IdParams,
          body: PipelinePatch,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id }, body }) => {
        const { job } = await found(id);
        const updatedAt = nowMicros();
        if (body.checkpoint_interval_micros !== undefined) {
          const checkpointIntervalMicros = BigInt(body.checkpoint_interval_micros);
          await db.pipeline.update({ where: { id }, data: { checkpointIntervalMicros, updatedAt } });
        }
        if (body.stop !== undefined) {
          // Starting a job that has failed is asking for another run.
          const again =
            body.stop === 'none' && job.state === 'Failed' ? { restartRequests: { increment: 1 } } : {};
          await db.job.update({ where: { id: job.id }, data: { stop: body.stop, updatedAt, ...again } });
          deps.nudge();
        }
        return toWire(await found(id));
      },
    );

    app.post(
      '/pipelines/:id/restart',
      {
        schema: {
          operationId: 'restartPipeline',
          summary: 'Restart a pipeline, or start it when it has stopped or failed',
          tags,
          params: IdParams,
          body: Restart,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id } }) => {
        const { job } = await found(id);
        const data = { stop: 'none', restartRequests: { increment: 1 }, updatedAt: nowMicros() };
        await db.job.update({ where: { id: job.id }, data });
        deps.nudge();
        return toWire(await found(id));
      },
    );

    app.delete(
      '/pipelines/:id',
      {
        schema: {
          operationId: 'deletePipeline',
          summary: 'Delete a pipeline that does not run, and what it left on its brokers',
          tags,
          params: IdParams,
          response: { 200: Type.Null({ description: 'Deleted' }), ...problems(400, 404, 409) },
        },
      },
      async ({ params: { id } }) => {
        const { job, query, parallelism } = await found(id);
        const running = new PenstockError('pipeline_running', `The pipeline is ${job.state}`, {
          hint: 'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
        });
        if (!isResting(job.state as JobState)) throw running;
        const leftovers = await leftoversOf(query, job.id, parallelism);
        await db.$transaction(async (tx) => {
          // Only as long as no worker has taken it in the meantime.
          const { count } = await tx.pipeline.deleteMany({
            where: { id, job: { worker: null, state: job.state } },
          });
          if (count === 0) throw running;
          if (job.runId > 0) await tx.leftover.createMany({ data: leftovers });
        });
        deps.nudge();
        return null;
      },
    );

    /** The broker sessions that a job may have left: one for each of its sources and tasks. */
    const leftoversOf = async (query: string, jobId: string, parallelism: number) => {
      const result = await diagnose(query, catalog);
      // A query that does not compile any more cannot tell where its sessions are; they expire by themselves.
      if (!('plan' in result)) return [];
      const now = nowMicros();
      return result.plan.inserts.flatMap(({ source, operatorIds }) =>
        Array.from({ length: parallelism }, (_, taskIndex) => {
          const id = newId('lo');
          const sealed = catalog.sealLeftover(id, source);
          return {
            id,
            ...sealed,
            jobId,
            operatorId: operatorIds.source,
            taskIndex,
            createdAt: now,
            nextTry: now,
          };
        }),
      );
    };

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
