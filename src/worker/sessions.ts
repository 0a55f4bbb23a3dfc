import { createHash, randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { connectorFor } from '../connectors/registry.ts';
import type { StoredSession } from '../definitions/catalog.ts';
import { asPenstockError } from '../errors.ts';
import type { TaskSession } from '../runtime/operations.ts';
import { sourceIdentity, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { batchedBy } from './batched.ts';
import type { WorkerDeps } from './deps.ts';

/** A row of `SourceSession` with its secrets opened. */
export interface SourceSession extends StoredSession {
  id: string;
  operatorId: string;
  taskIndex: number;
  connector: string;
  established: boolean;
  /** held | draining. Orphaned ones are not loaded. */
  state: string;
  stateSince: bigint;
}

/** Stored state of sessions that no longer belong to a job. */
export const orphaned = 'leftover';

/** Stored state of the session of a sink that writes each message once. It is never drained. */
const ofSink = 'sink';

const comparisonMs = 10_000;

/**
 * The sessions of a job's sources with their brokers. A row is written before its session is first opened and deleted after
 * the session is gone, so a crash leaves no unknown session behind (invariant 8 of docs/delivery.md).
 */
export class JobSessions {
  readonly #deps: WorkerDeps;
  readonly #jobId: string;
  #sessions: SourceSession[] = [];

  constructor(deps: WorkerDeps, jobId: string) {
    this.#deps = deps;
    this.#jobId = jobId;
  }

  /** Reads the sessions of the job, or those of one task. Throws database errors. */
  async load(task?: TaskSpec): Promise<void> {
    const { db, catalog, logger } = this.#deps;
    const operators = task && [task.source, ...task.others].map(({ operatorId }) => operatorId);
    const rows = (await readSessions(db, this.#jobId)).filter(
      (row) => !operators || (operators.includes(row.operatorId) && row.taskIndex === task.taskIndex),
    );
    this.#sessions = rows.flatMap((row) => {
      try {
        return [{ ...row, ...catalog.openSession(row) }];
      } catch (error) {
        // It stays in the database until its key is available again.
        const { code, message } = asPenstockError(error);
        logger.warn({ job: this.#jobId, code }, `source session cannot be decrypted: ${message}`);
        return [];
      }
    });
  }

  /** The session of a task of one source: see `ofSource`. */
  of(spec: TaskSpec): TaskSession {
    let fresh = false;
    let session: SourceSession | undefined;
    return {
      opening: async () => {
        if (!spec.source.connector.session) return undefined;
        session = this.#find(spec);
        // A row that was never established is as good as new: a crash came before its first opening.
        fresh ||= !session?.established;
        session = session ? await this.#renew(session, spec) : await this.#create(spec);
        const subscribed = this.#ofSameTask(session).flatMap(({ tables }) => tables);
        const former = subscribed.filter(differs(spec.source.config));
        return { known: session.established, former, drain: false };
      },
      opened: async ({ resumed, settled }) => {
        if (!session) return;
        // New to us but not to the broker: it may belong to another row with another address, or a crash came between the
        // first opening and its record.
        if (fresh && resumed) await this.#mergeDuplicates(session);
        fresh = false;
        if (!session.established || session.state !== 'held') {
          Object.assign(session, { established: true, state: 'held' });
          await this.#tryToWrite(session);
        }
        settled.then(() => session && this.#settled(session, spec.source.config));
      },
    };
  }

  drained(session: SourceSession): TaskSession {
    return {
      opening: async () => ({ known: session.established, former: session.tables, drain: true }),
      opened: async () => {},
    };
  }

  /** Those that none of these tasks of one source uses. */
  orphans(specs: readonly TaskSpec[]): SourceSession[] {
    const wanted = new Set(specs.map((spec) => this.#find(spec)?.id));
    return this.#sessions.filter(({ id }) => !wanted.has(id));
  }

  belongs(session: SourceSession, spec: TaskSpec): boolean {
    const identity = sourceIdentity(spec);
    if (identity.operatorId !== session.operatorId || identity.taskIndex !== session.taskIndex) return false;
    const { connector, profile } = spec.source;
    const usable = this.#resolved(session);
    const name = usable && connectorFor(session.connector).session?.(usable.profile, identity);
    // A connector without sessions has no name for one.
    return name !== undefined && connector.session?.(profile, identity) === name;
  }

  async enter(session: SourceSession, state: 'draining' | typeof orphaned): Promise<void> {
    const stateSince = nowMicros();
    const data = { state, stateSince, nextTry: stateSince };
    // One already in the state keeps the time at which it entered it.
    const where = { id: session.id, state: { not: state } };
    const { count } = await this.#deps.db.sourceSession.updateMany({ where, data });
    if (count > 0) Object.assign(session, { state, stateSince });
    if (state === orphaned) this.#forget(session);
  }

  /** Deletes the row of a session that is gone. Throws database errors. */
  async drop(session: SourceSession): Promise<void> {
    await this.#deps.db.sourceSession.deleteMany({ where: { id: session.id } });
    this.#forget(session);
  }

  #forget({ id }: SourceSession): void {
    this.#sessions = this.#sessions.filter((other) => other.id !== id);
  }

  #find(spec: TaskSpec): SourceSession | undefined {
    return this.#sessions.find((session) => this.belongs(session, spec));
  }

  /** The session and others of its task, which may be the same session by another address. */
  #ofSameTask({ operatorId, taskIndex }: SourceSession): SourceSession[] {
    return this.#sessions.filter((other) => other.operatorId === operatorId && other.taskIndex === taskIndex);
  }

  async #create({ insert, source, taskIndex }: TaskSpec): Promise<SourceSession> {
    const id = `ses_${randomBytes(8).toString('hex')}`;
    const { connector } = insert.source;
    const profile = insert.source.profile as SourceSession['profile'];
    const place = { operatorId: source.operatorId, taskIndex, connector };
    const state = { established: false, state: 'held', stateSince: nowMicros() };
    const session = { id, ...place, ...state, profile, insert, tables: [source.config] };
    await this.#deps.db.sourceSession.create({
      data: { id, jobId: this.#jobId, ...place, ...state, ...this.#sealed(session) },
    });
    this.#sessions.push(session);
    return session;
  }

  /** Records changes of a session before it is used. */
  async #renew(session: SourceSession, { insert, source }: TaskSpec): Promise<SourceSession> {
    const tables = [source.config, ...session.tables.filter(differs(source.config))];
    const profile = insert.source.profile as SourceSession['profile'];
    const next = { ...session, profile, insert, tables };
    if (isDeepStrictEqual(next, session)) return session;
    await this.#write(next);
    return Object.assign(session, next);
  }

  /** Merges rows of the same session into one. Throws passing errors, so the task tries again. */
  async #mergeDuplicates(session: SourceSession): Promise<void> {
    const signal = AbortSignal.timeout(comparisonMs);
    for (const other of this.#ofSameTask(session)) {
      if (other === session || !(await this.#isDuplicate(session, other, signal))) continue;
      session.tables = [...session.tables, ...other.tables];
      await this.drop(other);
    }
  }

  /** If it is unknown, the broker has most likely moved. */
  async #isDuplicate(session: SourceSession, former: SourceSession, signal: AbortSignal): Promise<boolean> {
    const { catalog, logger } = this.#deps;
    const { operatorId, taskIndex } = session;
    const connector = connectorFor(session.connector);
    if (connector.isSameSession === undefined || former.connector !== session.connector) return false;
    const now = catalog.resolve(connector, session.profile);
    const before = this.#resolved(former);
    const identity = { jobId: this.#jobId, operatorId, taskIndex };
    const compared = before && connector.isSameSession(now, before, identity, signal);
    const same = await compared?.catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (same !== undefined) return same;
    logger.warn(
      { job: this.#jobId },
      'session by a former address cannot be compared; it is treated as the session by the new address',
    );
    return true;
  }

  /** Undefined if its profile is no longer valid. */
  #resolved({ connector, profile }: SourceSession) {
    try {
      return this.#deps.catalog.resolve(connectorFor(connector), profile);
    } catch {
      return undefined;
    }
  }

  /** The session is subscribed as this table says, and to nothing else. */
  #settled(session: SourceSession, table: unknown): void {
    if (differs(table)(session.tables[0]) || session.tables.length === 1) return;
    session.tables = [table];
    void this.#tryToWrite(session);
  }

  /** A lost write matters only after a crash: then a task unsubscribes from more filters than needed. */
  async #tryToWrite(session: SourceSession): Promise<void> {
    await this.#write(session).catch((error: unknown) => {
      const { code } = asPenstockError(error);
      this.#deps.logger.warn({ job: this.#jobId, code }, 'session state cannot be written');
    });
  }

  async #write(session: SourceSession): Promise<void> {
    const { id, established, state } = session;
    const data = { ...this.#sealed(session), established, state };
    await this.#deps.db.sourceSession.updateMany({ where: { id }, data });
  }

  #sealed({ id, insert, tables }: SourceSession) {
    const sealed = insert ? this.#deps.catalog.sealSession(id, insert) : {};
    return { ...(sealed as { profile: string; insert: string }), tables: JSON.stringify(tables) };
  }
}

