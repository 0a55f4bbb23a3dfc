import {
  minuteMicros,
  minuteOf,
  type Step,
  type StoredSteps,
  stepAt,
  stepsPerMinute,
} from '../jobs/series.ts';
import { type CountName, type Counts, counted, type Latency, type StateGauges } from '../jobs/stats.ts';
import { nowMicros } from '../store/clock.ts';
import type { WorkerDeps } from './deps.ts';

/** Minutes that are kept while they cannot be written. */
const keptMinutes = 15;
/** Steps in the statistics: of this minute, of the last one, and of a late write. */
const shownSteps = 3 * stepsPerMinute;

/** Counters of a task at the end of a second. Counts are totals. */
export interface StepReading {
  counts: Readonly<Counts>;
  in_flight: number;
  reconnects: number;
  windows: StateGauges | undefined;
  latency(): Latency | null;
}

/** A row of `TaskSeries` without the place of its task. */
interface SeriesRow {
  minute: number;
  stored: StoredSteps;
}

/** Adds up what a task does in each step, while this worker has it. */
export class StepRecorder {
  /** When it began (Unix microseconds). */
  readonly since = Number(nowMicros());
  #number = stepAt(this.since);
  readonly #counts: number[] = counted.map(() => 0);
  #inFlight = 0;
  /** The totals up to which counts are added up. */
  readonly #before: number[] = counted.map(() => 0);
  #reconnectsBefore = 0;
  #reconnects = 0;
  #last: StepReading | undefined;
  #steps: Step[] = [];
  #end: number | undefined;
  #endWritten = false;

