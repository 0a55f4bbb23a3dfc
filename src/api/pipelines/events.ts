import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { isResting } from '../../jobs/states.ts';
import { type Counts, counted, isQuiet, type JobStats, sampleEveryMs } from '../../jobs/stats.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { taskStatuses } from '../jobs/stats.ts';
import { toWire } from '../jobs/wire.ts';
import { problems } from '../problem.ts';
import { IdParams, nowMicros } from '../schemas.ts';
import { clientGone, EventQueue, streamEvents } from '../sse.ts';
import { findPipeline } from './wire.ts';

const pollEveryMs = 1000;
/** So many characters wait for a client that reads slowly; of numbers nothing is added then. */
const maxWaiting = 256 * 1024;

/** How late the worker may write what it has counted. */
const latestMs = 3000;

const Rates = Type.Object({
  at: Type.Integer({ description: 'Unix microseconds: the end of the second' }),
  ...Object.fromEntries(counted.map((name) => [name, Type.Number()])),
});

/** One event of a pipeline. */
export const PipelineEvent = Type.Object(
  {
    name: Type.Enum(['state', 'tasks', 'rates', 'deleted'], {
      description:
        'state: the job, at first and whenever something of it changes. tasks: what its tasks have counted. rates: what ' +
        'went through all of them in one second. deleted: the pipeline is gone; the last event',
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

/** Following a pipeline. */
export const pipelineEvents =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const followed = new Followed(db);
    app.get(
      '/pipelines/:id/events',
      {
        exposeHeadRoute: false,
        schema: {
          operationId: 'followPipeline',
          summary: 'Follow a pipeline: its state, its tasks, and what goes through them every second',
          description:
            'There is an event for every second in which the job runs, up to 2 seconds late (later where more than 200 ' +
            'jobs of a worker are busy). What happened before is not told again.',
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

type JobRow = Parameters<typeof toWire>[0];

/** Asks the database about all pipelines that somebody follows, once a second, and only while somebody does. */
class Followed {
  readonly #db: Db;
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;

  constructor(db: Db) {
    this.#db = db;
  }

  listen(pipelineId: string, gone: AbortSignal): EventQueue<string> {
    const listener = new Listener(pipelineId);
    if (gone.aborted) {
      listener.events.end();
      return listener.events;
    }
    this.#listeners.add(listener);
    gone.addEventListener('abort', () => this.#drop(listener), { once: true });
    this.#timer ??= setInterval(() => this.#poll(), pollEveryMs);
    this.#poll();
    return listener.events;
  }

  #drop(listener: Listener): void {
    listener.events.end();
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #poll(): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#ask()
      // The next poll asks again; who follows sees the heartbeat meanwhile.
      .catch(() => {})
      .finally(() => {
        this.#asking = false;
      });
  }

  async #ask(): Promise<void> {
    const asked = [...this.#listeners];
    const where = { pipelineId: { in: [...new Set(asked.map(({ pipelineId }) => pipelineId))] } };
    const jobs = await this.#db.job.findMany({ where, include: { stats: true } });
    const byPipeline = new Map(jobs.map((job) => [job.pipelineId, job]));
    for (const listener of asked) {
      const job = byPipeline.get(listener.pipelineId);
      if (job) listener.tell(job, job.stats);
      else {
        listener.add({ name: 'deleted' });
        this.#drop(listener);
      }
    }
  }
}

/** What one caller has been told of a pipeline. */
class Listener {
  readonly pipelineId: string;
  readonly events = new EventQueue<string>((json) => json.length);
  #job = '';
  readonly #since = Number(nowMicros());
  /** Of the newest sample that was told; 0 when none was. */
  #at = 0;
  /** Of the newest sample that was there; those of quiet seconds are not written. */
  #seen = 0;

  constructor(pipelineId: string) {
    this.pipelineId = pipelineId;
  }

  add(event: PipelineEvent): void {
    this.events.add(JSON.stringify(event));
  }

  tell(row: JobRow, written: { updatedAt: bigint; stats: string } | null): void {
    const job = toWire(row);
    const said = JSON.stringify(job);
    if (said !== this.#job) this.add({ name: 'state', job });
    this.#job = said;
    const current = written !== null && written.updatedAt > (row.startTime ?? 0n) && !isResting(job.state);
    if (!current || this.events.size > maxWaiting) return;
    const stats = JSON.parse(written.stats) as JobStats;
    if (stats.at > this.#at) this.add({ name: 'tasks', tasks: taskStatuses(stats) });
    const rates = this.#newRates(stats);
    for (const rate of rates) this.add({ name: 'rates', rates: rate });
    this.#at = rates.at(-1)?.at ?? this.#at;
  }

  /**
   * Those of the seconds since the last one told. Nothing is written of quiet seconds but the first of them, so a second
   * of which nothing is known in time is told as quiet; what turns out to have gone on in it is told with the next.
   */
  #newRates(stats: JobStats): ({ at: number } & Counts)[] {
    // The first time what has happened since somebody listens, and at least what is newest.
    const told = this.#at === 0 ? Math.min(this.#since, stats.at - second) : this.#at;
    const fresh = Math.max(0, seconds(stats.at - told));
    const kept = stats.tasks.reduce((most, { samples }) => Math.max(most, samples.length), 0);
    const unseen = Math.min(kept, this.#seen === 0 ? fresh : seconds(stats.at - this.#seen));
    const late = sumOf(stats, Math.min(fresh, unseen), unseen);
    const quiet = Math.floor((Number(nowMicros()) - latestMs * 1000 - told) / second);
    this.#seen = stats.at;
    if (fresh > 0) {
      const count = Math.min(fresh, kept);
      return Array.from({ length: count }, (_, nth) => {
        const back = count - 1 - nth;
        const counts = sumOf(stats, back, back + 1);
        return { at: stats.at - back * second, ...(nth === 0 ? plus(counts, late) : counts) };
      });
    }
    if (unseen > 0) return [{ at: told + Math.max(1, quiet) * second, ...late }];
    return isQuiet(stats) && quiet > 0 ? [{ at: told + quiet * second, ...nothing }] : [];
  }
}

const second = sampleEveryMs * 1000;
const seconds = (micros: number): number => Math.round(micros / second);

const nothing = Object.fromEntries(counted.map((name) => [name, 0])) as Counts;

const plus = (some: Counts, others: Counts): Counts =>
  Object.fromEntries(counted.map((name) => [name, some[name] + others[name]])) as Counts;

/** Of all tasks, in the seconds that ended `from` to before `to` seconds before the newest sample. */
const sumOf = ({ tasks }: JobStats, from: number, to: number): Counts =>
  Object.fromEntries(
    counted.map((name, index) => {
      const samples = tasks.flatMap(({ samples: all }) =>
        all.slice(Math.max(0, all.length - to), Math.max(0, all.length - from)),
      );
      return [name, samples.reduce((sum, sample) => sum + (sample[index] ?? 0), 0)];
    }),
  ) as Counts;