/**
 * Records the session of a sink before it is first opened, so that it is removed with its pipeline. One that the sink no longer
 * uses is removed now. Throws database errors.
 */
export async function recordSinkSession({ db, catalog }: WorkerDeps, spec: TaskSpec): Promise<void> {
  const { jobId, taskIndex, insert, sink } = spec;
  if (insert.select.kind !== 'stateful') return;
  const { connector, profile, config, operatorId } = sink;
  const place = { jobId, operatorId, taskIndex, state: ofSink };
  const known = await db.sourceSession.findMany({ where: place });
  const identity = { jobId, operatorId, taskIndex };
  const name = connector.exactlyOnce?.(config) ? connector.session?.(profile, identity) : undefined;
  const id = `ses_${createHash('sha256').update(`${operatorId} ${taskIndex} ${jobId} ${name}`).digest('hex').slice(0, 16)}`;
  const now = nowMicros();
  const former = known.filter((row) => row.id !== id).map((row) => row.id);
  if (former.length > 0)
    await db.sourceSession.updateMany({
      where: { id: { in: former } },
      data: { state: orphaned, stateSince: now, attempts: 0, nextTry: now },
    });
  if (name === undefined || known.length > former.length) return;
  const sealed = catalog.sealSession(id, { ...insert, source: insert.sink });
  const data = { ...place, connector: connector.id, established: true, stateSince: now };
  await db.sourceSession.create({ data: { id, ...data, ...sealed, tables: JSON.stringify([config]) } });
}

const readSessions = batchedBy(async (db: Db, jobs: readonly string[]) => {
  const where = { jobId: { in: [...new Set(jobs)] }, state: { notIn: [orphaned, ofSink] } };
  const rows = await db.sourceSession.findMany({ where, orderBy: { id: 'asc' } });
  const byJob = Map.groupBy(rows, ({ jobId }) => jobId);
  return (job: string) => byJob.get(job) ?? [];
});

const differs = (table: unknown) => (other: unknown) => !isDeepStrictEqual(table, other);