  /** Adds what has changed since the last call to the step that a second belongs to. */
  add(at: number, reading: StepReading): void {
    const number = stepAt(at);
    if (number !== this.#number) this.#close(number);
    for (let index = 0; index < counted.length; index++) {
      const total = reading.counts[counted[index] as CountName];
      (this.#counts[index] as number) += total - (this.#before[index] as number);
      this.#before[index] = total;
    }
    this.#reconnects += reading.reconnects - this.#reconnectsBefore;
    this.#reconnectsBefore = reading.reconnects;
    this.#inFlight = Math.max(this.#inFlight, reading.in_flight);
    this.#last = reading;
  }

  #close(next: number): void {
    const step = this.#current();
    if (step) this.#steps.push(step);
    this.#steps.splice(0, Math.max(0, this.#steps.length - keptMinutes * stepsPerMinute));
    this.#number = next;
    this.#counts.fill(0);
    this.#reconnects = 0;
    this.#inFlight = 0;
  }

  /** The step that is not over yet. Undefined if nothing has happened in it. */
  #current(): Step | undefined {
    if (this.isQuiet) return undefined;
    const sums = [...this.#counts, this.#reconnects];
    const latency = this.#last?.latency() ?? null;
    const { p50 = null, p95 = null, p99 = null } = latency ?? {};
    const windows = this.#last?.windows;
    const state = windows ? [windows.watermarkLagMs, windows.openWindows, windows.stateBytes] : [];
    return [this.#number, ...sums, this.#inFlight, p50, p95, p99, ...state];
  }

  /** Whether nothing has happened in the step that is not over yet. */
  get isQuiet(): boolean {
    return this.#inFlight === 0 && this.#reconnects === 0 && this.#counts.every((count) => count === 0);
  }

  /** Steps that may not be written yet, the newest last. */
  get unwritten(): Step[] {
    const current = this.#current();
    return (current ? [...this.#steps, current] : this.#steps).slice(-shownSteps);
  }

  /** This worker no longer has the task. */
  end(): void {
    if (this.#end !== undefined) return;
    this.#end = Number(nowMicros());
    if (this.#last) this.add(this.#end, this.#last);
    this.#close(this.#number);
  }

  /** Whether the task has ended and everything is written. */
  get over(): boolean {
    return this.#endWritten && this.#steps.length === 0;
  }

  /** The minutes that are over at a time, or all of them if the task has ended. */
  due(at: number): SeriesRow[] {
    const end = this.#end;
    const first = this.#steps[0]?.[0];
    if (end === undefined && (first === undefined || minuteOf(first) + minuteMicros > at)) return [];
    const minutes = Map.groupBy(this.#steps, ([number]) => minuteOf(number));
    if (this.#endWritten) return rowsOf(minutes);
    if (end !== undefined) {
      const last = minuteOf(stepAt(end));
      const steps = minutes.get(last) ?? [];
      minutes.delete(last);
      return [...rowsOf(minutes), { minute: last, stored: { steps, end } }];
    }
    return rowsOf(minutes).filter(({ minute }) => minute + minuteMicros <= at);
  }

  written({ minute, stored }: SeriesRow): void {
    this.#endWritten ||= stored.end !== undefined;
    this.#steps = this.#steps.filter(([number]) => minuteOf(number) !== minute);
  }
}

const rowsOf = (minutes: ReadonlyMap<number, Step[]>): SeriesRow[] =>
  [...minutes].map(([minute, steps]) => ({ minute, stored: { steps } }));

/** A task whose steps are written. */
export interface RecordedTask {
  jobId: string;
  sourceId: string;
  sinkId: string;
  taskIndex: number;
  recorder: StepRecorder;
}

/** After a minute, its rows are written within this time, each task at its own moment. */
const spreadMs = 45_000;
/** Time for the last sample of a minute to be taken. */
const settledMs = 2_000;
/** Maximum number of rows written at each round. */
const maxRows = 500;
/** Maximum number of rows per transaction: SQLite writes block this thread. */
const maxTogether = 50;

interface DueRow {
  task: RecordedTask;
  row: SeriesRow;
}

type SeriesDeps = Pick<WorkerDeps, 'db' | 'logger' | 'identity'>;

/** Writes the minutes of all tasks of this worker, each once. A failure delays them, and stops nothing. */
export class SeriesWriter {
  readonly #deps: SeriesDeps;
  readonly #tasks: () => Iterable<RecordedTask>;
  /** Those that run here, and those that have ended and are not written yet. */
  readonly #known = new Map<StepRecorder, RecordedTask>();
  /** Whether the last write failed, so that its rows may be there. */
  #failed = false;
  #writing: Promise<void> | undefined;

  constructor(deps: SeriesDeps, tasks: () => Iterable<RecordedTask>) {
    this.#deps = deps;
    this.#tasks = tasks;
  }

  /** Writes what is due, if no write is under way. */
  begin(): void {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Waits for the write that is under way. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Writes everything after the tasks of this worker have ended, as far as the database takes it. */
  async finish(): Promise<void> {
    await this.#writing;
    do await this.#write();
    while (this.#known.size > 0 && !this.#failed);
  }

  async #write(): Promise<void> {
    try {
      const due = this.#due();
      for (let at = 0; at < due.length; at += maxTogether) {
        const rows = due.slice(at, at + maxTogether);
        await writeRows(this.#deps, rows, this.#failed);
        for (const { task, row } of rows) task.recorder.written(row);
      }
      this.#failed = false;
    } catch (err) {
      this.#failed = true;
      this.#deps.logger.debug({ err }, 'series of tasks not written yet');
    }
    for (const recorder of this.#known.keys()) if (recorder.over) this.#known.delete(recorder);
  }

  #due(): DueRow[] {
    const running = new Map([...this.#tasks()].map((task) => [task.recorder, task]));
    for (const recorder of this.#known.keys()) if (!running.has(recorder)) recorder.end();
    for (const [recorder, task] of running) this.#known.set(recorder, task);
    const now = Number(nowMicros());
    const rows = [...this.#known.values()].flatMap((task) =>
      task.recorder.due(now - (settledMs + momentOf(task)) * 1000).map((row) => ({ task, row })),
    );
    return rows.slice(0, maxRows);
  }
}

/** A moment of its own for each task. */
function momentOf({ jobId, sourceId, sinkId, taskIndex }: RecordedTask): number {
  let hash = taskIndex;
  for (const char of jobId + sourceId + sinkId) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % spreadMs;
  return hash;
}

/** Writes rows of jobs that exist. */
async function writeRows(
  { db, identity }: SeriesDeps,
  due: readonly DueRow[],
  again: boolean,
): Promise<void> {
  const ids = [...new Set(due.map(({ task }) => task.jobId))];
  const found = await db.job.findMany({ where: { id: { in: ids } }, select: { id: true } });
  const jobs = new Set(found.map(({ id }) => id));
  const keys = due.flatMap(({ task: { recorder, ...place }, row: { minute, stored } }) =>
    jobs.has(place.jobId)
      ? [{ key: { ...place, minute: BigInt(minute), since: BigInt(recorder.since) }, stored }]
      : [],
  );
  const data = keys.map(({ key, stored }) => ({
    ...key,
    worker: identity.name,
    steps: JSON.stringify(stored),
  }));
  if (data.length === 0) return;
  await db.$transaction(async (tx) => {
    if (again) await tx.taskSeries.deleteMany({ where: { OR: keys.map(({ key }) => key) } });
    await tx.taskSeries.createMany({ data });
  });
}

/** Rows are kept for longer than they are shown. */
const keptMicros = 65 * minuteMicros;
/** Maximum number of minutes removed at once. */
const maxRemoved = 60;

/** Removes old rows of all jobs, those of one minute at a time. */
export async function removeOldSeries({ db }: Pick<WorkerDeps, 'db'>): Promise<void> {
  const oldest = nowMicros() - BigInt(keptMicros);
  for (let removed = 0; removed < maxRemoved; removed++) {
    const row = await db.taskSeries.findFirst({
      where: { minute: { lt: oldest } },
      orderBy: { minute: 'asc' },
      select: { minute: true },
    });
    if (!row) return;
    await db.taskSeries.deleteMany({ where: { minute: row.minute } });
  }
}
