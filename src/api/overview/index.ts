import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { jobStates } from '../../jobs/states.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { finder, readSelector, SelectionQuery } from '../labels.ts';
import { problems } from '../problem.ts';
import { strict } from '../schemas.ts';
import { clientGone, streamEvents } from '../sse.ts';
import { maxPipelines, OverviewPoll, type ShownEntry, type Snapshot } from './poll.ts';
import { overviewResponse } from './wire.ts';

const pollEveryMs = 2000;
/** Ratio of the pause between two readings to the duration of one, for many pipelines or a slow database. */
const pausePerReading = 4;
/** Time for which what was read is kept without listeners. */
const keptMs = 60_000;
/** Maximum number of entries in each of the first events. */
const maxTogether = 200;

const OverviewQuery = Type.Object(
  {
    state: Type.Optional(Type.Enum([...jobStates], { description: 'State of the job' })),
    ...SelectionQuery.properties,
  },
  strict,
);

export const overview =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const feed = new OverviewFeed(db, (err) => app.log.debug({ err }, 'overview not read'));
    app.addHook('onClose', async () => feed.close());
    app.get(
      '/overview',
      {
        exposeHeadRoute: false,
        schema: {
          operationId: 'getOverview',
          summary: 'Get the state and throughput of all pipelines, or stream their changes',
          description:
            'With `accept: text/event-stream`, events with everything come first, and then at most one event every 2 seconds ' +
            'with the pipelines that have changed. A client that reads slowly skips changes. At most ' +
            `${maxPipelines} pipelines are shown, the newest.`,
          tags: ['pipelines'],
          querystring: OverviewQuery,
          response: { 200: overviewResponse, ...problems(400, 429) },
        },
      },
      async (request, reply) => {
        const matches = filterOf(request.query);
        if (/\btext\/event-stream\b/.test(request.headers.accept ?? '')) {
          const gone = clientGone(reply);
          return streamEvents(request, reply, () => feed.listen(matches, gone));
        }
        const { at, entries } = await feed.read();
        const shown = entries.filter(matches).map(({ json }) => json);
        const json = `{"at":${at},"pipelines":[${shown}]}`;
        return reply.type('application/json; charset=utf-8').send(json as never);
      },
    );
  };

type Matches = (entry: ShownEntry) => boolean;

function filterOf({ search, state, ...labelled }: Static<typeof OverviewQuery>): Matches {
  const selector = readSelector(labelled);
  const hasText = search === undefined ? undefined : finder(search);
  return (entry) =>
    (hasText?.(entry) ?? true) &&
    (state === undefined || entry.state === state) &&
    (selector?.matches(entry.labels) ?? true);
}

interface Listener {
  wake(): void;
}

/** Reads the overview for all listeners of this process, every two seconds while there are any. */
export class OverviewFeed {
  readonly #db: Db;
  readonly #failed: (error: unknown) => void;
  readonly #listeners = new Set<Listener>();
  #poll: OverviewPoll | undefined;
  /** The last one that the timer has read. */
  #snapshot: Snapshot | undefined;
  #reading: Promise<Snapshot> | undefined;
  #next: Promise<Snapshot> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #notBefore = 0;
  #forgetting: NodeJS.Timeout | undefined;

  /** `failed` hears of readings that failed; the next one tries again. */
  constructor(db: Db, failed: (error: unknown) => void) {
    this.#db = db;
    this.#failed = failed;
  }

  close(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#forgetting);
  }

  /** Reads once, from now on. Requests that come meanwhile share the next reading. */
  async read(): Promise<Snapshot> {
    if (!this.#reading && !this.#next) return this.#begin();
    this.#next ??= Promise.allSettled([this.#reading]).then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  /** Yields the whole in parts, and then what has changed since the last event was taken. */
  async *listen(matches: Matches, gone: AbortSignal): AsyncGenerator<string> {
    const listener = this.#join(gone);
    const shown = new Map<string, ShownEntry>();
    try {
      let seen = await this.#newer(listener, undefined, gone);
      if (!seen) return;
      const all = seen.entries.filter(matches);
      for (const entry of all) shown.set(entry.id, entry);
      for (let from = 0; from === 0 || from < all.length; from += maxTogether) {
        const more = from + maxTogether < all.length;
        yield eventOf({ name: 'all', at: seen.at, more }, all.slice(from, from + maxTogether));
      }
      for (;;) {
        seen = await this.#newer(listener, seen, gone);
        if (!seen) return;
        const now = seen.entries.filter(matches);
        const changed = now.filter((entry) => shown.get(entry.id) !== entry);
        for (const entry of changed) shown.set(entry.id, entry);
        const deleted = shown.size > now.length ? missingFrom(shown, now) : [];
        for (const id of deleted) shown.delete(id);
        if (changed.length > 0 || deleted.length > 0)
          yield eventOf({ name: 'changes', at: seen.at, more: false }, changed, deleted);
      }
    } finally {
      this.#leave(listener);
    }
  }

  #join(gone: AbortSignal): Listener {
    const listener: Listener = { wake() {} };
    this.#listeners.add(listener);
    gone.addEventListener('abort', () => listener.wake(), { once: true });
    if (this.#timer) return listener;
    this.#notBefore = 0;
    this.#timer = setInterval(() => this.#tick(), pollEveryMs);
    this.#tick();
    return listener;
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#snapshot = undefined;
  }

  /** Waits for another snapshot than this one. Undefined once the client is gone. */
  async #newer(
    listener: Listener,
    seen: Snapshot | undefined,
    gone: AbortSignal,
  ): Promise<Snapshot | undefined> {
    while (!gone.aborted && (this.#snapshot === undefined || this.#snapshot === seen))
      await new Promise<void>((resolve) => {
        listener.wake = resolve;
      });
    return gone.aborted ? undefined : this.#snapshot;
  }

  #tick(): void {
    if (this.#reading || this.#next || performance.now() < this.#notBefore) return;
    this.#begin()
      .then((snapshot) => {
        if (this.#timer === undefined) return;
        this.#snapshot = snapshot;
        for (const { wake } of this.#listeners) wake();
      })
      // Until the next tick, clients get the heartbeat.
      .catch(this.#failed);
  }

  #begin(): Promise<Snapshot> {
    this.#poll ??= new OverviewPoll(this.#db);
    const since = performance.now();
    this.#reading = this.#poll.read().finally(() => {
      this.#reading = undefined;
      this.#notBefore = performance.now() + pausePerReading * (performance.now() - since);
    });
    clearTimeout(this.#forgetting);
    this.#forgetting = setTimeout(() => {
      this.#poll = undefined;
    }, keptMs).unref();
    return this.#reading;
  }
}

function missingFrom(shown: ReadonlyMap<string, ShownEntry>, now: readonly ShownEntry[]): string[] {
  const ids = new Set(now.map(({ id }) => id));
  return [...shown.keys()].filter((id) => !ids.has(id));
}

function eventOf(
  { name, at, more }: { name: string; at: number; more: boolean },
  entries: readonly ShownEntry[],
  deleted: readonly string[] = [],
): string {
  const pipelines = entries.map(({ json }) => json).join();
  return `{"name":"${name}","at":${at},"more":${more},"pipelines":[${pipelines}],"deleted":${JSON.stringify(deleted)}}`;
}
