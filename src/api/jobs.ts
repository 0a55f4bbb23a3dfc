import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import { jobStates, shownState } from '../job.ts';
import type { Deps } from './deps.ts';
import { problems } from './problem.ts';
import {
  Collection,
  Id,
  IdParams,
  newestFirst,
  nowMicros,
  Page,
  PageQuery,
  startAfter,
  strict,
  toPage,
} from './schemas.ts';

const Domain = Type.Enum(['user', 'external', 'internal'], { description: 'Whose business it is' });

const Job = Type.Object(
  {
    id: Type.String(),
    pipeline_id: Type.String(),
    running_desired: Type.Boolean({ description: 'Whether it is meant to run' }),
    state: Type.Enum([...jobStates]),
    run_id: Type.Integer({ description: 'Counts its starts' }),
    start_time: Type.Union([Type.Integer({ description: 'Unix microseconds' }), Type.Null()]),
    finish_time: Type.Union([Type.Integer({ description: 'Unix microseconds' }), Type.Null()]),
    tasks: Type.Union([Type.Integer(), Type.Null()]),
    failure_reason: Type.Union([
      Type.Object({
        error: Type.String(),
        domain: Domain,
        code: Type.String({ description: 'As in a problem' }),
      }),
      Type.Null(),
    ]),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    scheduler_config: Type.Object({}, { description: 'Always empty' }),
    env_vars: Type.Object({}, { description: 'Always empty' }),
    state_since: Type.Integer({ description: 'Unix microseconds' }),
  },
  {
    examples: [
      {
        id: 'job_Y2kD6fWq0S',
        pipeline_id: 'pl_5TgR7bN1wC',
        running_desired: true,
        state: 'Running',
        run_id: 1,
        start_time: 1_790_000_000_000_000,
        finish_time: null,
        tasks: 1,
        failure_reason: null,
        created_at: 1_790_000_000_000_000,
        scheduler_config: {},
        env_vars: {},
        state_since: 1_790_000_000_100_000,
      },
    ],
  },
);

const JobLogMessage = Type.Object(
  {
    id: Type.String(),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    operator_id: Type.Union([Type.String(), Type.Null()]),
    task_index: Type.Union([Type.Integer(), Type.Null()]),
    level: Type.Enum(['info', 'warn', 'error']),
    message: Type.String(),
    details: Type.String({ description: 'JSON: the hint and the fields concerned' }),
    error_domain: Type.Union([Domain, Type.Null()]),
    code: Type.Union([Type.String(), Type.Null()]),
  },
  {
    examples: [
      {
        id: 'jlm_mfz3k1c0a7b2',
        created_at: 1_790_000_000_000_000,
        operator_id: null,
        task_index: null,
        level: 'warn',
        message: 'The broker closed the connection',
        details: '{"hint":null,"errors":[]}',
        error_domain: null,
        code: 'connection_lost',
      },
    ],
  },
);

const JobParams = Type.Object({ id: Id, job_id: Id }, strict);

interface Row {
  id: string;
  pipelineId: string;
  stop: string;
  state: string;
  stateSince: bigint;
  leaseUntil: bigint | null;
  runId: number;
  startTime: bigint | null;
  finishTime: bigint | null;
  tasks: number | null;
  failureCode: string | null;
  failureMessage: string | null;
  failureDomain: string | null;
  createdAt: bigint;
}

const orNull = (micros: bigint | null): number | null => (micros === null ? null : Number(micros));

function toWire(row: Row): Static<typeof Job> {
  const failure_reason = row.failureCode
    ? {
        error: row.failureMessage ?? '',
        domain: (row.failureDomain ?? 'internal') as Static<typeof Domain>,
        code: row.failureCode,
      }
    : null;
  return {
    id: row.id,
    pipeline_id: row.pipelineId,
    running_desired: row.stop === 'none',
    state: shownState(row, nowMicros()),
    run_id: row.runId,
    start_time: orNull(row.startTime),
    finish_time: orNull(row.finishTime),
    tasks: row.tasks,
    failure_reason,
    created_at: Number(row.createdAt),
    scheduler_config: {},
    env_vars: {},
    state_since: Number(row.stateSince),
  };
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
          summary: 'List the jobs of a pipeline: one',
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
          summary: "List a job's errors and warnings by page, newest first",
          tags,
          params: JobParams,
          querystring: PageQuery,
          response: { 200: Page(JobLogMessage), ...problems(400, 404) },
        },
      },
      async ({ params: { id, job_id: jobId }, query }) => {
        const job = await db.job.findFirst({ where: { id: jobId, pipelineId: id } });
        if (!job) throw new PenstockError('not_found', `There is no job ${jobId} of a pipeline ${id}`);
        const after = await startAfter(query, (last) =>
          db.jobMessage.findFirst({ where: { id: last, jobId } }),
        );
        const rows = await db.jobMessage.findMany({
          where: { jobId, ...after },
          orderBy: [...newestFirst],
          take: query.limit + 1,
        });
        const { data, hasMore } = toPage(rows, query.limit);
        const wire = data.map((row) => ({
          id: row.id,
          created_at: Number(row.createdAt),
          operator_id: row.operatorId,
          task_index: row.taskIndex,
          level: row.level as 'info' | 'warn' | 'error',
          message: row.message,
          details: row.details,
          error_domain: null,
          code: row.code,
        }));
        return { data: wire, hasMore };
      },
    );

    app.get(
      '/udfs',
      {
        schema: {
          operationId: 'listUdfs',
          summary: "List user-defined functions: there are none, but Arroyo's console asks",
          tags: ['pipelines'],
          response: { 200: Collection(Type.Unknown({ examples: [{}] })), ...problems() },
        },
      },
      async () => ({ data: [] }),
    );
  };
