import { connectorFor } from '../connectors/registry.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { backoffMs, delay } from '../runtime/delay.ts';
import type { PositionStore, TaskSession } from '../runtime/operations.ts';
import { sourceIdentity, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import { TaskCounters } from './counters.ts';
import type { WorkerDeps } from './deps.ts';
import type { LocalJob } from './local-jobs.ts';
import { type JobSessions, orphaned, type SourceSession } from './sessions.ts';
import { noStates } from './states.ts';
import { Task, type TaskEvents } from './task.ts';
import { placeIn } from './task-row.ts';

/** After this time a session is given up. Its broker ends it by session expiry. */
const maxAgeMicros = 86_400_000_000n;
const forgetDeadlineMs = 5000;

interface SessionDrainTools {
  deps: WorkerDeps;
  jobId: string;
  sessions: JobSessions;
  local: LocalJob;
  /** Whether it is safe to connect because no other worker can have the job. */
  mayConnect(): boolean;
}

/** Sessions are drained only at systems that keep how far they were read. */
const noPositions: PositionStore = { last: async () => undefined, store: async () => {} };

interface SessionDrain {
  session: SourceSession;
  cancel: AbortController;
  task?: Task;
  done: Promise<void>;
}

/**
 * Drains the sessions that no task of a job uses: each is unsubscribed, its queued messages are processed, and then
 * it is removed. An interrupted drain begins again at the next start of the job (invariant 9 of docs/delivery.md).
 */
export class SessionDrains {
  readonly #tools: SessionDrainTools;
  readonly #drains = new Map<string, SessionDrain>();
  #ending = false;

  constructor(tools: SessionDrainTools) {
    this.#tools = tools;
  }

  /** Begins to drain every session that none of these tasks uses. The tasks must all be subscribed. */
  async begin(specs: readonly TaskSpec[]): Promise<void> {
    // The tasks have opened sessions since, on whichever worker.
    await this.#tools.sessions.load();
    if (this.#ending) return;
    for (const session of this.#tools.sessions.orphans(specs)) {
      if (this.#drains.has(session.id)) continue;
      const drain: SessionDrain = { session, cancel: new AbortController(), done: Promise.resolve() };
      this.#drains.set(session.id, drain);
      drain.done = this.#run(drain, specs).finally(() => this.#drains.delete(session.id));
    }
  }

  /** Stops draining the sessions that one of these tasks will use. */
  async release(specs: readonly TaskSpec[]): Promise<void> {
    const wanted = [...this.#drains.values()].filter(({ session }) =>
      specs.some((spec) => this.#tools.sessions.belongs(session, spec)),
    );
    for (const drain of wanted) this.#stop(drain, true);
    await Promise.all(wanted.map(({ done }) => done));
  }

  end(gently: boolean): void {
    this.#ending = true;
    for (const drain of this.#drains.values()) this.#stop(drain, gently);
  }

  async ended(): Promise<void> {
    await Promise.all([...this.#drains.values()].map(({ done }) => done));
  }

  #stop({ cancel, task }: SessionDrain, gently: boolean): void {
    cancel.abort(new Error('the drain was stopped'));
    if (gently) task?.drain().catch((error: unknown) => this.#say('warn', asPenstockError(error)));
    else task?.stop();
  }

  async #run(drain: SessionDrain, specs: readonly TaskSpec[]): Promise<void> {
    const { session, cancel } = drain;
    for (let failures = 0; !cancel.signal.aborted; failures++) {
      try {
        await this.#tools.sessions.enter(session, 'draining');
        const spec = this.#specOf(session, specs);
        // Only the task of a query with a state can count its messages.
        if (spec.insert.select.kind === 'stateful') this.#say('warn', discarded(spec));
        else if (!(await this.#empty(drain, spec))) return;
        await this.#remove(session, spec);
        return;
      } catch (error) {
        if (await this.#gaveUp(session, asPenstockError(error))) return;
        await delay(backoffMs(failures + 2), cancel.signal).catch(() => {});
      }
    }
  }

  /** Returns whether the session is empty: false if the drain was stopped before. */
  async #empty(drain: SessionDrain, spec: TaskSpec): Promise<boolean> {
    const { session, cancel } = drain;
    const { sessions } = this.#tools;
    let last: PenstockError | undefined;
    const task = this.#task(spec, sessions.drained(session), {
      running: () => {},
      recovering: (error) => {
        // Reported once, as the broker may be gone for good.
        if (error.code !== last?.code) this.#say('warn', error);
        last = error;
        if (isOld(session)) task.stop();
      },
    });
    drain.task = task;
    if (cancel.signal.aborted) return false;
    await task.run();
    if (last && isOld(session) && !task.sourceEnded) throw last;
    return task.sourceEnded;
  }

  #say(level: 'warn' | 'error', error: PenstockError): void {
    this.#tools.local.log.say(level, error);
  }

  /** A task whose state and counts are not part of those of the job. */
  #task(spec: TaskSpec, session: TaskSession, events: Pick<TaskEvents, 'running' | 'recovering'>): Task {
    const { deps, local, mayConnect } = this.#tools;
    const warn = (error: PenstockError, operatorId?: string): void => {
      const place = placeIn(spec, error);
      local.log.say('warn', error, operatorId === undefined ? place : { ...place, operatorId });
    };
    return new Task(spec, {
      events: { ...events, warn, mayConnect },
      sessions: [session],
      positions: [noPositions],
      states: noStates,
      deadLetters: local.deadLetters,
      counters: new TaskCounters(local.counters),
      threads: deps.threads,
      hasRun: false,
    });
  }

  /**
   * Queued messages are processed by the current query, or by the last one that read this source. The current profile is used
   * if it names the same session, as its password may have changed.
   */
  #specOf(session: SourceSession, specs: readonly TaskSpec[]): TaskSpec {
    const { deps, jobId, sessions } = this.#tools;
    const { taskIndex, operatorId, tables, connector } = session;
    const now = specs.find(({ source }) => source.operatorId === operatorId);
    const inserts = [now?.insert, session.insert].filter((one) => one !== undefined);
    const insert = inserts.find(({ select }) => select.kind !== 'stateful') ?? inserts[0];
    if (!insert) throw new PenstockError('internal', 'The session has no stored query');
    const same = now && sessions.belongs(session, { ...now, taskIndex });
    const profile = (same ? now.insert.source.profile : undefined) ?? session.profile;
    const source = deps.catalog.usable({ connector, profile, config: tables[0] });
    const sink = deps.catalog.usable(insert.sink);
    // A client id of its own, as the sink of the job's task may be connected too.
    const sinkId = `${insert.operatorIds.sink}_${session.id}`;
    const ends = { source: { ...source, operatorId }, others: [], sink: { ...sink, operatorId: sinkId } };
    return { jobId, taskIndex, insert, ...ends };
  }

  async #remove(session: SourceSession, spec: TaskSpec): Promise<void> {
    const { deps, sessions } = this.#tools;
    const { connector, profile, targets, config: table } = spec.source;
    const identity = sourceIdentity(spec);
    const signal = AbortSignal.timeout(forgetDeadlineMs);
    await connector.forget?.({ profile, targets, table, identity, signal, logger: deps.logger });
    await sessions.drop(session);
    deps.logger.info({ ...identity }, 'session drained and removed');
  }

  async #gaveUp(session: SourceSession, error: PenstockError): Promise<boolean> {
    const { sessions } = this.#tools;
    const { message, hint, errors } = error;
    const old = isOld(session);
    const what = old
      ? 'A session could not be drained for a day. It is given up with its queued messages'
      : 'A session could not be drained yet';
    const options = { ...(hint ? { hint } : {}), errors, cause: error };
    this.#say(old ? 'error' : 'warn', new PenstockError(error, `${what}: ${message}`, options));
    if (!old) return false;
    return sessions.enter(session, orphaned).then(
      () => true,
      () => false,
    );
  }
}

const discarded = ({ insert }: TaskSpec): PenstockError =>
  new PenstockError(
    'session_discarded',
    `A former session of ${insert.source.name} is removed. Messages that the broker still keeps for it count in no window`,
  );

const isOld = ({ stateSince }: { stateSince: bigint }): boolean => nowMicros() - stateSince > maxAgeMicros;

const sweepEveryMs = 60_000;
const sweptAt = new WeakMap<WorkerDeps, number>();

/**
 * Marks the sessions of jobs that no longer exist. A worker that lost its database may have opened one after its pipeline
 * was deleted.
 */
async function sweep(deps: WorkerDeps): Promise<void> {
  const { db } = deps;
  if (performance.now() - (sweptAt.get(deps) ?? Number.NEGATIVE_INFINITY) < sweepEveryMs) return;
  sweptAt.set(deps, performance.now());
  const held = await db.sourceSession.groupBy({ by: ['jobId'], where: { state: { not: orphaned } } });
  const ids = held.map(({ jobId }) => jobId);
  const jobs = new Set(
    (await db.job.findMany({ where: { id: { in: ids } }, select: { id: true } })).map(({ id }) => id),
  );
  const lost = ids.filter((id) => !jobs.has(id));
  if (lost.length === 0) return;
  const now = nowMicros();
  const data = { state: orphaned, stateSince: now, attempts: 0, nextTry: now };
  await db.sourceSession.updateMany({ where: { jobId: { in: lost } }, data });
}

/**
 * Removes one orphaned session from its broker: those of deleted pipelines and those given up. Retries with back-off. Returns
 * whether one was due, or will be later. One worker is enough to find them: the one that leads.
 */
export async function cleanUpSessions(deps: WorkerDeps, leads: boolean): Promise<'one' | 'later' | 'none'> {
  const { db, catalog, logger } = deps;
  if (leads) await sweep(deps);
  const due = await db.sourceSession.findFirst({
    where: { state: orphaned },
    orderBy: { nextTry: 'asc' },
  });
  if (!due) return 'none';
  if (due.nextTry > nowMicros()) return 'later';
  const { id, jobId, operatorId, taskIndex } = due;
  // Reserves the session: two workers at once would disconnect each other.
  const reserved = nowMicros() + BigInt(2 * forgetDeadlineMs) * 1000n;
  const where = { id, state: orphaned, nextTry: due.nextTry };
  const { count } = await db.sourceSession.updateMany({ where, data: { nextTry: reserved } });
  if (count === 0) return 'one';
  try {
    const connector = connectorFor(due.connector);
    const { profile, tables } = catalog.openSession(due);
    const reachable = catalog.resolve(connector, profile);
    const signal = AbortSignal.timeout(forgetDeadlineMs);
    const identity = { jobId, operatorId, taskIndex };
    await connector.forget?.({ ...reachable, table: tables[0], identity, signal, logger });
    await db.sourceSession.deleteMany({ where: { id } });
  } catch (error) {
    const { code, message } = asPenstockError(error);
    if (isOld(due)) {
      logger.warn({ job: jobId, code }, `orphaned session could not be removed and is given up: ${message}`);
      await db.sourceSession.deleteMany({ where: { id } });
      return 'one';
    }
    const nextTry = nowMicros() + BigInt(Math.round(1000 + backoffMs(due.attempts + 4))) * 1000n;
    await db.sourceSession.updateMany({ where: { id }, data: { attempts: due.attempts + 1, nextTry } });
  }
  return 'one';
}
