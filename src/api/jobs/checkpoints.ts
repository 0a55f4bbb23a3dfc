import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { sampleEveryMs } from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Deps } from '../deps.ts';
import { problems } from '../problem.ts';
import { Collection, Micros, nullable, strict } from '../schemas.ts';
import { findJob, JobParams } from './index.ts';
import { type AlignedTasks, aligned, latestMs, type ShownTask, tasksOf } from './tasks.ts';

/**
 * Arroyo's checkpoints, without state: epoch n begins n intervals after the job was created, and is finished once everything
 * that arrived before its begin is acknowledged. They are computed from the statistics of the last two minutes.
 */

const Span = Type.Object({
  start_time: Micros,
  finish_time: Micros,
  event: Type.String(),
  description: Type.String(),
});

const Checkpoint = Type.Object(
  {
    epoch: Type.Integer({ description: 'Number of the interval since the job was created' }),
    backend: Type.String({ description: 'Always broker: it keeps what is not acknowledged' }),
    checkpoint_type: Type.Enum(['scheduled']),
    start_time: Micros,
    finish_time: nullable(Micros, {
      description: 'When everything that arrived before start_time was acknowledged, to the second',
    }),
    events: Type.Array(Span, { description: 'Always empty' }),
  },
  {
    title: 'Checkpoint',
    examples: [
      {
        epoch: 3,
        backend: 'broker',
        checkpoint_type: 'scheduled',
        start_time: 1_790_000_030_000_000,
        finish_time: 1_790_000_031_000_000,
        events: [],
      },
    ],
  },
);
type Checkpoint = Static<typeof Checkpoint>;

const OperatorCheckpointGroup = Type.Object(
  {
    operator_id: Type.String(),
    bytes: Type.Integer({ description: 'Always 0: operators keep no state' }),
    started_metadata_write: Type.Null(),
    finish_time: nullable(Micros),
    subtasks: Type.Array(
      Type.Object({ index: Type.Integer(), bytes: Type.Integer(), event_spans: Type.Array(Span) }),
    ),
  },
  {
    title: 'OperatorCheckpointGroup',
    examples: [
      {
        operator_id: 'source_readings_1c5a3e',
        bytes: 0,
        started_metadata_write: null,
        finish_time: 1_790_000_031_000_000,
        subtasks: [{ index: 0, bytes: 0, event_spans: [] }],
      },
    ],
  },
);
type OperatorCheckpointGroup = Static<typeof OperatorCheckpointGroup>;

const maxShown = 20;
/** Statistics reach back two minutes, so that a longer interval would show nothing. */
const maxInterval = 60_000_000;
const second = sampleEveryMs * 1000;

interface Timeline {
  createdAt: bigint;
  startTime: bigint | null;
  /** In microseconds. */
  interval: number;
  now: number;
}

/** The checkpoints of a running job, the oldest first. */
export function checkpointsOf(
  stats: AlignedTasks,
  { createdAt, startTime, interval, now }: Timeline,
): Checkpoint[] {
  const every = Math.min(interval, maxInterval);
  const [created, started] = [Number(createdAt), Number(startTime ?? createdAt)];
  const lengths = stats.tasks.map(({ waiting_samples: samples = [] }) => samples.length);
  // A task that no worker has yet has none.
  const known = Math.min(...lengths.filter((length) => length > 0 || Math.max(...lengths) === 0));
  const earliest = Math.max(started, stats.at - (known - 1) * second);
  const last = Math.floor((now - created) / every);
  const first = Math.max(1, Math.ceil((earliest - created) / every), last - maxShown + 1);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, nth) => {
    const epoch = first + nth;
    const start_time = created + epoch * every;
    const finish_time = finishOf(stats, start_time, now);
    return { epoch, backend: 'broker', checkpoint_type: 'scheduled', start_time, finish_time, events: [] };
  });
}

const finishOf = ({ at, tasks }: AlignedTasks, start: number, now: number): number | null =>
  tasks.reduce<number | null>((latestFinish, task) => {
    const finish = acknowledgedAt(task, at, start, now);
    return latestFinish === null || finish === null ? null : Math.max(latestFinish, finish);
  }, start);

/** When a task had acknowledged everything that arrived before `start`: the first sample that shows it. */
function acknowledgedAt(task: ShownTask, at: number, start: number, now: number): number | null {
  const { waiting_since: since = null, waiting_samples: samples = [] } = task;
  for (const [nth, waited] of samples.entries()) {
    const time = at - (samples.length - 1 - nth) * second;
    if (time >= start && time - waited * 1000 >= start) return time;
  }
  // Statistics are not written while nothing changes.
  const settled = now - start > latestMs * 1000 && (since === null || since >= start);
  return settled ? Math.max(start, at) : null;
}

/** The operators in one of these checkpoints. */
export function operatorGroups(
  { at, tasks }: AlignedTasks,
  { start_time: start, finish_time }: Checkpoint,
  now: number,
): OperatorCheckpointGroup[] {
  const groups = new Map<string, OperatorCheckpointGroup>();
  for (const task of tasks) {
    const finish = acknowledgedAt(task, at, start, now);
    const description = 'Until everything that arrived before was acknowledged';
    const span = { start_time: start, finish_time: finish ?? now, event: 'acknowledged', description };
    for (const operator of [task.source, task.transform, task.sink]) {
      if (!operator) continue;
      const known = groups.get(operator.id);
      const group = known ?? {
        ...{ operator_id: operator.id, bytes: 0, started_metadata_write: null, finish_time, subtasks: [] },
      };
      group.subtasks.push({ index: task.index, bytes: 0, event_spans: finish === null ? [] : [span] });
      groups.set(operator.id, group);
    }
  }
  return [...groups.values()];
}

export const checkpoints =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const tags = ['jobs'];
    const path = '/pipelines/:id/jobs/:job_id/checkpoints';
    const shown = async (params: { id: string; job_id: string }) => {
      const job = await findJob(db, params);
      const stats = aligned(await tasksOf(db, job));
      if (!stats) return undefined;
      const { checkpointIntervalMicros } = await db.pipeline.findUniqueOrThrow({ where: { id: params.id } });
      const now = Number(nowMicros());
      const data = checkpointsOf(stats, { ...job, interval: Number(checkpointIntervalMicros), now });
      return { stats, now, data };
    };

    app.get(
      path,
      {
        schema: {
          operationId: 'listJobCheckpoints',
          summary:
            'List the latest checkpoints of a running job: when everything that had arrived was acknowledged',
          description:
            'There is one for each checkpoint interval, or minute if that is longer, of the last two minutes, at most 20. ' +
            'Operators keep no state; the broker keeps what is not acknowledged.',
          tags,
          params: JobParams,
          response: { 200: Collection(Checkpoint), ...problems(400, 404) },
        },
      },
      async ({ params }) => ({ data: (await shown(params))?.data ?? [] }),
    );

    app.get(
      `${path}/:epoch/operator_checkpoint_groups`,
      {
        schema: {
          operationId: 'listOperatorCheckpointGroups',
          summary: 'List the operators in a checkpoint (empty if it is no longer listed)',
          tags,
          params: Type.Object(
            { ...JobParams.properties, epoch: Type.Integer({ minimum: 0, maximum: 2 ** 53 - 1 }) },
            strict,
          ),
          response: { 200: Collection(OperatorCheckpointGroup), ...problems(400, 404) },
        },
      },
      async ({ params }) => {
        const found = await shown(params);
        const checkpoint = found?.data.find(({ epoch }) => epoch === params.epoch);
        return { data: found && checkpoint ? operatorGroups(found.stats, checkpoint, found.now) : [] };
      },
    );
  };
