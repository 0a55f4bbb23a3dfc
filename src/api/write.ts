import { setTimeout as pause } from 'node:timers/promises';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import type { Db, Tx } from '../store/db.ts';
import { strict } from './schemas.ts';

const dry_run = Type.Boolean({
  default: false,
  description: 'Check everything and return the result, but change nothing',
});

export const DeleteQuery = Type.Object({ dry_run }, strict);

export const WriteQuery = Type.Object(
  {
    dry_run,
    state: Type.Enum(['keep', 'discard'], {
      default: 'keep',
      description:
        'keep: a change that would lose the rows of open windows, or of aggregates, is refused with state_would_be_lost. ' +
        'discard: they are lost, and the new query begins without them',
    }),
  },
  strict,
);

/** The options of a write, as its query says. */
export const optionsOf = ({ dry_run: dryRun, state }: Static<typeof WriteQuery>) => ({
  dryRun,
  discardState: state === 'discard',
});

/** Thrown in a transaction when something that the change was checked against has changed since. */
export class Outdated extends Error {}

/** Rolls back a transaction that was only a dry run. */
class DryRun extends Error {
  readonly result: unknown;

  constructor(result: unknown) {
    super('dry run');
    this.result = result;
  }
}

const maxAttempts = 40;

/**
 * Runs an optimistic write. `prepare` reads and checks, and returns the function that writes in one transaction.
 * That function throws `Outdated` when what was read has changed; then everything starts over with fresh data. So of
 * two writers each sees all of the other's change or none of it.
 *
 * A dry run executes the transaction and rolls it back. Throws `changed_meanwhile` after 40 attempts. `timeoutMs`
 * limits the transaction; without it the default of the store applies.
 */
export async function write<T>(
  db: Db,
  dryRun: boolean,
  prepare: () => Promise<(tx: Tx) => Promise<T>>,
  timeoutMs?: number,
): Promise<T> {
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const apply = await prepare();
    try {
      return await db.$transaction(
        async (tx) => {
          const result = await apply(tx);
          if (dryRun) throw new DryRun(result);
          return result;
        },
        timeoutMs === undefined ? {} : { timeout: timeoutMs },
      );
    } catch (error) {
      if (error instanceof DryRun) return error.result as T;
      if (!(error instanceof Outdated) && !isConflict(error)) throw error;
    }
    // Jitter, so that writers do not collide again in step.
    await pause(Math.random() * 10 * (attempt + 1));
  }
  throw new PenstockError('changed_meanwhile', 'Other writers kept changing the same objects', {
    hint: 'Try again.',
  });
}

/** Whether the database aborted this transaction to resolve a deadlock. */
const isConflict = (error: unknown): boolean =>
  error instanceof PenstockError && error.facts.conflict === true;

/** The versions, by id, of the rows that a change was checked against. Version 0 marks a row that it creates itself. */
export interface ReadSet {
  readonly profiles?: ReadonlyMap<string, number>;
  readonly tables?: ReadonlyMap<string, number>;
  readonly pipelines?: ReadonlyMap<string, number>;
}

/**
 * Locks the rows of the read sets until the end of the transaction. Throws `Outdated` if one has another version.
 * Every write takes these locks first and in this order.
 */
export async function hold(tx: Tx, reads: readonly ReadSet[]): Promise<void> {
  const versionsOf = (kind: keyof ReadSet): [string, number][] => {
    const all = reads.flatMap((one) => [...(one[kind] ?? [])]).filter(([, version]) => version > 0);
    const distinct = new Map(all.map((each) => [each.join('.'), each]));
    return [...distinct.values()].sort(([one], [other]) => (one < other ? -1 : 1));
  };
  // An update that changes nothing takes the row lock on both databases.
  for (const [id, version] of versionsOf('profiles'))
    expectOne(await tx.connectionProfile.updateMany({ where: { id, version }, data: { version } }));
  for (const [id, version] of versionsOf('tables'))
    expectOne(await tx.connectionTable.updateMany({ where: { id, version }, data: { version } }));
  for (const [id, version] of versionsOf('pipelines'))
    expectOne(await tx.pipeline.updateMany({ where: { id, version }, data: { version } }));
}

function expectOne({ count }: { count: number }): void {
  if (count !== 1) throw new Outdated();
}
