import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { isResting } from '../../jobs/states.ts';
import { type Counts, counted, isQuiet, sampleEveryMs } from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { toWire } from '../jobs/index.ts';
import { taskStatuses } from '../jobs/stats.ts';
import { latestMs, type ShownTask, shownTasks, taskRows, toldUntil, wholeSeconds } from '../jobs/tasks.ts';
import { problems } from '../problem.ts';
import { IdParams } from '../schemas.ts';
import { clientGone, EventQueue, streamEvents } from '../sse.ts';
import { type JobRow, withWorkers } from '../workers/alive.ts';
import { findPipeline } from './wire.ts';

const pollEveryMs = 1000;
/** Maximum number of characters that wait for a slow client; then counters are skipped. */
const maxWaiting = 256 * 1024;

const Rates = Type.Object({
  at: Type.Integer({ description: 'Unix microseconds: end of the second' }),
  ...Object.fromEntries(counted.map((name) => [name, Type.Number()])),
});

export const PipelineEvent = Type.Object(
  {
    name: Type.Enum(['state', 'tasks', 'rates', 'deleted'], {
      description:
        'state: the job, at first and after every change. tasks: counters of the tasks. rates: totals of all tasks for ' +
        'one second. deleted: the pipeline was deleted; the last event',
    }),
    job: Type.Optional(Type.Unsafe<object>({ $ref: 'Job#' })),
    tasks: Type.Optional(Type.Array(Type.Unsafe<object>({ $ref: 'TaskStatus#' }))),
    rates: Type.Optional(Rates),
  },
  {
    $id: 'PipelineEvent',
    examples: [
      {
        name: 'rates',
        rates: {
          at: 1_790_000_000_000_000,
          messages_in: 1200,
          bytes_in: 43_200,
          rows_in: 1200,
          rows_out: 80,
          messages_out: 80,
          bytes_out: 2880,
          bad: 0,
        },
      },
    ],
  },
);
type PipelineEvent = Static<typeof PipelineEvent>;

const eventsResponse = Type.Unsafe<never>({
  description: 'Server-sent events, each a PipelineEvent, until the pipeline is deleted',
  content: { 'text/event-stream': { schema: { $ref: 'PipelineEvent#' } } },
});

export const pipelineEvents =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const followed = new Followers(db);
    app.get(
      '/pipelines/:id/events',
      {
        exposeHeadRoute: false,
        schema: {
          operationId: 'followPipeline',
          summary: 'Stream the state, tasks and throughput of a pipeline',
          description:
            'Sends an event for every second in which the job runs, up to 3 seconds late (later if a worker has more than ' +
            '200 busy jobs). Earlier events are not repeated.',
          tags: ['pipelines'],
          params: IdParams,
          response: { 200: eventsResponse, ...problems(400, 404, 429) },
        },
      },
      async (request, reply) => {
        const { id } = await findPipeline(db, request.params.id);
        const gone = clientGone(reply);
        return streamEvents(request, reply, () => followed.listen(id, gone));
      },
    );
  };

/** Polls the database for all followed pipelines, once a second while there are any. */
class Followers {
  readonly #db: Db;
  readonly #followers = new Set<Follower>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;

  constructor(db: Db) {
    this.#db = db;
  }

