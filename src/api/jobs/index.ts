import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static, type TObject } from 'typebox';
import { PenstockError } from '../../errors.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { problems } from '../problem.ts';
import {
  Collection,
  IdParams,
  newestFirst,
  Page,
  PageQuery,
  startAfter,
  strict,
  toPage,
} from '../schemas.ts';
import { OperatorMetricGroup, operatorMetricGroups, statsOf, TaskStatus, taskStatuses } from './stats.ts';
import { Job, JobLogMessage, JobParams, messageToWire, toWire } from './wire.ts';

const MessagesQuery = Type.Object(
  {
    ...PageQuery.properties,
    level: Type.Enum(['info', 'warn', 'error'], {
      default: 'warn',
      description: 'Lowest level to list. info includes changes of state',
    }),
  },
  strict,
);
const levels = ['info', 'warn', 'error'];

async function findJob(db: Db, { id: pipelineId, job_id: id }: { id: string; job_id: string }) {
  const job = await db.job.findFirst({ where: { id, pipelineId } });
  if (!job) throw new PenstockError('not_found', `There is no job ${id} of a pipeline ${pipelineId}`);
  return job;
}

export const jobs =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db } = deps;
    const tags = ['jobs'];

    app.get(
      '/jobs',
      {
        schema: {
          operationId: 'listJobs',
          summary: 'List all jobs, newest first',
          tags,
          response: { 200: Collection(Job), ...problems() },
        },
      },
      async () => ({ data: (await db.job.findMany({ orderBy: [...newestFirst] })).map(toWire) }),
    );

    app.get(
      '/pipelines/:id/jobs',
      {
        schema: {
          operationId: 'listPipelineJobs',
          summary: 'List the jobs of a pipeline (always one)',
          tags,
          params: IdParams,
          response: { 200: Collection(Job), ...problems(400, 404) },
        },
      },
      async ({ params: { id } }) => {
        const rows = await db.job.findMany({ where: { pipelineId: id } });
        if (rows.length === 0) throw new PenstockError('not_found', `There is no pipeline ${id}`);
        return { data: rows.map(toWire) };
      },
    );

    app.get(
      '/pipelines/:id/jobs/:job_id/errors',
      {
        schema: {
          operationId: 'listJobErrors',
          summary: 'List the errors, warnings and state changes of a job by page, newest first',
          tags,
          params: JobParams,
          querystring: MessagesQuery,
          response: { 200: Page(JobLogMessage), ...problems(400, 404) },
        },
      },
      async ({ params, query }) => {
        const { id: jobId } = await findJob(db, params);
        const after = await startAfter(query, (last) =>
          db.jobMessage.findFirst({ where: { id: last, jobId } }),
        );
        const rows = await db.jobMessage.findMany({
          where: { jobId, level: { in: levels.slice(levels.indexOf(query.level)) }, ...after },
          orderBy: [...newestFirst],
          take: query.limit + 1,
        });
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.map(messageToWire), hasMore };
      },
    );

    app.get(
      '/pipelines/:id/jobs/:job_id/operator_metric_groups',
      {
        schema: {
          operationId: 'getOperatorMetricGroups',
          summary: 'Get the throughput of each operator in the last 120 seconds',
          description:
            'Rates per second, sampled once a second and stored every 2 seconds (less often if a worker has more than 200 ' +
            'busy jobs). Empty for a job that does not run.',
          tags,
          params: JobParams,
          response: { 200: Collection(OperatorMetricGroup), ...problems(400, 404) },
        },
      },
      async ({ params }) => {
        const stats = await statsOf(db, await findJob(db, params));
        return { data: stats ? operatorMetricGroups(stats) : [] };
      },
    );

    app.get(
      '/pipelines/:id/jobs/:job_id/tasks',
      {
        schema: {
          operationId: 'listJobTasks',
          summary: 'List the tasks of a running job with their counters',
          tags,
          params: JobParams,
          response: { 200: Collection(TaskStatus), ...problems(400, 404) },
        },
      },
      async ({ params }) => {
        const stats = await statsOf(db, await findJob(db, params));
        return { data: stats ? taskStatuses(stats) : [] };
      },
    );

    /** A list that is always empty, for Arroyo's console. */
    const emptyList = (
      operationId: string,
      summary: string,
      tag: string,
      path: string,
      params: TObject | undefined,
    ): void => {
      const response = {
        200: Collection(Type.Unknown({ examples: [{}] })),
        ...problems(...(params ? [400, 404] : [])),
      };
      const schema = { operationId, summary, tags: [tag], ...(params && { params }), response };
      app.get(path, { schema }, async (request) => {
        if (params) await findJob(db, request.params as Static<typeof JobParams>);
        return { data: [] };
      });
    };
    const checkpoints = '/pipelines/:id/jobs/:job_id/checkpoints';
    emptyList(
      'listJobCheckpoints',
      'List the checkpoints of a job (always empty)',
      'jobs',
      checkpoints,
      JobParams,
    );
    emptyList(
      'listOperatorCheckpointGroups',
      'List the operators in a checkpoint (always empty)',
      'jobs',
      `${checkpoints}/:epoch/operator_checkpoint_groups`,
      Type.Object({ ...JobParams.properties, epoch: Type.Integer({ minimum: 0, maximum: 2 ** 32 }) }, strict),
    );
    emptyList('listUdfs', 'List user-defined functions (always empty)', 'pipelines', '/udfs', undefined);
  };
