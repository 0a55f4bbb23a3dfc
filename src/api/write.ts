import { setTimeout as pause } from 'node:timers/promises';
import Type from 'typebox';
import { PenstockError } from '../errors.ts';
import type { Db, Tx } from '../store/db.ts';
import { strict } from './schemas.ts';

/** The parameters of every write. */
export const WriteQuery = Type.Object(
  {
    dry_run: Type.Boolean({
      default: false,
      description: 'Check everything and answer what would be answered, but change nothing',
    }),
  },
  strict,
);

/** Thrown in a transaction: what the change was checked against is not what is there any more. */
export class Outdated extends Error {}

/** Takes a transaction back that has shown what it would do. */
class DryRun extends Error {
  readonly answer: unknown;

  constructor(answer: unknown) {
    super('dry run');
    this.answer = answer;
  }
}

/** How often a write is tried that others forestall. */
const tries = 40;

/**
 * Changes definitions. `prepare` reads and checks, which may take its time, and answers how to write; that happens
 * in one transaction, which throws `Outdated` when what was read has changed since. Then everything is done again
 * with what is there now, so that of two writers each sees the whole of the other's change, or none of it.
 *
 * In a dry run the transaction is done, and taken back. Throws `changed_meanwhile` when others are always faster. A
 * transaction may take `timeoutMs`, by default as long as any.
 */
export async function write<T>(
  db: Db,
  dryRun: boolean,
  prepare: () => Promise<(tx: Tx) => Promise<T>>,
  timeoutMs?: number,
): Promise<T> {
  for (let attempt = 0; attempt < tries; attempt++) {
    const apply = await prepare();
    try {
      return await db.$transaction(
        async (tx) => {
          const answer = await apply(tx);
          if (dryRun) throw new DryRun(answer);
          return answer;
        },
        timeoutMs === undefined ? {} : { timeout: timeoutMs },
      );
    } catch (error) {
      if (error instanceof DryRun) return error.answer as T;
      if (!(error instanceof Outdated) && !isConflict(error)) throw error;
    }
    // Not in step with the others.
    await pause(Math.random() * 10 * (attempt + 1));
  }
  throw new PenstockError('changed_meanwhile', 'Others have changed it all the time', {
    hint: 'Try again.',
  });
}

/** The database has ended one of two transactions that waited for each other. */
const isConflict = (error: unknown): boolean =>
  error instanceof PenstockError && error.facts.conflict === true;

/** What a change was checked against: the versions of profiles and tables, by their ids. */
export interface Basis {
  profiles: ReadonlyMap<string, number>;
  tables: ReadonlyMap<string, number>;
}

/**
 * Makes sure that the profiles and tables are still in these versions, and that they stay so until the end of the
 * transaction. Throws `Outdated`. Everybody takes these locks before others, and in this order.
 */
export async function hold(tx: Tx, { profiles, tables }: Partial<Basis>): Promise<void> {
  for (const [id, version] of sorted(profiles)) {
    // Writes what is there, which takes the lock of the row on both databases.
    const { count } = await tx.connectionProfile.updateMany({ where: { id, version }, data: { version } });
    if (count === 0) throw new Outdated();
  }
  for (const [id, version] of sorted(tables)) {
    const { count } = await tx.connectionTable.updateMany({ where: { id, version }, data: { version } });
    if (count === 0) throw new Outdated();
  }
}

const sorted = (versions: ReadonlyMap<string, number> = new Map()): [string, number][] =>
  [...versions].sort(([one], [other]) => (one < other ? -1 : 1));

/** Throws `Outdated` when a conditional write has met nothing. */
export function expectOne({ count }: { count: number }): void {
  if (count !== 1) throw new Outdated();
}
