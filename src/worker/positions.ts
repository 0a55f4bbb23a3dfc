import { createHash } from 'node:crypto';
import type { PositionStore } from '../runtime/operations.ts';
import { sourceIdentity, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';

/** The stored position of a task's source. It ends with its job, and counts only under the name that it was stored with. */
export function positionsOf(db: Db, spec: TaskSpec): PositionStore {
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
      await db.sourcePosition.upsert({ where, create: { ...place, ...data }, update: data });
    },
  };
}
