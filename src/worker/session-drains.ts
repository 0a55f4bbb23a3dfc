import { asPenstockError, PenstockError } from '../errors.ts';
import { backoffMs, delay } from '../runtime/backoff.ts';
import type { TaskSession } from '../runtime/operations.ts';
import { sourceIdentity, type TaskSpec } from '../runtime/task-spec.ts';
import type { WorkerDeps } from './deps.ts';
import type { JobSessions, Session } from './sessions.ts';
import type { Task, TaskEvents } from './task.ts';

/** A session that could not be emptied for so long is given up, as a leftover. */
const maxAgeMicros = 86_400_000_000n;
const forgetDeadlineMs = 5000;

interface DrainTools {
  deps: WorkerDeps;
  jobId: string;
  sessions: JobSessions;
  /** Makes a task that moves messages; nothing is reported of its state. */
  create(spec: TaskSpec, session: TaskSession, events: Pick<TaskEvents, 'running' | 'recovering'>): Task;
  say(level: 'warn' | 'error', error: PenstockError): void;
}

interface Drain {
  session: Session;
  cancel: AbortController;
  task: Task | undefined;
  done: Promise<void>;
}

/**
 * Empties the sessions that no task of a job will have again: each is unsubscribed, what the broker has queued goes the
 * way of all messages, and then the session is ended. A drain that is cut short begins again with the next start of the
 * job (invariant 9 of docs/delivery.md).
 */
export class Drains {
  readonly #tools: DrainTools;
  readonly #drains = new Map<string, Drain>();
  #ending = false;

  constructor(tools: DrainTools) {
    this.#tools = tools;
  }

  /** Begins with every session that none of these tasks has. They must all be subscribed. */
  begin(specs: readonly TaskSpec[]): void {
    if (this.#ending) return;
    for (const session of this.#tools.sessions.orphans(specs)) {
      if (this.#drains.has(session.id)) continue;
      const drain: Drain = {
        session,
        cancel: new AbortController(),
        task: undefined,
        done: Promise.resolve(),
      };
      this.#drains.set(session.id, drain);
      drain.done = this.#run(drain, specs).finally(() => this.#drains.delete(session.id));
    }
  }

  /** Lets go of the sessions that one of these tasks wants after all. */
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

  #stop({ cancel, task }: Drain, gently: boolean): void {
    cancel.abort(new Error('the drain was stopped'));
    if (gently) task?.drain().catch((error: unknown) => this.#tools.say('warn', asPenstockError(error)));
    else task?.stop();
  }

  async #run(drain: Drain, specs: readonly TaskSpec[]): Promise<void> {
    const { session, cancel } = drain;
    for (let failures = 0; !cancel.signal.aborted; failures++) {
      try {
        await this.#tools.sessions.enter(session, 'draining');
        const spec = this.#specOf(session, specs);
        if (await this.#empty(drain, spec)) await this.#remove(session, spec);
        return;
      } catch (error) {
        if (await this.#gaveUp(session, asPenstockError(error))) return;
        await delay(backoffMs(failures + 2), cancel.signal).catch(() => {});
      }
    }
  }

  /** Whether nothing is left in the session; false when it was stopped before. */
  async #empty(drain: Drain, spec: TaskSpec): Promise<boolean> {
    const { session, cancel } = drain;
    const { create, sessions, say } = this.#tools;
    let last: PenstockError | undefined;
    const task = create(spec, sessions.wound(session), {
      running: () => {},
      recovering: (error) => {
        // Said once: it may be a broker that is gone for good.
        if (error.code !== last?.code) say('warn', error);
        last = error;
        if (isOld(session)) task.stop();
      },
    });
    drain.task = task;
    if (cancel.signal.aborted) return false;
    await task.run();
    if (last && isOld(session) && !task.ranOut) throw last;
    return task.ranOut;
  }

  /**
   * What is queued goes through the query as it is now. Where that does not read this source any more, through the one
   * that did. A password may have changed since, so the profile in use is taken for the same session.
   */
  #specOf(session: Session, specs: readonly TaskSpec[]): TaskSpec {
    const { deps, jobId } = this.#tools;
    const { taskIndex, operatorId, tables, profile } = session;
    const now = specs.find(({ source }) => source.operatorId === operatorId);
    const insert = now?.insert ?? session.insert;
    if (!insert) throw new PenstockError('internal', 'A session does not know where its messages went');
    const { connector } = session;
    const source = deps.catalog.usable({
      connector,
      profile: this.#profileNow(session, now) ?? profile,
      config: tables[0],
    });
    const sink = deps.catalog.usable(insert.sink);
    return {
      jobId,
      taskIndex,
      insert,
      source: { ...source, operatorId },
      // A client of its own beside that of the task.
      sink: { ...sink, operatorId: `${insert.operatorIds.sink}_${session.id}` },
    };
  }

  #profileNow(session: Session, now: TaskSpec | undefined): unknown {
    if (!now) return undefined;
    const same = this.#tools.sessions.belongs(session, { ...now, taskIndex: session.taskIndex });
    return same ? now.insert.source.profile : undefined;
  }

  /** Ends the session at the broker, then forgets it. */
  async #remove(session: Session, spec: TaskSpec): Promise<void> {
    const { deps, sessions } = this.#tools;
    const { connector, profile, targets, config: table } = spec.source;
    const identity = sourceIdentity(spec);
    const signal = AbortSignal.timeout(forgetDeadlineMs);
    await connector.forget?.({ profile, targets, table, identity, signal, logger: deps.logger });
    await sessions.drop(session);
    deps.logger.info({ ...identity }, 'a session was drained and removed');
  }

  async #gaveUp(session: Session, error: PenstockError): Promise<boolean> {
    const { sessions, say } = this.#tools;
    const old = isOld(session);
    const what = old
      ? 'A session could not be emptied for a day; what is queued in it is given up'
      : 'A session could not be emptied yet';
    const { hint, errors } = error;
    say(
      old ? 'error' : 'warn',
      new PenstockError(error, `${what}: ${error.message}`, {
        ...(hint ? { hint } : {}),
        errors,
        cause: error,
      }),
    );
    if (!old) return false;
    return sessions.enter(session, 'leftover').then(
      () => true,
      () => false,
    );
  }
}

const isOld = ({ stateSince }: Session): boolean => BigInt(Date.now()) * 1000n - stateSince > maxAgeMicros;
