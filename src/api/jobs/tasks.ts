import { hasEnded, isResting, type TaskState } from '../../jobs/states.ts';
import {
  counted,
  isQuiet,
  keptSamples,
  sampleEveryMs,
  type TaskCounts,
  type TaskPlace,
  type TaskStatus,
} from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db } from '../../store/db.ts';
import { type JobRow, jobStateOf } from '../workers/alive.ts';

/** A task with its worker, and its counts: zero until a worker has written them. */
export interface ShownTask extends TaskStatus {
  state: TaskState;
  /** Name of the worker that runs it. */
  worker: string | null;
}

/** The tasks of a job, whose series all end at `at`. */
export interface AlignedTasks {
  at: number;
  tasks: ShownTask[];
}

/** The tasks of a job to read, with their counts. */
export const taskRows = {
  where: { state: { not: 'ended' } },
  select: {
    worker: true,
    state: true,
    stateSince: true,
    place: true,
    stats: { select: { updatedAt: true, stats: true } },
  },
} satisfies Parameters<Db['task']['findMany']>[0];

interface TaskRow {
  worker: string | null;
  state: string;
  stateSince: bigint;
  place: string;
  stats: { updatedAt: bigint; stats: string } | null;
}

export async function tasksOf(db: Db, job: JobRow): Promise<ShownTask[]> {
  if (isResting(jobStateOf(job))) return [];
  const { where, select } = taskRows;
  return shownTasks(job, await db.task.findMany({ where: { jobId: job.id, ...where }, select }));
}

/** Counts from before the last start of the job are left out. */
export function shownTasks({ startTime, alive }: JobRow, rows: readonly TaskRow[]): ShownTask[] {
  const tasks = rows.flatMap((row): ShownTask[] => {
    const state = row.state as TaskState;
    const current = row.stats !== null && row.stats.updatedAt > (startTime ?? 0n) ? row.stats : null;
    if (!current && hasEnded(state)) return [];
    const place = JSON.parse(row.place) as TaskPlace;
    const counts = current ? (JSON.parse(current.stats) as TaskCounts) : notCounted(Number(row.stateSince));
    return [{ ...place, ...counts, state, worker: alive.get(row.worker ?? '') ?? null }];
  });
  const order = ({ source, sink, index }: ShownTask) => [source.node, sink.node, index] as const;
  return tasks.sort((one, other) => {
    const differences = order(one).map((value, nth) => value - (order(other)[nth] as number));
    return differences.find((difference) => difference !== 0) ?? 0;
  });
}

const notCounted = (since: number): TaskCounts => ({
  at: since,
  connected: false,
  totals: Object.fromEntries(counted.map((name) => [name, 0])) as TaskCounts['totals'],
  batches: 0,
  in_flight: 0,
  reconnects: 0,
  last_error: null,
  latency: null,
  samples: [],
  in_flight_samples: [],
  waiting_since: since,
  waiting_samples: [],
});

/** Maximum delay of the statistics of a worker. */
export const latestMs = 3000;
const second = sampleEveryMs * 1000;

/** Number of seconds in a time. Workers do not sample at the same moment. */
export const wholeSeconds = (micros: number): number => Math.round(micros / second);

/**
 * The end of the newest second that all busy tasks have told of. Each worker writes its tasks every few seconds; one that is
 * later than that is not waited for.
 */
export function toldUntil(tasks: readonly ShownTask[], now: number): number {
  const awaited = tasks.filter((task) => !isQuiet(task) && task.at > now - latestMs * 1000);
  const times = (some: readonly ShownTask[]) => some.map(({ at }) => at);
  return awaited.length > 0 ? Math.min(...times(awaited)) : Math.max(...times(tasks));
}

/** Lets the series of tasks of several workers end with the same second. Undefined without tasks. */
export function aligned(tasks: readonly ShownTask[], now = Number(nowMicros())): AlignedTasks | undefined {
  if (tasks.length === 0) return undefined;
  const at = toldUntil(tasks, now);
  return { at, tasks: tasks.map((task) => endingAt(task, at)) };
}

/** Cuts off newer seconds. Seconds that are missing were quiet, because a worker does not write these. */
function endingAt(task: ShownTask, at: number): ShownTask {
  const { samples, in_flight_samples, waiting_samples, waiting_since } = task;
  const missing = wholeSeconds(at - task.at);
  if (missing === 0 || samples.length === 0) return task;
  const fitted = <T>(series: readonly T[] = [], add: (back: number) => T): T[] => {
    if (missing < 0) return series.slice(0, missing);
    const added = Math.min(missing, keptSamples);
    const more = Array.from({ length: added }, (_, nth) => add(added - 1 - nth));
    return [...series, ...more].slice(-keptSamples);
  };
  const waited = (back: number) =>
    waiting_since === null ? 0 : Math.max(0, Math.round((at - back * second - waiting_since) / 1000));
  const quiet = counted.map(() => 0);
  const { window_samples: windows } = task;
  return {
    ...task,
    samples: fitted(samples, () => quiet),
    in_flight_samples: fitted(in_flight_samples, () => task.in_flight),
    waiting_samples: fitted(waiting_samples, waited),
    ...(windows ? { window_samples: fitted(windows, () => windows.at(-1) ?? []) } : {}),
  };
}
