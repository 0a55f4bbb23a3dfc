import { stateOwner, statePartOwner } from '../definitions/catalog.ts';
import { PenstockError } from '../errors.ts';
import type { StoredCheckpoint } from '../jobs/stats.ts';
import type { StateCommit, StateStore } from '../runtime/operations.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import { noShape, shapeOf } from '../sql/shape.ts';
import { nowMicros } from '../store/clock.ts';
import { type Db, providerIn, type Tx } from '../store/db.ts';
import { batchedBy } from './batched.ts';
import type { WorkerDeps } from './deps.ts';

const refused = async (): Promise<never> => {
  throw new PenstockError('internal', 'This task has no state');
};

/** The store of a task that keeps none. */
export const noStates: StateStore = { load: refused, read: refused, stage: refused, commit: refused };

/** A statement with a part blocks the main thread for about 10 ms on SQLite, in proportion to its size. */
const partBytes = 1024 * 1024;
/** Segments of a commit that are larger together are stored before its transaction, each part in one of its own. */
const maxInCommit = 256 * 1024;
const limits = { timeout: 60_000 };
const keptCheckpoints = 20;
const checkpointEvery = 1_000_000;

interface StateTools extends Pick<WorkerDeps, 'db' | 'catalog' | 'sealState'> {
  /** Throws if another worker has the task, and otherwise keeps it from taking the task until the transaction ends. */
  own(tx: Tx): Promise<void>;
}

/** The stored state of a task. It belongs to the transform of its INSERT, and ends with its job. */
export function statesOf({ jobId, insert }: TaskSpec, tools: StateTools): StateStore {
  const { select, operatorIds } = insert;
  if (select.kind !== 'stateful') return noStates;
  return new StoredState({ jobId, operatorId: operatorIds.transform }, shapeOf(select), tools);
}

interface StatePlace {
  jobId: string;
  operatorId: string;
}

interface Part {
  segment: number;
  part: number;
  parts: number;
  data: Uint8Array<ArrayBuffer>;
}

/**
 * A large commit first stores its parts, which nothing names yet, so that others can use the database in between. Its last
 * transaction is small: it writes the control, which names the new segments, and deletes the old ones.
 */
class StoredState implements StateStore {
  readonly #place: StatePlace;
  readonly #shape: string;
  readonly #tools: StateTools;
  #checkpoints: StoredCheckpoint[] = [];
  /** Whether the first commit replaces the state of another query, as an edit has allowed. */
  #discards = false;

  constructor(place: StatePlace, shape: string, tools: StateTools) {
    this.#place = place;
    this.#shape = shape;
    this.#tools = tools;
  }

