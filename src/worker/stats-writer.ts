import { sampleEveryMs } from '../jobs/stats.ts';
import type { WorkerDeps } from './deps.ts';
import type { JobStats } from './job-stats.ts';
import { ownerName } from './owner.ts';

const writeEveryMs = 2000;
/** Jobs written every two seconds; where more have something new they take turns, so the database has no more to do. */
const maxAtATime = 200;
/** Jobs in one transaction: SQLite writes in this thread, and nothing else is done here until it has. */
const perTransaction = 25;

/** Samples the tasks of all jobs once a second, and writes what is new of them every two. */
export class StatsWriter {
  readonly #deps: Pick<WorkerDeps, 'db' | 'owner' | 'logger'>;
  readonly #jobs: () => Iterable<[string, JobStats]>;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Those that had their turn, the longest ago first. */
  readonly #turns = new Map<string, true>();
  #sampledAt = performance.now();
  #writing: Promise<void> | undefined;

  constructor(deps: Pick<WorkerDeps, 'db' | 'owner' | 'logger'>, jobs: () => Iterable<[string, JobStats]>) {
    this.#deps = deps;
    this.#jobs = jobs;
  }

  start(): void {
    this.#sampledAt = performance.now();
    this.#timers.push(
      setInterval(() => this.#sample(), sampleEveryMs),
      setInterval(() => this.#begin(), writeEveryMs),
    );
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#writing;
  }

  #sample(): void {
    const now = performance.now();
    const seconds = (now - this.#sampledAt) / 1000;
    this.#sampledAt = now;
    for (const [, stats] of this.#jobs()) stats.sample(seconds);
  }

  #begin(): void {
    // What it shows is lost to nobody: the next round has it.
    this.#writing ??= this.#write()
      .catch((err: unknown) => this.#deps.logger.debug({ err }, 'statistics of jobs wait to be written'))
      .finally(() => {
        this.#writing = undefined;
      });
  }

  async #write(): Promise<void> {
    const due = [...this.#due()];
    for (let at = 0; at < due.length; at += perTransaction)
      await this.#writeSome(new Map(due.slice(at, at + perTransaction)));
  }

  async #writeSome(due: Map<string, JobStats>): Promise<void> {
    const { db, owner } = this.#deps;
    const where = { id: { in: [...due.keys()] }, worker: ownerName(owner) };
    const mine = (await db.job.findMany({ where, select: { id: true } })).map(({ id }) => id);
    const updatedAt = BigInt(Date.now()) * 1000n;
    const taken = mine.map((jobId) => ({ jobId, ...(due.get(jobId) as JobStats).unwritten() }));
    await db.$transaction([
      db.jobStats.deleteMany({ where: { jobId: { in: mine } } }),
      db.jobStats.createMany({ data: taken.map(({ jobId, stats }) => ({ jobId, updatedAt, stats })) }),
    ]);
    for (const { written } of taken) written();
  }

  /** Those with something new, the longest waiting first. */
  #due(): Map<string, JobStats> {
    const jobs = new Map(this.#jobs());
    for (const id of this.#turns.keys()) if (!jobs.has(id)) this.#turns.delete(id);
    const waiting = [...jobs.keys()].filter((id) => !this.#turns.has(id));
    const due = new Map<string, JobStats>();
    for (const id of [...waiting, ...this.#turns.keys()]) {
      const stats = jobs.get(id);
      if (due.size >= maxAtATime || !stats?.changed) continue;
      due.set(id, stats);
      this.#turns.delete(id);
      this.#turns.set(id, true);
    }
    return due;
  }
}
