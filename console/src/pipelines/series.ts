import type { JobSeries, PipelineEvent, Series, TaskStatus } from '../api/client.ts';

/** The last hour of a job in steps of ten seconds: what the API has stored, continued by the events of the stream. */

export type Metric = keyof Series;
/** Counts are per second. */
type Values = Partial<Record<Metric, number | null>>;

const counts = [
  'messages_in',
  'bytes_in',
  'rows_in',
  'rows_out',
  'messages_out',
  'bytes_out',
  'bad',
  'reconnects',
] as const;
const sums: readonly Metric[] = [...counts, 'in_flight', 'open_windows', 'state_bytes'];
const highest: readonly Metric[] = ['latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms', 'watermark_lag_ms'];
const metrics: readonly Metric[] = [...sums, ...highest];
const counted: ReadonlySet<Metric> = new Set(counts);

export type Split = 'totals' | 'task' | 'worker';

/** One line of each chart. */
interface Group {
  label: string;
  values: Record<Metric, (number | null)[]>;
}

export interface Lines {
  /** Unix seconds: the end of each step. */
  times: number[];
  groups: Group[];
  /** Number of groups before the quiet ones were left out. */
  all: number;
}

/** Adds values of tasks, of which some may be unknown. */
function together(all: readonly Values[]): Values {
  const result: Values = {};
  for (const metric of metrics) {
    let known: number | null = null;
    for (const values of all) {
      const value = values[metric];
      if (value === null || value === undefined) continue;
      known = known === null ? value : sums.includes(metric) ? known + value : Math.max(known, value);
    }
    result[metric] = known;
  }
  return result;
}

interface Part {
  index: number;
  worker: string;
  sum: Values;
  seconds: number;
}

interface LiveStep {
  totals: Values;
  seconds: number;
  parts: Map<string, Part>;
}

const maxSteps = 60;
const idOf = ({ index, operators }: TaskStatus): string =>
  [index, ...operators.map(({ operator_id }) => operator_id)].join(' ');

function countersOf({ operators, bad, reconnects }: TaskStatus): Values {
  const source = operators.filter(({ kind }) => kind === 'source');
  const sink = operators.find(({ kind }) => kind === 'sink');
  const add = (read: (one: (typeof source)[number]) => number | null): number =>
    source.reduce((total, one) => total + (read(one) ?? 0), 0);
  return {
    messages_in: add((one) => one.messages_in),
    bytes_in: add((one) => one.bytes_in),
    rows_in: add((one) => one.messages_out),
    rows_out: sink?.messages_in ?? 0,
    messages_out: sink?.messages_out ?? 0,
    bytes_out: sink?.bytes_out ?? 0,
    bad,
    reconnects,
  };
}

const gaugesOf = ({ in_flight, latency_ms: latency, windows }: TaskStatus): Values => ({
  in_flight,
  latency_p50_ms: latency?.p50 ?? null,
  latency_p95_ms: latency?.p95 ?? null,
  latency_p99_ms: latency?.p99 ?? null,
  watermark_lag_ms: windows?.watermark_lag_ms ?? null,
  open_windows: windows?.open ?? null,
  state_bytes: windows?.state_bytes ?? null,
});

/** The newest steps, of which the last is not over yet. */
export class LiveSteps {
  readonly stepMicros = 10_000_000;
  readonly #steps = new Map<number, LiveStep>();
  readonly #before = new Map<string, { at: number; counters: Values }>();
  #gauges: Values = {};

  /** Forgets what was counted: a gap may follow. */
  clear(): void {
    this.#steps.clear();
    this.#before.clear();
  }

  #stepAt(micros: number): LiveStep {
    const number = Math.floor((micros - 500_000) / this.stepMicros);
    const known = this.#steps.get(number);
    if (known) return known;
    const step: LiveStep = { totals: {}, seconds: 0, parts: new Map() };
    this.#steps.set(number, step);
    for (const old of this.#steps.keys()) if (this.#steps.size > maxSteps) this.#steps.delete(old);
    return step;
  }