  listen(pipelineId: string, gone: AbortSignal): EventQueue<string> {
    const follower = new Follower(pipelineId);
    if (gone.aborted) {
      follower.events.end();
      return follower.events;
    }
    this.#followers.add(follower);
    gone.addEventListener('abort', () => this.#drop(follower), { once: true });
    this.#timer ??= setInterval(() => this.#poll(), pollEveryMs);
    this.#poll();
    return follower.events;
  }

  #drop(follower: Follower): void {
    follower.events.end();
    this.#followers.delete(follower);
    if (this.#followers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #poll(): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#ask()
      // The next poll tries again; until then clients get the heartbeat.
      .catch(() => {})
      .finally(() => {
        this.#asking = false;
      });
  }

  async #ask(): Promise<void> {
    const asked = [...this.#followers];
    const where = { pipelineId: { in: [...new Set(asked.map(({ pipelineId }) => pipelineId))] } };
    const rows = await this.#db.job.findMany({ where, include: { placedTasks: taskRows } });
    const jobs = await withWorkers(this.#db, rows);
    const byPipeline = new Map(jobs.map((job) => [job.pipelineId, job]));
    for (const follower of asked) {
      const job = byPipeline.get(follower.pipelineId);
      if (job) follower.send(job, shownTasks(job, job.placedTasks));
      else {
        follower.add({ name: 'deleted' });
        this.#drop(follower);
      }
    }
  }
}

class Follower {
  readonly pipelineId: string;
  readonly events = new EventQueue<string>((json) => json.length);
  #job = '';
  #tasks = '';
  readonly #rates = new RateFeed();

  constructor(pipelineId: string) {
    this.pipelineId = pipelineId;
  }

  add(event: PipelineEvent): void {
    this.events.add(JSON.stringify(event));
  }

  send(row: JobRow, tasks: readonly ShownTask[]): void {
    const job = toWire(row);
    const text = JSON.stringify(job);
    if (text !== this.#job) this.add({ name: 'state', job });
    this.#job = text;
    if (isResting(job.state) || tasks.length === 0 || this.events.size > maxWaiting) return;
    const statuses = taskStatuses(tasks);
    const shown = JSON.stringify(statuses);
    if (shown !== this.#tasks) this.add({ name: 'tasks', tasks: statuses });
    this.#tasks = shown;
    for (const rates of this.#rates.next(tasks, Number(nowMicros()))) this.add({ name: 'rates', rates });
  }
}

const second = sampleEveryMs * 1000;

type TimedCounts = { at: number } & Counts;

/**
 * Turns the samples of all tasks into one row of totals for each second. Only the first of several quiet seconds is stored, so
 * a second without statistics in time counts as quiet; later counts for it are added to the next second.
 */
class RateFeed {
  /** The second that was told last: its end, or the time to begin at. */
  #told = Number(nowMicros());
  #began = false;
  /** End of the newest second of each task that was added. */
  readonly #added = new Map<string, number>();
  #late: Counts = nothing;

  next(all: readonly ShownTask[], now: number): TimedCounts[] {
    const tasks = all.filter(({ samples }) => samples.length > 0);
    if (tasks.length === 0) return [];
    const until = toldUntil(tasks, now);
    // At first at least the newest second.
    if (!this.#began) this.#told = Math.min(this.#told, until - second);
    const fresh = Math.max(0, wholeSeconds(until - this.#told));
    const kept = Math.max(...tasks.map(({ samples }) => samples.length));
    const sums: Counts[] = Array.from({ length: Math.min(fresh, kept) }, () => nothing);
    for (const task of tasks) this.#add(task, sums, until);
    this.#began = true;
    const quiet = Math.floor((now - latestMs * 1000 - this.#told) / second);
    const [first, ...others] = sums;
    if (first) return this.#tell([plus(first, this.#late), ...others], until);
    if (quiet <= 0 || (this.#late === nothing && !tasks.every(isQuiet))) return [];
    return this.#tell([this.#late], this.#told + quiet * second);
  }

  #tell(sums: readonly Counts[], until: number): TimedCounts[] {
    this.#told = until;
    this.#late = nothing;
    return sums.map((sum, nth) => ({ at: until - (sums.length - 1 - nth) * second, ...sum }));
  }

  /** Adds the new seconds of a task to `sums`, of which the last ends at `until`, or to the late ones. */
  #add({ source, sink, index, at, samples }: ShownTask, sums: Counts[], until: number): void {
    const key = `${source.id} ${sink.id} ${index}`;
    const added = this.#added.get(key) ?? (this.#began ? 0 : this.#told);
    const ahead = Math.max(0, wholeSeconds(at - until));
    for (let back = Math.min(samples.length, wholeSeconds(at - added)) - 1; back >= ahead; back--) {
      const counts = countsOf(samples[samples.length - 1 - back]);
      const place = sums.length - 1 - wholeSeconds(until - (at - back * second));
      const sum = sums[place];
      if (sum) sums[place] = plus(sum, counts);
      else if (Object.values(counts).some((count) => count !== 0)) this.#late = plus(this.#late, counts);
    }
    this.#added.set(key, Math.max(added, at - ahead * second));
  }
}

const nothing = Object.fromEntries(counted.map((name) => [name, 0])) as Counts;

const plus = (some: Counts, others: Counts): Counts =>
  Object.fromEntries(counted.map((name) => [name, some[name] + others[name]])) as Counts;

const countsOf = (sample: readonly number[] = []): Counts =>
  Object.fromEntries(counted.map((name, index) => [name, sample[index] ?? 0])) as Counts;
