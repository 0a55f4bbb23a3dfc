import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { connectorFor } from '../connectors/registry.ts';
import type { StoredSession } from '../definitions/catalog.ts';
import { asPenstockError } from '../errors.ts';
import type { TaskSession } from '../runtime/operations.ts';
import { sourceIdentity, type TaskSpec } from '../runtime/task-spec.ts';
import type { WorkerDeps } from './deps.ts';

/**
 * The sessions that the sources of a job have with their brokers. A row is written before a session is first opened, and
 * goes when the session is gone, so that a crash leaves none behind that nobody knows of (invariant 8 of
 * docs/delivery.md).
 */

/** A session as its row has it, opened. */
export interface Session extends StoredSession {
  id: string;
  operatorId: string;
  taskIndex: number;
  connector: string;
  established: boolean;
  /** held | draining */
  state: string;
  stateSince: bigint;
}

/** How long it may take to find out whether two sessions are one. */
const comparisonMs = 10_000;

export class JobSessions {
  readonly #deps: WorkerDeps;
  readonly #jobId: string;
  #sessions: Session[] = [];

  constructor(deps: WorkerDeps, jobId: string) {
    this.#deps = deps;
    this.#jobId = jobId;
  }

  /** Throws as the database does. */
  async load(): Promise<void> {
    const { db, catalog, logger } = this.#deps;
    const where = { jobId: this.#jobId, state: { not: 'leftover' } };
    const rows = await db.sourceSession.findMany({ where, orderBy: { id: 'asc' } });
    this.#sessions = rows.flatMap((row) => {
      try {
        return [{ ...row, ...catalog.openSession(row) }];
      } catch (error) {
        // It stays in the database, for when the key is back.
        const { code, message } = asPenstockError(error);
        logger.warn({ job: this.#jobId, code }, `a session of a source cannot be read: ${message}`);
        return [];
      }
    });
  }

  /** For a task that reads its source for as long as the job runs. */
  of(spec: TaskSpec): TaskSession {
    let fresh = false;
    let session: Session | undefined;
    return {
      opening: async () => {
        if (!spec.source.connector.session) return undefined;
        session = this.#find(spec);
        // Or as new as before a crash that came ahead of its first opening.
        fresh ||= !session?.established;
        session = session ? await this.#renew(session, spec) : await this.#create(spec);
        const former = this.#alike(session).flatMap(({ tables }) =>
          tables.filter(differs(spec.source.config)),
        );
        return { known: session.established, former, drain: false };
      },
      opened: async ({ resumed, settled }) => {
        if (!session) return;
        // New to us and not to the broker: it may be that of another row, by another address. Or a crash came between the
        // first opening and its record.
        if (fresh && resumed) await this.#takeIn(session);
        fresh = false;
        if (!session.established || session.state !== 'held') {
          Object.assign(session, { established: true, state: 'held' });
          await this.#tryToWrite(session);
        }
        settled.then(() => session && this.#settled(session, spec.source.config));
      },
    };
  }

  /** For a task that drains a session. */
  wound(session: Session): TaskSession {
    return {
      opening: async () => ({ known: session.established, former: session.tables, drain: true }),
      opened: async () => {},
    };
  }

  /** Sessions that none of these tasks will have. */
  orphans(specs: readonly TaskSpec[]): Session[] {
    const wanted = new Set(specs.map((spec) => this.#find(spec)?.id));
    return this.#sessions.filter(({ id }) => !wanted.has(id));
  }

  /** Whether a session is the one that a task would have. */
  belongs(session: Session, spec: TaskSpec): boolean {
    const identity = sourceIdentity(spec);
    if (identity.operatorId !== session.operatorId || identity.taskIndex !== session.taskIndex) return false;
    const { connector, profile } = spec.source;
    return connector.session?.(profile, identity) === this.#nameOf(session);
  }

  /** Throws as the database does. */
  async enter(session: Session, state: 'draining' | 'leftover'): Promise<void> {
    const stateSince = BigInt(Date.now()) * 1000n;
    const data = { state, stateSince, nextTry: stateSince };
    // One that is draining already began at its own time.
    const where = { id: session.id, state: { not: state } };
    const { count } = await this.#deps.db.sourceSession.updateMany({ where, data });
    if (count > 0) Object.assign(session, { state, stateSince });
    if (state === 'leftover') this.#forget(session);
  }

  /** The session is no more. Throws as the database does. */
  async drop(session: Session): Promise<void> {
    await this.#deps.db.sourceSession.deleteMany({ where: { id: session.id } });
    this.#forget(session);
  }

  #forget({ id }: Session): void {
    this.#sessions = this.#sessions.filter((other) => other.id !== id);
  }

  #find(spec: TaskSpec): Session | undefined {
    return this.#sessions.find((session) => this.belongs(session, spec));
  }

  /** The session and others of the same task, which may be the same by another address. */
  #alike({ operatorId, taskIndex }: Session): Session[] {
    return this.#sessions.filter((other) => other.operatorId === operatorId && other.taskIndex === taskIndex);
  }