  addRates(rates: NonNullable<PipelineEvent['rates']>): void {
    const step = this.#stepAt(rates.at);
    step.seconds++;
    const { totals } = step;
    for (const [name, value] of Object.entries(rates)) {
      if (name !== 'at') totals[name as Metric] = (totals[name as Metric] ?? 0) + value;
    }
    for (const [name, value] of Object.entries(this.#gauges)) totals[name as Metric] = value;
    totals.reconnects ??= 0;
  }

  addTasks(tasks: readonly TaskStatus[]): void {
    this.#gauges = together(tasks.map(gaugesOf));
    for (const task of tasks) {
      const id = idOf(task);
      const counters = countersOf(task);
      const before = this.#before.get(id);
      this.#before.set(id, { at: task.sampled_at, counters });
      const seconds = before ? (task.sampled_at - before.at) / 1_000_000 : 0;
      if (before && seconds > 0) this.#addPart(task, id, differences(counters, before.counters), seconds);
    }
  }

  #addPart(task: TaskStatus, id: string, added: Values, seconds: number): void {
    const step = this.#stepAt(task.sampled_at);
    const worker = task.worker ?? '–';
    const part = step.parts.get(id) ?? { index: task.index, worker, sum: {}, seconds: 0 };
    for (const name of counts) part.sum[name] = (part.sum[name] ?? 0) + (added[name] ?? 0);
    Object.assign(part.sum, gaugesOf(task));
    part.seconds += seconds;
    step.parts.set(id, part);
    step.totals.reconnects = (step.totals.reconnects ?? 0) + (added.reconnects ?? 0);
  }

  /** Steps from a time on (Unix microseconds), the oldest first. */
  since(micros: number): { end: number; totals: Values; parts: Part[] }[] {
    return [...this.#steps]
      .filter(([number]) => number * this.stepMicros >= micros)
      .sort(([one], [other]) => one - other)
      .map(([number, { totals, seconds, parts }]) => ({
        end: ((number + 1) * this.stepMicros) / 1_000_000,
        totals: perSecond(totals, seconds),
        parts: [...parts.values()].map((part) => ({ ...part, sum: perSecond(part.sum, part.seconds) })),
      }));
  }
}

/** A counter that became smaller was reset. */
const differences = (now: Values, before: Values): Values =>
  Object.fromEntries(
    counts.map((name) => {
      const [to, from] = [now[name] ?? 0, before[name] ?? 0];
      return [name, to >= from ? to - from : to];
    }),
  );

function perSecond(sum: Values, seconds: number): Values {
  const entries = Object.entries(sum) as [Metric, number | null][];
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      value !== null && counted.has(name) ? value / Math.max(1, seconds) : value,
    ]),
  );
}

const labelOf = (split: Split, { index, worker }: { index: number; worker: string }): string =>
  split === 'worker' ? worker : split === 'task' ? `Task ${index} on ${worker}` : 'Total';

const maxGroups = 12;

/** Puts stored and live steps together. The stored ones win where both exist. */
export function linesOf(stored: JobSeries | undefined, live: LiveSteps, split: Split): Lines {
  const length = stored?.length ?? 0;
  const step = (stored?.step_micros ?? live.stepMicros) / 1_000_000;
  const start = (stored?.start ?? 0) / 1_000_000;
  const times = Array.from({ length }, (_, nth) => start + (nth + 1) * step);
  const newer = live.since(stored ? stored.start + length * stored.step_micros : 0);
  const tail = newer.map(({ totals, parts }) =>
    split === 'totals'
      ? new Map([['Total', totals]])
      : new Map(
          [...Map.groupBy(parts, (part) => labelOf(split, part))].map(([label, same]) => [
            label,
            together(same.map(({ sum }) => sum)),
          ]),
        ),
  );
  const head = storedGroups(stored, split, step);
  const labels = new Set([...head.keys(), ...tail.flatMap((one) => [...one.keys()])]);
  const groups = [...labels].map((label): Group => {
    const values = {} as Group['values'];
    const before = head.get(label);
    for (const metric of metrics) {
      const first = before?.[metric] ?? Array.from({ length }, () => null);
      values[metric] = [...first, ...tail.map((one) => one.get(label)?.[metric] ?? null)];
    }
    return { label, values };
  });
  return { times: [...times, ...newer.map(({ end }) => end)], groups: busiest(groups), all: groups.length };
}

function storedGroups(
  stored: JobSeries | undefined,
  split: Split,
  step: number,
): Map<string, Group['values']> {
  if (!stored) return new Map();
  const scaled = (series: Series): Group['values'] =>
    Object.fromEntries(
      metrics.map((metric) => [
        metric,
        counted.has(metric)
          ? series[metric].map((value) => (value === null ? null : value / step))
          : series[metric],
      ]),
    ) as Group['values'];
  if (split === 'totals') return new Map([['Total', scaled(stored.totals)]]);
  const byLabel = Map.groupBy(stored.tasks, (task) => labelOf(split, task));
  return new Map(
    [...byLabel].map(([label, tasks]) => [label, added(tasks.map(({ series }) => scaled(series)))]),
  );
}

/** Adds columns step by step. */
function added(all: readonly Group['values'][]): Group['values'] {
  const [first, ...others] = all as [Group['values'], ...Group['values'][]];
  if (others.length === 0) return first;
  const result = {} as Group['values'];
  for (const metric of metrics)
    result[metric] = first[metric].map(
      (_, at) => together(all.map((values) => ({ [metric]: values[metric][at] ?? null })))[metric] ?? null,
    );
  return result;
}

function busiest(groups: readonly Group[]): Group[] {
  const total = ({ values }: Group): number =>
    values.messages_in.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const kept = [...groups].sort((a, b) => total(b) - total(a)).slice(0, maxGroups);
  return kept.sort((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true }));
}
