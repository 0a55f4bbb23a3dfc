import {
  minuteMicros,
  type StepValue,
  type StoredCounts,
  type StoredSteps,
  stepMicros,
  stepSums,
  stepValues,
} from '../../jobs/series.ts';
import { hasEnded } from '../../jobs/states.ts';
import { isQuiet, type TaskPlace } from '../../jobs/stats.ts';
import type { Db } from '../../store/db.ts';
import { latestMs } from './tasks.ts';

/** Computes the series of a job out of the minutes that were stored, and of the newest statistics of its tasks. */

type Series = Record<StepValue, (number | null)[]>;

interface JobSeries {
  start: number;
  step_micros: number;
  length: number;
  tasks: {
    index: number;
    source_operator_id: string;
    sink_operator_id: string;
    worker: string;
    series: Series;
  }[];
  totals: Series;
}

/** A task from when a worker began it until that worker no longer had it. */
interface Stay {
  source: string;
  sink: string;
  index: number;
  worker: string;
  since: number;
  /** Up to here it is known what it did, so that a step that is not stored was quiet. */
  until: number;
  ended: boolean;
  /** Stored steps by number. */
  steps: Map<number, (number | null)[]>;
  /** Messages in flight since its statistics were written. */
  waiting: { after: number; inFlight: number } | undefined;
}

type SeriesRow = Awaited<ReturnType<Db['taskSeries']['findMany']>>[number];

export interface TaskWithStats {
  state: string;
  /** Name of its worker, if that is alive. */
  worker: string | undefined;
  place: TaskPlace;
  stats: StoredCounts;
}

const keyOf = (source: string, sink: string, index: number, rest: string | number): string =>
  `${source} ${sink} ${index} ${rest}`;

/** Puts the stored minutes and the newest statistics together. */
export function seriesOf(
  rows: readonly SeriesRow[],
  tasks: readonly TaskWithStats[],
  { since, now }: { since: number; now: number },
): JobSeries {
  const stays = new Map<string, Stay>();
  for (const row of rows) addRow(stays, row);
  for (const task of tasks) addTask(stays, task, now);
  const first = Math.floor(since / stepMicros);
  // The newest seconds are not all told yet.
  const length = Math.max(0, Math.floor((now - latestMs * 1000) / stepMicros) - first);
  const shown = [...stays.values()].filter(
    ({ since: from, until }) => until > first * stepMicros && from < (first + length) * stepMicros,
  );
  const byTask = Map.groupBy(shown, ({ source, sink, index, worker }) => keyOf(source, sink, index, worker));
  const found = [...byTask.values()].flatMap((same) => {
    const [{ source, sink, index, worker }] = same as [Stay];
    const series = together(
      same.sort((one, other) => one.since - other.since).map((stay) => seriesOfStay(stay, first, length)),
      length,
      (_, one, other) => other ?? one,
    );
    const place = { index, source_operator_id: source, sink_operator_id: sink, worker };
    return series.messages_in.some((value) => value !== null) ? [{ ...place, series }] : [];
  });
  const totals = together(
    found.map(({ series }) => series),
    length,
    (name, one, other) => (isMaximum(name) ? Math.max(one, other) : one + other),
  );
  return { start: first * stepMicros, step_micros: stepMicros, length, tasks: found, totals };
}

const isMaximum = (name: StepValue): boolean => name.startsWith('latency') || name === 'watermark_lag_ms';

function stayOf(stays: Map<string, Stay>, made: Stay): Stay {
  const key = keyOf(made.source, made.sink, made.index, made.since);
  const stay = stays.get(key) ?? made;
  stays.set(key, stay);
  return stay;
}

function addRow(stays: Map<string, Stay>, row: SeriesRow): void {
  const { sourceId: source, sinkId: sink, taskIndex: index, worker } = row;
  const since = Number(row.since);
  const stay = stayOf(stays, {
    ...{ source, sink, index, worker, since, until: 0, ended: false, steps: new Map(), waiting: undefined },
  });
  const { steps, end } = JSON.parse(row.steps) as StoredSteps;
  for (const [number, ...step] of steps) stay.steps.set(number, step);
  stay.until = Math.max(stay.until, end ?? Number(row.minute) + minuteMicros);
  stay.ended ||= end !== undefined;
}

/** Adds the steps that are not written yet. */
function addTask(
  stays: Map<string, Stay>,
  { state, worker, place, stats }: TaskWithStats,
  now: number,
): void {
  if (!stats.series) return;
  const { since, worker: writer, steps } = stats.series;
  const stay = stayOf(stays, {
    ...{ source: place.source.id, sink: place.sink.id, index: place.index, worker: writer, since },
    ...{ until: 0, ended: false, steps: new Map(), waiting: undefined },
  });
  for (const [number, ...step] of steps) if (!stay.steps.has(number)) stay.steps.set(number, step);
  if (stay.ended) return;
  // While it is quiet, nothing is written.
  const silent = isQuiet(stats) && worker === writer && !hasEnded(state);
  stay.until = Math.max(stay.until, silent ? now : stats.at);
  stay.waiting = { after: stats.at, inFlight: stats.in_flight };
}

/** The statistics of the last second of a step may be written a moment before it ends. */
const tolerance = 1_000_000;

function seriesOfStay(stay: Stay, first: number, length: number): Series {
  const series = emptySeries(length);
  const stored = [...stay.steps.keys()].filter((number) => number < first);
  let kept = stay.steps.get(Math.max(...stored));
  const until = stay.ended ? stay.until : stay.until + tolerance - stepMicros;
  for (let nth = 0; nth < length; nth++) {
    const begin = (first + nth) * stepMicros;
    const step = stay.steps.get(first + nth);
    if ((!step && begin + stepMicros <= stay.since) || begin > until) continue;
    kept = step ?? kept;
    for (const [place, name] of stepValues.entries())
      series[name][nth] = step ? (step[place] ?? null) : quietValue(name, kept?.[place] ?? null);
    if (!step && stay.waiting && begin > stay.waiting.after) series.in_flight[nth] = stay.waiting.inFlight;
  }
  return series;
}

/** Value in a step without activity. The state of windows stays as it was. */
function quietValue(name: StepValue, kept: number | null): number | null {
  if (name === 'open_windows' || name === 'state_bytes') return kept;
  return name === 'in_flight' || stepSums.some((one) => one === name) ? 0 : null;
}

const emptySeries = (length: number): Series =>
  Object.fromEntries(
    stepValues.map((name) => [name, Array.from({ length }, (): number | null => null)]),
  ) as Series;

/** Makes one series of several. Counts of one step are added up. */
function together(
  all: readonly Series[],
  length: number,
  both: (name: StepValue, one: number, other: number) => number,
): Series {
  const result = emptySeries(length);
  for (const series of all)
    for (const name of stepValues)
      for (const [nth, value] of series[name].entries()) {
        const known = result[name][nth] ?? null;
        const isSum = stepSums.some((one) => one === name);
        if (value !== null)
          result[name][nth] = known === null ? value : isSum ? known + value : both(name, known, value);
      }
  return result;
}
