import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../../errors.ts';
import { isResting, jobStates } from '../../jobs/states.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { problems } from '../problem.ts';
import { Collection, Id, IdParams, Micros, newestFirst, nullable, strict } from '../schemas.ts';
import { type JobRow, jobStateOf, withWorkers } from '../workers/alive.ts';
import { OperatorMetricGroup, operatorMetricGroups, TaskStatus, taskStatuses } from './stats.ts';
import { aligned, tasksOf } from './tasks.ts';

/** Number of lost connections, without a healthy time in between, that make a crash loop. */
const crashLoop = 5;
const healthyMicros = 60_000_000n;

export const Domain = Type.Enum(['user', 'external', 'internal'], {
  description: 'The party that has to act',
});

export const Job = Type.Object(
  {
    id: Type.String(),
    pipeline_id: Type.String(),
    running_desired: Type.Boolean({ description: 'Whether it should run' }),
    state: Type.Enum([...jobStates]),
    run_id: Type.Integer({ description: 'Number of starts, and of edits that changed the number of tasks' }),
    start_time: nullable(Micros),
    finish_time: nullable(Micros),
    tasks: nullable(Type.Integer()),
    failure_reason: nullable(
      Type.Object({ error: Type.String(), domain: Domain, code: Type.String({ description: 'Error code' }) }),
    ),
    created_at: Micros,
    scheduler_config: Type.Object({}, { description: 'Always empty' }),
    env_vars: Type.Object({}, { description: 'Always empty' }),
    state_since: Micros,
    recoveries: Type.Integer({
      description: 'Number of lost connections since it last ran for a full minute',
    }),
    recovering_since: nullable(Micros, { description: 'Time of the first of these losses' }),
    crash_looping: Type.Boolean({
      description: `Whether it lost its connection ${crashLoop} times or more without running for a full minute`,
    }),
    worker: nullable(Type.String(), {
      description: 'Name of the worker that controls it. Its tasks may run in others',
    }),
  },
  {
    $id: 'Job',
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
        recoveries: 0,
        recovering_since: null,
        crash_looping: false,
        worker: 'north-1',
      },
    ],
  },
);

export const JobParams = Type.Object({ id: Id, job_id: Id }, strict);

const numberOf = (micros: bigint | null): number | null => (micros === null ? null : Number(micros));

export function toWire(row: JobRow): Static<typeof Job> {
  const failure_reason = row.failureCode
    ? {
        error: row.failureMessage ?? '',
        domain: (row.failureDomain ?? 'internal') as Static<typeof Domain>,
        code: row.failureCode,
      }
    : null;
  const state = jobStateOf(row);
  const healthy = isResting(state) || (state === 'Running' && nowMicros() - row.stateSince > healthyMicros);
  const recoveries = healthy ? 0 : row.recoveries;
  return {
    id: row.id,
    pipeline_id: row.pipelineId,
    running_desired: row.stop === 'none',
    state,
    run_id: row.runId,
    start_time: numberOf(row.startTime),
    finish_time: numberOf(row.finishTime),
    tasks: row.tasks,
    failure_reason,
    created_at: Number(row.createdAt),
    scheduler_config: {},
    env_vars: {},
    state_since: Number(row.stateSince),
    recoveries,
    recovering_since: healthy ? null : numberOf(row.recoveringSince),
    crash_looping: recoveries >= crashLoop,
    worker: row.alive.get(row.worker ?? '') ?? null,
  };
}

export async function findJob(
  db: Db,
  { id: pipelineId, job_id: id }: { id: string; job_id: string },
): Promise<JobRow> {
  const [job] = await withWorkers(db, await db.job.findMany({ where: { id, pipelineId } }));
  if (!job) throw new PenstockError('not_found', `There is no job ${id} of a pipeline ${pipelineId}`);
  return job;
}

export const jobs =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
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
      async () => {
        const rows = await db.job.findMany({ orderBy: [...newestFirst] });
        return { data: (await withWorkers(db, rows)).map(toWire) };
      },
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
        return { data: (await withWorkers(db, rows)).map(toWire) };
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
        const stats = aligned(await tasksOf(db, await findJob(db, params)));
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
        return { data: taskStatuses(await tasksOf(db, await findJob(db, params))) };
      },
    );
  };
