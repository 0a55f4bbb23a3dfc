import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { type StoredCheckpoint, sampleEveryMs, type TaskPlace } from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import { type Db, providerIn } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { problems } from '../problem.ts';
import { Collection, Micros, nullable, strict } from '../schemas.ts';
import { findJob, JobParams } from './index.ts';
import { type AlignedTasks, aligned, latestMs, type ShownTask, tasksOf } from './tasks.ts';

/**
 * Arroyo's checkpoints. Those of a job with a state are its latest commits, at most one for each second. Without state epoch n
 * begins n intervals after the job was created, and is finished once everything that arrived before its begin is acknowledged:
 * computed from the statistics of the last two minutes.
 */

const Span = Type.Object({
  start_time: Micros,
  finish_time: Micros,
  event: Type.String(),
  description: Type.String(),
});

const Checkpoint = Type.Object(
  {
    epoch: Type.Integer({
      description:
        'Number of the commit of the state. Without state: of the interval since the job was created',
    }),
    backend: Type.String({
      description:
        'Where the state is: sqlite or postgresql. Without state: broker, which keeps what is not acknowledged',
    }),
    checkpoint_type: Type.Enum(['scheduled', 'delta', 'snapshot'], {
      description:
        'delta: it added rows to the state. snapshot: it wrote the whole state. scheduled: there is no state',
    }),
    start_time: Micros,
    finish_time: nullable(Micros, {
      description: 'When everything that arrived before start_time was acknowledged, to the second',
    }),
    events: Type.Array(Span, { description: 'Always empty' }),
    bytes: nullable(Type.Integer(), { description: 'Size of what it wrote; null without state' }),
    state_bytes: nullable(Type.Integer(), {
      description: 'Size of the whole state after it; null without state',
    }),
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
        bytes: null,
        state_bytes: null,
      },
    ],
  },
);
type Checkpoint = Static<typeof Checkpoint>;

const OperatorCheckpointGroup = Type.Object(
  {
    operator_id: Type.String(),
    bytes: Type.Integer({
      description: 'Size of what the checkpoint wrote of its state; the state is that of a transform',
    }),
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
    const none = { events: [], bytes: null, state_bytes: null };
    return { epoch, backend: 'broker', checkpoint_type: 'scheduled', start_time, finish_time, ...none };
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

/** The latest checkpoints of the state of one transform. */
interface StateCheckpoints {
  operatorId: string;
  stored: readonly StoredCheckpoint[];
}

/** Puts the checkpoints of all states of a job together by their epochs, the oldest first. */
export function stateCheckpointsOf(states: readonly StateCheckpoints[], backend: string): Checkpoint[] {
  const byEpoch = Map.groupBy(
    states.flatMap(({ stored }) => stored),
    ({ epoch }) => epoch,
  );
  const all = [...byEpoch].sort(([one], [other]) => one - other);
  return all.slice(-maxShown).map(([epoch, parts]) => ({
    epoch,
    backend,
    checkpoint_type: parts.every(({ kind }) => kind === 'snapshot') ? 'snapshot' : 'delta',
    start_time: Math.min(...parts.map(({ startTime }) => startTime)),
    finish_time: Math.max(...parts.map(({ finishTime }) => finishTime)),
    events: [],
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    state_bytes: parts.reduce((sum, { stateBytes }) => sum + stateBytes, 0),
  }));
}

/** The operators in a checkpoint of states. Sources and sinks are known while the job runs. */
export function stateOperatorGroups(
  states: readonly StateCheckpoints[],
  tasks: readonly TaskPlace[],
  epoch: number,
): OperatorCheckpointGroup[] {
  return states.flatMap(({ operatorId, stored }) => {
    const found = stored.find((one) => one.epoch === epoch);
    if (!found) return [];
    const { startTime: start_time, finishTime: finish_time, bytes } = found;
    const span = { start_time, finish_time, event: 'committed', description: 'Until it was stored durably' };
    const task = tasks.find(({ transform }) => transform?.id === operatorId);
    const ends = task ? [task.source, ...(task.others ?? []), task.sink] : [];
    return [{ id: operatorId, size: bytes }, ...ends.map(({ id }) => ({ id, size: 0 }))].map(
      ({ id, size }) => ({
        ...{ operator_id: id, bytes: size, started_metadata_write: null, finish_time },
        subtasks: [{ index: 0, bytes: size, event_spans: [span] }],
      }),
    );
  });
}

async function statesOf(db: Db, jobId: string): Promise<StateCheckpoints[]> {
  const select = { operatorId: true, checkpoints: true };
  const rows = await db.taskState.findMany({ where: { jobId }, select, orderBy: { operatorId: 'asc' } });
  return rows.map(({ operatorId, checkpoints: text }) => ({ operatorId, stored: JSON.parse(text) }));
}

export const checkpoints =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const tags = ['jobs'];
    const path = '/pipelines/:id/jobs/:job_id/checkpoints';
    const shown = async (params: { id: string; job_id: string }) => {
      const job = await findJob(db, params);
      const states = await statesOf(db, job.id);
      if (states.length > 0) {
        const data = stateCheckpointsOf(states, providerIn(db));
        const tasks = await tasksOf(db, job);
        return { data, groups: ({ epoch }: Checkpoint) => stateOperatorGroups(states, tasks, epoch) };
      }
      const stats = aligned(await tasksOf(db, job));
      if (!stats) return undefined;
      const { checkpointIntervalMicros } = await db.pipeline.findUniqueOrThrow({ where: { id: params.id } });
      const now = Number(nowMicros());
      const data = checkpointsOf(stats, { ...job, interval: Number(checkpointIntervalMicros), now });
      return { data, groups: (checkpoint: Checkpoint) => operatorGroups(stats, checkpoint, now) };
    };

    app.get(
      path,
      {
        schema: {
          operationId: 'listJobCheckpoints',
          summary:
            'List the latest checkpoints of a job: commits of its state, or what a running job had acknowledged',
          description:
            'Of a job with windows or aggregates: the latest commits of its state, at most one for each second, at most 20. ' +
            'Of others, while they run: when everything that had arrived was acknowledged, for each checkpoint interval, or ' +
            'minute if that is longer, of the last two minutes; the broker keeps what is not acknowledged.',
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
        return { data: found && checkpoint ? found.groups(checkpoint) : [] };
      },
    );
  };
