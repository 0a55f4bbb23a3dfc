import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { isResting } from '../../jobs/states.ts';
import { type Counts, counted, isQuiet, type JobStats, sampleEveryMs } from '../../jobs/stats.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { type JobRow, toWire } from '../jobs/index.ts';
import { taskStatuses } from '../jobs/stats.ts';
import { problems } from '../problem.ts';
import { IdParams } from '../schemas.ts';
import { clientGone, EventQueue, streamEvents } from '../sse.ts';
import { findPipeline } from './wire.ts';

const pollEveryMs = 1000;
/** Maximum number of characters that wait for a slow client; then counters are skipped. */
const maxWaiting = 256 * 1024;

/** Maximum delay of the worker's statistics. */
const latestMs = 3000;

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
            'Sends an event for every second in which the job runs, up to 2 seconds late (later if a worker has more than ' +
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
    const jobs = await this.#db.job.findMany({ where, include: { stats: true } });
    const byPipeline = new Map(jobs.map((job) => [job.pipelineId, job]));
    for (const follower of asked) {
      const job = byPipeline.get(follower.pipelineId);
      if (job) follower.send(job, job.stats);
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
  readonly #since = Number(nowMicros());
  /** Time of the newest sample sent; 0 before the first. */
  #at = 0;
  /** Time of the newest sample seen; samples of quiet seconds are not stored. */
  #seen = 0;

  constructor(pipelineId: string) {
    this.pipelineId = pipelineId;
  }

  add(event: PipelineEvent): void {
    this.events.add(JSON.stringify(event));
  }

  send(row: JobRow, written: { updatedAt: bigint; stats: string } | null): void {
    const job = toWire(row);
    const text = JSON.stringify(job);
    if (text !== this.#job) this.add({ name: 'state', job });
    this.#job = text;
    const current = written !== null && written.updatedAt > (row.startTime ?? 0n) && !isResting(job.state);
    if (!current || this.events.size > maxWaiting) return;
    const stats = JSON.parse(written.stats) as JobStats;
    if (stats.at > this.#at) this.add({ name: 'tasks', tasks: taskStatuses(stats) });
    const rates = this.#newRates(stats);
    for (const rate of rates) this.add({ name: 'rates', rates: rate });
    this.#at = rates.at(-1)?.at ?? this.#at;
  }

  /**
   * The rates of the seconds since the last one sent. Only the first of several quiet seconds is stored, so a second without
   * statistics in time counts as quiet; later counts for it are added to the next second.
   */
  #newRates(stats: JobStats): ({ at: number } & Counts)[] {
    // At first everything since the client connected, and at least the newest sample.
    const sent = this.#at === 0 ? Math.min(this.#since, stats.at - second) : this.#at;
    const fresh = Math.max(0, seconds(stats.at - sent));
    const kept = stats.tasks.reduce((max, { samples }) => Math.max(max, samples.length), 0);
    const unseen = Math.min(kept, this.#seen === 0 ? fresh : seconds(stats.at - this.#seen));
    const late = sumOf(stats, Math.min(fresh, unseen), unseen);
    const quiet = Math.floor((Number(nowMicros()) - latestMs * 1000 - sent) / second);
    this.#seen = stats.at;
    if (fresh > 0) {
      const count = Math.min(fresh, kept);
      return Array.from({ length: count }, (_, nth) => {
        const back = count - 1 - nth;
        const counts = sumOf(stats, back, back + 1);
        return { at: stats.at - back * second, ...(nth === 0 ? plus(counts, late) : counts) };
      });
    }
    if (unseen > 0) return [{ at: sent + Math.max(1, quiet) * second, ...late }];
    return isQuiet(stats) && quiet > 0 ? [{ at: sent + quiet * second, ...nothing }] : [];
  }
}

const second = sampleEveryMs * 1000;
const seconds = (micros: number): number => Math.round(micros / second);

const nothing = Object.fromEntries(counted.map((name) => [name, 0])) as Counts;

const plus = (some: Counts, others: Counts): Counts =>
  Object.fromEntries(counted.map((name) => [name, some[name] + others[name]])) as Counts;

/** Sums all tasks over the seconds that ended `from` (inclusive) to `to` (exclusive) seconds before the newest sample. */
const sumOf = ({ tasks }: JobStats, from: number, to: number): Counts =>
  Object.fromEntries(
    counted.map((name, index) => {
      const samples = tasks.flatMap(({ samples: all }) =>
        all.slice(Math.max(0, all.length - to), Math.max(0, all.length - from)),
      );
      return [name, samples.reduce((sum, sample) => sum + (sample[index] ?? 0), 0)];
    }),
  ) as Counts;
