import type { LabelMap } from '../jobs/placement.ts';
import { workerAliveMicros } from '../jobs/states.ts';
import { nowMicros } from '../store/clock.ts';
import type { WorkerLoad } from './balance.ts';
import type { WorkerDeps } from './deps.ts';

export const heartbeatEveryMs = 3_000;
const deletedAfterMicros = 60_000_000n;
/** Time after which it is no longer remembered that a worker is unknown. */
const forgottenAfterMs = 600_000;
/** Time between two readings after which the heartbeats of others may have failed too. */
const outageMs = 6_000;

/** Tasks, jobs and load of this worker now. */
export interface WorkerActivity {
  tasks: number;
  jobs: number;
  load: number;
  ending: boolean;
}

/** The workers that live, by their rows. Methods throw database errors. */
export class Roster {
  readonly #deps: WorkerDeps;
  #workers: WorkerLoad[] = [];
  #jobs = new Map<string, number>();
  #rows = new Set<string>();
  /** When it was first asked for workers that have no row. */
  readonly #unknown = new Map<string, number>();
  #unknownAsked = false;
  /** When the first of the others counts as dead if its heartbeat has stayed away. */
  #doubtfulAt: bigint | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  /** Until then workers that lived before an outage of the database count as alive. */
  #lenientUntil = Number.NEGATIVE_INFINITY;
  #drainRequested = false;
  readonly #since = performance.now();

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  /** The workers that live, with this one. */
  get workers(): readonly WorkerLoad[] {
    return this.#workers;
  }

  get alive(): string[] {
    return [this.#deps.owner, ...this.#workers.map(({ id }) => id)];
  }

  /** Number of jobs that a worker controls. */
  jobsOf(id: string): number {
    return this.#jobs.get(id) ?? 0;
  }

  get own(): WorkerLoad | undefined {
    return this.#workers.find(({ id }) => id === this.#deps.owner);
  }

  /**
   * Whether no other worker lives for sure. One that started at the same time shows itself within two heartbeats. Processes that
   * share an SQLite file, whose lives are known, are few.
   */
  get alone(): boolean {
    const { isAlive, owner } = this.#deps;
    const known = isAlive(owner) !== undefined || performance.now() - this.#since > 2 * heartbeatEveryMs;
    return known && this.#workers.every(({ id }) => id === owner);
  }

  /** Whether this is the one worker that does what one should do for all. Two may think so for a moment. */
  get leads(): boolean {
    return this.#workers.every(({ id }) => id >= this.#deps.owner);
  }

  get due(): boolean {
    if (this.#unknownAsked || this.age >= heartbeatEveryMs) return true;
    return this.#doubtfulAt !== undefined && nowMicros() > this.#doubtfulAt;
  }

  /** Time since the rows were read. */
  get age(): number {
    return performance.now() - this.#readAt;
  }

  /** Whether a worker does not live. One that has come since the last reading may live. */
  isGone(id: string): boolean {
    if (id === this.#deps.owner || this.#workers.some((worker) => worker.id === id)) return false;
    const alive = this.#deps.isAlive(id);
    if (alive !== undefined) return !alive;
    if (this.#rows.has(id)) return true;
    const askedAt = this.#unknown.get(id);
    if (askedAt !== undefined) return askedAt < this.#readAt;
    this.#unknown.set(id, performance.now());
    this.#unknownAsked = true;
    return false;
  }

  /** Writes the row of this worker, and reads those of all. */
  async refresh(activity: WorkerActivity): Promise<void> {
    const { db, owner, identity, isAlive } = this.#deps;
    const { name, version, exclusive, slots } = identity;
    const now = nowMicros();
    const readAt = performance.now();
    const columns = { ...activity, heartbeatAt: now };
    const { count } = await db.worker.updateMany({ where: { id: owner }, data: columns });
    if (count === 0) {
      const labels = JSON.stringify(identity.labels);
      const own = { id: owner, name, version, labels, exclusive, slots: slots ?? null, startedAt: now };
      await db.worker.create({ data: { ...own, ...columns } });
    }
    const rows = await db.worker.findMany();
    const lenient = this.#isLenient(readAt);
    const old = rows.filter(({ heartbeatAt }) => !lenient && now - heartbeatAt > deletedAfterMicros);
    if (old.length > 0) await db.worker.deleteMany({ where: { id: { in: old.map(({ id }) => id) } } });
    this.#rows = new Set(rows.map(({ id }) => id));
    const before = new Set(lenient ? this.alive : []);
    const alive = rows.filter(
      ({ id, heartbeatAt }) => isAlive(id) ?? (now - heartbeatAt < workerAliveMicros || before.has(id)),
    );
    this.#workers = alive.map((row) => ({
      id: row.id,
      load: row.load,
      tasks: row.tasks,
      slots: row.slots ?? Number.POSITIVE_INFINITY,
      leaving: row.drainRequested || row.ending,
      labels: JSON.parse(row.labels) as LabelMap,
      exclusive: row.exclusive,
    }));
    this.#jobs = new Map(alive.map(({ id, jobs }) => [id, jobs]));
    this.#drainRequested = rows.find(({ id }) => id === owner)?.drainRequested ?? false;
    const others = alive.filter(({ id }) => !lenient && isAlive(id) === undefined && id !== owner);
    const oldest = others.toSorted((a, b) => Number(a.heartbeatAt - b.heartbeatAt))[0];
    this.#doubtfulAt = oldest && oldest.heartbeatAt + workerAliveMicros;
    for (const [id, askedAt] of this.#unknown)
      if (this.#rows.has(id) || readAt - askedAt > forgottenAfterMs) this.#unknown.delete(id);
    this.#unknownAsked = false;
    this.#readAt = readAt;
  }

  #isLenient(now: number): boolean {
    if (Number.isFinite(this.#readAt) && now - this.#readAt > outageMs)
      this.#lenientUntil = now + Number(workerAliveMicros) / 1000;
    return now < this.#lenientUntil;
  }

  get drainRequested(): boolean {
    return this.#drainRequested;
  }

  /** Takes this worker off the list. */
  async leave(): Promise<void> {
    await this.#deps.db.worker.deleteMany({ where: { id: this.#deps.owner } });
  }
}
