import type { Prisma } from '../generated/sqlite/client.ts';
import type { Tx } from './db.ts';

/**
 * Deletes dead letters of a job and updates its count; returns the number deleted. Call it in a transaction. Every change
 * of a job's dead letters locks the job's row first, so the count stays exact.
 */
export async function removeDeadLetters(
  tx: Tx,
  jobId: string,
  which: Prisma.DeadLetterWhereInput,
): Promise<number> {
  const { count: locked } = await tx.job.updateMany({
    where: { id: jobId },
    data: { deadLetters: { increment: 0 } },
  });
  if (locked === 0) return 0;
  const where = { AND: [{ jobId }, which] };
  const { _sum } = await tx.deadLetter.aggregate({ where, _sum: { bytes: true } });
  const { count } = await tx.deadLetter.deleteMany({ where });
  const data = {
    deadLetters: { decrement: count },
    deadLetterBytes: { decrement: BigInt(_sum.bytes ?? 0) },
  };
  await tx.job.updateMany({ where: { id: jobId }, data });
  return count;
}
