import { readFileSync } from 'node:fs';
import { notEnded } from '../jobs/states.ts';
import { nowMicros } from '../store/clock.ts';
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

/** An item that no living worker has. */
export interface UnheldItem extends Item {
  /** The worker in its row: none, or one that is gone. */
  worker: string | null;
}

/** Methods throw database errors unless they say otherwise. */
export interface Placement {
  /** Call once, before anything else. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Lets workers take these items. Those that are known already stay as they are. */
  offer(kind: ItemKind, items: readonly Item[]): Promise<void>;
  /** Takes at most `max` items of one placement. `unheld` are those that no living worker has, by their rows. */
  take(kind: ItemKind, placement: string, max: number, unheld: readonly UnheldItem[]): Promise<HeldItem[]>;
  /** Tells that this worker lives. Returns the ids of what it has lost. One that leads also looks for dead ones often. */
  renew(leads: boolean): Promise<Record<ItemKind, string[]>>;
  /** Gives items to other workers. */
  release(kind: ItemKind, ids: readonly string[]): Promise<void>;
  /** Nobody needs to do these items any more. */
  finish(kind: ItemKind, ids: readonly string[]): Promise<void>;
  /** Items that another worker should take, because this one has had them for most of a day. */
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
  /** See `startOf`. */
  start: string;
}

export const ownerName = ({ host, pid, nonce, start }: WorkerProcess): string =>
  `${host}/${pid}/${nonce}/${start}`;

/**
 * When a process of this machine started, in ticks of the kernel; undefined if there is none, and '' where only Linux would say
 * (proc_pid_stat(5), field 22). `probe` throws if there is none.
 */
export function startOf(pid: number, probe: (pid: number) => void): string | undefined {
  try {
    probe(pid);
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before it, in parentheses, may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/**
 * Whether the worker `name` lives, as seen from the process `own`; undefined for one of another host. One of the same host is
 * dead if its process is gone, or if another has its process id now: ours, or one that started at another time.
 */
export function isOwnerAlive(
  name: string,
  own: WorkerProcess,
  started: (pid: number) => string | undefined,
): boolean | undefined {
  const [host, pid, nonce, start = ''] = name.split('/');
  if (host !== own.host) return undefined;
  if (Number(pid) === own.pid) return nonce === own.nonce;
  const now = started(Number(pid));
  if (now === undefined) return false;
  // A former version of Penstock, or a system other than Linux, does not say when.
  return start === '' || now === '' || start === now;
}

interface ItemRows {
  claim(where: object, owner: string): Promise<HeldItem[]>;
  release(where: object): Promise<unknown>;
}

/** The rows of items of one kind, in the table that both have. */
function rowsOf(db: Db, kind: ItemKind): ItemRows {
  const select = { id: true, epoch: true } as const;
  const claimed = (owner: string) => ({ worker: owner, epoch: { increment: 1 } });
  const data = { worker: null };
  return kind === 'job'
    ? {
        claim: (where, owner) => db.job.updateManyAndReturn({ where, data: claimed(owner), select }),
        release: (where) => db.job.updateMany({ where, data }),
      }
    : {
        claim: async (where, owner) => {
          const taken = await db.task.updateManyAndReturn({ where, data: claimed(owner), select });
          // A worker that died has left the state of the task as it was.
          const mine = { id: { in: taken.map(({ id }) => id) }, worker: owner, ...notEnded };
          const starting = { state: 'starting', stateSince: nowMicros() };
          if (taken.length > 0) await db.task.updateMany({ where: mine, data: starting });
          return taken;
        },
        release: (where) => db.task.updateMany({ where, data }),
      };
}

/** Writes into the rows of items that they are ours now. Returns those that exist, and whose worker is still the given one. */
async function claimUnheld(
  { db, owner }: LocalOptions,
  kind: ItemKind,
  items: readonly UnheldItem[],
): Promise<HeldItem[]> {
  const rows = rowsOf(db, kind);
  const taken: HeldItem[] = [];
  for (const [worker, same] of Map.groupBy(items, (item) => item.worker)) {
    // Conditional, so only one of several processes gets it.
    const where = { id: { in: same.map(({ id }) => id) }, worker };
    taken.push(...(await rows.claim(where, owner)));
  }
  return taken;
}

/**
 * The same for items that are known to be ours, whoever is in their rows: that one has lost them. Those that have another
 * placement by now are not taken.
 */
export const claimOwn = (
  db: Db,
  kind: ItemKind,
  owner: string,
  ids: readonly string[],
  placement: string,
): Promise<HeldItem[]> => {
  const place = kind === 'job' ? { pipeline: { placement } } : { placement };
  return rowsOf(db, kind).claim({ id: { in: [...ids] }, ...place }, owner);
};

/** Writes into the rows of these items that nobody has them. */
export async function releaseRows(
  db: Db,
  kind: ItemKind,
  owner: string,
  ids: readonly string[],
): Promise<void> {
  if (ids.length > 0) await rowsOf(db, kind).release({ id: { in: [...ids] }, worker: owner });
}

interface LocalOptions {
  db: Db;
  owner: string;
}

/** The placement of the processes that share an SQLite file. What no living process has can be taken, by its row. */
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

  take(kind: ItemKind, _placement: string, max: number, unheld: readonly UnheldItem[]): Promise<HeldItem[]> {
    return claimUnheld(this.#options, kind, unheld.slice(0, max));
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
