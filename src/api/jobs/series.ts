import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type TSchema } from 'typebox';
import {
  minuteMicros,
  type StepValue,
  type StoredCounts,
  shownMicros,
  stepMicros,
  stepStateGauges,
  stepValues,
} from '../../jobs/series.ts';
import type { TaskPlace } from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { problems } from '../problem.ts';
import { nullable, strict } from '../schemas.ts';
import type { JobRow } from '../workers/alive.ts';
import { findJob, JobParams } from './index.ts';
import { seriesOf, type TaskWithStats } from './stays.ts';

const values = (name: StepValue) =>
  name in descriptions ? { description: descriptions[name] as string } : {};

const descriptions: Partial<Record<StepValue, string>> = {
  messages_in: 'Messages received in each step',
  bytes_in: 'Payload bytes received in each step',
  rows_in: 'Rows decoded in each step',
  rows_out: 'Rows that the query emitted in each step',
  messages_out: 'Messages that the sink confirmed in each step',
  bytes_out: 'Payload bytes that the sink confirmed in each step',
  bad: 'Messages and rows that could not be processed in each step',
  reconnects: 'Reconnects after errors in each step',
  in_flight: 'Highest number of messages that were not acknowledged; in totals the sum over the tasks',
  latency_p50_ms: 'As in TaskStatus, at the end of the step; in totals that of the slowest task',
  watermark_lag_ms: 'Time from the watermark to the clock at the end of the step; in totals the longest',
  open_windows: 'Windows that collect rows at the end of the step; in totals the sum',
  state_bytes: 'Size of the stored state at the end of the step; in totals the sum',
};

const SeriesSchema = Type.Object(
  Object.fromEntries(
    stepValues.map((name): [string, TSchema] => [name, Type.Array(nullable(Type.Number()), values(name))]),
  ),
  { title: 'Series' },
);

const exampleSeries = Object.fromEntries(
  stepValues.map((name) => {
    const state = stepStateGauges.some((one) => one === name);
    return [name, state ? [null, null, null] : [null, 0, 1200]];
  }),
);

const JobSeriesSchema = Type.Object(
  {
    start: Type.Integer({ description: 'Unix microseconds: start of the first step' }),
    step_micros: Type.Integer({ description: 'Length of a step' }),
    length: Type.Integer({ description: 'Number of steps, and of values in each series' }),
    tasks: Type.Array(
      Type.Object({
        index: Type.Integer({ description: 'Index of the task' }),
        source_operator_id: Type.String(),
        sink_operator_id: Type.String(),
        worker: Type.String({ description: 'Name of the worker that ran it' }),
        series: SeriesSchema,
      }),
      { description: 'A task that ran on several workers is there for each of them' },
    ),
    totals: SeriesSchema,
  },
  {
    title: 'JobSeries',
    examples: [
      {
        start: 1_790_000_000_000_000,
        step_micros: stepMicros,
        length: 3,
        tasks: [
          {
            index: 0,
            source_operator_id: 'source_readings_1c5a3e',
            sink_operator_id: 'sink_alerts_77d02b',
            worker: 'north-1',
            series: exampleSeries,
          },
        ],
        totals: exampleSeries,
      },
    ],
  },
);
async function tasksOf(db: Db, { id: jobId, alive }: JobRow): Promise<TaskWithStats[]> {
  const select = { worker: true, state: true, place: true, stats: { select: { stats: true } } };
  const rows = await db.task.findMany({ where: { jobId }, select });
  return rows.flatMap(({ worker, state, place, stats }) =>
    stats
      ? {
          ...{ state, worker: alive.get(worker ?? ''), place: JSON.parse(place) as TaskPlace },
          stats: JSON.parse(stats.stats) as StoredCounts,
        }
      : [],
  );
}

const SeriesQuery = Type.Object(
  {
    since: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Unix microseconds: time to begin at. At most one hour ago, which is the default',
      }),
    ),
  },
  strict,
);

export const jobSeries =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.get(
      '/pipelines/:id/jobs/:job_id/series',
      {
        schema: {
          operationId: 'getJobSeries',
          summary: 'Get the last hour of a job in steps of 10 seconds',
          description:
            'All series have one time axis, from start. Counts are sums of the step, not rates. A value is null if it is not ' +
            'known, such as before the task began or after its worker stopped, and 0 if the task was quiet. The step that is ' +
            'not over yet is left out.',
          tags: ['jobs'],
          params: JobParams,
          querystring: SeriesQuery,
          response: { 200: JobSeriesSchema, ...problems(400, 404) },
        },
      },
      async ({ params, query }, reply) => {
        const job = await findJob(db, params);
        const now = Number(nowMicros());
        const since = Math.max(query.since ?? 0, now - shownMicros);
        // The tasks first: what they have told may be written meanwhile.
        const tasks = await tasksOf(db, job);
        const rows = await db.taskSeries.findMany({
          where: { jobId: job.id, minute: { gt: BigInt(since - minuteMicros) } },
          orderBy: [{ sourceId: 'asc' }, { sinkId: 'asc' }, { taskIndex: 'asc' }, { minute: 'asc' }],
        });
        // Large, and of numbers only.
        const json = JSON.stringify(seriesOf(rows, tasks, { since, now }));
        return reply.type('application/json; charset=utf-8').send(json as never);
      },
    );
  };
