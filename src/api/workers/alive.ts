import { type LabelMap, mayRun } from '../../jobs/placement.ts';
import { type JobState, shownState, workerAliveMicros } from '../../jobs/states.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Db, Tx } from '../../store/db.ts';

/** Names of the workers that are alive, by id. */
type AliveWorkers = ReadonlyMap<string, string>;

const freshMs = 1000;
const maxWorkers = 10_000;

/** The rows of workers that are alive. */
export const freshWorkers = () => ({ heartbeatAt: { gt: nowMicros() - workerAliveMicros } });

export const isFresh = ({ heartbeatAt }: { heartbeatAt: bigint }): boolean =>
  heartbeatAt > nowMicros() - workerAliveMicros;

/** Asks the database, for a decision in a transaction. */
export const isAlive = async (tx: Tx, id: string): Promise<boolean> =>
  (await tx.worker.count({ where: { id, ...freshWorkers() } })) > 0;

const read = (db: Db | Tx) =>
  db.worker.findMany({
    where: freshWorkers(),
    select: { id: true, name: true, labels: true, exclusive: true, heartbeatAt: true },
    orderBy: { heartbeatAt: 'desc' },
    take: maxWorkers,
  });
type AliveRow = Awaited<ReturnType<typeof read>>[number];

const lastRead = new WeakMap<object, { at: number; rows: Promise<AliveRow[]> }>();

function freshRows(db: Db | Tx): Promise<AliveRow[]> {
  const rows = read(db);
  lastRead.set(db, { at: performance.now(), rows });
  rows.catch(() => lastRead.delete(db));
  return rows;
}

/** Reads them at most once a second, and once more if one of `holders` is not among them: it may be new. */
async function aliveWorkers(db: Db | Tx, holders: readonly (string | null)[]): Promise<AliveWorkers> {
  const known = lastRead.get(db);
  const recent = known && performance.now() - known.at < freshMs ? known.rows : undefined;
  const alive = namesOf((await recent) ?? (await freshRows(db)));
  const isKnown = (id: string | null) => id === null || alive.has(id);
  return recent === undefined || holders.every(isKnown) ? alive : namesOf(await freshRows(db));
}

const namesOf = (rows: readonly AliveRow[]): AliveWorkers =>
  new Map(rows.filter(isFresh).map(({ id, name }) => [id, name]));

type StoredJob = NonNullable<Awaited<ReturnType<Db['job']['findUnique']>>>;
export type JobRow = StoredJob & { alive: AliveWorkers };

export const jobStateOf = (job: JobRow): JobState => shownState(job, (worker) => job.alive.has(worker));

/** Adds the workers that are alive to jobs, with a query for all of them. */
export async function withWorkers<T extends { worker: string | null }>(
  db: Db | Tx,
  rows: readonly T[],
): Promise<(T & { alive: AliveWorkers })[]> {
  if (rows.length === 0) return [];
  const alive = await aliveWorkers(
    db,
    rows.map(({ worker }) => worker),
  );
  return rows.map((row) => ({ ...row, alive }));
}

/** Returns a warning if none of the workers that are alive may run a pipeline. */
export async function placementWarnings(db: Db, placement: LabelMap): Promise<{ message: string }[]> {
  const rows = await freshRows(db);
  const labels = Object.entries(placement).map(([key, value]) => `${key}=${value}`);
  const fits = ({ labels: own, exclusive }: AliveRow) =>
    mayRun({ labels: JSON.parse(own), exclusive }, placement);
  if (rows.some(fits)) return [];
  if (labels.length > 0)
    return [{ message: `No worker has the labels ${labels.join(', ')}: the pipeline waits until one has` }];
  return rows.length === 0
    ? []
    : [
        {
          message: 'Every worker runs only pipelines that ask for its labels: the pipeline needs a placement',
        },
      ];
}
