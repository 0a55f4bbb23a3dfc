import { type FieldError, PenstockError } from '../errors.ts';
import type { Plan } from '../sql/plan.ts';
import { noShape, shapeOf } from '../sql/shape.ts';
import type { Db, Tx } from '../store/db.ts';
import { Outdated } from './write.ts';

/** Decides whether states of jobs are kept, refused or discarded when their queries change. */
export interface StateReview {
  /** The states that are lost, with a sentence for each. */
  lost: FieldError[];
  /** Notes for the worker which states may be discarded. Throws `Outdated` if others are lost by now. */
  store(tx: Tx): Promise<void>;
}

/** The same for the states of one job, whose query will have this plan. */
export async function reviewStates(
  db: Db,
  jobId: string,
  plan: Plan,
  pipeline: string,
): Promise<StateReview> {
  const found = await changesOf(db, jobId, plan);
  const describe = ({ operatorId, bytes, next }: StateChange): FieldError => {
    const why = next === noShape ? 'the query no longer has it' : 'the query collects other rows';
    return { path: '', message: `pipeline ${pipeline}: the state of ${operatorId} (${bytes} bytes): ${why}` };
  };
  return {
    lost: found.filter(isLost).map(describe),
    async store(tx) {
      if (found.length === 0) return;
      const now = await changesOf(tx, jobId, plan);
      const lost = (changes: StateChange[]) => changes.filter(isLost).map(({ operatorId }) => operatorId);
      if (lost(now).join() !== lost(found).join()) throw new Outdated();
      for (const { operatorId, next, discardFor } of now)
        if (next !== discardFor)
          await tx.taskState.updateMany({ where: { jobId, operatorId }, data: { discardFor: next } });
    },
  };
}

interface StateChange {
  operatorId: string;
  bytes: bigint;
  discardFor: string | null;
  /** The shape that it has to make room for; null if the query goes on with it. */
  next: string | null;
}

async function changesOf(db: Db | Tx, jobId: string, { inserts }: Plan): Promise<StateChange[]> {
  const rows = await db.taskState.findMany({
    where: { jobId },
    orderBy: { operatorId: 'asc' },
    select: { operatorId: true, shape: true, bytes: true, discardFor: true },
  });
  return rows.map(({ shape, ...row }) => {
    const insert = inserts.find(({ operatorIds }) => operatorIds.transform === row.operatorId);
    const next = insert?.select.kind === 'stateful' ? shapeOf(insert.select) : noShape;
    return { ...row, next: next === shape ? null : next };
  });
}

/** A state without rows is nothing to lose. */
const isLost = ({ next, bytes, discardFor }: StateChange): boolean =>
  next !== null && bytes > 0n && next !== discardFor;

export function refuseLosses(lost: readonly FieldError[]): void {
  const [first] = lost;
  if (!first) return;
  const more = lost.length > 1 ? `, and ${lost.length - 1} more` : '';
  throw new PenstockError('state_would_be_lost', `The change would lose ${first.message}${more}`, {
    hint: 'Send it with state=discard to lose it, or stop the pipeline with graceful first, which closes the windows.',
    errors: lost.slice(0, 20),
  });
}
