import { actionFor, hasEnded, isResting, type JobState, type StopMode } from '../../jobs/states.ts';
import {
  counted,
  isQuiet,
  keptSamples,
  sampleEveryMs,
  type TaskCounts,
  type TaskError,
  type TaskPlace,
} from '../../jobs/stats.ts';
import { latestMs } from '../jobs/tasks.ts';
import type { OverviewEntry } from './wire.ts';

/** Makes the entries of the overview out of rows that were read, and of statistics that were parsed once. */

const second = sampleEveryMs * 1000;
/** Seconds in one step of the small chart. */
const stepSeconds = 4;
const steps = keptSamples / stepSeconds;
/** Number of seconds that the rates are averaged over. */
const averaged = 5;
/** A worker writes at most this number of tasks at each interval, so busy tasks take turns. */
const writtenTogether = 200;
const writeEveryMs = 2000;

/** The statistics of a task, as far as the overview needs them. */
export interface TaskDigest extends Pick<TaskCounts, 'at' | 'in_flight' | 'reconnects' | 'waiting_since'> {
  updatedAt: bigint;
  quiet: boolean;
  bad: number;
  last_error: TaskError | null;
  p99: number | null;
  watermarkLagMs: number | null;
  /** Per second, oldest first. */
  messagesIn: number[];
  messagesOut: number[];
  bytesIn: number[];
}

const [messagesIn, bytesIn, messagesOut] = (['messages_in', 'bytes_in', 'messages_out'] as const).map(
  (name) => counted.indexOf(name),
) as [number, number, number];

export function digestOf(updatedAt: bigint, text: string): TaskDigest {
  const counts = JSON.parse(text) as TaskCounts;
  const column = (index: number) => counts.samples.map((sample) => sample[index] ?? 0);
  return {
    ...{ updatedAt, at: counts.at, quiet: isQuiet(counts), bad: counts.totals.bad },
    ...{ in_flight: counts.in_flight, reconnects: counts.reconnects, waiting_since: counts.waiting_since },
    last_error: counts.last_error,
    p99: counts.latency?.p99 ?? null,
    watermarkLagMs: counts.windows?.watermarkLagMs ?? null,
    messagesIn: column(messagesIn),
    messagesOut: column(messagesOut),
    bytesIn: column(bytesIn),
  };
}

export interface OverviewTask {
  worker: string | null;
  state: string;
  stateSince: bigint;
  place: TaskPlace;
  digest: TaskDigest | undefined;
}

export interface OverviewPipeline {
  id: string;
  name: string;
  labels: Record<string, string>;
}

export interface OverviewJob {
  id: string;
  stateSince: bigint;
  startTime: bigint | null;
  stop: string;
  failureCode: string | null;
  failureMessage: string | null;
  deadLetters: number;
}

/** Time that the statistics of a busy task are waited for, if this number of tasks is busy. */
export const awaitedMs = (busy: number): number =>
  latestMs + Math.ceil(busy / writtenTogether) * writeEveryMs;

interface EntryTools {
  /** Unix microseconds. */
  now: number;
  awaitedMs: number;
  /** Name of a worker that is alive. */
  nameOf(worker: string): string | undefined;
}

export function entryOf(
  { id, name, labels }: OverviewPipeline,
  job: OverviewJob,
  state: JobState,
  all: readonly OverviewTask[],
  tools: EntryTools,
): OverviewEntry {
  const tasks = isResting(state) ? [] : all.flatMap((task) => currentOf(task, job.startTime ?? 0n));
  const digests = tasks.flatMap(({ digest }) => digest ?? []);
  const workers = tasks.flatMap(({ worker }) => (worker === null ? [] : (tools.nameOf(worker) ?? [])));
  const { action, action_in_progress } = actionFor(state, job.stop === 'none');
  const sum = (read: (digest: TaskDigest) => number) =>
    digests.reduce((total, digest) => total + read(digest), 0);
  return {
    ...{ id, job_id: job.id, name, labels, state, state_since: Number(job.stateSince) },
    ...{ stop: job.stop as StopMode, action, action_in_progress },
    failure: job.failureCode === null ? null : { code: job.failureCode, message: job.failureMessage ?? '' },
    tasks: tasks.length,
    workers: [...new Set(workers)].sort(),
    ...ratesOf(digests, tools),
    in_flight: sum(({ in_flight }) => in_flight),
    in_flight_max: tasks.reduce((total, { place }) => total + place.window, 0),
    lag_ms: highest(tasks.map((task) => lagOf(task, tools))),
    watermark_lag_ms: highest(digests.map(({ watermarkLagMs }) => watermarkLagMs)),
    latency_p99_ms: highest(digests.map(({ p99 }) => p99)),
    reconnects: sum(({ reconnects }) => reconnects),
    bad: sum(({ bad }) => bad),
    dead_letters: job.deadLetters,
    last_error: newest(digests.map(({ last_error }) => last_error)),
  };
}

