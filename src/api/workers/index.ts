import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../../errors.ts';
import { type TaskState, taskStates } from '../../jobs/states.ts';
import type { Db } from '../../store/db.ts';
import { auditedAs } from '../audit.ts';
import type { Deps } from '../deps.ts';
import { Labels } from '../labels.ts';
import { bodyProblems, problems } from '../problem.ts';
import { Collection, Micros, nullable, optionalBody, strict } from '../schemas.ts';
import { freshWorkers, isFresh } from './alive.ts';

const exampleWorker = {
  name: 'north-1',
  version: '0.2.0',
  host: 'edge-7',
  alive: true,
  draining: false,
  labels: { site: 'north' },
  exclusive: false,
  slots: 100,
  tasks: 12,
  jobs: 5,
  load: 3.2,
  started_at: 1_790_000_000_000_000,
  last_heartbeat: 1_790_000_600_000_000,
};

const Worker = Type.Object(
  {
    name: Type.String({ description: 'PENSTOCK_WORKER_NAME; by default the host name and the process id' }),
    version: Type.String({ description: 'Version of Penstock' }),
    host: Type.String(),
    alive: Type.Boolean({ description: 'Whether its last heartbeat is younger than 10 seconds' }),
    draining: Type.Boolean({
      description: 'Whether it gives its tasks to others, because of a request or because it ends',
    }),
    labels: Labels,
    exclusive: Type.Boolean({
      description: 'Whether it runs only pipelines whose placement names one of its labels',
    }),
    slots: nullable(Type.Integer(), { description: 'Maximum number of tasks; null for no limit' }),
    tasks: Type.Integer({ description: 'Number of tasks that it runs' }),
    jobs: Type.Integer({ description: 'Number of jobs that it controls' }),
    load: Type.Number({ description: 'Sum of the weights of its tasks. Workers are balanced by it' }),
    started_at: Micros,
    last_heartbeat: Micros,
  },
  { title: 'Worker', examples: [exampleWorker] },
);

const maxTasks = 1000;

const WorkerWithTasks = Type.Object(
  {
    ...Worker.properties,
    placed_tasks: Type.Array(
      Type.Object({
        job_id: Type.String(),
        pipeline_id: Type.String(),
        pipeline: Type.String({ description: 'Name of the pipeline' }),
        index: Type.Integer({ description: 'Index of the task' }),
        state: Type.Enum([...taskStates]),
      }),
      { description: `Tasks that it runs, at most ${maxTasks}` },
    ),
  },
  {
    title: 'WorkerWithTasks',
    examples: [
      {
        ...exampleWorker,
        placed_tasks: [
          {
            job_id: 'job_Y2kD6fWq0S',
            pipeline_id: 'pl_5TgR7bN1wC',
            pipeline: 'overheating',
            index: 0,
            state: 'running',
          },
        ],
      },
    ],
  },
);

const DrainPost = Type.Object(
  { drain: Type.Optional(Type.Boolean({ default: true, description: 'false lets it take tasks again' })) },
  { ...strict, title: 'DrainPost', examples: [{ drain: true }] },
);

const WorkerParams = Type.Object({ name: Type.String({ pattern: '^[0-9A-Za-z._-]{1,255}$' }) }, strict);

type WorkerRow = Awaited<ReturnType<Db['worker']['findFirstOrThrow']>>;

const toWire = (row: WorkerRow): Static<typeof Worker> => ({
  name: row.name,
  version: row.version,
  // The id is <host>/<pid>/<nonce>/<start>.
  host: row.id.split('/')[0] as string,
  alive: isFresh(row),
  draining: row.drainRequested || row.ending,
  labels: JSON.parse(row.labels),
  exclusive: row.exclusive,
  slots: row.slots,
  tasks: row.tasks,
  jobs: row.jobs,
  load: Math.round(row.load * 1000) / 1000,
  started_at: Number(row.startedAt),
  last_heartbeat: Number(row.heartbeatAt),
});

/** Of the processes with the same name the newest that is alive, or the newest: one may have been restarted. */
function shownOf(rows: readonly WorkerRow[]): WorkerRow[] {
  const shown = new Map<string, WorkerRow>();
  const rank = (row: WorkerRow) => [Number(isFresh(row)), Number(row.startedAt)] as const;
  for (const row of rows) {
    const known = shown.get(row.name);
    const [[alive, started], [knownAlive, knownStarted]] = [rank(row), known ? rank(known) : [-1, 0]];
    if (alive > knownAlive || (alive === knownAlive && started > knownStarted)) shown.set(row.name, row);
  }
  return [...shown.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

const noWorker = (name: string, more = ''): PenstockError =>
  new PenstockError('not_found', `There is no worker ${name}${more}`, {
    hint: 'GET /api/v1/workers lists them. A worker that has ended leaves the list, at the latest after a minute.',
  });

export const workers =
  ({ db, nudge }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const tags = ['workers'];
    const find = async (name: string): Promise<WorkerRow> => {
      const [row] = shownOf(await db.worker.findMany({ where: { name } }));
      if (row) return row;
      throw noWorker(name);
    };

    app.get(
      '/workers',
      {
        schema: {
          operationId: 'listWorkers',
          summary: 'List the workers, by name',
          description: 'A worker that ended without notice is listed for a minute, as not alive.',
          tags,
          response: { 200: Collection(Worker), ...problems() },
        },
      },
      async () => ({ data: shownOf(await db.worker.findMany()).map(toWire) }),
    );

    app.get(
      '/workers/:name',
      {
        schema: {
          operationId: 'getWorker',
          summary: 'Get a worker with its tasks',
          tags,
          params: WorkerParams,
          response: { 200: WorkerWithTasks, ...problems(400, 404) },
        },
      },
      async ({ params: { name } }) => {
        const row = await find(name);
        return { ...toWire(row), placed_tasks: await placedTasks(db, row.id) };
      },
    );

    app.post(
      '/workers/:name/drain',
      {
        schema: {
          operationId: 'drainWorker',
          summary: 'Let a worker give its tasks to others, or take tasks again',
          description:
            'The worker finishes the messages in flight of each task and hands it over. It goes on without tasks until it ' +
            'ends or until `{"drain": false}`. A restart of the worker forgets the request.',
          tags,
          params: WorkerParams,
          body: optionalBody(DrainPost),
          response: { 200: Worker, ...bodyProblems(404) },
        },
      },
      async (request) => {
        const { name } = request.params;
        const before = await find(name);
        auditedAs(request, { object: name, before: toWire(before) });
        const drainRequested = request.body?.drain ?? true;
        const where = { name, ...freshWorkers() };
        const { count } = await db.worker.updateMany({ where, data: { drainRequested } });
        if (count === 0) throw noWorker(name, ' that is alive');
        nudge();
        return toWire(await find(name));
      },
    );
  };

async function placedTasks(db: Db, worker: string) {
  const rows = await db.task.findMany({
    where: { worker, state: { not: 'ended' } },
    select: {
      state: true,
      place: true,
      jobId: true,
      job: { select: { pipeline: { select: { id: true, name: true } } } },
    },
    orderBy: { id: 'asc' },
    take: maxTasks,
  });
  return rows.map(({ state, place, jobId, job: { pipeline } }) => ({
    job_id: jobId,
    pipeline_id: pipeline.id,
    pipeline: pipeline.name,
    index: (JSON.parse(place) as { index: number }).index,
    state: state as TaskState,
  }));
}
