import { createHash } from 'node:crypto';
import type { PositionStore } from '../runtime/operations.ts';
import { sourceIdentity, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db, Tx } from '../store/db.ts';

/**
 * The stored position of a task's source. It ends with its job, and counts only under the name that it was stored with. `own`
 * throws if another worker has the task, and otherwise keeps it from taking the task until the transaction ends.
 */
export function positionsOf(db: Db, spec: TaskSpec, own: (tx: Tx) => Promise<void>): PositionStore {
  const { connector, profile, config } = spec.source;
  const place = sourceIdentity(spec);
  const where = { jobId_operatorId_taskIndex: place };
  const named = `${connector.id} ${connector.position?.(profile, config) ?? ''}`;
  const name = createHash('sha256').update(named).digest('hex');
  return {
    async last() {
      const row = await db.sourcePosition.findUnique({ where });
      return row?.name === name ? row.position : undefined;
    },
    async store(position) {
      const data = { name, position, updatedAt: nowMicros() };
      await db.$transaction(async (tx) => {
        await own(tx);
        await tx.sourcePosition.upsert({ where, create: { ...place, ...data }, update: data });
      });
    },
  };
}