/** The task without statistics from before the start of the job; nothing if it has ended without any. */
function currentOf(task: OverviewTask, startTime: bigint): OverviewTask[] {
  const { digest } = task;
  if (digest && digest.updatedAt > startTime) return [task];
  return hasEnded(task.state) ? [] : [{ ...task, digest: undefined }];
}

const highest = (values: readonly (number | null)[]): number | null =>
  values.reduce((most, value) => (most === null || (value !== null && value > most) ? value : most), null);

const newest = (errors: readonly (TaskError | null)[]): TaskError | null =>
  errors.reduce(
    (last, error) => (last === null || (error !== null && error.at > last.at) ? error : last),
    null,
  );

/** Whether more statistics of a task are on their way: after its last busy second, a quiet one is written. */
const isAwaited = ({ quiet, at }: TaskDigest, tools: EntryTools): boolean =>
  !quiet && at > tools.now - tools.awaitedMs * 1000;

/** Statistics are not written while nothing changes. Those of a busy task lag behind. */
function lagOf({ digest, stateSince }: OverviewTask, tools: EntryTools): number | null {
  const since = digest ? digest.waiting_since : Number(stateSince);
  if (since === null) return null;
  const until = digest && isAwaited(digest, tools) ? digest.at : tools.now;
  return Math.max(0, Math.round((until - since) / 1000));
}

type Rates = Pick<
  OverviewEntry,
  'messages_in_per_second' | 'messages_out_per_second' | 'bytes_in_per_second' | 'rates'
>;

const noRates = (): Rates => ({
  ...{ messages_in_per_second: 0, messages_out_per_second: 0, bytes_in_per_second: 0 },
  rates: Array.from({ length: steps }, () => 0),
});

/** Rates until the newest second that all busy tasks have reported. Other seconds without statistics count as quiet. */
function ratesOf(digests: readonly TaskDigest[], tools: EntryTools): Rates {
  const shown = noRates();
  const awaited = digests.filter((digest) => isAwaited(digest, tools));
  const until = awaited.length > 0 ? Math.min(...awaited.map(({ at }) => at)) : tools.now - latestMs * 1000;
  // Steps begin at fixed times, so that they stay the same while time goes on.
  const step = stepSeconds * second;
  const chartEnd = Math.floor(until / step) * step;
  for (const digest of digests) {
    shown.messages_in_per_second += lastSeconds(digest, digest.messagesIn, until);
    shown.messages_out_per_second += lastSeconds(digest, digest.messagesOut, until);
    shown.bytes_in_per_second += lastSeconds(digest, digest.bytesIn, until);
    for (const [nth, messages] of digest.messagesIn.entries()) {
      const end = digest.at - (digest.messagesIn.length - 1 - nth) * second;
      const place = steps - 1 - Math.floor((chartEnd - end) / step);
      if (messages !== 0 && place >= 0 && place < steps) (shown.rates[place] as number) += messages;
    }
  }
  return {
    messages_in_per_second: toTenth(shown.messages_in_per_second),
    messages_out_per_second: toTenth(shown.messages_out_per_second),
    bytes_in_per_second: Math.round(shown.bytes_in_per_second),
    rates: shown.rates.map((messages) => short(messages / stepSeconds)),
  };
}

const toTenth = (value: number): number => Math.round(value * 10) / 10;
/** Whole numbers, except for low rates. */
const short = (value: number): number => (value < 10 ? toTenth(value) : Math.round(value));

/** The average of the last seconds until a time. */
function lastSeconds({ at }: TaskDigest, values: readonly number[], until: number): number {
  const ahead = Math.round((at - until) / second);
  const end = values.length - ahead;
  let sum = 0;
  for (let nth = Math.max(0, end - averaged); nth < Math.min(end, values.length); nth++)
    sum += values[nth] ?? 0;
  return sum / averaged;
}