  async load(): Promise<string | undefined> {
    const { db, own } = this.#tools;
    const row = await db.$transaction(async (tx) => {
      await own(tx);
      const found = await tx.taskState.findUnique({ where: { jobId_operatorId: this.#place } });
      const segment = { gt: found?.lastSegment ?? -1 };
      await tx.statePart.deleteMany({ where: { ...this.#place, segment } });
      return found;
    }, limits);
    this.#discards = row !== null && row.shape !== this.#shape;
    if (!row) return undefined;
    if (!this.#discards) {
      this.#checkpoints = JSON.parse(row.checkpoints) as StoredCheckpoint[];
      return Buffer.from(this.#opened(stateOwner(this.#place), row.sealed, row.control)).toString('utf8');
    }
    // One without rows is nothing to lose.
    if (row.discardFor === this.#shape || row.bytes === 0n) return undefined;
    throw new PenstockError('state_would_be_lost', 'The query cannot go on with the state of its windows', {
      hint: 'Change the query back, or save it with state=discard to begin without the state.',
    });
  }

  async read(segment: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let part = 0, of = 1; part < of; part++) {
      const id = { ...this.#place, segment, part };
      const where = { jobId_operatorId_segment_part: id };
      const row = await this.#tools.db.statePart.findUnique({ where });
      if (!row) throw new PenstockError('internal', `Part ${part} of segment ${segment} is missing`);
      parts.push(this.#opened(statePartOwner(id), row.sealed, row.data));
      of = row.parts;
      await breath();
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  async stage(segments: StateCommit['add']): Promise<void> {
    await this.#storeParts(segments.flatMap(partsOf));
  }

  async commit(commit: StateCommit): Promise<void> {
    const { db } = this.#tools;
    const parts = commit.add.flatMap(partsOf);
    const bytes = commit.add.reduce((sum, { data }) => sum + data.byteLength, 0);
    // The parts of a state that is discarded may have the same numbers.
    const before = bytes > maxInCommit && !this.#discards;
    if (before) await this.#storeParts(parts);
    const checkpoints = this.#withCheckpoint(commit);
    await inTransaction(db, (tx) => this.#write(tx, commit, { parts: before ? [] : parts, checkpoints }));
    this.#discards = false;
    this.#checkpoints = checkpoints;
  }

  /** Stores parts that count once a commit names them. */
  async #storeParts(parts: readonly Part[]): Promise<void> {
    const { db, own } = this.#tools;
    for (const part of parts) {
      await db.$transaction(async (tx) => {
        await own(tx);
        // An earlier try may have left some.
        const { segment } = part;
        if (part.part === 0) await tx.statePart.deleteMany({ where: { ...this.#place, segment } });
        await this.#createPart(tx, part);
      }, limits);
      await breath();
    }
  }

  async #write(
    tx: Tx,
    { control, remove, lastSegment, checkpoint }: StateCommit,
    { parts, checkpoints }: { parts: Part[]; checkpoints: StoredCheckpoint[] },
  ): Promise<void> {
    await this.#tools.own(tx);
    if (this.#discards) await tx.statePart.deleteMany({ where: this.#place });
    else if (remove.length > 0)
      await tx.statePart.deleteMany({ where: { ...this.#place, segment: { in: [...remove] } } });
    for (const part of parts) {
      await this.#createPart(tx, part);
      if (part.parts > 1) await breath();
    }
    const data = {
      ...(this.#discards ? { discardFor: null } : {}),
      ...this.#sealed(stateOwner(this.#place), Buffer.from(control)),
      shape: this.#shape,
      lastSegment,
      bytes: BigInt(checkpoint.stateBytes),
      checkpoints: JSON.stringify(checkpoints),
      updatedAt: nowMicros(),
    };
    const { data: text, ...rest } = data;
    const columns = { ...rest, control: text };
    await tx.taskState.upsert({
      where: { jobId_operatorId: this.#place },
      create: { ...this.#place, ...columns, commits: 1n },
      update: { ...columns, commits: { increment: 1n } },
      select: { commits: true },
    });
  }

  async #createPart(tx: Tx, { data, ...part }: Part): Promise<void> {
    const id = { ...this.#place, ...part };
    await tx.statePart.create({
      data: { ...id, ...this.#sealed(statePartOwner(id), data) },
      select: { part: true },
    });
  }

  /** The latest checkpoints and this one, which replaces the one before if both are of one second. */
  #withCheckpoint({ checkpoint }: StateCommit): StoredCheckpoint[] {
    const earlier = this.#checkpoints.at(-2)?.startTime ?? Number.NEGATIVE_INFINITY;
    const kept =
      checkpoint.startTime - earlier < checkpointEvery ? this.#checkpoints.slice(0, -1) : this.#checkpoints;
    return [...kept, { ...checkpoint, finishTime: Number(nowMicros()) }].slice(-keptCheckpoints);
  }

  #sealed(
    owner: string,
    data: Uint8Array<ArrayBuffer>,
  ): { sealed: string | null; data: Uint8Array<ArrayBuffer> } {
    const { sealState, catalog } = this.#tools;
    return sealState ? catalog.sealState(owner, data) : { sealed: null, data };
  }

  #opened(owner: string, sealed: string | null, data: Uint8Array<ArrayBuffer>): Uint8Array {
    return sealed === null ? data : this.#tools.catalog.openState(owner, { sealed, data });
  }
}

/** The jobs with states of transforms that their queries no longer have, as edits have allowed. */
const withoutTransform = batchedBy(async (db: Db, jobs: readonly string[]) => {
  const where = { jobId: { in: [...jobs] }, discardFor: noShape };
  const rows = await db.taskState.findMany({ where, select: { jobId: true } });
  const found = new Set(rows.map(({ jobId }) => jobId));
  return (job: string) => found.has(job);
});

/** Deletes the states of transforms that a job no longer has. `specs` are its tasks, which have all been connected. */
export async function forgetStates(db: Db, jobId: string, specs: readonly TaskSpec[]): Promise<void> {
  if (!(await withoutTransform(db, jobId))) return;
  const kept = specs.map(({ insert }) => insert.operatorIds.transform);
  const where = { jobId, operatorId: { notIn: kept }, discardFor: noShape };
  for (const { operatorId } of await db.taskState.findMany({ where, select: { operatorId: true } }))
    await db.$transaction([
      db.taskState.deleteMany({ where: { ...where, AND: { operatorId } } }),
      db.statePart.deleteMany({ where: { jobId, operatorId } }),
    ]);
}

function partsOf({ segment, data }: StateCommit['add'][number]): Part[] {
  const parts = Math.max(1, Math.ceil(data.byteLength / partBytes));
  return Array.from({ length: parts }, (_, part) => ({
    ...{ segment, part, parts },
    data: data.subarray(part * partBytes, (part + 1) * partBytes) as Uint8Array<ArrayBuffer>,
  }));
}

/** Lets others run: on SQLite a statement ends before anything else can happen. */
const breath = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Write = (tx: Tx) => Promise<void>;

/** SQLite writes one transaction at a time, and waits for the disk at the end of each: the commits of several tasks share one. */
const inTransaction = (db: Db, write: Write): Promise<void> =>
  providerIn(db) === 'sqlite' ? writeTogether(db, write) : db.$transaction(write, limits);

const writeTogether = batchedBy(async (db: Db, writes: readonly Write[]) => {
  await db.$transaction(async (tx) => {
    for (const write of writes) await write(tx);
  }, limits);
  return () => {};
});