  /** Undefined when its profile cannot be used any more. */
  #nameOf(session: Session): string | undefined {
    const { connector, operatorId, taskIndex } = session;
    const usable = this.#resolved(session);
    const identity = { jobId: this.#jobId, operatorId, taskIndex };
    return usable && connectorFor(connector).session?.(usable.profile, identity);
  }

  async #create({ insert, source, taskIndex }: TaskSpec): Promise<Session> {
    const id = `ses_${randomBytes(8).toString('hex')}`;
    const { connector } = insert.source;
    const profile = insert.source.profile as Session['profile'];
    const place = { operatorId: source.operatorId, taskIndex, connector };
    const state = { established: false, state: 'held', stateSince: BigInt(Date.now()) * 1000n };
    const session = { id, ...place, ...state, profile, insert, tables: [source.config] };
    await this.#deps.db.sourceSession.create({
      data: { id, jobId: this.#jobId, ...place, ...state, ...this.#sealed(session) },
    });
    this.#sessions.push(session);
    return session;
  }

  /** Writes down what is new about a session before it is used. */
  async #renew(session: Session, { insert, source }: TaskSpec): Promise<Session> {
    const tables = [source.config, ...session.tables.filter(differs(source.config))];
    const profile = insert.source.profile as Session['profile'];
    const next = { ...session, profile, insert, tables };
    if (isDeepStrictEqual(next, session)) return session;
    await this.#write(next);
    return Object.assign(session, next);
  }

  /** Makes one row of those that are of one session. Throws what may pass, for the task to try again. */
  async #takeIn(session: Session): Promise<void> {
    const signal = AbortSignal.timeout(comparisonMs);
    for (const other of this.#alike(session)) {
      if (other === session || !(await this.#areOne(session, other, signal))) continue;
      session.tables = [...session.tables, ...other.tables];
      await this.drop(other);
    }
  }

  /** Where it cannot be told, it is most likely a broker that has moved. */
  async #areOne(session: Session, former: Session, signal: AbortSignal): Promise<boolean> {
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
    const message =
      'a session by a former address cannot be compared; it is taken for the one by the new address';
    logger.warn({ job: this.#jobId }, message);
    return true;
  }

  /** Undefined when its profile cannot be used any more. */
  #resolved({ connector, profile }: Session) {
    try {
      return this.#deps.catalog.resolve(connectorFor(connector), profile);
    } catch {
      return undefined;
    }
  }

  /** It is subscribed as this table and as nothing else. */
  #settled(session: Session, table: unknown): void {
    if (differs(table)(session.tables[0]) || session.tables.length === 1) return;
    session.tables = [table];
    void this.#tryToWrite(session);
  }

  /** What is not written is known here, and makes no difference but after a crash: then more is taken back than need be. */
  async #tryToWrite(session: Session): Promise<void> {
    try {
      await this.#write(session);
    } catch (error) {
      const { code } = asPenstockError(error);
      this.#deps.logger.warn({ job: this.#jobId, code }, 'what is known of a session cannot be written');
    }
  }

  async #write(session: Session): Promise<void> {
    const { id, established, state } = session;
    const data = { ...this.#sealed(session), established, state };
    await this.#deps.db.sourceSession.updateMany({ where: { id }, data });
  }

  #sealed({ id, insert, tables }: Session) {
    const sealed = insert ? this.#deps.catalog.sealSession(id, insert) : {};
    return { ...(sealed as { profile: string; insert: string }), tables: JSON.stringify(tables) };
  }
}

const differs =
  (table: unknown) =>
  (other: unknown): boolean =>
    !isDeepStrictEqual(table, other);
