import type { Db } from '../store/db.ts';

/**
 * Which worker does what. An item is held by at most one worker at a time, and comes back when that worker ends or dies. On
 * PostgreSQL pg-boss decides (`boss.ts`). On SQLite all processes are on one machine, and a process that lives keeps what it
 * has (`LocalPlacement`).
 */

/** The control of a job, or a task of one. */
export type ItemKind = 'job' | 'task';

export interface Item {
  id: string;
  /** JSON: the labels that a worker must have. */
  placement: string;
}

/** An item of this worker. Writes name its epoch: those of a former holder fail. */
export interface HeldItem {
  id: string;
  epoch: number;
}

/** Methods throw database errors unless they say otherwise. */
export interface Placement {
  /** Call once, before anything else. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Lets workers take these items. Those that are known already stay as they are. */
  offer(kind: ItemKind, items: readonly Item[]): Promise<void>;
  /** Takes at most `max` items of one placement. `unheld` are those that nobody has, by their rows. */
  take(kind: ItemKind, placement: string, max: number, unheld: readonly string[]): Promise<HeldItem[]>;
  /** Tells that this worker lives. Returns the ids of what it has lost. */
  renew(): Promise<Record<ItemKind, string[]>>;
  /** Gives items to other workers. */
  release(kind: ItemKind, ids: readonly string[]): Promise<void>;
  /** Nobody needs to do these items any more. */
  finish(kind: ItemKind, ids: readonly string[]): Promise<void>;
  /** Items that this worker has had for so long that another should take them. */
  expiring(kind: ItemKind): string[];
  /** Whether this worker has an item, as far as it knows. Never throws. */
  has(kind: ItemKind, id: string): boolean;
  /** Ids of the items that it keeps from others. Never throws. */
  held(kind: ItemKind): string[];
  /** Whether it has an item for certain: no other worker can have it. Never throws. */
  holds(kind: ItemKind, id: string): boolean;
}

interface WorkerProcess {
  host: string;
  pid: number;
  nonce: string;
}

export const ownerName = ({ host, pid, nonce }: WorkerProcess): string => `${host}/${pid}/${nonce}`;

/**
 * Whether the worker `name` may be alive, as seen from the process `own`. It is known to be dead only if it ran on the same
 * host and its process is gone or its process id is ours now. `probe` throws if there is no such process.
 */
export function isOwnerAlive(name: string, own: WorkerProcess, probe: (pid: number) => void): boolean {
  const [host, pid, nonce] = name.split('/');
  if (host !== own.host) return true;
  if (Number(pid) === own.pid) return nonce === own.nonce;
  try {
    probe(Number(pid));
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

interface ItemRow {
  id: string;
  worker: string | null;
  epoch: number;
}

interface ItemRows {
  find(where: object): Promise<ItemRow[]>;
  update(where: object, data: object): Promise<unknown>;
}

/** The rows of items of one kind, in the table that both have. */
function rowsOf(db: Db, kind: ItemKind): ItemRows {
  const select = { id: true, worker: true, epoch: true } as const;
  return kind === 'job'
    ? {
        find: (where) => db.job.findMany({ where, select }),
        update: (where, data) => db.job.updateMany({ where, data }),
      }
    : {
        find: (where) => db.task.findMany({ where, select }),
        update: (where, data) => db.task.updateMany({ where, data }),
      };
}

/**
 * Writes into the rows of these items that they are ours now. Returns those that exist. With `isFree` it takes only those that
 * are free, and without it all: their holder has lost them.
 */
export async function claimRows(
  db: Db,
  kind: ItemKind,
  owner: string,
  ids: readonly string[],
  isFree?: (worker: string) => boolean,
): Promise<HeldItem[]> {
  if (ids.length === 0) return [];
  const rows = rowsOf(db, kind);
  const ours = { worker: owner, epoch: { increment: 1 } };
  let claimed = [...ids];
  if (isFree) {
    const found = (await rows.find({ id: { in: claimed } })).filter(
      ({ worker }) => worker === null || isFree(worker),
    );
    for (const [worker, same] of Map.groupBy(found, (row) => row.worker)) {
      // Conditional, so only one of several processes gets it.
      await rows.update({ id: { in: same.map(({ id }) => id) }, worker }, ours);
    }
    claimed = found.map(({ id }) => id);
  } else await rows.update({ id: { in: claimed } }, ours);
  const own = await rows.find({ id: { in: claimed }, worker: owner });
  return own.map(({ id, epoch }) => ({ id, epoch }));
}

/** Writes into the rows of these items that nobody has them. */
export async function releaseRows(
  db: Db,
  kind: ItemKind,
  owner: string,
  ids: readonly string[],
): Promise<void> {
  if (ids.length > 0)
    await rowsOf(db, kind).update({ id: { in: [...ids] }, worker: owner }, { worker: null });
}

interface LocalOptions {
  db: Db;
  owner: string;
  /** Whether the process of that owner is known to have ended. */
  isDead(owner: string): boolean;
}

/** The placement of the processes that share an SQLite file. Rows without a holder can be taken. */
export class LocalPlacement implements Placement {
  readonly #options: LocalOptions;

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  has(): boolean {
    return true;
  }

  holds(): boolean {
    return true;
  }

  held(): string[] {
    return [];
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  async offer(): Promise<void> {}

  take(kind: ItemKind, _placement: string, max: number, unheld: readonly string[]): Promise<HeldItem[]> {
    const { db, owner, isDead } = this.#options;
    return claimRows(db, kind, owner, unheld.slice(0, max), isDead);
  }

  async renew(): Promise<Record<ItemKind, string[]>> {
    return { job: [], task: [] };
  }

  expiring(): string[] {
    return [];
  }

  async release(kind: ItemKind, ids: readonly string[]): Promise<void> {
    await releaseRows(this.#options.db, kind, this.#options.owner, ids);
  }

  async finish(kind: ItemKind, ids: readonly string[]): Promise<void> {
    await this.release(kind, ids);
  }
}
